// Package trueup is the Go SDK for providers of the trueup reconciliation engine: types for what people declare, a few
// functions for what the service does. The engine compares, plans, orders, retries, remembers and shows.
//
//	var config struct {
//		Server string `json:"server" doc:"Where the service listens."`
//	}
//
//	func init() {
//		trueup.Serve(&trueup.Provider{
//			Name:        "notes",
//			Config:      &config,
//			Hosts:       []string{"config.server"},
//			Credentials: trueup.Credentials{"token": {"bearer"}},
//			Kinds:       trueup.Kinds{&trueup.Kind[Note]{Scan: scan, Find: find, Create: create, Update: update, Delete: remove}},
//		})
//	}
//
//	func main() {}
//
// A component has no main of its own: Serve is called from init. Package trueuptest plays the engine in tests, which run
// with a plain `go test`.
//
// Rules worth knowing:
//
//   - An error is never absence. Find answers nil only when the service said so ([Request.Found] does).
//   - A create may be tried again when its answer was lost. Find is then called first, and finishes what is there; send
//     Target.Token as the Idempotency-Key where the service has one.
//   - Target.Version is what was observed; send it with [Request.IfMatch], and a neighbour's edit becomes a conflict.
//   - Answer with what the service has, not with what was asked for.
//   - Reading never writes: outside of changes the engine refuses requests that are not reads.
//   - Globals are a cache. The engine may start any number of instances and drop one between two calls.
package trueup

import (
	"encoding/json"
	"reflect"

	"trueup.dev/trueup/contract"
)

// Records of the contract, for those who look deeper.
type (
	// Address names one concrete object.
	Address = contract.Address
	// CallInfo has the facts about a call as a whole.
	CallInfo = contract.CallInfo
	// Change is one change to one object.
	Change = contract.Change
	// Coverage says what a page proves: [Whole], [Unchanged], [Delta] or [Partial].
	Coverage = contract.Coverage
	// Exports are the functions of a component.
	Exports = contract.Exports
	// Gone names an object that a [Delta] found deleted.
	Gone = contract.Gone
	// Health of an object.
	Health = contract.Health
	// Remote is one object as the remote system has it.
	Remote = contract.Remote
)

// What a page proves.
const (
	Whole     = contract.Whole
	Delta     = contract.Delta
	Unchanged = contract.Unchanged
	Partial   = contract.Partial
)

// States of health.
const (
	Healthy       = contract.Healthy
	Progressing   = contract.Progressing
	Degraded      = contract.Degraded
	Suspended     = contract.Suspended
	UnknownHealth = contract.UnknownHealth
)

// Credentials are slots, each with the schemes that it takes: header, basic, bearer, client-certificate, sigv4, kubeconfig,
// tsig; none: any.
type Credentials map[string][]string

// Kinds are values of *Kind[T].
type Kinds []interface {
	kindName() string
	prepare()
	manifest() schema
	polls() bool
	render(item *contract.Declared) contract.Rendered
	scan(query *contract.ScopeQuery, info *CallInfo) (contract.Snapshot, error)
	read(lookup *contract.Lookup, info *CallInfo) contract.Observation
	apply(changes []*Change, info *CallInfo) []contract.Outcome
	poll(handle *handle, info *CallInfo) contract.Outcome
}

// Provider is what a component says about itself, and its kinds.
type Provider struct {
	// Name has small letters, digits and hyphens.
	Name string
	// Version for people; empty counts as 0.1.0.
	Version string
	// Config points to a struct, which has the settings from the first call on; nil: there are none.
	Config any
	// Configure is called once the settings are there; nil: they need nothing. No network.
	Configure func() error
	// Hosts that the provider asks for: `https://api.example.com`, or `config.server` for what that setting holds.
	Hosts []string
	// Reads are requests beyond GET, HEAD and OPTIONS that only read: `POST /search`.
	Reads []string
	// Credentials that the engine is to add to requests.
	Credentials Credentials
	// Secrets, Dirs and DNS: asks to open secrets, for directories, for DNS servers.
	Secrets, Dirs, DNS bool
	// Parallel is how many calls may run at a time; 0 counts as 4.
	Parallel int
	Kinds    Kinds
	// Scopes lists the scopes that exist, for import and for finding orphans. Nil: only declared scopes are looked at.
	Scopes func(kind string, info *CallInfo) ([]string, error)
	// Extend may change the manifest and take any function of the component over, for what the SDK does not do itself. Name
	// the interface in the manifest's `features`.
	Extend func(manifest map[string]any, exports *Exports)
}

// Serve makes the program a component that serves the provider. Call it from init. It panics where a type cannot stand in a
// document, or a tag is wrong.
func Serve(provider *Provider) {
	contract.Served = provider.exports()
}

func (p *Provider) exports() contract.Exports {
	for _, kind := range p.Kinds {
		kind.prepare()
	}
	exports := contract.Exports{
		Configure: p.configure, Scan: p.scan, Read: p.read, Apply: p.apply, Render: p.render, Poll: p.poll,
		Cancel: func([]string, *CallInfo) {}, Scopes: p.scopes, Refine: accept, Discover: undiscovered, Upgrade: upgraded, Assess: unassessed,
	}
	manifest := p.manifest()
	if p.Extend != nil {
		p.Extend(manifest, &exports)
	}
	if exports.Describe == nil {
		text, err := json.Marshal(manifest)
		if err != nil {
			panic("trueup: the manifest cannot be written: " + err.Error())
		}
		exports.Describe = func() string { return string(text) }
	}
	return exports
}

func (p *Provider) manifest() schema {
	list := func(texts []string) []string { return append([]string{}, texts...) }
	kinds, features := schema{}, []string{"rendering"}
	operations := false
	for _, kind := range p.Kinds {
		kinds[kind.kindName()] = kind.manifest()
		operations = operations || kind.polls()
	}
	if operations {
		features = append(features, "operations")
	}
	if p.Scopes != nil {
		features = append(features, "discovery")
	}
	slots := schema{}
	for slot, schemes := range p.Credentials {
		slots[slot] = schema{"schemes": list(schemes)}
	}
	version, parallel := p.Version, p.Parallel
	if version == "" {
		version = "0.1.0"
	}
	if parallel == 0 {
		parallel = 4
	}
	made := schema{
		"format": 1, "name": p.Name, "version": version, "hosts": list(p.Hosts), "reads": list(p.Reads), "credentials": slots,
		"secrets": p.Secrets, "dirs": p.Dirs, "dns": p.DNS, "parallel": parallel, "apiVersions": "own", "yaml": "core",
		"features": features, "kinds": kinds,
	}
	if p.Config != nil {
		made["config"] = schemaOf(reflect.TypeOf(p.Config))
	}
	return made
}

func (p *Provider) configure(config string, _ *string) contract.Done {
	if err := p.configured(config); err != nil {
		return contract.Done{Case: 1, Err: asError(err).failure()}
	}
	return contract.Done{}
}

func (p *Provider) configured(config string) error {
	if p.Config != nil {
		value, err := decode(config)
		if err != nil {
			return jsonError(err)
		}
		text, err := json.Marshal(canonicalise(value, schemaOf(reflect.TypeOf(p.Config)), true))
		if err != nil {
			return jsonError(err)
		}
		if err := json.Unmarshal(text, p.Config); err != nil {
			return Errorf(Invalid, "config", "the settings do not fit: %s", jsonError(err).Message)
		}
	}
	if p.Configure != nil {
		return p.Configure()
	}
	return nil
}

// What a component answers that does not have an interface.

func accept(candidates []contract.Candidate, _ *CallInfo) []contract.Verdict {
	return make([]contract.Verdict, len(candidates))
}

func undiscovered(*string, *CallInfo) contract.Result[contract.Discovered, contract.Failure] {
	failure := Errorf(Unsupported, "sdk.unsupported", "the manifest names every kind of this provider").failure()
	return contract.Result[contract.Discovered, contract.Failure]{Case: 1, Err: failure}
}

func upgraded(items []contract.Stored) []contract.Result[contract.Stored, contract.Failure] {
	out := make([]contract.Result[contract.Stored, contract.Failure], len(items))
	for i, item := range items {
		out[i].Ok = item
	}
	return out
}

func unassessed(objects []Remote) []Health {
	out := make([]Health, len(objects))
	for i := range out {
		out[i].State = UnknownHealth
	}
	return out
}

func (p *Provider) scopes(kind string, info *CallInfo) (answer contract.Result[[]string, contract.Failure]) {
	if p.Scopes == nil {
		answer.Case, answer.Err = 1, Errorf(Unsupported, "sdk.unsupported", "scopes of kind `%s` cannot be listed", kind).failure()
		return answer
	}
	scopes, err := p.Scopes(kind, info)
	if err != nil {
		answer.Case, answer.Err = 1, asError(err).failure()
	}
	answer.Ok = scopes
	return answer
}
