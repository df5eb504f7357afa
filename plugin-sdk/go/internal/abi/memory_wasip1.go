//go:build wasip1

package abi

import (
	"runtime/debug"
	"unsafe"
)

// The collector is off whenever the engine may ask for memory: between two calls of the component, and while an import
// runs. The engine must not be called while it writes arguments or answers, and a collection reads the clock; what it
// wrote has no reference from Go until it is lifted, and none is needed while nothing is collected.
func init() { debug.SetGCPercent(-1) }

// Enter begins Go's own work within a call: what the engine wrote has been lifted.
func Enter() { debug.SetGCPercent(100) }

// Leave ends it: from here on the engine may write. It returns once a collection that was under way is over.
func Leave() { debug.SetGCPercent(-1) }

// What is handed out lives on the heap, which does not move as a stack does.
var escaped unsafe.Pointer

func at(address uint32) unsafe.Pointer { return unsafe.Add(nil, address) }

func bytesAddress(data *byte, _ int) uint32 {
	escaped = unsafe.Pointer(data)
	return uint32(uintptr(escaped))
}

// allocate answers zeroed memory that is aligned for every type of the contract.
func allocate(size uint32) (uint32, unsafe.Pointer) {
	escaped = unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	return uint32(uintptr(escaped)), escaped
}

// realloc serves the engine: texts, bytes and lists that it is about to write. It never asks to grow what it has.
//
//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	if old != 0 || oldSize != 0 {
		panic("abi: the engine may not grow memory that it has")
	}
	if size == 0 {
		return align
	}
	address, _ := allocate(size)
	return address
}

// What the WASI adapter keeps: its state and its stack, a page of 64 KiB each. It asks for them before Go's heap is
// there, so they are no part of it.
var (
	adapter     [4 << 16]byte
	adapterUsed uint32
)

//go:wasmexport cabi_realloc_adapter
//go:nosplit
func reallocAdapter(_, _, align, size uint32) uint32 {
	base := uint32(uintptr(unsafe.Pointer(&adapter)))
	from := (base + adapterUsed + align - 1) &^ (align - 1)
	adapterUsed = from + size - base
	if adapterUsed > uint32(len(adapter)) {
		return 0 // The adapter stops at an address that cannot be.
	}
	return from
}
