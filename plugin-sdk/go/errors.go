package trueup

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"trueup.dev/trueup/contract"
)

// Fault is what the engine should do about an error.
type Fault uint8

// The faults.
const (
	// Invalid: the document is wrong. Not tried again until Git changes.
	Invalid Fault = iota
	// Unauthorized: the credential is missing, expired or too weak.
	Unauthorized
	// Denied: a grant of this engine forbids it.
	Denied
	// NotFound: the object is not there.
	NotFound
	// Conflict: the object changed since it was observed, or has another owner.
	Conflict
	// Throttled: try again later, after Wait where the service said so.
	Throttled
	// Transient: a later try may succeed with nobody doing anything.
	Transient
	// Unsupported: this provider does not do that.
	Unsupported
	// Internal: a bug in the plugin.
	Internal
)

// Error is one failure. The text is for people: lower case, no full stop, what and where and what to do next, never a secret.
type Error struct {
	Fault Fault
	// Code is stable and machine-readable: `http.status`, `tickets.closed`.
	Code    string
	Message string
	// Detail is more to read, where the message is not enough.
	Detail string
	// Path is a JSON pointer into the document, where the error is about a field.
	Path string
	// Wait is how long to wait, if the service said so (Throttled, Transient).
	Wait *time.Duration
	// Unsettled says that the change may have taken effect: the engine looks before it tries again.
	Unsettled bool
}

// Errorf makes an error.
func Errorf(fault Fault, code, format string, values ...any) *Error {
	return &Error{Fault: fault, Code: code, Message: fmt.Sprintf(format, values...)}
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// At names the field that the error is about, by its JSON pointer.
func (e *Error) At(pointer string) *Error {
	e.Path = pointer
	return e
}

// Is tells errors of one fault apart from others: errors.Is(err, &trueup.Error{Fault: trueup.NotFound}).
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Fault == e.Fault && (other.Code == "" || other.Code == e.Code)
}

func isFault(err error, fault Fault) bool { return errors.Is(err, &Error{Fault: fault}) }

// asError is the error that the engine is told of. One that is not an Error is a bug of the plugin; within a change nobody
// knows then what took effect.
func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Fault: Internal, Code: "sdk.internal", Message: err.Error(), Unsettled: true}
}

func internal(format string, values ...any) *Error {
	return Errorf(Internal, "sdk.internal", format, values...)
}

// jsonError says that JSON does not have the shape that it should have. Its text holds no value of it.
func jsonError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var shape *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &shape) && shape.Field != "":
		return internal("unexpected shape of JSON at `%s`: %s is wanted", shape.Field, shape.Type)
	case errors.As(err, &shape):
		return internal("unexpected shape of JSON: %s is wanted", shape.Type)
	case errors.As(err, &syntax):
		return internal("not JSON at byte %d", syntax.Offset)
	}
	return internal("unexpected shape of JSON")
}

// Pending says that the service has accepted a change and is still at it. Return it, beside the object where there is one,
// from Create, Update, Delete or Poll; the engine then asks Poll about the operation after that time. The text of the
// operation must hold all that a fresh instance needs.
func Pending(operation string, after time.Duration, message string) error {
	return &pending{operation, after, message}
}

type pending struct {
	operation string
	after     time.Duration
	message   string
}

func (p *pending) Error() string { return "still under way: " + p.message }

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func text(optional *string) string {
	if optional == nil {
		return ""
	}
	return *optional
}

func millis(wait *time.Duration) *uint64 {
	if wait == nil {
		return nil
	}
	count := uint64(max(wait.Milliseconds(), 0))
	return &count
}

func (e *Error) diagnostic() contract.Diagnostic {
	return contract.Diagnostic{Code: e.Code, Summary: e.Message, Detail: optional(e.Detail), Path: optional(e.Path)}
}

func (e *Error) failure() contract.Failure {
	fault := contract.Fault{Case: contract.Case(e.Fault)}
	switch e.Fault {
	case Throttled:
		fault.Throttled = millis(e.Wait)
	case Transient:
		fault.Transient = millis(e.Wait)
	}
	return contract.Failure{Fault: fault, Diagnostics: []contract.Diagnostic{e.diagnostic()}}
}
