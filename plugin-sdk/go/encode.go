package trueup

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// encoder appends the canonical JSON of a value: the spelling that the schema wants, nothing for pointers that are nil.
type encoder func(out []byte, value reflect.Value) ([]byte, error)

var encoders = map[reflect.Type]encoder{}

// encoderOf is worked out once for each type: a scan has thousands of objects.
func encoderOf(t reflect.Type) encoder {
	if known := encoders[t]; known != nil {
		return known
	}
	made := makeEncoder(t)
	encoders[t] = made
	return made
}

func makeEncoder(t reflect.Type) encoder {
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return encodeAny
	}
	switch t.Kind() {
	case reflect.String:
		return func(out []byte, value reflect.Value) ([]byte, error) { return quote(out, value.String()), nil }
	case reflect.Bool:
		return func(out []byte, value reflect.Value) ([]byte, error) {
			return strconv.AppendBool(out, value.Bool()), nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(out []byte, value reflect.Value) ([]byte, error) {
			return strconv.AppendInt(out, value.Int(), 10), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(out []byte, value reflect.Value) ([]byte, error) {
			return strconv.AppendUint(out, value.Uint(), 10), nil
		}
	case reflect.Pointer:
		inner := encoderOf(t.Elem())
		return func(out []byte, value reflect.Value) ([]byte, error) { return inner(out, value.Elem()) }
	case reflect.Slice:
		return encodeSlice(encoderOf(t.Elem()))
	case reflect.Map:
		return encodeMap(encoderOf(t.Elem()))
	case reflect.Struct:
		return encodeStruct(t)
	}
	return encodeAny
}

func encodeAny(out []byte, value reflect.Value) ([]byte, error) {
	text, err := json.Marshal(value.Interface())
	return append(out, text...), err
}

func encodeSlice(inner encoder) encoder {
	return func(out []byte, value reflect.Value) (_ []byte, err error) {
		out = append(out, '[')
		for i := range value.Len() {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = inner(out, value.Index(i)); err != nil {
				return out, err
			}
		}
		return append(out, ']'), nil
	}
}

func encodeMap(inner encoder) encoder {
	return func(out []byte, value reflect.Value) (_ []byte, err error) {
		names := value.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		out = append(out, '{')
		for i, name := range names {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(quote(out, name.String()), ':')
			if out, err = inner(out, value.MapIndex(name)); err != nil {
				return out, err
			}
		}
		return append(out, '}'), nil
	}
}

// member is one field and how it is written.
type member struct {
	label []byte
	index []int
	// absent says what is written as nothing; nil: the field always is.
	absent func(value reflect.Value) bool
	encode encoder
}

func encodeStruct(t reflect.Type) encoder {
	var members []member
	for _, it := range fieldsOf(t) {
		made := member{label: append(quote(nil, it.name), ':'), index: it.index, encode: memberEncoder(&it)}
		switch kind := it.kind.Kind(); {
		case it.kind == reflect.TypeFor[*Secret](), it.kind == reflect.TypeFor[Secret]():
			made.absent = unheld
		case kind == reflect.Pointer, kind == reflect.Interface:
			made.absent = reflect.Value.IsNil
		case it.omit:
			made.absent = empty
		}
		members = append(members, made)
	}
	return func(out []byte, value reflect.Value) (_ []byte, err error) {
		out = append(out, '{')
		begin := len(out)
		for i := range members {
			it := &members[i]
			inner := value.FieldByIndex(it.index)
			if it.absent != nil && it.absent(inner) {
				continue
			}
			if len(out) > begin {
				out = append(out, ',')
			}
			if out, err = it.encode(append(out, it.label...), inner); err != nil {
				return out, err
			}
		}
		return append(out, '}'), nil
	}
}

// memberEncoder writes a field as its hints spell it.
func memberEncoder(it *field) encoder {
	switch it.schema["x-trueup-format"] {
	case "lowercase":
		return spell(strings.ToLower)
	case "uppercase":
		return spell(strings.ToUpper)
	}
	return encoderOf(it.kind)
}

func spell(change func(string) string) encoder {
	return func(out []byte, value reflect.Value) ([]byte, error) {
		for value.Kind() == reflect.Pointer {
			value = value.Elem()
		}
		return quote(out, change(value.String())), nil
	}
}

// unheld is a secret that is none of the engine's.
func unheld(value reflect.Value) bool {
	if value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	return !value.IsValid() || value.IsZero()
}

func empty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Slice, reflect.Map:
		return value.Len() == 0
	}
	return value.IsZero()
}

// quote appends a JSON string.
func quote(out []byte, text string) []byte {
	for i := range len(text) {
		if char := text[i]; char < ' ' || char == '"' || char == '\\' || char >= 0x7f {
			safe, _ := json.Marshal(text) // A string always has a JSON form.
			return append(out, safe...)
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}
