//go:build !wasip1

package abi

import (
	"reflect"
	"unsafe"
)

// Linear memory of the tests: addresses have 32 bits, pointers of this machine do not.
var (
	memory = make([]uint64, 1<<17)
	used   uint32
)

// Enter does nothing: no engine is there that would write.
func Enter() {}

// Leave does nothing, as Enter does.
func Leave() {}

func at(address uint32) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(memory)), address)
}

func bytesAddress(data *byte, length int) uint32 {
	address, to := allocate(uint32(length))
	copy(unsafe.Slice((*byte)(to), length), unsafe.Slice(data, length))
	return address
}

func allocate(size uint32) (uint32, unsafe.Pointer) {
	used += 8
	address := used
	used = up(used+size, 8)
	return address, at(address)
}

// Layout is the size of a type in linear memory, and its alignment.
func Layout[T any]() (size, align uint32) {
	how := codecOf(reflect.TypeFor[T]())
	return how.size, how.align
}
