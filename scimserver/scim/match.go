package scim

import (
	"cmp"
	"strings"
	"time"
)

// Match reports whether r matches f, judged by the schema (RFC 7644 §3.4.2.2).
// A nil filter matches everything.
//
// Strings compare as the attribute's caseExact says, dateTimes as moments,
// numbers as numbers. A value in quotes may stand for a boolean or a number,
// and a bare number for a string. `eq null` means not present. `ne` is the
// contrary of `eq`, so an absent attribute matches it. A comparison with an
// attribute the type does not know, or with a value its type cannot have,
// matches nothing, also with ne.
//
// A group's members match only if the caller has put them into r; [Mentions]
// tells when that is needed.
func (t *ResourceType) Match(f Filter, r Resource) bool {
	switch f := f.(type) {
	case nil:
		return true
	case And:
		for _, g := range f {
			if !t.Match(g, r) {
				return false
			}
		}
		return true
	case Or:
		for _, g := range f {
			if t.Match(g, r) {
				return true
			}
		}
	case Not:
		return !t.Match(f.Filter, r)
	case Compare:
		g, ok := t.Resolve(f.Attr)
		return ok && g.compare(g.value(r), f.Op, f.Value)
	case Present:
		g, ok := t.Resolve(f.Attr)
		return ok && g.present(g.value(r))
	case ValuePath:
		g, ok := t.Resolve(f.Attr)
		if !ok || g.Sub != nil {
			return false
		}
		if list, ok := g.value(r).([]any); ok {
			for _, v := range list {
				if g.Attr.matchElement(f.Filter, v) {
					return true
				}
			}
			return false
		}
		v := g.value(r)
		return v != nil && g.Attr.matchElement(f.Filter, v)
	}
	return false
}

// matchElement reports whether v, one value of a, matches a filter in brackets.
func (a *Attribute) matchElement(f Filter, v any) bool {
	switch f := f.(type) {
	case And:
		for _, g := range f {
			if !a.matchElement(g, v) {
				return false
			}
		}
		return true
	case Or:
		for _, g := range f {
			if a.matchElement(g, v) {
				return true
			}
		}
	case Not:
		return !a.matchElement(f.Filter, v)
	case Compare:
		sub := a.element(f.Attr)
		return sub != nil && Target{Attr: sub}.compare(partOf(v, sub), f.Op, f.Value)
	case Present:
		sub := a.element(f.Attr)
		return sub != nil && Target{Attr: sub}.present(partOf(v, sub))
	}
	return false
}

// element finds the attribute that a name in brackets means: a sub-attribute,
// or for an attribute of a simple type the value itself, called "value".
func (a *Attribute) element(p AttrPath) *Attribute {
	switch {
	case p.URN != "" || p.Sub != "":
		return nil
	case a.Type == Complex:
		return a.subs.find(p.Name)
	case lower(p.Name) == "value":
		return a
	}
	return nil
}

// partOf returns the part of element v that sub is, which is v itself for a
// simple type.
func partOf(v any, sub *Attribute) any {
	if m, ok := v.(map[string]any); ok {
		return m[sub.Name]
	}
	return v
}

// present reports whether v, what a resource holds for g.Attr, says anything.
func (g Target) present(v any) bool {
	if list, ok := v.([]any); ok {
		for _, v := range list {
			if g.present(v) {
				return true
			}
		}
		return false
	}
	if m, ok := v.(map[string]any); ok {
		if g.Sub == nil {
			return len(m) > 0
		}
		v = m[g.Sub.Name]
	}
	return v != nil && v != ""
}

// compare compares v, what a resource holds for g.Attr.
func (g Target) compare(v any, op CompareOp, literal any) bool {
	if literal == nil {
		return op == Eq && !g.present(v) || op == Ne && g.present(v)
	}
	leaf := g.leaf()
	if leaf == nil {
		return false
	}
	o, ok := leaf.operand(op, literal)
	if !ok {
		return false
	}
	if op == Ne {
		return !leaf.any(v, Eq, o)
	}
	return leaf.any(v, op, o)
}

// any reports whether v or one of its elements compares so; leaf is what the
// elements, or their sub-attribute, are.
func (leaf *Attribute) any(v any, op CompareOp, o operand) bool {
	switch v := v.(type) {
	case nil:
		return false
	case []any:
		for _, w := range v {
			if leaf.any(w, op, o) {
				return true
			}
		}
		return false
	case map[string]any:
		return leaf.test(v[leaf.Name], op, o)
	}
	return leaf.test(v, op, o)
}

// operand is a comparison value in the form its attribute compares in.
type operand struct {
	text   string // folded, where case does not count and op is not eq
	truth  bool
	number float64
	whole  int64
	exact  bool      // whole holds the number
	moment time.Time // where moments are compared
	timed  bool
}

// operand converts a value of a filter; it reports false if values of type a
// cannot be compared with it in this way.
func (leaf *Attribute) operand(op CompareOp, literal any) (o operand, ok bool) {
	switch leaf.Type {
	case Boolean:
		o.truth, ok = toBool(literal)
		return o, ok && (op == Eq || op == Ne)
	case Integer, Decimal:
		o.whole, o.exact = toInt(literal)
		o.number, ok = toFloat(literal)
		return o, ok && (op == Eq || op == Ne || op.orders())
	case DateTime:
		if op != Co && op != Sw && op != Ew {
			var err error
			o.moment, err = time.Parse(time.RFC3339, literalText(literal))
			o.timed = true
			return o, err == nil
		}
	case Binary:
		if op.orders() {
			return o, false
		}
	}
	o.text = literalText(literal)
	if !leaf.CaseExact && op != Eq && op != Ne {
		o.text = Fold(o.text)
	}
	return o, true
}

// test compares one simple value.
func (leaf *Attribute) test(v any, op CompareOp, o operand) bool {
	switch v := v.(type) {
	case bool:
		return leaf.Type == Boolean && v == o.truth
	case int64:
		if o.exact {
			return orderedBy(op, cmp.Compare(v, o.whole))
		}
		return orderedBy(op, cmp.Compare(float64(v), o.number))
	case float64:
		return orderedBy(op, cmp.Compare(v, o.number))
	case string:
		return leaf.testText(v, op, o)
	}
	return false
}

func (leaf *Attribute) testText(s string, op CompareOp, o operand) bool {
	switch {
	case leaf.Type == Boolean || leaf.Type == Integer || leaf.Type == Decimal:
		return false
	case o.timed:
		at, err := time.Parse(time.RFC3339, s)
		return err == nil && orderedBy(op, at.Compare(o.moment))
	case op == Eq:
		return s == o.text || !leaf.CaseExact && strings.EqualFold(s, o.text)
	}
	if !leaf.CaseExact {
		s = Fold(s)
	}
	switch op {
	case Co:
		return strings.Contains(s, o.text)
	case Sw:
		return strings.HasPrefix(s, o.text)
	case Ew:
		return strings.HasSuffix(s, o.text)
	}
	return orderedBy(op, cmp.Compare(s, o.text))
}

// orderedBy reports whether op holds between two values that compare as c.
func orderedBy(op CompareOp, c int) bool {
	switch op {
	case Eq:
		return c == 0
	case Gt:
		return c > 0
	case Ge:
		return c >= 0
	case Lt:
		return c < 0
	case Le:
		return c <= 0
	}
	return false
}
