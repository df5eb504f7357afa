package trueup

import (
	"reflect"
	"time"
)

// Kind is one sort of object. T is the type of its `spec`, a struct whose tags say what documents hold:
//
//	type Note struct {
//		Board string  `json:"board" trueup:"scope,immutable,lowercase"`
//		Title string  `json:"title" trueup:"key" doc:"What stands above it."`
//		Stars int     `json:"stars" trueup:"default=1,min=1,max=5"`
//		Text  *string `json:"text"`
//	}
//
// A field is required unless it is a pointer, has `omitempty`, a default, or the hint `optional`. The hints:
//
//	scope key                           the field is that part of the address
//	default=v enum=a|b                  filled in where nothing is declared; the texts that may stand there
//	min= max= min-length= max-length= min-items= max-items= pattern=    as in JSON Schema; a pattern comes last
//	immutable                           a change means a replacement
//	computed                            the service's own: never compared
//	unordered list-key=name             a list whose order means nothing; a list merged by this field
//	lowercase uppercase case=insensitive    canonical spelling; comparison without regard to case
//	sensitive write-only                never shown; never read back. [Secret] is both
//	blob                                a path in the repository. [Blob] is one
//	identity                            what the service calls the object
//	status-from=spec.a|spec.b           on an output: changes when these fields do
//
// Scan or Find is needed; the engine is told which.
type Kind[T any] struct {
	// Name as documents write it; by default the name of T.
	Name string
	// Status is a value of the outputs' type: what `.status.x` of an expression reads. Nil: there are none.
	Status any
	// Scope and Key are templates over fields of the spec ("{subname}/{type}"), where no single field is tagged.
	Scope, Key string
	// Version of the schema; 0 counts as 1.
	Version int
	// Recover is what finds an object whose create was interrupted: `key` (the default), `token` (another create with the
	// same token makes no second one), `mark`, `conditional` or `none`.
	Recover string
	// Settle is for how long after an interrupted create absence proves nothing.
	Settle time.Duration
	// Replace is `delete-first` (the default) or `create-first`.
	Replace string
	// Batch, where it is not nil, takes many changes of one scope at once, in place of Create, Update and Delete.
	Batch *Batch[T]

	// Scan lists a scope, a page at a time.
	Scan func(query *Query) (*Page[T], error)
	// Find answers the object; nil, or an error that is NotFound, where it is not there. No other error is taken for absence.
	// It serves observation, and the look before a create is tried again. Without it the scope is scanned.
	Find func(target *Target[T]) (*Object[T], error)
	// Create makes the object, and answers with what the service now has.
	Create func(target *Target[T], desired *T) (*Object[T], error)
	// Update brings the object to what is desired, and answers with what the service now has. Without it every change
	// means a replacement: say `immutable` of each field.
	Update func(target *Target[T], desired *T) (*Object[T], error)
	// Delete deletes the object. NotFound counts as done.
	Delete func(target *Target[T]) error
	// Poll looks after what answered [Pending]: the object when that is over, nil after a delete, Pending again before.
	// The target has its address and nothing more.
	Poll func(target *Target[T], operation string) (*Object[T], error)

	spec       schema
	scope, key []piece
}

// Batch is how many changes are carried out at once.
type Batch[T any] struct {
	// Items and Bytes bound one call; Bytes 0 is the contract's default.
	Items, Bytes int
	// Atomic: all take effect together or not at all.
	Atomic bool
	// Apply carries all out. It answers each, in order, with the object as it now is (nil after a delete) or its error; or
	// one error for all, where the service took none of them (or, Unsettled, may have).
	Apply func(scope string, items []*Item[T], info *CallInfo) ([]Done[T], error)
}

// Item is one change of a batch.
type Item[T any] struct {
	// Change is whole, for its token, mark and prior object.
	Change *Change
	// Desired is nil for a delete.
	Desired *T
}

// Done answers one change of a batch.
type Done[T any] struct {
	Object *Object[T]
	Err    error
}

// Object is one object as the remote system has it.
type Object[T any] struct {
	Spec   T
	Status any
	// Identity is what the remote system calls it; empty: its key.
	Identity string
	// Version is its entity tag, resource version or serial.
	Version string
	// Mark is the engine's mark, where the object carries one.
	Mark   string
	Health Health
	// Address, where it is not to be taken from the spec.
	Address *Address
	// Sensitive are pointers into the document and its outputs that nothing may show, beyond those of the schema.
	Sensitive []string
	// Unread: the object was only listed; the engine asks Find for those that matter.
	Unread bool
	// Unclaimed: a claim of the scope is not about this object.
	Unclaimed bool
}

// Page is a part of a scope.
type Page[T any] struct {
	Objects []*Object[T]
	// Next is the cursor of the page that follows; empty: there is none.
	Next string
	// Version is the state of the scope as of this answer.
	Version string
	// Coverage is Whole where nothing else is said.
	Coverage Coverage
	Gone     []Gone
}

// Query asks for a page of a scope.
type Query struct {
	Kind, Scope string
	// Cursor is the Next of the page before; empty: the first page.
	Cursor string
	// Since is the Version of an earlier pass, for an answer of [Unchanged]; empty: there is none.
	Since string
	// Limit is how many objects there may be in the answer.
	Limit int
	// Wait is how long to wait for a change; 0: answer at once.
	Wait time.Duration
	Info *CallInfo
}

// Target is what is asked for, or about to be changed.
type Target[T any] struct {
	Address Address
	// Identity is what the remote system calls it; empty where that is not known.
	Identity string
	// Version is what was observed: the precondition of an update or delete. Empty where it is not known.
	Version string
	// Mark is what the object would carry; empty in a plain look.
	Mark string
	// Token is that of the change; empty in a plain look.
	Token string
	// Desired is as declared, where it is.
	Desired *T
	Info    *CallInfo
	kind    *Kind[T]
}

// Name is what names the object: its identity, else its key.
func (t *Target[T]) Name() string {
	if t.Identity != "" {
		return t.Identity
	}
	return t.Address.Key
}

// Search scans the scope for the object: by its identity, where that is known, else by its key.
func (t *Target[T]) Search() (*Object[T], error) {
	if t.kind == nil || t.kind.Scan == nil {
		return nil, Errorf(Unsupported, "sdk.unsupported", "objects of kind `%s` cannot be listed", t.Address.Kind)
	}
	query := &Query{Kind: t.Address.Kind, Scope: t.Address.Scope, Limit: searchPage, Info: t.Info}
	for {
		page, err := t.kind.Scan(query)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Objects {
			address, err := t.kind.addressOf(object)
			if err != nil {
				return nil, err
			}
			if t.Identity != "" && object.Identity == t.Identity || t.Identity == "" && address == t.Address {
				return object, nil
			}
		}
		if query.Cursor = page.Next; query.Cursor == "" {
			return nil, nil
		}
	}
}

// searchPage is how many objects a search asks for at a time.
const searchPage = 1000

func (k *Kind[T]) kindName() string {
	if k.Name != "" {
		return k.Name
	}
	return reflect.TypeFor[T]().Name()
}

// prepare works out what every call needs.
func (k *Kind[T]) prepare() {
	t := reflect.TypeFor[T]()
	k.spec = schemaOf(t)
	fields := fieldsOf(t)
	for _, it := range fields {
		if it.schema["x-trueup-scope"] == true && k.Scope == "" {
			k.Scope = "{" + it.name + "}"
		}
		if it.schema["x-trueup-key"] == true && k.Key == "" {
			k.Key = "{" + it.name + "}"
		}
	}
	k.scope, k.key = pieces(k.Scope, fields), pieces(k.Key, fields)
}

func (k *Kind[T]) polls() bool { return k.Poll != nil }

func (k *Kind[T]) manifest() schema {
	properties := schema{"spec": k.spec}
	if k.Status != nil {
		properties["status"] = schemaOf(reflect.TypeOf(k.Status))
	}
	or := func(text, other string) string {
		if text == "" {
			return other
		}
		return text
	}
	observe := "scan"
	if k.Scan == nil {
		observe = "read"
	}
	made := schema{
		"schema":        schema{"type": "object", "properties": properties, "required": []string{"spec"}, "additionalProperties": false},
		"schemaVersion": max(k.Version, 1),
		"observe":       observe,
		"recover":       or(k.Recover, "key"),
		"settleTime":    k.Settle.Milliseconds(),
		"replace":       or(k.Replace, "delete-first"),
	}
	if k.Batch != nil {
		batch := schema{"items": max(k.Batch.Items, 1), "atomic": k.Batch.Atomic}
		if k.Batch.Bytes > 0 {
			batch["bytes"] = k.Batch.Bytes
		}
		made["batch"] = batch
	}
	return made
}
