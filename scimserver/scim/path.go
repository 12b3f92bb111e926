package scim

import (
	"strings"
	"unicode/utf8"
)

// AttrPath names an attribute as a client wrote it (RFC 7644 §3.10):
// "userName", "name.givenName", "urn:…:User:department",
// "urn:…:User:manager.value". The URN is all before the last colon; an URN that
// stands alone is cut there too, which [ResourceType.Resolve] puts right.
type AttrPath struct {
	URN  string // "" when there is none
	Name string
	Sub  string // "" when there is none
}

// String returns the path as it is written in filters and PATCH paths.
func (p AttrPath) String() string {
	s := p.Name
	if p.URN != "" {
		s = p.URN + ":" + s
	}
	if p.Sub != "" {
		s += "." + p.Sub
	}
	return s
}

// ParseAttrPath reads an attribute path that stands alone, as in sortBy. The
// error is an [*Error] 400 invalidPath.
func ParseAttrPath(s string) (AttrPath, error) {
	p, ok := parseAttrPath(strings.Trim(s, " \t"))
	if !ok {
		return AttrPath{}, invalidPath("%s is not the name of an attribute", excerpt(s))
	}
	return p, nil
}

// parseAttrPath reads s, which holds nothing else.
func parseAttrPath(s string) (AttrPath, bool) {
	var p AttrPath
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		p.URN, s = s[:i], s[i+1:]
		if p.URN == "" {
			return AttrPath{}, false
		}
	}
	var dotted bool
	p.Name, p.Sub, dotted = strings.Cut(s, ".")
	if !isAttrName(p.Name) || dotted && !isAttrName(p.Sub) {
		return AttrPath{}, false
	}
	return p, true
}

// isAttrName reports whether s can be the name of an attribute: a letter, then
// letters, digits, "-" and "_", or "$ref" (RFC 7643 §2.1).
func isAttrName(s string) bool {
	s = strings.TrimPrefix(s, "$")
	if s == "" || !isLetter(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isPathByte reports whether c can stand in a URN-prefixed attribute path.
func isPathByte(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '-' || c == '_' || c == ':' || c == '.' || c == '$'
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

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
