//go:build !wasip1

// Package trueuptest plays the engine for the tests of a provider, which run with a plain `go test` and no WebAssembly.
//
// The provider is the one that the package under test passed to trueup.Serve. HTTP requests reach an http.Handler in the
// same process; those that write outside of changes are refused, as the engine refuses them.
package trueuptest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"trueup.dev/trueup/contract"
)

// Engine is one configured provider and the world around it.
type Engine struct {
	t      testing.TB
	world  *world
	tokens int
}

// Start makes an empty world, and configures the provider in it.
func Start(t testing.TB, config any) *Engine {
	t.Helper()
	engine := &Engine{t: t, world: newWorld()}
	contract.World = engine.world
	engine.Restart(config)
	return engine
}

// Restart configures the provider anew in the same world, as the engine may between two calls.
func (e *Engine) Restart(config any) {
	e.t.Helper()
	e.world.phase = pure
	if done := contract.Served.Configure(e.json(config), nil); done.Case != 0 {
		e.t.Fatalf("configure: %v", done.Err.Diagnostics)
	}
}

func (e *Engine) json(value any) string {
	e.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		e.t.Fatalf("not JSON: %v", err)
	}
	return string(text)
}

// Handle answers HTTP requests from now on.
func (e *Engine) Handle(handler http.Handler) { e.world.handler = handler }

// Credential is what the engine sends in Authorization for a slot.
func (e *Engine) Credential(slot, authorization string) { e.world.credentials[slot] = authorization }

// Interrupt loses answers: where lose says so, the handler gets the request, and the provider no answer. Nil: none is lost.
func (e *Engine) Interrupt(lose func(method, url string) bool) { e.world.lose = lose }

// Secret grants a secret; what stands for it in a document.
func (e *Engine) Secret(handle, value string) map[string]string {
	e.world.secrets[handle] = value
	return map[string]string{"$secret": handle}
}

// Blob adds a file to the revision; what stands for it in a document.
func (e *Engine) Blob(bytes []byte) map[string]any {
	return map[string]any{"$blob": e.world.blob(bytes), "size": len(bytes)}
}

// LoseCache loses what the provider cached, as the engine may at any time.
func (e *Engine) LoseCache() { clear(e.world.cache) }

// Calls are the requests since the last time this was called: `PUT https://…`.
func (e *Engine) Calls() []string {
	calls := e.world.calls
	e.world.calls = nil
	return calls
}

// Lines of the log so far.
func (e *Engine) Lines() []string { return e.world.lines }

// Manifest is what the component says of itself.
func (e *Engine) Manifest() map[string]any {
	e.t.Helper()
	e.world.phase = pure
	var manifest map[string]any
	if err := json.Unmarshal([]byte(contract.Served.Describe()), &manifest); err != nil {
		e.t.Fatalf("the manifest: %v", err)
	}
	return manifest
}

// Render renders one declaration; an error is what the diagnostics say.
func (e *Engine) Render(kind, name string, spec any) (*contract.Desired, error) {
	e.t.Helper()
	e.world.phase = pure
	address := contract.Address{Kind: kind, Key: name}
	item := contract.Declared{Address: address, Doc: e.json(map[string]any{"spec": spec})}
	answers := contract.Served.Render([]contract.Declared{item})
	if len(answers) != 1 {
		e.t.Fatalf("render answered %d items for one", len(answers))
	}
	for _, found := range answers[0].Diagnostics {
		if found.Severity == contract.SeverityError {
			return nil, fmt.Errorf("%s: %s", found.Code, found.Summary)
		}
	}
	if len(answers[0].Objects) == 0 {
		return nil, nil
	}
	return &answers[0].Objects[0], nil
}

func (e *Engine) info(phase phase) *contract.CallInfo {
	e.world.phase = phase
	return &contract.CallInfo{Now: 1_767_225_600_000, Budget: 30_000}
}

// Scan scans a scope to its last page; since is the version of an earlier pass, or empty.
func (e *Engine) Scan(kind, scope, since string) (*contract.Snapshot, error) {
	e.t.Helper()
	query := contract.ScopeQuery{Kind: kind, Scope: scope, Limit: 10_000}
	if since != "" {
		query.Since = &since
	}
	var whole contract.Snapshot
	for {
		answers := contract.Served.Scan([]contract.ScopeQuery{query}, e.info(observe))
		if len(answers) != 1 {
			e.t.Fatalf("scan answered %d items for one", len(answers))
		}
		if answers[0].Case != 0 {
			return nil, failed(&answers[0].Err)
		}
		page := answers[0].Ok
		whole.Objects, whole.Gone = append(whole.Objects, page.Objects...), append(whole.Gone, page.Gone...)
		whole.Version, whole.Coverage = page.Version, page.Coverage
		if query.Cursor = page.Next; query.Cursor == nil {
			return &whole, nil
		}
	}
}

// Failed is a failure as an error.
type Failed struct{ Failure *contract.Failure }

func failed(failure *contract.Failure) error { return &Failed{failure} }

func (f *Failed) Error() string {
	var lines []string
	for _, it := range f.Failure.Diagnostics {
		lines = append(lines, it.Code+": "+it.Summary)
	}
	return strings.Join(lines, "; ")
}

// Read looks at one object. The identity is empty where it is not known.
func (e *Engine) Read(address contract.Address, identity string) contract.Observation {
	e.t.Helper()
	lookup := contract.Lookup{Address: address}
	if identity != "" {
		lookup.Identity = &identity
	}
	answers := contract.Served.Read([]contract.Lookup{lookup}, e.info(observe))
	if len(answers) != 1 {
		e.t.Fatalf("read answered %d items for one", len(answers))
	}
	return answers[0]
}

// Change is what brings prior (nil: nothing) to desired (nil: nothing), with a token of its own.
func (e *Engine) Change(prior *contract.Remote, desired *contract.Desired) contract.Change {
	e.tokens++
	change := contract.Change{
		Action: contract.ActionUpdate, Prior: prior, Token: fmt.Sprintf("token-%d", e.tokens),
		Mark: "0123456789abcdef0123456789abcdef/test/0123456789abcdef0123456789abcdef",
	}
	switch {
	case prior == nil:
		change.Action, change.Address = contract.ActionCreate, desired.Address
	case desired == nil:
		change.Action, change.Address = contract.ActionDelete, prior.Address
	default:
		change.Address = prior.Address
	}
	if desired != nil {
		change.Desired = &desired.Doc
	}
	return change
}

// Apply carries changes out in one call.
func (e *Engine) Apply(changes ...contract.Change) []contract.Outcome {
	return contract.Served.Apply(changes, e.info(applying))
}

// Bring brings one object from prior to desired: creates, updates or deletes it.
func (e *Engine) Bring(prior *contract.Remote, desired *contract.Desired) contract.Outcome {
	e.t.Helper()
	answers := e.Apply(e.Change(prior, desired))
	if len(answers) != 1 {
		e.t.Fatalf("apply answered %d items for one", len(answers))
	}
	return answers[0]
}

// Poll asks once about a change that is pending.
func (e *Engine) Poll(pending contract.Outcome) contract.Outcome {
	e.t.Helper()
	if pending.Settlement.Case != contract.IsPending {
		e.t.Fatalf("nothing is pending: case %d", pending.Settlement.Case)
	}
	answers := contract.Served.Poll([]string{pending.Settlement.Pending.Operation}, e.info(applying))
	if len(answers) != 1 {
		e.t.Fatalf("poll answered %d items for one", len(answers))
	}
	return answers[0]
}
