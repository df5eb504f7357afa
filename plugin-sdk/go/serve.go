package trueup

import (
	"encoding/json"
	"errors"
	"time"

	"trueup.dev/trueup/contract"
)

// From the contract's lists to one kind and one object at a time, and back.

func unlisted(kind string) *Error {
	return Errorf(Unsupported, "sdk.unsupported", "kind `%s` is not served by this provider", kind)
}

func (p *Provider) kind(name string) int {
	for i, kind := range p.Kinds {
		if kind.kindName() == name {
			return i
		}
	}
	return -1
}

func (p *Provider) render(items []contract.Declared) []contract.Rendered {
	out := make([]contract.Rendered, len(items))
	for i := range items {
		if at := p.kind(items[i].Address.Kind); at >= 0 {
			out[i] = p.Kinds[at].render(&items[i])
		} else {
			out[i].Diagnostics = []contract.Diagnostic{unlisted(items[i].Address.Kind).diagnostic()}
		}
	}
	return out
}

func (p *Provider) scan(queries []contract.ScopeQuery, info *CallInfo) []contract.Result[contract.Snapshot, contract.Failure] {
	out := make([]contract.Result[contract.Snapshot, contract.Failure], len(queries))
	for i := range queries {
		var err error = unlisted(queries[i].Kind)
		if at := p.kind(queries[i].Kind); at >= 0 {
			out[i].Ok, err = p.Kinds[at].scan(&queries[i], info)
		}
		if err != nil {
			out[i].Case, out[i].Err = 1, asError(err).failure()
		}
	}
	return out
}

func (p *Provider) read(lookups []contract.Lookup, info *CallInfo) []contract.Observation {
	out := make([]contract.Observation, len(lookups))
	for i := range lookups {
		if at := p.kind(lookups[i].Address.Kind); at >= 0 {
			out[i] = p.Kinds[at].read(&lookups[i], info)
		} else {
			out[i] = unseen(unlisted(lookups[i].Address.Kind))
		}
	}
	return out
}

// apply cuts a call's changes by kind, and puts the answers back into their order.
func (p *Provider) apply(changes []Change, info *CallInfo) []contract.Outcome {
	out := make([]contract.Outcome, len(changes))
	groups, places := make([][]*Change, len(p.Kinds)), make([][]int, len(p.Kinds))
	for i := range changes {
		at := p.kind(changes[i].Address.Kind)
		if at < 0 {
			out[i] = undone(unlisted(changes[i].Address.Kind))
			continue
		}
		groups[at], places[at] = append(groups[at], &changes[i]), append(places[at], i)
	}
	for at, group := range groups {
		if len(group) == 0 {
			continue
		}
		for i, outcome := range p.Kinds[at].apply(group, info) {
			out[places[at][i]] = outcome
		}
	}
	return out
}

// handle is what the engine keeps of a pending change.
type handle struct {
	Kind      string `json:"kind"`
	Scope     string `json:"scope"`
	Key       string `json:"key"`
	Operation string `json:"operation"`
}

func (h *handle) address() Address { return Address{Kind: h.Kind, Scope: h.Scope, Key: h.Key} }

func (p *Provider) poll(handles []string, info *CallInfo) []contract.Outcome {
	out := make([]contract.Outcome, len(handles))
	for i, text := range handles {
		var known handle
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			out[i] = undone(&Error{Fault: Internal, Code: "sdk.internal", Message: "this is no operation of this provider", Unsettled: true})
		} else if at := p.kind(known.Kind); at >= 0 {
			out[i] = p.Kinds[at].poll(&known, info)
		} else {
			out[i] = undone(unlisted(known.Kind))
		}
	}
	return out
}

func (k *Kind[T]) scan(query *contract.ScopeQuery, info *CallInfo) (contract.Snapshot, error) {
	var made contract.Snapshot
	if k.Scan == nil {
		return made, Errorf(Unsupported, "sdk.unsupported", "objects of kind `%s` cannot be listed", query.Kind)
	}
	page, err := k.Scan(&Query{
		Kind: query.Kind, Scope: query.Scope, Cursor: text(query.Cursor), Since: text(query.Since), Limit: int(query.Limit),
		Wait: time.Duration(query.Wait) * time.Millisecond, Info: info,
	})
	if err != nil {
		return made, err
	}
	made.Next, made.Version, made.Coverage, made.Gone = optional(page.Next), optional(page.Version), page.Coverage, page.Gone
	made.Objects = make([]Remote, len(page.Objects))
	for i, object := range page.Objects {
		remote, err := k.remote(object, nil)
		if err != nil {
			return made, err
		}
		made.Objects[i] = *remote
	}
	return made, nil
}

func unseen(err error) contract.Observation {
	return contract.Observation{Case: contract.ObservationFailed, Failed: asError(err).failure()}
}

func (k *Kind[T]) find(target *Target[T]) (*Object[T], error) {
	if k.Find == nil {
		return target.Search()
	}
	object, err := k.Find(target)
	if isFault(err, NotFound) {
		return nil, nil
	}
	return object, err
}

func (k *Kind[T]) read(lookup *contract.Lookup, info *CallInfo) contract.Observation {
	// A desired document may hold values that are not known yet: then the look goes by address alone.
	desired, _ := parse[T](lookup.Desired)
	object, err := k.find(&Target[T]{
		Address: lookup.Address, Identity: text(lookup.Identity), Version: text(lookup.Since), Mark: text(lookup.Mark),
		Token: text(lookup.Token), Desired: desired, Info: info, kind: k,
	})
	if err != nil {
		return unseen(err)
	}
	if object == nil {
		return contract.Observation{Case: contract.ObservationAbsent}
	}
	if lookup.Since != nil && object.Version == *lookup.Since {
		return contract.Observation{Case: contract.ObservationUnchanged}
	}
	remote, err := k.remote(object, &lookup.Address)
	if err != nil {
		return unseen(err)
	}
	return contract.Observation{Case: contract.ObservationFound, Found: *remote}
}

func undone(err error) contract.Outcome {
	known := asError(err)
	if known.Unsettled {
		return contract.Outcome{Settlement: contract.Settlement{Case: contract.Unsettled, Unsettled: known.failure()}}
	}
	return contract.Outcome{Settlement: contract.Settlement{Case: contract.Rejected, Rejected: known.failure()}}
}

// outcome of a change that answered with an object, an error, or both.
func (k *Kind[T]) outcome(object *Object[T], failed error, address Address) contract.Outcome {
	var made contract.Outcome
	var later *pending
	switch {
	case errors.As(failed, &later):
		// Never fails: it is made of text alone.
		operation, _ := json.Marshal(handle{address.Kind, address.Scope, address.Key, later.operation})
		made.Settlement.Case = contract.IsPending
		made.Settlement.Pending = contract.Pending{
			Operation: string(operation), After: uint64(max(later.after.Milliseconds(), 0)), Message: later.message,
		}
	case failed != nil:
		made = undone(failed)
	}
	if object != nil {
		remote, err := k.remote(object, &address)
		if err != nil {
			lost := *asError(err)
			lost.Unsettled = true
			return undone(&lost)
		}
		made.Object = remote
	}
	return made
}

func (k *Kind[T]) apply(changes []*Change, info *CallInfo) []contract.Outcome {
	if k.Batch != nil {
		return k.applyBatch(changes, info)
	}
	out := make([]contract.Outcome, len(changes))
	for i, change := range changes {
		object, err := k.change(change, info)
		out[i] = k.outcome(object, err, change.Address)
	}
	return out
}

func (k *Kind[T]) change(change *Change, info *CallInfo) (*Object[T], error) {
	desired, err := parse[T](change.Desired)
	if err != nil {
		return nil, err
	}
	target := &Target[T]{
		Address: change.Address, Mark: change.Mark, Token: change.Token, Desired: desired, Info: info, kind: k,
	}
	if change.Prior != nil {
		target.Identity, target.Version = change.Prior.Identity, text(change.Prior.Version)
	}
	if change.Action == contract.ActionDelete {
		return nil, k.delete(target)
	}
	if desired == nil {
		return nil, internal("the change has no desired document")
	}
	if change.Action == contract.ActionUpdate {
		return k.update(target, desired)
	}
	if k.Create == nil {
		return nil, Errorf(Unsupported, "sdk.unsupported", "objects of kind `%s` cannot be created", change.Address.Kind)
	}
	if !change.Unsettled {
		return k.Create(target, desired)
	}
	// An earlier try may have made it: look, and finish what is there.
	found, err := k.find(target)
	if err != nil {
		lost := *asError(err)
		lost.Unsettled = true
		return nil, &lost
	}
	if found == nil {
		return k.Create(target, desired)
	}
	target.Identity, target.Version = found.Identity, found.Version
	if same, err := k.isAsDeclared(found, desired); same || err != nil {
		return found, err
	}
	return k.update(target, desired)
}

func (k *Kind[T]) update(target *Target[T], desired *T) (*Object[T], error) {
	if k.Update == nil {
		return nil, Errorf(Unsupported, "sdk.unsupported", "objects of kind `%s` cannot be changed in place", target.Address.Kind)
	}
	return k.Update(target, desired)
}

func (k *Kind[T]) delete(target *Target[T]) error {
	if k.Delete == nil {
		return Errorf(Unsupported, "sdk.unsupported", "objects of kind `%s` cannot be deleted", target.Address.Kind)
	}
	err := k.Delete(target)
	if isFault(err, NotFound) {
		return nil
	}
	if isFault(err, Conflict) {
		// A precondition fails on what is gone, too (RFC 9110, `If-Match`).
		if found, failed := k.find(target); failed == nil && found == nil {
			return nil
		}
	}
	return err
}

func (k *Kind[T]) poll(known *handle, info *CallInfo) contract.Outcome {
	if k.Poll == nil {
		return undone(&Error{Fault: Unsupported, Code: "sdk.unsupported", Message: "this kind has no operations that take time", Unsettled: true})
	}
	address := known.address()
	object, err := k.Poll(&Target[T]{Address: address, Info: info, kind: k}, known.Operation)
	return k.outcome(object, err, address)
}

func (k *Kind[T]) applyBatch(changes []*Change, info *CallInfo) []contract.Outcome {
	out := make([]contract.Outcome, len(changes))
	var items []*Item[T]
	var places []int
	for i, change := range changes {
		desired, err := parse[T](change.Desired)
		if err != nil {
			out[i] = undone(err)
			continue
		}
		items, places = append(items, &Item[T]{Change: change, Desired: desired}), append(places, i)
	}
	if len(items) == 0 {
		return out
	}
	if k.Batch.Atomic && len(items) < len(changes) {
		for _, at := range places {
			out[at] = undone(Errorf(Invalid, "batch.atomic", "another change that must go together with this one is wrong"))
		}
		return out
	}
	answers, failed := k.Batch.Apply(changes[0].Address.Scope, items, info)
	for i, at := range places {
		done := Done[T]{Err: failed}
		if failed == nil && i < len(answers) {
			done = answers[i]
		} else if failed == nil {
			done.Err = &Error{Fault: Internal, Code: "sdk.internal", Message: "the provider left this change out of its answer", Unsettled: true}
		}
		if changes[at].Action == contract.ActionDelete && isFault(done.Err, NotFound) {
			done.Err = nil
		}
		out[at] = k.outcome(done.Object, done.Err, changes[at].Address)
	}
	return out
}
