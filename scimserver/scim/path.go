package scim

import (
	"strings"
	"unicode/utf8"
)

// Path is where a PATCH operation works (RFC 7644 §3.5.2, figure 7): an
// attribute, a sub-attribute, or elements chosen by a filter and perhaps one of
// their sub-attributes. The sub-attribute of `name.givenName` stands in Attr,
// that of `emails[type eq "work"].value` in Sub.
type Path struct {
	Attr   AttrPath
	Filter Filter // nil when there is none
	Sub    string // only after a filter
}

// ParsePath reads the path of a PATCH operation. The path may be prefixed by a
// URN or be nothing but one. Names are not looked up. The error is an [*Error]
// 400 invalidPath, also for a malformed or too long filter.
func ParsePath(s string) (Path, error) {
	return parsePath(s, MaxFilterLength, MaxFilterDepth)
}

func parsePath(s string, maxLength, maxDepth int) (Path, error) {
	fail := func(why string) (Path, error) {
		return Path{}, Errorf(badRequest, InvalidPath, "malformed path %s: %s", excerpt(s), why)
	}
	if len(s) > maxLength {
		return fail("it is too long")
	}
	if !utf8.ValidString(s) {
		return fail("it is not valid UTF-8")
	}
	p := filterParser{text: strings.Trim(s, " \t"), maxDepth: maxDepth}
	var path Path
	var ok bool
	if path.Attr, ok = parseAttrPath(p.path()); !ok {
		return fail("it does not begin with the name of an attribute")
	}
	if p.peek() == '[' {
		var err error
		if path.Filter, err = p.bracket(); err != nil {
			return fail(err.(*Error).Detail)
		}
		if p.peek() == '.' {
			if path.Sub, err = p.dotted(); err != nil {
				return fail(err.(*Error).Detail)
			}
		}
	}
	if p.pos < len(p.text) {
		return fail("there is more than a path")
	}
	return path, nil
}

// String writes the path canonically; parsing it yields the same path.
func (p Path) String() string {
	s := p.Attr.String()
	if p.Filter != nil {
		s += "[" + p.Filter.String() + "]"
	}
	if p.Sub != "" {
		s += "." + p.Sub
	}
	return s
}
