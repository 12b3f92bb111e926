package scim

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold maps s to a form that two strings share exactly when they are equal
// without regard to case (Unicode simple folding, as strings.EqualFold). Where
// an attribute is not caseExact, such as userName, a store indexes Fold(value)
// and looks up Fold(value), and so agrees with [ResourceType.Match]. The result
// is for comparing, not for showing.
func Fold(s string) string {
	ascii, upper := true, false
	for i := range len(s) {
		c := s[i]
		ascii = ascii && c < utf8.RuneSelf
		upper = upper || 'A' <= c && c <= 'Z'
	}
	switch {
	case ascii && !upper:
		return s
	case ascii:
		return lower(s)
	}
	return strings.Map(foldRune, s)
}

// foldRune picks one representative among the runes that fold to each other.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// lower maps the ASCII letters of s to lower case. Attribute names, URNs and
// operators are ASCII, so no other letter can be taken for one of theirs.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
