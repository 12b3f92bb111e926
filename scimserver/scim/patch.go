package scim

import (
	"fmt"
)

// MaxPatchOps is how many operations one PATCH may have.
const MaxPatchOps = 1000

// OpKind is what a PATCH operation does.
type OpKind int

// The operations of RFC 7644 §3.5.2.
const (
	Add OpKind = iota + 1
	Remove
	Replace
)

// String returns the operation as it stands in a PATCH body.
func (k OpKind) String() string {
	switch k {
	case Add:
		return "add"
	case Remove:
		return "remove"
	case Replace:
		return "replace"
	}
	return fmt.Sprintf("OpKind(%d)", int(k))
}

// Op is one operation of a PATCH (RFC 7644 §3.5.2).
type Op struct {
	Kind     OpKind
	Path     *Path // nil when there is none: the resource itself
	Value    any
	HasValue bool // whether a value was given, be it null
}

// ParsePatch reads the body of a PATCH: {"schemas": [PatchURN], "Operations":
// [{"op", "path", "value"}, …]}. Names and operations may be in any case,
// "Operations" may be a single object, "schemas" is not looked at, and a path
// that is null or "" counts as none.
//
// The error is an [*Error] 400: invalidSyntax for a body of another shape, no
// operation, an unknown one or more than [MaxPatchOps], and invalidPath for a
// malformed path. Whether an operation fits the resource, [ResourceType.Patch]
// finds out.
func ParsePatch(in map[string]any) ([]Op, error) {
	members, err := byName(in, "operations")
	if err != nil {
		return nil, err
	}
	var list []any
	switch v := members["operations"].(type) {
	case []any:
		list = v
	case map[string]any:
		list = []any{v}
	default:
		return nil, badSyntax("Operations must be an array of operations")
	}
	switch {
	case len(list) == 0:
		return nil, badSyntax("Operations must not be empty")
	case len(list) > MaxPatchOps:
		return nil, badSyntax("there are more than %d operations", MaxPatchOps)
	}
	ops := make([]Op, len(list))
	for i, v := range list {
		if ops[i], err = parseOp(v); err != nil {
			return nil, within(fmt.Sprintf("operation %d: ", i+1), err)
		}
	}
	return ops, nil
}

func parseOp(v any) (Op, error) {
	in, ok := v.(map[string]any)
	if !ok {
		return Op{}, badSyntax("it must be an object, not %s", kindOf(v))
	}
	members, err := byName(in, "op", "path", "value")
	if err != nil {
		return Op{}, err
	}
	var op Op
	word, _ := members["op"].(string)
	switch lower(word) {
	case "add":
		op.Kind = Add
	case "remove":
		op.Kind = Remove
	case "replace":
		op.Kind = Replace
	default:
		return Op{}, badSyntax("op must be add, remove or replace")
	}
	switch v := members["path"].(type) {
	case nil:
	case string:
		if v == "" {
			break
		}
		path, err := ParsePath(v)
		if err != nil {
			return Op{}, err
		}
		op.Path = &path
	default:
		return Op{}, badSyntax("path must be a string, not %s", kindOf(v))
	}
	op.Value, op.HasValue = members["value"]
	return op, nil
}

// byName picks the members with these lower-case names out of an object.
func byName(in map[string]any, names ...string) (map[string]any, error) {
	out := make(map[string]any, len(names))
	for key, v := range in {
		folded := lower(key)
		for _, name := range names {
			if folded != name {
				continue
			}
			if _, twice := out[name]; twice {
				return nil, badSyntax("%s is given twice", name)
			}
			out[name] = v
		}
	}
	return out, nil
}

func badSyntax(format string, args ...any) error {
	return Errorf(badRequest, InvalidSyntax, format, args...)
}

func noTarget(format string, args ...any) error {
	return Errorf(badRequest, NoTarget, format, args...)
}

func mutability(format string, args ...any) error {
	return Errorf(badRequest, Mutability, format, args...)
}

// Patch applies ops in their order to a copy of r (RFC 7644 §3.5.2) and reports
// whether anything is different afterwards. It does all or nothing: r is never
// written to, and members, where operations on a group's members go, is called
// only when everything else has succeeded. members may be nil for a type without
// members. The values of out are checked as [ResourceType.Normalize] checks
// them, and its schemas are set.
//
// Where the standard leaves room, or providers do not keep to it:
//
//   - Without a path, each name in the value is an operation of its own: an
//     attribute, "name.givenName", "URN:attribute", a path with a filter, or a
//     URN whose object is merged. Unknown and readOnly ones are passed over, and
//     so is null for a group's members.
//   - A path into a schema the type does not know is passed over, since the same
//     attribute was when the resource was created, and a refusal would hold up
//     the operations beside it, perhaps the one that locks the account. An
//     unknown attribute of a known schema is 400 invalidPath, a readOnly one 400
//     mutability. Attributes of the enterprise extension need no URN.
//   - add and replace of a single complex attribute merge its sub-attributes.
//   - add to several values drops repetitions; equal value and type make one.
//   - add and replace of attr[filter] and attr[filter].sub create the element
//     when there is none and the filter consists of eq comparisons; else it is
//     400 noTarget. replace of attr[filter] keeps what the filter said.
//   - replace of members[filter] removes whom the filter chooses, if anybody, and
//     adds whom the value lists: WSO2 exchanges a member in this way.
//   - A sub-attribute of several values without a filter means that of each.
//   - An element left with nothing but type, primary or display by a remove is
//     removed.
//   - A newly primary element makes the others not primary.
//   - remove without a path is 400 noTarget; remove of what is absent, and add of
//     null, change nothing; remove of a required attribute is 400 mutability.
//   - remove with a value removes only the elements that value lists, [] none of
//     them. Without a value or with null it removes all. That holds for members
//     too. A single attribute is removed whatever the value.
//
// The error is an [*Error] 400 that names the operation, or what members returned.
func (t *ResourceType) Patch(r Resource, ops []Op, members Members) (out Resource, changed bool, err error) {
	e := newEditor(t, r)
	for i, op := range ops {
		if err := e.do(op); err != nil {
			return nil, false, within(describe(i, op), err)
		}
	}
	if err := t.checkRequired(e.out); err != nil {
		return nil, false, err
	}
	if members == nil && len(e.edits) > 0 {
		return nil, false, fmt.Errorf("scim: PATCH of a %s without Members", t.Name)
	}
	changed = e.changed()
	t.SetSchemas(e.out)
	for _, edit := range e.edits {
		did, err := edit.apply(members)
		if err != nil {
			return nil, false, err
		}
		changed = changed || did
	}
	return e.out, changed, nil
}

func describe(i int, op Op) string {
	if op.Path == nil {
		return fmt.Sprintf("operation %d (%s): ", i+1, op.Kind)
	}
	path := op.Path.String()
	if len(path) > 100 {
		path = op.Path.Attr.String()
	}
	return fmt.Sprintf("operation %d (%s %s): ", i+1, op.Kind, path)
}
