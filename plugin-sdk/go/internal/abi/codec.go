// Package abi carries Go values over the component model's canonical ABI.
//
// A Go type says how it looks in linear memory: a struct is a record, a slice a list, a pointer an option, a string a
// string, an unsigned integer or bool itself, a named uint8 an enum. A struct that begins with a [Case] is a variant: each
// further field names by its tag `case:"n"` the case whose payload it holds; a case without a field has no payload.
//
// How a type is carried is worked out once and kept. Text and bytes are not copied in either direction: the collector
// neither moves them nor, while the engine holds them, runs (see [Enter]).
package abi

import (
	"reflect"
	"strconv"
	"unsafe"
)

// Case is the number of a variant's case.
type Case uint8

// Result is the contract's result: case 0 is Ok, case 1 is Err.
type Result[T, E any] struct {
	Case Case
	Ok   T `case:"0"`
	Err  E `case:"1"`
}

// codec is how one type is carried.
type codec struct {
	size, align uint32
	// lift reads linear memory at the first address into the Go value at the second, which is zero.
	lift func(memory, value unsafe.Pointer)
	// lower writes the Go value at the second address to linear memory at the first, which is zero.
	lower func(memory, value unsafe.Pointer)
}

var codecs = map[reflect.Type]*codec{}

func codecOf(t reflect.Type) *codec {
	if known := codecs[t]; known != nil {
		return known
	}
	made := build(t)
	codecs[t] = made
	return made
}

func build(t reflect.Type) *codec {
	switch t.Kind() {
	case reflect.Bool, reflect.Uint8:
		return plain[uint8](1)
	case reflect.Uint16:
		return plain[uint16](2)
	case reflect.Uint32:
		return plain[uint32](4)
	case reflect.Uint64:
		return plain[uint64](8)
	case reflect.String:
		return &codec{size: 8, align: 4, lift: liftText, lower: lowerText}
	case reflect.Slice:
		return list(t)
	case reflect.Pointer:
		return option(t)
	case reflect.Struct:
		if t.NumField() > 0 && t.Field(0).Type == reflect.TypeFor[Case]() {
			return variant(t)
		}
		return record(t)
	}
	panic("abi: no such type in the contract: " + t.String())
}

func plain[T any](size uint32) *codec {
	return &codec{
		size: size, align: size,
		lift:  func(memory, value unsafe.Pointer) { *(*T)(value) = *(*T)(memory) },
		lower: func(memory, value unsafe.Pointer) { *(*T)(memory) = *(*T)(value) },
	}
}

// span is a string or list in linear memory.
type span struct{ data, length uint32 }

func liftText(memory, value unsafe.Pointer) {
	if it := (*span)(memory); it.length > 0 {
		*(*string)(value) = unsafe.String((*byte)(at(it.data)), it.length)
	}
}

func lowerText(memory, value unsafe.Pointer) {
	if text := *(*string)(value); len(text) > 0 {
		*(*span)(memory) = span{bytesAddress(unsafe.StringData(text), len(text)), uint32(len(text))}
	}
}

func liftBytes(memory, value unsafe.Pointer) {
	if it := (*span)(memory); it.length > 0 {
		*(*[]byte)(value) = unsafe.Slice((*byte)(at(it.data)), it.length)
	}
}

func lowerBytes(memory, value unsafe.Pointer) {
	if bytes := *(*[]byte)(value); len(bytes) > 0 {
		*(*span)(memory) = span{bytesAddress(unsafe.SliceData(bytes), len(bytes)), uint32(len(bytes))}
	}
}

// slice is the header of any slice.
type slice struct {
	data     unsafe.Pointer
	length   int
	capacity int
}

func list(t reflect.Type) *codec {
	if t.Elem().Kind() == reflect.Uint8 {
		return &codec{size: 8, align: 4, lift: liftBytes, lower: lowerBytes}
	}
	element := codecOf(t.Elem())
	step := t.Elem().Size()
	lift := func(memory, value unsafe.Pointer) {
		it := (*span)(memory)
		if it.length == 0 {
			return
		}
		made := reflect.MakeSlice(t, int(it.length), int(it.length))
		from, to := at(it.data), made.UnsafePointer()
		for range it.length {
			element.lift(from, to)
			from, to = unsafe.Add(from, element.size), unsafe.Add(to, step)
		}
		*(*slice)(value) = slice{made.UnsafePointer(), int(it.length), int(it.length)}
	}
	lower := func(memory, value unsafe.Pointer) {
		it := (*slice)(value)
		if it.length == 0 {
			return
		}
		address, to := allocate(uint32(it.length) * element.size)
		*(*span)(memory) = span{address, uint32(it.length)}
		from := it.data
		for range it.length {
			element.lower(to, from)
			from, to = unsafe.Add(from, step), unsafe.Add(to, element.size)
		}
	}
	return &codec{size: 8, align: 4, lift: lift, lower: lower}
}

func option(t reflect.Type) *codec {
	some := codecOf(t.Elem())
	offset := some.align
	lift := func(memory, value unsafe.Pointer) {
		if *(*uint8)(memory) == 1 {
			made := reflect.New(t.Elem()).UnsafePointer()
			some.lift(unsafe.Add(memory, offset), made)
			*(*unsafe.Pointer)(value) = made
		}
	}
	lower := func(memory, value unsafe.Pointer) {
		if held := *(*unsafe.Pointer)(value); held != nil {
			*(*uint8)(memory) = 1
			some.lower(unsafe.Add(memory, offset), held)
		}
	}
	return &codec{size: up(offset+some.size, some.align), align: some.align, lift: lift, lower: lower}
}

// part is one field: its offsets in linear memory and in the Go value.
type part struct {
	*codec
	memory uint32
	value  uintptr
}

func record(t reflect.Type) *codec {
	var parts []part
	made := &codec{align: 1}
	for i := range t.NumField() {
		field := t.Field(i)
		inner := codecOf(field.Type)
		offset := up(made.size, inner.align)
		parts = append(parts, part{inner, offset, field.Offset})
		made.size, made.align = offset+inner.size, max(made.align, inner.align)
	}
	made.size = up(made.size, made.align)
	made.lift = func(memory, value unsafe.Pointer) {
		for i := range parts {
			it := &parts[i]
			it.lift(unsafe.Add(memory, it.memory), unsafe.Add(value, it.value))
		}
	}
	made.lower = func(memory, value unsafe.Pointer) {
		for i := range parts {
			it := &parts[i]
			it.lower(unsafe.Add(memory, it.memory), unsafe.Add(value, it.value))
		}
	}
	return made
}

func variant(t reflect.Type) *codec {
	made := &codec{size: 0, align: 1}
	cases := map[uint8]part{}
	for i := 1; i < t.NumField(); i++ {
		field := t.Field(i)
		number, err := strconv.ParseUint(field.Tag.Get("case"), 10, 8)
		if err != nil {
			panic("abi: a case without a number: " + t.String() + "." + field.Name)
		}
		inner := codecOf(field.Type)
		cases[uint8(number)] = part{inner, 0, field.Offset}
		made.size, made.align = max(made.size, inner.size), max(made.align, inner.align)
	}
	offset := made.align
	made.size = up(offset+made.size, made.align)
	made.lift = func(memory, value unsafe.Pointer) {
		number := *(*uint8)(memory)
		*(*uint8)(value) = number
		if it, ok := cases[number]; ok {
			it.lift(unsafe.Add(memory, offset), unsafe.Add(value, it.value))
		}
	}
	made.lower = func(memory, value unsafe.Pointer) {
		number := *(*uint8)(value)
		*(*uint8)(memory) = number
		if it, ok := cases[number]; ok {
			it.lower(unsafe.Add(memory, offset), unsafe.Add(value, it.value))
		}
	}
	return made
}

func up(n, align uint32) uint32 { return (n + align - 1) &^ (align - 1) }

// Text is the string of a flat parameter.
func Text(data, length uint32) string {
	var out string
	it := span{data, length}
	liftText(unsafe.Pointer(&it), unsafe.Pointer(&out))
	return out
}

// List is the list of a flat parameter.
func List[T any](data, length uint32) []T {
	var out []T
	it := span{data, length}
	codecOf(reflect.TypeFor[[]T]()).lift(unsafe.Pointer(&it), unsafe.Pointer(&out))
	return out
}

// Give writes a value for the engine to read and answers its address.
func Give[T any](value T) uint32 {
	how := codecOf(reflect.TypeFor[T]())
	address, memory := allocate(how.size)
	how.lower(memory, unsafe.Pointer(&value))
	return address
}

// GiveList writes a list for a flat parameter.
func GiveList[T any](values []T) (data, length uint32) {
	var it span
	codecOf(reflect.TypeFor[[]T]()).lower(unsafe.Pointer(&it), unsafe.Pointer(&values))
	return it.data, it.length
}

// GiveText is a string as a flat parameter.
func GiveText(text string) (data, length uint32) {
	var it span
	lowerText(unsafe.Pointer(&it), unsafe.Pointer(&text))
	return it.data, it.length
}

// Room is memory for an answer of type T.
func Room[T any]() uint32 {
	address, _ := allocate(codecOf(reflect.TypeFor[T]()).size)
	return address
}

// Take reads what the engine wrote.
func Take[T any](address uint32) T {
	var out T
	codecOf(reflect.TypeFor[T]()).lift(at(address), unsafe.Pointer(&out))
	return out
}
