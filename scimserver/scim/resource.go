package scim

import "maps"

// Resource is one SCIM resource: values under the schema's canonical attribute
// names. Values are string, bool, int64, float64, map[string]any (complex) or
// []any (multi-valued). The attributes of an extension stand in a
// map[string]any under the extension's URN.
type Resource map[string]any

// ResourceType is a kind of resource: its schema, its extensions and where it
// is served (RFC 7643 §6).
type ResourceType struct {
	Name        string // also its id
	Endpoint    string // relative to the base URL, such as "/Users"
	Description string
	Schema      *Schema
	Extensions  []*Schema // none of them is required

	index   attributeIndex     // the schema's and the common attributes
	schemas map[string]*Schema // by URN and by lower-case URN
	members *Attribute         // the attribute kept apart, if there is one
}

func newResourceType(t ResourceType) *ResourceType {
	t.index = maps.Clone(t.Schema.index)
	maps.Copy(t.index, commonIndex)
	t.schemas = make(map[string]*Schema)
	for _, s := range append([]*Schema{t.Schema}, t.Extensions...) {
		t.schemas[s.ID] = s
		t.schemas[lower(s.ID)] = s
	}
	for _, a := range t.index {
		if a.apart {
			t.members = a
		}
	}
	return &t
}

// schema returns the type's schema or extension with that URN, in any case, or nil.
func (t *ResourceType) schema(urn string) *Schema {
	if s := t.schemas[urn]; s != nil {
		return s
	}
	return t.schemas[lower(urn)]
}

// SetSchemas fills r["schemas"]: the type's own URN and that of each extension
// that has data (RFC 7643 §3). Normalize and Patch leave it filled already.
func (t *ResourceType) SetSchemas(r Resource) {
	list := make([]any, 1, 1+len(t.Extensions))
	list[0] = t.Schema.ID
	for _, x := range t.Extensions {
		if data, _ := r[x.ID].(map[string]any); len(data) > 0 {
			list = append(list, x.ID)
		}
	}
	r["schemas"] = list
}

// Target is where an attribute path leads in a resource type.
type Target struct {
	Schema *Schema    // the extension that holds the attribute; nil for the type's own and the common attributes
	Attr   *Attribute // nil when the path names a whole schema
	Sub    *Attribute // nil when the path names no sub-attribute
}

// Path returns the canonical spelling of the path: "userName", "name.givenName",
// or with the URN of an extension before it.
func (g Target) Path() string {
	var p string
	if g.Attr != nil {
		p = g.Attr.Name
	}
	if g.Schema != nil {
		p = g.Schema.ID + ":" + p
	}
	if g.Sub != nil {
		p += "." + g.Sub.Name
	}
	return p
}

// leaf returns the attribute whose values comparisons look at: the
// sub-attribute if there is one, a complex attribute's "value", or the
// attribute itself. It is nil for a complex attribute without "value".
func (g Target) leaf() *Attribute {
	switch {
	case g.Sub != nil:
		return g.Sub
	case g.Attr.Type == Complex:
		return g.Attr.subs["value"]
	}
	return g.Attr
}

// value returns what r holds for the target's attribute.
func (g Target) value(r Resource) any {
	if g.Schema == nil {
		return r[g.Attr.Name]
	}
	data, _ := r[g.Schema.ID].(map[string]any)
	return data[g.Attr.Name]
}

// Resolve finds the attribute a path of a filter or a projection means. An
// attribute of an extension needs no URN where the type itself has none of that
// name, since Entra asks for `manager eq "…"`. It reports false for what the
// type does not know, and for a path that names a whole schema.
func (t *ResourceType) Resolve(p AttrPath) (Target, bool) {
	g, outcome := t.locate(p)
	if outcome != located && p.URN == "" {
		for _, x := range t.Extensions {
			if x.index.find(p.Name) != nil {
				g, outcome = locateIn(x, x.index, p.Name, p.Sub)
				break
			}
		}
	}
	return g, outcome == located && g.Attr != nil
}

type outcome int

const (
	located outcome = iota
	unknownSchema
	unknownAttribute
)

// locate finds what a path means by the letter: with an extension's URN or
// without any. A path that is an extension's URN, or the type's own, and
// nothing else yields a target without attribute.
func (t *ResourceType) locate(p AttrPath) (Target, outcome) {
	if p.URN == "" {
		return locateIn(nil, t.index, p.Name, p.Sub)
	}
	name, sub := p.Name, p.Sub
	s := t.schema(p.URN)
	if s == nil {
		// The URN itself may end where the attribute was expected:
		// "urn:…:User" as a whole, or "urn:…:User.department".
		if s = t.schema(p.URN + ":" + p.Name); s == nil {
			return Target{}, unknownSchema
		}
		name, sub = p.Sub, ""
	}
	holder, index := t.in(s)
	if name == "" {
		return Target{Schema: holder}, located
	}
	return locateIn(holder, index, name, sub)
}

func locateIn(s *Schema, index attributeIndex, name, sub string) (Target, outcome) {
	g := Target{Schema: s, Attr: index.find(name)}
	if g.Attr == nil {
		return Target{}, unknownAttribute
	}
	if sub != "" {
		if g.Sub = g.Attr.subs.find(sub); g.Sub == nil {
			return Target{}, unknownAttribute
		}
	}
	return g, located
}
