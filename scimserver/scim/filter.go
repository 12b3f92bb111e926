package scim

import (
	"strconv"
	"strings"
)

// Filter is the syntax tree of a filter (RFC 7644 §3.4.2.2): [And], [Or],
// [Not], [Compare], [Present] or [ValuePath]. Nobody else implements it.
//
// String writes a filter canonically: operators in lower case, strings in
// quotes, no needless parentheses. Parsing that yields the same tree.
type Filter interface {
	String() string
	appendTo(b []byte) []byte
}

// And matches when all of its filters do. Parsed ones have two or more, none of
// them an And.
type And []Filter

// Or matches when one of its filters does. Parsed ones have two or more, none
// of them an Or.
type Or []Filter

// Not matches when its filter does not.
type Not struct{ Filter Filter }

// Compare compares an attribute with a value. For an attribute with several
// values it matches when one of them does; for a complex attribute it looks at
// the sub-attribute "value".
type Compare struct {
	Attr  AttrPath
	Op    CompareOp
	Value any // string, bool, int64, float64, or nil for null
}

// Present matches when the attribute has a value (operator pr).
type Present struct{ Attr AttrPath }

// ValuePath matches when one element of a complex attribute matches a filter
// whose attributes are that element's sub-attributes: emails[type eq "work"].
type ValuePath struct {
	Attr   AttrPath
	Filter Filter
}

// CompareOp is a comparison operator, in lower case.
type CompareOp string

// The comparison operators (RFC 7644 §3.4.2.2, table 3).
const (
	Eq CompareOp = "eq" // equal
	Ne CompareOp = "ne" // not equal: the contrary of eq, so an absent attribute matches
	Co CompareOp = "co" // contains
	Sw CompareOp = "sw" // starts with
	Ew CompareOp = "ew" // ends with
	Gt CompareOp = "gt" // greater than
	Ge CompareOp = "ge" // greater than or equal
	Lt CompareOp = "lt" // less than
	Le CompareOp = "le" // less than or equal
)

func (op CompareOp) known() bool {
	switch op {
	case Eq, Ne, Co, Sw, Ew:
		return true
	}
	return op.orders()
}

// orders reports whether op needs values that have an order.
func (op CompareOp) orders() bool {
	return op == Gt || op == Ge || op == Lt || op == Le
}

func (f And) String() string       { return string(f.appendTo(nil)) }
func (f Or) String() string        { return string(f.appendTo(nil)) }
func (f Not) String() string       { return string(f.appendTo(nil)) }
func (f Compare) String() string   { return string(f.appendTo(nil)) }
func (f Present) String() string   { return string(f.appendTo(nil)) }
func (f ValuePath) String() string { return string(f.appendTo(nil)) }

func (f And) appendTo(b []byte) []byte {
	for i, g := range f {
		if i > 0 {
			b = append(b, " and "...)
		}
		if _, ok := g.(Or); ok {
			b = append(g.appendTo(append(b, '(')), ')')
		} else {
			b = g.appendTo(b)
		}
	}
	return b
}

func (f Or) appendTo(b []byte) []byte {
	for i, g := range f {
		if i > 0 {
			b = append(b, " or "...)
		}
		b = g.appendTo(b)
	}
	return b
}

func (f Not) appendTo(b []byte) []byte {
	return append(f.Filter.appendTo(append(b, "not ("...)), ')')
}

func (f Compare) appendTo(b []byte) []byte {
	b = append(b, f.Attr.String()...)
	b = append(b, ' ')
	b = append(b, f.Op...)
	b = append(b, ' ')
	if s, ok := f.Value.(string); ok {
		return appendQuoted(b, s)
	}
	return append(b, literalText(f.Value)...)
}

func (f Present) appendTo(b []byte) []byte {
	return append(append(b, f.Attr.String()...), " pr"...)
}

func (f ValuePath) appendTo(b []byte) []byte {
	b = append(append(b, f.Attr.String()...), '[')
	return append(f.Filter.appendTo(b), ']')
}

// literalText returns the text of a comparison value, without quotes.
func literalText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatFloat(v)
	}
	return "null"
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// appendQuoted appends s as a JSON string.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// Conjuncts returns the filters that must all match for f to match: the parts
// of an And, or f alone. A store that can look up one of them by index has only
// to check the others on what it found.
func Conjuncts(f Filter) []Filter {
	if and, ok := f.(And); ok {
		return and
	}
	return []Filter{f}
}

// Mentions reports whether f looks at the attribute with that name, in any
// case and whatever its URN, so that a caller knows whether to load what is not
// kept in a Resource: "members", "groups".
func Mentions(f Filter, attr string) bool {
	named := func(p AttrPath) bool { return strings.EqualFold(p.Name, attr) }
	switch f := f.(type) {
	case And:
		for _, g := range f {
			if Mentions(g, attr) {
				return true
			}
		}
	case Or:
		for _, g := range f {
			if Mentions(g, attr) {
				return true
			}
		}
	case Not:
		return Mentions(f.Filter, attr)
	case Compare:
		return named(f.Attr)
	case Present:
		return named(f.Attr)
	case ValuePath:
		return named(f.Attr)
	}
	return false
}
