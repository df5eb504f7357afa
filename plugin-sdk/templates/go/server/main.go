// A small ticket service to test against: `go run ./server PORT`. All of its state is in memory.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	pageSize = 100
	closing  = 300 * time.Millisecond // How long a delete takes.
)

// own are the fields that only the service sets. The hook is nobody's to read.
var own = []string{"id", "queue", "state", "created", "rev", "hook", "hookSet"}

type ticket map[string]any

type place struct{ queue, title string }

type service struct {
	sync.Mutex
	tickets  map[int]ticket
	titles   map[place]int
	keys     map[string]ticket // By Idempotency-Key.
	queues   map[string][]int  // Numbers, in order.
	versions map[string]int
	requests map[string]int
	last     int
}

func (t ticket) place() place {
	queue, _ := t["queue"].(string)
	title, _ := t["title"].(string)
	return place{queue, title}
}

func (t ticket) etag() string { return fmt.Sprintf(`"%d"`, t["rev"]) }

// merge takes over what the service lets others set, whether it knows the field or not.
func (s *service) merge(held, sent ticket) {
	for name, value := range sent {
		if !slices.Contains(own, name) {
			held[name] = value
		}
	}
	if hook, told := sent["hook"]; told {
		held["hookSet"] = hook != nil
	}
	held["rev"] = held["rev"].(int) + 1
	s.versions[held.place().queue]++
}

func (s *service) list(w http.ResponseWriter, r *http.Request) (int, any) {
	query := r.URL.Query()
	queue := query.Get("queue")
	etag := fmt.Sprintf(`"q%d"`, s.versions[queue])
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		return http.StatusNotModified, nil
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || limit > pageSize {
		limit = pageSize
	}
	begin, found := slices.BinarySearch(s.queues[queue], number(query.Get("after")))
	if found {
		begin++
	}
	rest := s.queues[queue][begin:]
	page := []ticket{}
	for _, it := range rest[:min(limit, len(rest))] {
		page = append(page, s.tickets[it])
	}
	var next any
	if len(rest) > limit {
		next = page[limit-1]["id"]
	}
	return http.StatusOK, map[string]any{"tickets": page, "next": next}
}

func (s *service) create(w http.ResponseWriter, r *http.Request, sent ticket) (int, any) {
	key := r.Header.Get("Idempotency-Key")
	if made := s.keys[key]; made != nil {
		w.Header().Set("ETag", made.etag())
		return http.StatusOK, made
	}
	at := sent.place()
	if at.queue == "" || at.title == "" {
		return http.StatusUnprocessableEntity, problem("a ticket needs a queue and a title")
	}
	if s.titles[at] != 0 {
		return http.StatusConflict, problem("the queue has a ticket of that title")
	}
	s.last++
	made := ticket{
		"id": fmt.Sprintf("T-%d", s.last), "queue": at.queue, "priority": 3, "tags": []string{}, "body": "",
		"state": "open", "hookSet": false, "created": time.Now().UTC().Format(time.RFC3339), "rev": 0,
	}
	s.tickets[s.last], s.titles[at] = made, s.last
	s.queues[at.queue] = append(s.queues[at.queue], s.last)
	if key != "" {
		s.keys[key] = made
	}
	s.merge(made, sent)
	w.Header().Set("ETag", made.etag())
	return http.StatusCreated, made
}

func (s *service) update(w http.ResponseWriter, r *http.Request, at int, sent ticket) (int, any) {
	held := s.tickets[at]
	if wanted := r.Header.Get("If-Match"); wanted != "" && wanted != "*" && wanted != held.etag() {
		return http.StatusPreconditionFailed, problem("the ticket has changed")
	}
	if _, told := sent["queue"]; told {
		return http.StatusUnprocessableEntity, problem("a ticket stays in its queue")
	}
	before, after := held.place(), held.place()
	if title, told := sent["title"].(string); told {
		after.title = title
	}
	if other := s.titles[after]; other != 0 && other != at {
		return http.StatusConflict, problem("the queue has a ticket of that title")
	}
	delete(s.titles, before)
	s.titles[after] = at
	s.merge(held, sent)
	w.Header().Set("ETag", held.etag())
	return http.StatusOK, held
}

func (s *service) remove(at int) (int, any) {
	held := s.tickets[at]
	if held["state"] != "closing" {
		held["state"] = "closing"
		s.merge(held, nil)
		time.AfterFunc(closing, func() { s.bury(at) })
	}
	return http.StatusAccepted, held
}

func (s *service) bury(at int) {
	s.Lock()
	defer s.Unlock()
	where := s.tickets[at].place()
	delete(s.tickets, at)
	delete(s.titles, where)
	index, _ := slices.BinarySearch(s.queues[where.queue], at)
	s.queues[where.queue] = slices.Delete(s.queues[where.queue], index, index+1)
	s.versions[where.queue]++
}

// number of an id; 0 is nobody's.
func number(id string) int {
	if len(id) < 3 || id[:2] != "T-" {
		return 0
	}
	at, err := strconv.Atoi(id[2:])
	if err != nil {
		return 0
	}
	return at
}

func problem(text string) map[string]string { return map[string]string{"error": text} }

func (s *service) answer(w http.ResponseWriter, r *http.Request) (int, any) {
	var sent ticket
	if r.Method == "POST" || r.Method == "PATCH" {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&sent); err != nil {
			return http.StatusBadRequest, problem("the body is no JSON object")
		}
	}
	s.Lock()
	defer s.Unlock()
	id := r.PathValue("id")
	at := number(id)
	switch {
	case r.URL.Path == "/requests":
		return http.StatusOK, s.requests
	case r.Header.Get("Authorization") != "Bearer test-token":
		return http.StatusUnauthorized, problem("a token is needed")
	}
	s.requests[r.Method]++
	switch {
	case id == "" && r.Method == "GET":
		return s.list(w, r)
	case id == "" && r.Method == "POST":
		return s.create(w, r, sent)
	case id == "":
		return http.StatusMethodNotAllowed, problem("no " + r.Method + " here")
	case s.tickets[at] == nil:
		return http.StatusNotFound, problem("there is no ticket " + id)
	case r.Method == "GET":
		w.Header().Set("ETag", s.tickets[at].etag())
		return http.StatusOK, s.tickets[at]
	case r.Method == "PATCH":
		return s.update(w, r, at, sent)
	case r.Method == "DELETE":
		return s.remove(at)
	}
	return http.StatusMethodNotAllowed, problem("no " + r.Method + " here")
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := s.answer(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		s.Lock()
		defer s.Unlock()
		_ = json.NewEncoder(w).Encode(body) // Whoever asked has gone.
	}
}

func newService() http.Handler {
	s := &service{
		tickets: map[int]ticket{}, titles: map[place]int{}, keys: map[string]ticket{}, queues: map[string][]int{},
		versions: map[string]int{}, requests: map[string]int{},
	}
	mux := http.NewServeMux()
	for _, path := range []string{"/tickets", "/tickets/{id}", "/requests"} {
		mux.Handle(path, s)
	}
	return mux
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: server PORT")
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], newService()))
}
