package scim

import (
	"maps"
	"strings"
)

// Normalize turns the body of a POST or PUT into a Resource of type t
// (RFC 7644 §3.3, §3.5.1).
//
//   - Names and URNs are matched without regard to case. An extension may come
//     as an object under its URN or as "URN:attribute" keys, also both.
//   - Unknown attributes and schemas, readOnly attributes (id, meta, groups),
//     "schemas" and a group's members ([GroupMembers] reads those) are dropped.
//   - null, [] and absence are the same. "" is a value, except for a single
//     complex attribute, which it clears.
//   - A single value may stand where a list belongs, a bare string for
//     {"value": …}, "True" and "False" for booleans, "1001" for an integer.
//   - Of several elements with primary true the first stays primary. Elements
//     equal in value and type become one.
//   - Strings are bounded (MaxString, MaxLine, MaxBinary, MaxValues) and never
//     contain NUL; names, paths and keys contain no control character.
//   - Required attributes (userName, a group's displayName) must not be blank.
//
// The schemas of the result are set. The error is an [*Error] 400 invalidValue
// that names the field: a value of the wrong type, out of bounds, missing, or
// one attribute given twice.
func (t *ResourceType) Normalize(in map[string]any) (Resource, error) {
	b := body{t: t, out: make(Resource, len(in)+1)}
	for name, v := range in {
		if err := b.put(name, v); err != nil {
			return nil, err
		}
	}
	if err := t.checkRequired(b.out); err != nil {
		return nil, err
	}
	t.SetSchemas(b.out)
	return b.out, nil
}

// body is a Resource while it is filled from a request.
type body struct {
	t   *ResourceType
	out Resource
}

func (b *body) put(name string, v any) error {
	if a := b.t.index.find(name); a != nil {
		return b.store(nil, a, v)
	}
	if s := b.t.schema(name); s != nil {
		return b.object(s, v)
	}
	if i := strings.LastIndexByte(name, ':'); i > 0 {
		if s := b.t.schema(name[:i]); s != nil {
			holder, index := b.t.in(s)
			if a := index.find(name[i+1:]); a != nil {
				return b.store(holder, a, v)
			}
		}
	}
	return nil // unknown
}

// object takes the attributes of one schema that stand together under its URN.
func (b *body) object(s *Schema, v any) error {
	if v == nil {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return badValue("%s must be an object, not %s", s.ID, kindOf(v))
	}
	holder, index := b.t.in(s)
	for name, v := range m {
		if a := index.find(name); a != nil {
			if err := b.store(holder, a, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *body) store(s *Schema, a *Attribute, v any) error {
	if !a.writable() || a.apart {
		return nil
	}
	n, err := a.normalize(v)
	if err != nil {
		if s != nil {
			err = within(s.ID+":", err)
		}
		return err
	}
	if n == nil {
		return nil
	}
	data := map[string]any(b.out)
	if s != nil {
		if data, _ = b.out[s.ID].(map[string]any); data == nil {
			data = make(map[string]any)
			b.out[s.ID] = data
		}
	}
	if _, twice := data[a.Name]; twice {
		return badValue("%s is given twice", Target{Schema: s, Attr: a}.Path())
	}
	data[a.Name] = n
	return nil
}

// in returns where attributes of s are held and found: the type's own schema
// is no extension and includes the common attributes.
func (t *ResourceType) in(s *Schema) (holder *Schema, index attributeIndex) {
	if s == nil || s == t.Schema {
		return nil, t.index
	}
	return s, s.index
}

// checkRequired refuses a resource without its required attributes.
func (t *ResourceType) checkRequired(r Resource) error {
	for i := range t.Schema.Attributes {
		a := &t.Schema.Attributes[i]
		if !a.Required {
			continue
		}
		if s, _ := r[a.Name].(string); strings.TrimSpace(s) == "" {
			return badValue("%s is required", a.Name)
		}
	}
	return nil
}

// Equal reports whether two resources hold the same values, lists in the same order.
func Equal(r, s Resource) bool {
	return maps.EqualFunc(r, s, equal)
}
