package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"trueup.dev/trueup/contract"
	"trueup.dev/trueup/trueuptest"
)

// queue is the service with room for one ticket.
type queue struct {
	ticket map[string]any
	tokens []string
	hook   any
}

func (q *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	respond := func(status int, body any) {
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(q.tokens)))
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer test-token":
		respond(401, nil)
	case r.Method == "POST":
		if q.tokens = append(q.tokens, r.Header.Get("Idempotency-Key")); q.ticket == nil {
			_ = json.NewDecoder(r.Body).Decode(&q.ticket)
			q.hook = q.ticket["hook"]
			delete(q.ticket, "hook") // It is never given back.
			q.ticket["id"], q.ticket["state"], q.ticket["rev"], q.ticket["assignee"] = "T-1", "open", 1, "eve"
		}
		respond(201, q.ticket)
	case r.URL.Path == "/tickets" && q.ticket == nil:
		respond(200, map[string]any{"tickets": []any{}, "next": nil})
	case r.URL.Path == "/tickets":
		respond(200, map[string]any{"tickets": []any{q.ticket}, "next": nil})
	case q.ticket == nil:
		respond(404, nil)
	case r.Method == "DELETE" && q.ticket["state"] == "open":
		q.ticket["state"] = "closing"
		respond(202, q.ticket)
	default:
		respond(200, q.ticket)
	}
}

func start(t *testing.T) (*trueuptest.Engine, *queue) {
	engine, service := trueuptest.Start(t, map[string]string{"server": "https://tickets.example"}), &queue{}
	engine.Credential("token", "Bearer test-token")
	engine.Handle(service)
	return engine, service
}

func TestATicketIsMadeSeenAndSlowlyDeleted(t *testing.T) {
	engine, service := start(t)
	spec := map[string]any{"queue": "support", "title": "First", "hook": engine.Secret("h", "s3cret")}
	desired, err := engine.Render("Ticket", "first", spec)
	if err != nil {
		t.Fatal(err)
	}
	made := engine.Bring(nil, desired)
	if made.Settlement.Case != contract.Settled || service.hook != "s3cret" {
		t.Fatalf("made %+v of %v", made, service.ticket)
	}
	page, err := engine.Scan("Ticket", "support", "")
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Address != desired.Address {
		t.Fatalf("saw %+v, %v", page, err)
	}
	deleted := engine.Bring(made.Object, nil)
	if deleted = engine.Poll(deleted); deleted.Settlement.Case != contract.IsPending {
		t.Fatalf("a ticket that is closing is not gone: %+v", deleted)
	}
	service.ticket = nil
	if deleted = engine.Poll(deleted); deleted.Settlement.Case != contract.Settled {
		t.Fatalf("a ticket that is gone is gone: %+v", deleted)
	}
}

func TestATryAfterALostAnswerSendsTheSameToken(t *testing.T) {
	engine, service := start(t)
	desired, err := engine.Render("Ticket", "first", map[string]any{"queue": "support", "title": "First"})
	if err != nil {
		t.Fatal(err)
	}
	change := engine.Change(nil, desired)
	engine.Interrupt(func(method, _ string) bool { return method == "POST" })
	if first := engine.Apply(change)[0]; first.Settlement.Case != contract.Unsettled {
		t.Fatalf("nobody knows what a lost answer said: %+v", first)
	}
	engine.Interrupt(nil)
	service.ticket = nil // Not seen yet: it is asked for again.
	change.Attempt, change.Unsettled = 1, true
	if second := engine.Apply(change)[0]; second.Settlement.Case != contract.Settled {
		t.Fatalf("%+v", second)
	}
	if len(service.tokens) != 2 || service.tokens[0] != service.tokens[1] {
		t.Fatalf("tokens %v", service.tokens)
	}
}
