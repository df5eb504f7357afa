package trueup

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// schema is JSON Schema 2020-12.
type schema = map[string]any

// field is one field of a struct, as its tags say.
type field struct {
	name     string
	index    []int
	kind     reflect.Type
	schema   schema
	optional bool
	// omit leaves the zero value out.
	omit bool
}

// hints are what may stand in `trueup:"…"`, by whether a value follows.
var hints = map[string]bool{
	"scope": false, "key": false, "identity": false, "computed": false, "immutable": false, "unordered": false,
	"sensitive": false, "write-only": false, "blob": false, "optional": false, "lowercase": false, "uppercase": false,
	"list-key": true, "case": true, "default": true, "enum": true, "status-from": true, "pattern": true,
	"min": true, "max": true, "min-length": true, "max-length": true, "min-items": true, "max-items": true,
}

// bounds are the hints that are numbers of JSON Schema.
var bounds = map[string]string{
	"min": "minimum", "max": "maximum", "min-length": "minLength", "max-length": "maxLength",
	"min-items": "minItems", "max-items": "maxItems",
}

// described is a type that says its own schema.
type described interface{ Schema() map[string]any }

// schemaOf is the schema of a type. It panics where a type cannot stand in a document, or a tag is wrong: that is a mistake
// of whoever wrote the type, and shows at the first start.
func schemaOf(t reflect.Type) schema {
	if t.Kind() == reflect.Pointer {
		return schemaOf(t.Elem())
	}
	if t.Implements(reflect.TypeFor[described]()) {
		return reflect.Zero(t).Interface().(described).Schema()
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return schema{}
	}
	switch t.Kind() {
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer"}
	case reflect.Int8, reflect.Int16, reflect.Int32:
		half := int64(1) << (t.Bits() - 1)
		return schema{"type": "integer", "minimum": -half, "maximum": half - 1}
	case reflect.Uint, reflect.Uint64:
		return schema{"type": "integer", "minimum": 0}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return schema{"type": "integer", "minimum": 0, "maximum": int64(1)<<t.Bits() - 1}
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}
	case reflect.Interface:
		return schema{}
	case reflect.Slice:
		return schema{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return schema{"type": "object", "additionalProperties": schemaOf(t.Elem())}
		}
	case reflect.Struct:
		return objectSchema(t)
	}
	panic(fmt.Sprintf("trueup: a field of type %s cannot stand in a document", t))
}

func objectSchema(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, it := range fieldsOf(t) {
		properties[it.name] = it.schema
		if !it.optional {
			required = append(required, it.name)
		}
	}
	return schema{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// fieldsOf are the fields that documents know, those of embedded structs among them.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for _, it := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(it.Tag.Get("json"), ",")
		if !it.IsExported() || name == "-" || it.Anonymous && name == "" && it.Type.Kind() == reflect.Struct {
			continue
		}
		if name == "" {
			name = it.Name
		}
		omit := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		made := field{name: name, index: it.Index, kind: it.Type, omit: omit, schema: schemaOf(it.Type)}
		made.optional = omit || it.Type.Kind() == reflect.Pointer
		if about := it.Tag.Get("doc"); about != "" {
			made.schema["description"] = about
		}
		if err := made.hint(it.Tag.Get("trueup")); err != nil {
			panic(fmt.Sprintf("trueup: field %s.%s: %v", t, it.Name, err))
		}
		out = append(out, made)
	}
	return out
}

// hint adds what a tag says. A pattern takes the rest of the tag, as it may hold commas.
func (f *field) hint(tag string) error {
	for rest := tag; rest != ""; {
		var one string
		if strings.HasPrefix(rest, "pattern=") {
			one, rest = rest, ""
		} else {
			one, rest, _ = strings.Cut(rest, ",")
		}
		name, value, valued := strings.Cut(one, "=")
		if wants, known := hints[name]; !known || wants != valued {
			return fmt.Errorf("`%s` is no hint", one)
		}
		if err := f.one(name, value); err != nil {
			return fmt.Errorf("`%s`: %w", one, err)
		}
	}
	return nil
}

func (f *field) one(name, value string) error {
	switch name {
	case "optional":
		f.optional = true
	case "lowercase", "uppercase":
		f.schema["x-trueup-format"] = name
	case "pattern":
		f.schema[name] = value
	case "list-key", "case":
		f.schema["x-trueup-"+name] = value
	case "enum":
		f.schema["enum"] = strings.Split(value, "|")
	case "status-from":
		f.schema["x-trueup-status-from"] = strings.Split(value, "|")
	case "default":
		f.optional = true
		var err error
		f.schema[name], err = literal(f.kind, value)
		return err
	default:
		if keyword, bound := bounds[name]; bound {
			number, err := strconv.ParseFloat(value, 64)
			f.schema[keyword] = number
			return err
		}
		f.schema["x-trueup-"+name] = true
	}
	return nil
}

// literal is a default: text as it stands, everything else as JSON.
func literal(t reflect.Type, value string) (any, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.String {
		return value, nil
	}
	return decode(value)
}

// decode reads JSON, keeping numbers as they are written.
func decode(text string) (any, error) {
	var value any
	reader := json.NewDecoder(strings.NewReader(text))
	reader.UseNumber()
	if err := reader.Decode(&value); err != nil {
		return nil, err
	}
	return value, nil
}

// canonicalise brings a document's part into the spelling that its schema wants: defaults filled in where fill, texts in
// lower or upper case, fields that are null left out. Markers (`{"$unknown": …}`) stay as they are.
func canonicalise(value any, how schema, fill bool) any {
	switch value := value.(type) {
	case map[string]any:
		canonicaliseMap(value, how, fill)
	case []any:
		if items, ok := how["items"].(schema); ok {
			for i := range value {
				value[i] = canonicalise(value[i], items, fill)
			}
		}
	case string:
		switch how["x-trueup-format"] {
		case "lowercase":
			return strings.ToLower(value)
		case "uppercase":
			return strings.ToUpper(value)
		}
	}
	return value
}

func canonicaliseMap(value map[string]any, how schema, fill bool) {
	for name, member := range value {
		if strings.HasPrefix(name, "$") {
			return
		}
		if member == nil {
			delete(value, name)
		}
	}
	properties, _ := how["properties"].(schema)
	for name, inner := range properties {
		inner := inner.(schema)
		if _, there := value[name]; !there && fill && inner["default"] != nil {
			value[name] = inner["default"]
		}
		if member, there := value[name]; there {
			value[name] = canonicalise(member, inner, fill)
		}
	}
	if others, ok := how["additionalProperties"].(schema); ok {
		for name, member := range value {
			if _, known := properties[name]; !known {
				value[name] = canonicalise(member, others, fill)
			}
		}
	}
}
