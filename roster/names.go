package roster

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxName is the most bytes a user or group name may have: what useradd(8)
// accepts and utmp(5) can hold.
const MaxName = 32

// CheckName reports why s cannot be a user or group name here: a lower-case
// letter or '_', then up to 31 lower-case letters, digits, '_', '-' or '.'; it
// does not end in '.'. This is what useradd(8) accepts, less the trailing '$',
// plus the dot that mail-like user names need.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("a name is empty")
	case len(s) > MaxName:
		return fmt.Errorf("name %.80q has %d bytes, %d at most", s, len(s), MaxName)
	case !nameStart(s[0]):
		return fmt.Errorf("name %q must begin with a lower-case letter or '_'", s)
	case s[len(s)-1] == '.':
		return fmt.Errorf("name %q must not end in '.'", s)
	}
	for i := 1; i < len(s); i++ {
		if !nameByte(s[i]) {
			return fmt.Errorf("name %q has %q; only a-z, 0-9, '_', '-' and '.' are allowed", s, s[i])
		}
	}
	return nil
}

func nameStart(c byte) bool { return 'a' <= c && c <= 'z' || c == '_' }

func nameByte(c byte) bool {
	return nameStart(c) || '0' <= c && c <= '9' || c == '-' || c == '.'
}

// UserName makes a name of a SCIM userName: what follows the first '@' and what
// precedes the last '\' (a Windows domain) goes, then as for GroupName.
func UserName(userName string) string {
	local, _, _ := strings.Cut(userName, "@")
	if i := strings.LastIndexByte(local, '\\'); i >= 0 {
		local = local[i+1:]
	}
	return makeName(local)
}

// GroupName makes a name of a SCIM group's displayName: lower case, Latin
// letters without their accents, every run of other characters one '_', a '_'
// before a first character that may not stand there, at most 32 bytes. The
// result always passes CheckName; equal input gives equal output.
func GroupName(displayName string) string { return makeName(displayName) }

func makeName(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(s) {
		if b.Len() >= MaxName {
			break
		}
		plain, ok := plainLetters[r]
		switch {
		case ok:
		case r < 0x80 && nameByte(byte(r)):
			plain = string(r)
		case 0x300 <= r && r < 0x370: // combining accents: the letter before stands alone
			continue
		default:
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('_')
		}
		gap = false
		if b.Len() == 0 && !nameStart(plain[0]) {
			b.WriteByte('_')
		}
		b.WriteString(plain)
	}
	name := b.String()
	if len(name) > MaxName {
		name = name[:MaxName]
	}
	name = strings.TrimRight(name, ".-_")
	if name == "" {
		return "_"
	}
	return name
}

// NumberedName is the nth alternative to a name that is taken: name-n, shortened
// so that it stays a name. n is at least 2.
func NumberedName(name string, n int) string {
	suffix := "-" + strconv.Itoa(n)
	if len(name)+len(suffix) > MaxName {
		name = name[:MaxName-len(suffix)]
	}
	return name + suffix
}

// plainLetters spells the lower-case letters of Latin-1 and Latin Extended-A in
// ASCII, as people of those languages do where they must.
var plainLetters = func() map[rune]string {
	m := map[rune]string{}
	for plain, letters := range map[string]string{
		"a": "àáâãåāăą", "ae": "äæ", "c": "çćĉċč", "d": "ďđð", "e": "èéêëēĕėęě", "g": "ĝğġģ",
		"h": "ĥħ", "i": "ìíîïĩīĭįı", "ij": "ĳ", "j": "ĵ", "k": "ķĸ", "l": "ĺļľŀł", "n": "ñńņňŉŋ",
		"o": "òóôõōŏő", "oe": "öøœ", "r": "ŕŗř", "s": "śŝşšșſ", "ss": "ß", "t": "ţťŧț", "th": "þ",
		"u": "ùúûũūŭůűų", "ue": "ü", "w": "ŵ", "y": "ýÿŷ", "z": "źżž",
	} {
		for _, r := range letters {
			m[r] = plain
		}
	}
	return m
}()
