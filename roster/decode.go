package roster

import "strings"

// The decoder of rows as Row.Line writes them: no blanks, no escapes, ASCII in
// all texts, names of fields as they are declared. It says nothing of any other
// form, which is encoding/json's; what it takes, encoding/json takes as the
// same. FuzzDecoder holds it to that.

// decodeAccount decodes into a, which is zero but for its ID, and reports
// whether the form was known. If not, a may hold anything.
func decodeAccount(s string, a *Account) bool {
	return decodeFields(s, func(name string, f *field) bool {
		switch name {
		case "name":
			return f.text(&a.Name)
		case "uid":
			return f.id(&a.UID)
		case "gid":
			return f.id(&a.GID)
		case "gecos":
			return f.text(&a.Gecos)
		case "home":
			return f.text(&a.Home)
		case "shell":
			return f.text(&a.Shell)
		case "hash":
			return f.text(&a.Hash)
		case "locked":
			return f.flag(&a.Locked)
		case "expire":
			return f.day(&a.Expire)
		case "aliases":
			return f.texts(&a.Aliases)
		case "keys":
			return f.texts(&a.Keys)
		}
		return false
	})
}

// decodeGroup is decodeAccount for a group.
func decodeGroup(s string, g *Group) bool {
	return decodeFields(s, func(name string, f *field) bool {
		switch name {
		case "name":
			return f.text(&g.Name)
		case "gid":
			return f.id(&g.GID)
		}
		return false
	})
}

// field is what is yet to be decoded, from a field's value on.
type field struct{ rest string }

// decodeFields calls value with each field of an object, which takes its value
// off and reports whether it knew it.
func decodeFields(s string, value func(name string, f *field) bool) bool {
	f := field{s}
	if !f.take('{') {
		return false
	}
	if f.rest == "}" {
		return true
	}
	for {
		var name string
		if !f.text(&name) || !f.take(':') || !value(name, &f) {
			return false
		}
		if f.rest == "}" {
			return true
		}
		if !f.take(',') {
			return false
		}
	}
}

func (f *field) take(c byte) bool {
	if f.rest == "" || f.rest[0] != c {
		return false
	}
	f.rest = f.rest[1:]
	return true
}

func (f *field) text(into *string) bool {
	if !f.take('"') {
		return false
	}
	end := 0
	for end < len(f.rest) && plainText[f.rest[end]] {
		end++
	}
	if end == len(f.rest) || f.rest[end] != '"' {
		return false
	}
	*into, f.rest = f.rest[:end], f.rest[end+1:]
	return true
}

// plainText are the bytes that stand for themselves in a JSON text, as far as
// they are ASCII.
var plainText = func() (set [256]bool) {
	for c := ' '; c <= 0x7f; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()

// texts decodes a list. One that is there twice or empty is of no known form.
func (f *field) texts(into *[]string) bool {
	if *into != nil || !f.take('[') {
		return false
	}
	for {
		var s string
		if !f.text(&s) {
			return false
		}
		*into = append(*into, s)
		if f.take(']') {
			return true
		}
		if !f.take(',') {
			return false
		}
	}
}

// number decodes digits, of which none but a lone one may be 0, up to a limit.
func (f *field) number(limit uint64) (n uint64, ok bool) {
	digits := 0
	for ; digits < len(f.rest) && '0' <= f.rest[digits] && f.rest[digits] <= '9'; digits++ {
		if digits == 18 {
			return 0, false
		}
		n = 10*n + uint64(f.rest[digits]-'0')
	}
	if digits == 0 || digits > 1 && f.rest[0] == '0' || n > limit {
		return 0, false
	}
	f.rest = f.rest[digits:]
	return n, true
}

func (f *field) id(into *uint32) bool {
	n, ok := f.number(1<<32 - 1)
	*into = uint32(n)
	return ok
}

func (f *field) day(into *int64) bool {
	n, ok := f.number(1<<63 - 1)
	*into = int64(n)
	return ok
}

func (f *field) flag(into *bool) bool {
	for _, v := range [...]struct {
		text string
		is   bool
	}{{"true", true}, {"false", false}} {
		if rest, ok := strings.CutPrefix(f.rest, v.text); ok {
			*into, f.rest = v.is, rest
			return true
		}
	}
	return false
}
