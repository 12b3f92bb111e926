package scim

import (
	"errors"
	"maps"
	"slices"
)

// editor is a resource while PATCH changes it. Values are never written to:
// every step stores a new value in place of the old one, so that the original
// stays whole and shares with the copy what does not change.
type editor struct {
	t       *ResourceType
	before  Resource
	out     Resource
	touched []string // top-level names written to
	edits   []memberEdit
}

func newEditor(t *ResourceType, r Resource) *editor {
	out := make(Resource, len(r)+1)
	maps.Copy(out, r)
	return &editor{t: t, before: r, out: out}
}

// changed reports whether any value is different from what it was.
func (e *editor) changed() bool {
	for _, name := range e.touched {
		if !equal(e.before[name], e.out[name]) {
			return true
		}
	}
	return false
}

func (e *editor) touch(name string) {
	if !slices.Contains(e.touched, name) {
		e.touched = append(e.touched, name)
	}
}

// put stores the new value of an attribute; nil removes it.
func (e *editor) put(g Target, v any) {
	if g.Schema == nil {
		e.touch(g.Attr.Name)
		putOrDelete(e.out, g.Attr.Name, v)
		return
	}
	e.touch(g.Schema.ID)
	data := copyOf(e.out[g.Schema.ID])
	putOrDelete(data, g.Attr.Name, v)
	if len(data) == 0 {
		delete(e.out, g.Schema.ID)
	} else {
		e.out[g.Schema.ID] = data
	}
}

func putOrDelete(m map[string]any, name string, v any) {
	if v == nil {
		delete(m, name)
	} else {
		m[name] = v
	}
}

// place is where one operation works.
type place struct {
	Target
	Filter Filter
}

// errIgnored marks a path that is passed over.
var errIgnored = errors.New("scim: path into an unknown schema")

// find resolves a path. The error is errIgnored, invalidPath or invalidFilter.
func (e *editor) find(p Path) (place, error) {
	attr := p.Attr
	g, outcome := e.t.locate(attr)
	if outcome == unknownAttribute && attr.URN == "" {
		if x := e.t.schema(EnterpriseURN); x != nil && x.index.find(attr.Name) != nil {
			g, outcome = locateIn(x, x.index, attr.Name, attr.Sub)
		}
	}
	switch {
	case outcome == unknownSchema:
		return place{}, errIgnored
	case outcome == unknownAttribute:
		return place{}, invalidPath("%s has no such attribute", e.t.Name)
	case p.Filter == nil:
		return place{Target: g}, nil
	case g.Attr == nil || !g.Attr.MultiValued || g.Sub != nil:
		return place{}, invalidPath("only an attribute with several values can have a filter")
	}
	if p.Sub != "" {
		if g.Sub = g.Attr.subs.find(p.Sub); g.Sub == nil {
			return place{}, invalidPath("%s has no sub-attribute %s", g.Attr.Name, excerpt(p.Sub))
		}
	}
	return place{g, p.Filter}, g.Attr.checkElementFilter(p.Filter, true)
}

func invalidPath(format string, args ...any) error {
	return Errorf(badRequest, InvalidPath, format, args...)
}

// readOnly reports whether clients must not write to the place.
func (at place) readOnly() bool {
	return at.Attr != nil && at.Attr.Mutability == ReadOnly || at.Sub != nil && at.Sub.Mutability == ReadOnly
}

// ignored reports whether what clients write to the place is passed over.
func (at place) ignored() bool {
	return at.Attr != nil && at.Attr.derived || at.Sub != nil && at.Sub.derived
}

// do carries out one operation.
func (e *editor) do(op Op) error {
	switch op.Kind {
	case Add, Replace:
		if !op.HasValue {
			return badValue("the value is missing")
		}
	case Remove:
		if op.Path == nil {
			return noTarget("remove needs a path")
		}
	default:
		return badSyntax("op must be add, remove or replace")
	}
	if op.Path == nil {
		return e.merge(op.Kind, nil, op.Value)
	}
	at, err := e.find(*op.Path)
	switch {
	case err == errIgnored:
		return nil
	case err != nil:
		return err
	case at.readOnly():
		return mutability("the attribute is readOnly")
	case at.ignored():
		return nil
	case at.Attr == nil:
		return e.schemaOp(op.Kind, at.Schema, op.Value)
	}
	return e.change(op.Kind, at, op.Value)
}

// schemaOp carries out an operation whose path is a schema's URN.
func (e *editor) schemaOp(kind OpKind, s *Schema, value any) error {
	if s != nil && (kind == Remove || kind == Replace && value == nil) {
		for i := range s.Attributes {
			e.put(Target{Schema: s, Attr: &s.Attributes[i]}, nil)
		}
		return nil
	}
	if kind == Remove {
		return mutability("the resource's own schema cannot be removed")
	}
	return e.merge(kind, s, value)
}

// merge carries out add or replace for every name in value; s is the extension
// the names belong to, or nil.
func (e *editor) merge(kind OpKind, s *Schema, value any) error {
	if s != nil && value == nil {
		return nil
	}
	m, ok := value.(map[string]any)
	if !ok {
		return badValue("without the path of an attribute the value must be an object, not %s", kindOf(value))
	}
	names := slices.Sorted(maps.Keys(m)) // in an order of its own, a map has none
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[lower(name)] {
			return badValue("%s is given twice", excerpt(name))
		}
		seen[lower(name)] = true
		if err := e.mergeOne(kind, s, name, m[name]); err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) mergeOne(kind OpKind, s *Schema, name string, value any) error {
	path, err := ParsePath(name)
	if err != nil {
		return nil // nothing that could be meant
	}
	if s != nil {
		if path.Attr.URN != "" {
			return nil
		}
		path.Attr.URN = s.ID
	}
	at, err := e.find(path)
	switch {
	case err != nil, at.readOnly(), at.ignored():
		return nil
	case at.Attr == nil && value == nil:
		return nil
	case at.Attr == nil:
		err = e.merge(kind, orOwn(at.Schema, e.t), value)
	case at.Attr.apart && value == nil:
		return nil
	default:
		err = e.change(kind, at, value)
	}
	return within(name+": ", err)
}

// orOwn names the type's own schema where nil stands for it, so that the names
// under its URN are told from those at the top.
func orOwn(s *Schema, t *ResourceType) *Schema {
	if s == nil {
		return t.Schema
	}
	return s
}

// change carries out an operation on an attribute.
func (e *editor) change(kind OpKind, at place, value any) error {
	if at.Attr.apart {
		return e.planMembers(kind, at, value)
	}
	if kind == Remove && at.Attr.Required && at.Sub == nil {
		return mutability("a required attribute cannot be removed")
	}
	old := at.value(e.out)
	var v any
	var err error
	switch {
	case at.Attr.MultiValued && (at.Filter != nil || at.Sub != nil):
		list, _ := old.([]any)
		v, err = at.changeElements(kind, list, value)
	case at.Attr.MultiValued:
		list, _ := old.([]any)
		v, err = at.Attr.changeList(kind, list, value)
	case at.Sub != nil:
		parts := map[string]any{at.Sub.Name: value}
		if kind == Remove {
			parts[at.Sub.Name] = nil
		} else if kind == Add && value == nil {
			return nil
		}
		v, err = at.Attr.mergeParts(old, parts)
	case kind == Remove:
		v = nil
	case kind == Add && value == nil:
		return nil
	case at.Attr.Type == Complex && value != nil:
		var parts map[string]any
		if parts, err = at.Attr.parts(value); err == nil {
			v, err = at.Attr.mergeParts(old, parts)
		}
	default:
		v, err = at.Attr.normalize(value)
	}
	if err != nil {
		return err
	}
	e.put(at.Target, v)
	return nil
}

// mergeParts returns a single complex value with other parts in it.
func (a *Attribute) mergeParts(old any, parts map[string]any) (any, error) {
	m, err := a.fill(copyOf(old), parts)
	if err != nil || !a.assigned(m) {
		return nil, err
	}
	return m, nil
}
