package scim

import "strings"

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
