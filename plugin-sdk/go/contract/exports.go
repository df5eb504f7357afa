package contract

// Done answers a configure: nothing, or why not.
type Done = Result[struct{}, Failure]

// Exports is what a component does. The engine calls the functions after Poll only where the manifest's `features` name
// their interface; one that is nil answers as if the component did not have it.
type Exports struct {
	Describe  func() string
	Configure func(config string, kinds *string) Done
	Scan      func(queries []ScopeQuery, info *CallInfo) []Result[Snapshot, Failure]
	Read      func(lookups []Lookup, info *CallInfo) []Observation
	Apply     func(changes []Change, info *CallInfo) []Outcome
	Render    func(items []Declared) []Rendered
	Poll      func(handles []string, info *CallInfo) []Outcome
	Cancel    func(handles []string, info *CallInfo)
	Refine    func(candidates []Candidate, info *CallInfo) []Verdict
	Discover  func(since *string, info *CallInfo) Result[Discovered, Failure]
	Scopes    func(kind string, info *CallInfo) Result[[]string, Failure]
	Upgrade   func(items []Stored) []Result[Stored, Failure]
	Assess    func(objects []Remote) []Health
}

// Served is the component.
var Served Exports
