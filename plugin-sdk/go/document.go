package trueup

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"trueup.dev/trueup/contract"
)

// piece of the template of an address: text, then a field, where there is one.
type piece struct {
	text, name string
	index      []int
	encode     encoder
}

// pieces takes a template apart. It panics where it names no field: a mistake of whoever wrote the kind.
func pieces(template string, fields []field) []piece {
	var out []piece
	for rest := template; rest != ""; {
		var made piece
		var after string
		made.text, after, _ = strings.Cut(rest, "{")
		made.name, rest, _ = strings.Cut(after, "}")
		for _, it := range fields {
			if it.name == made.name {
				made.index, made.encode = it.index, memberEncoder(&it)
			}
		}
		if made.name != "" && made.index == nil {
			panic(fmt.Sprintf("trueup: the address `%s` names `%s`, which is no field of the spec", template, made.name))
		}
		out = append(out, made)
	}
	return out
}

// render is the canonical form of one declaration: defaults and spelling as the schema says, the address from its fields.
func (k *Kind[T]) render(item *contract.Declared) contract.Rendered {
	made, err := k.rendered(item)
	if err != nil {
		return contract.Rendered{Diagnostics: []contract.Diagnostic{err.diagnostic()}}
	}
	return contract.Rendered{Objects: []contract.Desired{*made}}
}

func (k *Kind[T]) rendered(item *contract.Declared) (*contract.Desired, *Error) {
	value, err := decode(item.Doc)
	if err != nil {
		return nil, jsonError(err)
	}
	doc, _ := value.(map[string]any)
	spec, ok := doc["spec"].(map[string]any)
	if !ok {
		return nil, Errorf(Invalid, "document.spec", "`spec` is missing")
	}
	canonicalise(spec, k.spec, true)
	address, wrong := item.Address, (*Error)(nil)
	if len(k.scope) > 0 {
		if address.Scope, wrong = fill(k.scope, spec); wrong != nil {
			return nil, wrong
		}
	}
	if len(k.key) > 0 {
		if address.Key, wrong = fill(k.key, spec); wrong != nil {
			return nil, wrong
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, jsonError(err)
	}
	return &contract.Desired{Address: address, Doc: string(text)}, nil
}

// fill puts the fields of a declaration into the template of an address.
func fill(template []piece, spec map[string]any) (string, *Error) {
	var out strings.Builder
	for _, it := range template {
		out.WriteString(it.text)
		if it.name == "" {
			continue
		}
		switch value := spec[it.name].(type) {
		case string:
			out.WriteString(value)
		case json.Number:
			out.WriteString(value.String())
		case bool:
			out.WriteString(strconv.FormatBool(value))
		case nil:
			return "", Errorf(Invalid, "document.address", "`%s` is missing", it.name).At("/spec/" + it.name)
		default:
			why := "`%s` must be known before apply: it is part of the address"
			return "", Errorf(Invalid, "document.address", why, it.name).At("/spec/" + it.name)
		}
	}
	return out.String(), nil
}

// fillFrom puts the fields of an object into the template of an address.
func fillFrom(template []piece, spec reflect.Value) (string, error) {
	out := make([]byte, 0, 64)
	for _, it := range template {
		out = append(out, it.text...)
		if it.name == "" {
			continue
		}
		begin := len(out)
		var err error
		if out, err = it.encode(out, spec.FieldByIndex(it.index)); err != nil {
			return "", jsonError(err)
		}
		if out[begin] == '"' {
			var text string
			if err := json.Unmarshal(out[begin:], &text); err != nil {
				return "", jsonError(err)
			}
			out = append(out[:begin], text...)
		}
	}
	return string(out), nil
}

// parse reads the spec of a document.
func parse[T any](doc *string) (*T, error) {
	if doc == nil {
		return nil, nil
	}
	var read struct {
		Spec *T `json:"spec"`
	}
	if err := json.Unmarshal([]byte(*doc), &read); err != nil {
		return nil, Errorf(Invalid, "document.shape", "the document does not fit its kind: %s", jsonError(err).Message)
	}
	if read.Spec == nil {
		return nil, Errorf(Invalid, "document.spec", "`spec` is missing")
	}
	return read.Spec, nil
}

// addressOf is the address of an object that was listed.
func (k *Kind[T]) addressOf(object *Object[T]) (Address, error) {
	if object.Address != nil {
		return *object.Address, nil
	}
	spec := reflect.ValueOf(&object.Spec).Elem()
	scope, err := fillFrom(k.scope, spec)
	if err != nil {
		return Address{}, err
	}
	key, err := fillFrom(k.key, spec)
	return Address{Kind: k.kindName(), Scope: scope, Key: key}, err
}

// remote is the contract's record. known is the address for which it was asked, if it was.
func (k *Kind[T]) remote(object *Object[T], known *Address) (*contract.Remote, error) {
	made := &contract.Remote{
		Identity: object.Identity, Version: optional(object.Version), Mark: optional(object.Mark), Health: object.Health,
		Outputs: "{}", Sensitive: object.Sensitive,
	}
	var err error
	if object.Address == nil && known != nil {
		made.Address = *known
	} else if made.Address, err = k.addressOf(object); err != nil {
		return nil, err
	}
	if made.Identity == "" {
		made.Identity = made.Address.Key
	}
	if made.Doc, err = k.doc(&object.Spec); err != nil {
		return nil, jsonError(err)
	}
	if object.Status != nil {
		value := reflect.ValueOf(object.Status)
		outputs, err := encoderOf(value.Type())(make([]byte, 0, 128), value)
		if err != nil {
			return nil, jsonError(err)
		}
		made.Outputs = string(outputs)
	}
	if object.Unread {
		made.Ext = append(made.Ext, contract.Pair{Name: "unread", Value: "true"})
	}
	if object.Unclaimed {
		made.Ext = append(made.Ext, contract.Pair{Name: "unclaimed", Value: "true"})
	}
	return made, nil
}

// doc is the document of a spec, in canonical spelling.
func (k *Kind[T]) doc(spec *T) (string, error) {
	out := append(make([]byte, 0, 256), `{"spec":`...)
	out, err := encoderOf(reflect.TypeFor[T]())(out, reflect.ValueOf(spec).Elem())
	return string(append(out, '}')), err
}

// isAsDeclared says whether every field that is declared has the declared value.
func (k *Kind[T]) isAsDeclared(found *Object[T], desired *T) (bool, error) {
	var sides [2]map[string]json.RawMessage
	for i, spec := range []*T{&found.Spec, desired} {
		doc, err := k.doc(spec)
		if err != nil {
			return false, jsonError(err)
		}
		var read struct {
			Spec map[string]json.RawMessage `json:"spec"`
		}
		if err := json.Unmarshal([]byte(doc), &read); err != nil {
			return false, jsonError(err)
		}
		sides[i] = read.Spec
	}
	for name, value := range sides[1] {
		if string(sides[0][name]) != string(value) {
			return false, nil
		}
	}
	return true, nil
}
