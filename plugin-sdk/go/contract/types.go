// Package contract has the records of the contract, `wit/provider.wit`, its imports as functions, and its exports: for what
// package trueup does not put more comfortably (DNS messages, files). What a record means stands in the contract.
//
// The order of fields is the contract's: they are read from memory by it.
package contract

import "trueup.dev/trueup/internal/abi"

// Case is the number of a variant's case.
type Case = abi.Case

// Result is the contract's result: case 0 is Ok, case 1 is Err.
type Result[T, E any] = abi.Result[T, E]

// Pair is a name and its value.
type Pair struct{ Name, Value string }

// Address names one concrete object.
type Address struct {
	Kind string
	// Scope is the part of the remote system that can be listed at once.
	Scope string
	// Key is unique within kind and scope.
	Key string
}

// Severity of a diagnostic.
type Severity uint8

// The severities.
const (
	SeverityError Severity = iota
	SeverityWarning
	SeverityNote
)

// Diagnostic is one finding.
type Diagnostic struct {
	Severity Severity
	// Code is stable and machine-readable.
	Code    string
	Summary string
	Detail  *string
	// Path is a JSON pointer into the document.
	Path *string
}

// The cases of a fault.
const (
	FaultInvalid Case = iota
	FaultUnauthorized
	FaultDenied
	FaultNotFound
	FaultConflict
	FaultThrottled
	FaultTransient
	FaultUnsupported
	FaultInternal
)

// Fault is what the engine should do about a failure.
type Fault struct {
	Case      Case
	Throttled *uint64 `case:"5"`
	Transient *uint64 `case:"6"`
}

// Failure is a fault and what people read.
type Failure struct {
	Fault       Fault
	Diagnostics []Diagnostic
}

// HealthState of an object.
type HealthState uint8

// The states of health.
const (
	Healthy HealthState = iota
	Progressing
	Degraded
	Suspended
	UnknownHealth
)

// Health of an object.
type Health struct {
	State   HealthState
	Message string
}

// Remote is one object as the remote system has it.
type Remote struct {
	Address   Address
	Identity  string
	Doc       string
	Outputs   string
	Version   *string
	Mark      *string
	Health    Health
	Sensitive []string
	Ext       []Pair
}

// EditOp is what an edit does.
type EditOp uint8

// The edits.
const (
	EditAdd EditOp = iota
	EditRemove
	EditReplace
)

// Edit is one difference, as the engine's own comparison found it.
type Edit struct {
	Op    EditOp
	Path  string
	Value *string
}

// Action of a change.
type Action uint8

// The actions.
const (
	ActionCreate Action = iota
	ActionUpdate
	ActionDelete
)

// CallInfo has the facts about a call as a whole.
type CallInfo struct {
	// Now is when this reconciliation began, in milliseconds since 1970.
	Now uint64
	// Budget is how long the call may take, in milliseconds.
	Budget uint64
	// Trace is a W3C traceparent.
	Trace string
	Ext   []Pair
}

// ScopeQuery asks for the objects of a scope.
type ScopeQuery struct {
	Kind, Scope string
	// Cursor is the `next` of the page before.
	Cursor *string
	// Since is the version of an earlier pass.
	Since *string
	// Limit is how many objects there may be in the answer.
	Limit uint32
	// Wait is how long to wait for a change, in milliseconds.
	Wait uint64
	Ext  []Pair
}

// Coverage says what a snapshot proves.
type Coverage uint8

// The coverages.
const (
	// Whole: what is not there does not exist.
	Whole Coverage = iota
	// Delta: only what changed since `Since`.
	Delta
	// Unchanged: nothing changed since `Since`.
	Unchanged
	// Partial: absence proves nothing.
	Partial
)

// Gone names an object that a delta found deleted.
type Gone struct {
	Address  Address
	Identity *string
}

// Snapshot is one page of a scope.
type Snapshot struct {
	Objects     []Remote
	Next        *string
	Version     *string
	Coverage    Coverage
	Gone        []Gone
	Diagnostics []Diagnostic
	Ext         []Pair
}

// Lookup asks for one object.
type Lookup struct {
	Address  Address
	Identity *string
	Desired  *string
	Mark     *string
	Token    *string
	Since    *string
	Ext      []Pair
}

// The cases of an observation.
const (
	ObservationFound Case = iota
	ObservationAbsent
	ObservationUnchanged
	ObservationFailed
)

// Observation answers a lookup.
type Observation struct {
	Case   Case
	Found  Remote  `case:"0"`
	Failed Failure `case:"3"`
}

// Change is one change to one object.
type Change struct {
	Action    Action
	Address   Address
	Token     string
	Attempt   uint32
	Unsettled bool
	Mark      string
	Desired   *string
	Prior     *Remote
	Edits     []Edit
	Ext       []Pair
}

// Pending is a change that was accepted and is under way.
type Pending struct {
	Operation string
	After     uint64
	Message   string
	Ext       []Pair
}

// The cases of a settlement.
const (
	Settled Case = iota
	IsPending
	Rejected
	Unsettled
)

// Settlement is how a change ended.
type Settlement struct {
	Case      Case
	Pending   Pending `case:"1"`
	Rejected  Failure `case:"2"`
	Unsettled Failure `case:"3"`
}

// Outcome answers a change.
type Outcome struct {
	Settlement  Settlement
	Object      *Remote
	Diagnostics []Diagnostic
	Ext         []Pair
}

// Declared is one declaration.
type Declared struct {
	Address Address
	Doc     string
	Ext     []Pair
}

// Desired is one object that a declaration stands for.
type Desired struct {
	Address Address
	Doc     string
	After   []Address
	Ext     []Pair
}

// Rendered answers a declaration.
type Rendered struct {
	Objects     []Desired
	Diagnostics []Diagnostic
}

// Candidate is an object that differs.
type Candidate struct {
	Action  Action
	Address Address
	Desired *string
	Object  *Remote
	Edits   []Edit
	Ext     []Pair
}

// Replacement says why an object cannot be changed in place.
type Replacement struct {
	Paths       []string
	CreateFirst bool
	Reason      string
	Ext         []Pair
}

// The cases of a verdict.
const (
	VerdictAccept Case = iota
	VerdictIgnore
	VerdictReplace
	VerdictHold
	VerdictRefuse
)

// Verdict answers a candidate.
type Verdict struct {
	Case    Case
	Ignore  []string    `case:"1"`
	Replace Replacement `case:"2"`
	Hold    string      `case:"3"`
	Refuse  Failure     `case:"4"`
}

// Discovered has kinds that only the remote system knows.
type Discovered struct {
	Kinds     string
	Version   *string
	Unchanged bool
	Complete  bool
}

// Stored is a document written by an older version of the plugin.
type Stored struct {
	Kind          string
	SchemaVersion uint32
	Identity      string
	Doc           string
}

// Level of a line in the log.
type Level uint8

// The levels.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Request is one HTTP request.
type Request struct {
	Method     string
	URL        string
	Headers    []Pair
	Body       *[]byte
	Credential *string
	Timeout    *uint64
	Until      *[]byte
	Ext        []Pair
}

// Response is one HTTP response.
type Response struct {
	Status  uint16
	Headers []Pair
	Body    []byte
	Cut     bool
}

// The cases of an HTTP error.
const (
	HTTPDenied Case = iota
	HTTPUnreachable
	HTTPInterrupted
	HTTPTimedOut
	HTTPTooLarge
	HTTPMalformed
)

// HTTPError is why there is no response.
type HTTPError struct {
	Case        Case
	Denied      string `case:"0"`
	Unreachable string `case:"1"`
	Interrupted string `case:"2"`
	TooLarge    uint64 `case:"4"`
	Malformed   string `case:"5"`
}

// Answer is a response, or why there is none.
type Answer = Result[Response, HTTPError]

// The cases of the errors of secrets.
const (
	SecretDenied Case = iota
	SecretMissing
	SecretUnavailable
)

// SecretError is why a secret cannot be read.
type SecretError struct {
	Case        Case
	Unavailable string `case:"2"`
}

// The cases of the errors of signing.
const (
	SigningDenied Case = iota
	SigningUnknown
	SigningUnavailable
)

// SigningError is why nothing was signed.
type SigningError struct {
	Case        Case
	Unavailable string `case:"2"`
}

// The cases of a DNS error.
const (
	DNSDenied Case = iota
	DNSUnreachable
	DNSUnauthorized
	DNSInterrupted
	DNSTimedOut
	DNSTooLarge
	DNSMalformed
)

// DNSError is why there is no answer.
type DNSError struct {
	Case         Case
	Denied       string `case:"0"`
	Unreachable  string `case:"1"`
	Unauthorized string `case:"2"`
	Interrupted  string `case:"3"`
	TooLarge     uint64 `case:"5"`
	Malformed    string `case:"6"`
}

// Transport of a DNS query.
type Transport uint8

// The transports.
const (
	UDP Transport = iota
	TCP
	TLS
)

// DNSQuery is one message to a granted server.
type DNSQuery struct {
	Server     string
	Via        Transport
	Message    []byte
	Credential *string
	MaxBytes   uint64
	Timeout    *uint64
}

// FileType of an entry.
type FileType uint8

// The types of files.
const (
	IsFile FileType = iota
	IsDirectory
	IsSymlink
	IsOther
)

// Entry is what stands at a path.
type Entry struct {
	Name     string
	Kind     FileType
	Size     uint64
	Modified uint64
	Changed  uint64
	Inode    uint64
	Mode     uint32
}

// The cases of a file error.
const (
	FileDenied Case = iota
	FileNotFound
	FileWrongType
	FileConflict
	FileNotEmpty
	FileTooLarge
	FileIO
)

// FileError is why nothing was read or changed.
type FileError struct {
	Case      Case
	Denied    string   `case:"0"`
	WrongType FileType `case:"2"`
	TooLarge  uint64   `case:"5"`
	IO        string   `case:"6"`
}

// Listing is what stands in a directory.
type Listing struct {
	Entries    []Entry
	Unreadable uint32
}

// ReadRequest asks for a file.
type ReadRequest struct {
	Path     string
	MaxBytes uint64
}

// Content is a file.
type Content struct {
	Stat   Entry
	SHA256 string
	Bytes  *[]byte
}

// The cases of an expectation.
const (
	ExpectAny Case = iota
	ExpectAbsent
	ExpectSame
)

// Expectation is what must be there for a change to be made.
type Expectation struct {
	Case Case
	Same Entry `case:"2"`
}

// The cases of a payload.
const (
	PayloadBytes Case = iota
	PayloadBlob
	PayloadSecret
)

// Payload is what a file is to hold.
type Payload struct {
	Case   Case
	Bytes  []byte `case:"0"`
	Blob   string `case:"1"`
	Secret string `case:"2"`
}

// Write is a file to be.
type Write struct {
	Payload Payload
	Mode    *uint32
}

// The cases of a file operation.
const (
	WriteFile Case = iota
	MakeDirectory
	SetMode
	RemoveFile
	RemoveDirectory
)

// Operation is what to do to a path.
type Operation struct {
	Case          Case
	Write         Write   `case:"0"`
	MakeDirectory *uint32 `case:"1"`
	SetMode       uint32  `case:"2"`
}

// FileChange is one change to one path.
type FileChange struct {
	Path      string
	Operation Operation
	Expect    Expectation
	Token     string
}
