// The provider of tickets: what people declare, and how the service's API does it.
package main

import (
	"fmt"
	"time"

	"trueup.dev/trueup"
)

var config struct {
	Server string `json:"server" doc:"Where the service listens, such as https://tickets.example.com"`
}

// Ticket is what people declare.
type Ticket struct {
	Queue    string         `json:"queue" trueup:"scope,immutable,min-length=1" doc:"The queue that it waits in."`
	Title    string         `json:"title" trueup:"key,min-length=1" doc:"What it is about; no two of a queue are the same."`
	Priority int            `json:"priority" trueup:"default=3,min=1,max=5"`
	Tags     []string       `json:"tags" trueup:"default=[],unordered"`
	Body     string         `json:"body" trueup:"default="`
	Hook     *trueup.Secret `json:"hook" doc:"Secret that the service signs its calls with. It never shows it."`
}

// Status is what the service adds.
type Status struct {
	ID    string `json:"id" trueup:"computed" doc:"What the service calls the ticket."`
	State string `json:"state" trueup:"computed" doc:"open, or closing while it is being deleted."`
	URL   string `json:"url" trueup:"computed" doc:"Where people read it."`
}

// answer is a ticket as the service tells it.
type answer struct {
	Ticket
	ID    string `json:"id"`
	State string `json:"state"`
	Rev   int    `json:"rev"`
}

func url(id string) string { return config.Server + "/tickets/" + trueup.Escape(id) }

func object(it answer) *trueup.Object[Ticket] {
	status := Status{ID: it.ID, State: it.State, URL: url(it.ID)}
	return &trueup.Object[Ticket]{Spec: it.Ticket, Status: status, Identity: it.ID, Version: fmt.Sprintf(`"%d"`, it.Rev)}
}

func scan(query *trueup.Query) (*trueup.Page[Ticket], error) {
	request := trueup.HTTP.Get(config.Server+"/tickets").Query("queue", query.Scope).Query("limit", fmt.Sprint(query.Limit))
	if query.Cursor == "" {
		request.IfNoneMatch(query.Since)
	} else {
		request.Query("after", query.Cursor)
	}
	response, err := request.Credential("token").Send()
	if err != nil {
		return nil, err
	}
	if response.NotModified() {
		return &trueup.Page[Ticket]{Coverage: trueup.Unchanged}, nil
	}
	if response, err = response.OK(); err != nil {
		return nil, err
	}
	var list struct {
		Tickets []answer `json:"tickets"`
		Next    string   `json:"next"`
	}
	if err := response.JSON(&list); err != nil {
		return nil, err
	}
	page := &trueup.Page[Ticket]{Next: list.Next, Version: response.ETag()}
	for _, it := range list.Tickets {
		page.Objects = append(page.Objects, object(it))
	}
	return page, nil
}

func find(target *trueup.Target[Ticket]) (*trueup.Object[Ticket], error) {
	if target.Identity == "" {
		return target.Search() // Lists the queue for a ticket of that title.
	}
	var it answer
	if err := trueup.HTTP.Get(url(target.Identity)).Credential("token").Into(&it); err != nil {
		return nil, err // NotFound among them: then the ticket is not there.
	}
	return object(it), nil
}

// write sends what is declared, and answers with what the service has made of it.
func write(request *trueup.Request, desired *Ticket, body map[string]any) (*trueup.Object[Ticket], error) {
	body["priority"], body["tags"], body["body"] = desired.Priority, desired.Tags, desired.Body
	if desired.Hook != nil {
		hook, err := desired.Hook.Reveal()
		if err != nil {
			return nil, err
		}
		body["hook"] = hook
	}
	var it answer
	if err := request.Credential("token").JSON(body).Into(&it); err != nil {
		return nil, err
	}
	return object(it), nil
}

func create(target *trueup.Target[Ticket], desired *Ticket) (*trueup.Object[Ticket], error) {
	request := trueup.HTTP.Post(config.Server + "/tickets").IdempotencyKey(target.Token)
	return write(request, desired, map[string]any{"queue": desired.Queue, "title": desired.Title})
}

func update(target *trueup.Target[Ticket], desired *Ticket) (*trueup.Object[Ticket], error) {
	request := trueup.HTTP.Patch(url(target.Identity)).IfMatch(target.Version)
	return write(request, desired, map[string]any{"hook": nil})
}

func closing(id string) error {
	return trueup.Pending(id, 100*time.Millisecond, "the ticket is closing")
}

func remove(target *trueup.Target[Ticket]) error {
	if _, err := trueup.HTTP.Delete(url(target.Identity)).Credential("token").OK(); err != nil {
		return err
	}
	return closing(target.Identity)
}

func poll(_ *trueup.Target[Ticket], id string) (*trueup.Object[Ticket], error) {
	response, err := trueup.HTTP.Get(url(id)).Credential("token").Found()
	if response == nil || err != nil {
		return nil, err
	}
	return nil, closing(id)
}

func init() {
	trueup.Serve(&trueup.Provider{
		Name: "{{name}}", Version: "0.1.0", Config: &config, Hosts: []string{"config.server"},
		Credentials: trueup.Credentials{"token": {"bearer"}}, Secrets: true, Parallel: 8,
		Kinds: trueup.Kinds{&trueup.Kind[Ticket]{
			Status: Status{}, Recover: "token",
			Scan: scan, Find: find, Create: create, Update: update, Delete: remove, Poll: poll,
		}},
	})
}

func main() {} // A component is called by its functions.
