package scim

import (
	"strings"
)

// Bounds of the attributes and excludedAttributes parameters.
const (
	MaxProjectionLength = 4096 // bytes
	MaxProjectionNames  = 100
)

// Projection says which attributes an answer has (RFC 7644 §3.9). The zero
// value is the default: all that are returned by default.
type Projection struct {
	only   bool // include is what was asked for, even if it names nothing known
	wanted []projected
	barred []projected
}

// projected is one name of a list, in lower case, with the readings a URN in it allows.
type projected struct {
	urn, name, sub string
	whole          string // the schema URN it is, if it is one
}

// ParseProjection reads the parameters attributes and excludedAttributes: names
// separated by commas, in any case, with or without URN, also of
// sub-attributes and of whole schemas. "" is none. If both are given, an answer
// has what the first names and the second does not. Names nobody knows are
// allowed and select nothing. The error is an [*Error] 400 invalidValue for what
// cannot be a name and for lists over [MaxProjectionLength] bytes or
// [MaxProjectionNames] names.
func ParseProjection(attributes, excludedAttributes string) (Projection, error) {
	var p Projection
	var err error
	if len(attributes) > MaxProjectionLength { // before withoutFilters, whose time is its square
		return Projection{}, badValue("attributes is longer than %d bytes", MaxProjectionLength)
	}
	if p.wanted, err = parseNames("attributes", withoutFilters(attributes)); err != nil {
		return Projection{}, err
	}
	if p.barred, err = parseNames("excludedAttributes", excludedAttributes); err != nil {
		return Projection{}, err
	}
	p.only = len(p.wanted) > 0
	return p, nil
}

func parseNames(parameter, list string) ([]projected, error) {
	if list == "" {
		return nil, nil
	}
	if len(list) > MaxProjectionLength {
		return nil, badValue("%s is longer than %d bytes", parameter, MaxProjectionLength)
	}
	var names []projected
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		path, ok := parseAttrPath(lower(name))
		if !ok {
			return nil, Errorf(badRequest, InvalidValue, "%s: %s is not the name of an attribute", parameter, excerpt(name))
		}
		if len(names) == MaxProjectionNames {
			return nil, badValue("%s has more than %d names", parameter, MaxProjectionNames)
		}
		n := projected{urn: path.URN, name: path.Name, sub: path.Sub}
		if path.URN != "" && path.Sub == "" {
			n.whole = path.URN + ":" + path.Name
		}
		names = append(names, n)
	}
	return names, nil
}

// withoutFilters takes out what stands in brackets: some clients ask for
// `emails[type eq "work"]`, which the RFC does not have; they get all emails.
func withoutFilters(list string) string {
	for {
		before, rest, ok := strings.Cut(list, "[")
		_, after, closed := strings.Cut(rest, "]")
		if !ok || !closed {
			return list
		}
		list = before + after
	}
}

// verdict is what a list of names says about an attribute.
type verdict int

const (
	unnamed verdict = iota // it is not in the list
	partly                 // only sub-attributes of it are
	wholly                 // it is
)

// judge looks an attribute up in a list. urn is that of its schema in lower
// case; bare reports whether its name alone means it.
func judge(list []projected, urn, name string, bare bool) verdict {
	v := unnamed
	for i := range list {
		n := &list[i]
		switch {
		case n.whole != "" && n.whole == urn:
			return wholly
		case n.name != name, n.urn == "" && !bare, n.urn != "" && n.urn != urn:
			continue
		case n.sub == "":
			return wholly
		}
		v = partly
	}
	return v
}

// namesSub reports whether a list has a sub-attribute of an attribute.
func namesSub(list []projected, urn, name, sub string, bare bool) bool {
	for i := range list {
		n := &list[i]
		if n.name == name && n.sub == sub && (n.urn == "" && bare || n.urn == urn) {
			return true
		}
	}
	return false
}

// Wants reports whether an answer has the attribute with that name, in any
// case, so that a caller need not load what it will not send: "members",
// "groups". It looks at the name only: in doubt, as with a whole schema asked
// for by its URN, it reports true.
func (p Projection) Wants(attr string) bool {
	name := lower(attr)
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	for _, n := range p.barred {
		if n.name == name && n.sub == "" && n.urn == "" {
			return false
		}
	}
	if !p.only {
		return true
	}
	for _, n := range p.wanted {
		if n.name == name || n.whole != "" {
			return true
		}
	}
	return false
}

// Project returns what an answer shows of r (RFC 7644 §3.9): never what is
// returned never (password), always what is returned always (id, schemas), what
// is returned on request only if asked for by name, and of the rest what p
// wants. r is not changed; the result shares values with it.
func (t *ResourceType) Project(r Resource, p Projection) Resource {
	out := make(Resource, len(r))
	for name, v := range r {
		if a := t.index[name]; a != nil {
			if v = p.attribute(t, nil, a, v); v != nil {
				out[name] = v
			}
			continue
		}
		s := t.schemas[name]
		data, _ := v.(map[string]any)
		if s == nil || len(data) == 0 {
			continue
		}
		if data = p.extension(t, s, data); len(data) > 0 {
			out[name] = data
		}
	}
	return out
}

func (p Projection) extension(t *ResourceType, s *Schema, data map[string]any) map[string]any {
	if !p.only && len(p.barred) == 0 && !s.guarded {
		return data
	}
	out := make(map[string]any, len(data))
	for name, v := range data {
		if a := s.index[name]; a != nil {
			if v = p.attribute(t, s, a, v); v != nil {
				out[name] = v
			}
		}
	}
	return out
}

// attribute returns what p shows of the value of a, or nil for nothing.
func (p Projection) attribute(t *ResourceType, s *Schema, a *Attribute, v any) any {
	switch a.Returned {
	case ReturnedNever:
		return nil
	case ReturnedAlways:
		return v
	}
	if !p.only && len(p.barred) == 0 {
		if a.Returned == ReturnedRequest {
			return nil
		}
		return v
	}
	urn, bare := t.Schema.key, true
	if s != nil {
		urn, bare = s.key, t.index[a.key] == nil
	}
	asked := judge(p.wanted, urn, a.key, bare)
	switch {
	case asked == unnamed && (p.only || a.Returned == ReturnedRequest):
		return nil
	case asked == partly:
		v = a.selectSubs(v, func(sub *Attribute) bool {
			return sub.Returned == ReturnedAlways || namesSub(p.wanted, urn, a.key, sub.key, bare)
		})
	}
	switch judge(p.barred, urn, a.key, bare) {
	case wholly:
		return nil
	case partly:
		v = a.selectSubs(v, func(sub *Attribute) bool {
			return sub.Returned == ReturnedAlways || !namesSub(p.barred, urn, a.key, sub.key, bare)
		})
	}
	return v
}

// selectSubs returns a complex value with the sub-attributes that keep wants,
// or nil if none are left. A value of a simple type has none to lose.
func (a *Attribute) selectSubs(v any, keep func(*Attribute) bool) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, part := range v {
			if sub := a.subs[name]; sub != nil && keep(sub) {
				m[name] = part
			}
		}
		if len(m) == 0 {
			return nil
		}
		return m
	case []any:
		list := make([]any, 0, len(v))
		for _, element := range v {
			if part := a.selectSubs(element, keep); part != nil {
				list = append(list, part)
			}
		}
		if len(list) == 0 {
			return nil
		}
		return list
	}
	return v
}
