//go:build wasip1

package contract

import "trueup.dev/trueup/internal/abi"

// within runs Go's own part of a call and hands over its answer. The arguments have been lifted.
func within[T any](run func() T) uint32 {
	abi.Enter()
	answer := run()
	abi.Leave()
	return abi.Give(answer)
}

func info(now, budget uint64, trace, traceLen, ext, extLen uint32) *CallInfo {
	return &CallInfo{now, budget, abi.Text(trace, traceLen), abi.List[Pair](ext, extLen)}
}

func maybe(some, data, length uint32) *string {
	if some == 0 {
		return nil
	}
	text := abi.Text(data, length)
	return &text
}

//go:wasmexport trueup:provider/lifecycle@0.1.0#describe
func describe() uint32 { return within(Served.Describe) }

//go:wasmexport trueup:provider/lifecycle@0.1.0#configure
func configure(config, configLen, some, kinds, kindsLen uint32) uint32 {
	settings, known := abi.Text(config, configLen), maybe(some, kinds, kindsLen)
	return within(func() Done { return Served.Configure(settings, known) })
}

//go:wasmexport trueup:provider/lifecycle@0.1.0#scan
func scan(list, listLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) uint32 {
	queries, call := abi.List[ScopeQuery](list, listLen), info(now, budget, trace, traceLen, ext, extLen)
	return within(func() []Result[Snapshot, Failure] { return Served.Scan(queries, call) })
}

//go:wasmexport trueup:provider/lifecycle@0.1.0#read
func read(list, listLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) uint32 {
	lookups, call := abi.List[Lookup](list, listLen), info(now, budget, trace, traceLen, ext, extLen)
	return within(func() []Observation { return Served.Read(lookups, call) })
}

//go:wasmexport trueup:provider/lifecycle@0.1.0#apply
func apply(list, listLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) uint32 {
	changes, call := abi.List[Change](list, listLen), info(now, budget, trace, traceLen, ext, extLen)
	return within(func() []Outcome { return Served.Apply(changes, call) })
}

//go:wasmexport trueup:provider/rendering@0.1.0#render
func render(list, listLen uint32) uint32 {
	items := abi.List[Declared](list, listLen)
	return within(func() []Rendered { return Served.Render(items) })
}

//go:wasmexport trueup:provider/planning@0.1.0#refine
func refine(list, listLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) uint32 {
	candidates, call := abi.List[Candidate](list, listLen), info(now, budget, trace, traceLen, ext, extLen)
	return within(func() []Verdict { return Served.Refine(candidates, call) })
}

//go:wasmexport trueup:provider/operations@0.1.0#poll
func poll(list, listLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) uint32 {
	handles, call := abi.List[string](list, listLen), info(now, budget, trace, traceLen, ext, extLen)
	return within(func() []Outcome { return Served.Poll(handles, call) })
}

//go:wasmexport trueup:provider/operations@0.1.0#cancel
func cancel(list, listLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) {
	handles, call := abi.List[string](list, listLen), info(now, budget, trace, traceLen, ext, extLen)
	abi.Enter()
	Served.Cancel(handles, call)
	abi.Leave()
}

//go:wasmexport trueup:provider/schemas@0.1.0#discover
func discover(some, since, sinceLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) uint32 {
	version, call := maybe(some, since, sinceLen), info(now, budget, trace, traceLen, ext, extLen)
	return within(func() Result[Discovered, Failure] { return Served.Discover(version, call) })
}

//go:wasmexport trueup:provider/discovery@0.1.0#scopes
func scopes(kind, kindLen uint32, now, budget uint64, trace, traceLen, ext, extLen uint32) uint32 {
	name, call := abi.Text(kind, kindLen), info(now, budget, trace, traceLen, ext, extLen)
	return within(func() Result[[]string, Failure] { return Served.Scopes(name, call) })
}

//go:wasmexport trueup:provider/migration@0.1.0#upgrade
func upgrade(list, listLen uint32) uint32 {
	items := abi.List[Stored](list, listLen)
	return within(func() []Result[Stored, Failure] { return Served.Upgrade(items) })
}

//go:wasmexport trueup:provider/health-checks@0.1.0#assess
func assess(list, listLen uint32) uint32 {
	objects := abi.List[Remote](list, listLen)
	return within(func() []Health { return Served.Assess(objects) })
}
