package transfer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pwb/roster"
)

// Hash is the password of an account. Printed with fmt it does not show it.
type Hash struct {
	// Name is the account's, Node the node whose line counts.
	Name, Node string
	// Hash is in a form of crypt(5), or empty for an account without password.
	Hash string
	// Locked says that the password is kept and lets nobody in.
	Locked bool
	// Expire is the day on which the account expires, in days since
	// 1970-01-01; 0 means never.
	Expire int64
}

// String implements fmt.Stringer without the hash.
func (h Hash) String() string {
	hash := "no password"
	if h.Hash != "" {
		hash = "a password (not shown)"
	}
	return fmt.Sprintf("{%s of %s: %s, locked %v, expires %d}", h.Name, h.Node, hash, h.Locked, h.Expire)
}

// GoString implements fmt.GoStringer as String does.
func (h Hash) GoString() string { return h.String() }

// Hashes are what shadow files hold of known accounts.
type Hashes struct {
	ByName map[string]Hash
	// Skipped lists the lines that are passed over, in the order of the sources.
	Skipped []Skip
	Notes   []Note
}

// maxHash is the most bytes of a hash, maxExpire the day 9999-12-31.
const (
	maxHash   = 512
	maxExpire = 2932896
)

// ReadShadow reads shadow(5) files, with lines of up to 64 KiB and up to a
// million of them each. Only lines of accounts that are known are kept.
//
// Of several hashes of a name that changed last counts, and of several of the
// same day the first. It is locked if any node has it locked. The ages of
// passwords are not read.
func ReadShadow(sources []Source, known func(name string) bool) (*Hashes, error) {
	h := &Hashes{ByName: map[string]Hash{}}
	lines := map[string][]shadowLine{}
	seen := map[nodeName]bool{}
	err := eachSourceLine("shadow", sources, maxLine, func(s Source, n int, text string) {
		skip := Skip{Node: s.Node, File: s.File, Line: n}
		l, why := parseShadow(text)
		l.Node = s.Node
		if why == "" || l.Name != "" {
			key := nodeName{s.Node, l.Name}
			switch {
			case seen[key]:
				why = "an earlier line has the same name, and that one counts"
			case !known(l.Name):
				why = "there is no such account"
			}
			seen[key] = true
			skip.Name = l.Name
		}
		if why != "" {
			skip.Reason = why
			h.Skipped = append(h.Skipped, skip)
			return
		}
		lines[l.Name] = append(lines[l.Name], l)
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		h.ByName[name] = h.unite(lines[name])
	}
	sortNotes(h.Notes)
	return h, nil
}

type shadowLine struct {
	Hash
	changed int64 // the day; 0 when the password must change, -1 if unknown
	notes   []string
}

// parseShadow reads a line, or says why not. It never shows a field but a good
// name: anything else may be a hash, the fields having got out of place.
func parseShadow(line string) (shadowLine, string) {
	var l shadowLine
	if why := noLine(line); why != "" {
		return l, why
	}
	f := strings.Split(line, ":")
	if len(f) != 9 {
		return l, fmt.Sprintf("it has %d fields, not 9", len(f))
	}
	if roster.CheckName(f[0]) != nil {
		return l, "its name (not shown) is no name here"
	}
	l.Name = f[0]
	var err error
	if l.changed, err = strconv.ParseInt(f[2], 10, 64); err != nil || l.changed < 0 {
		l.changed = -1
	}
	if l.changed == 0 {
		l.notes = append(l.notes, "its password had to be changed at the next login, which is not imported")
	}
	if f[7] != "" {
		if l.Expire, err = strconv.ParseInt(f[7], 10, 64); err != nil {
			return l, "its expiry is no day"
		}
		if l.Expire < 0 || l.Expire > maxExpire {
			l.Expire = 0
			l.notes = append(l.notes, "its expiry is negative or after the year 9999: it never expires")
		}
	}
	hash := strings.TrimLeft(f[1], "!")
	switch {
	case f[1] == "":
		return l, "its password is empty, which is a login without one: give it a password on the node, or one here"
	case hash == "", hash == "*", hash == "x":
		return l, ""
	}
	if why := hashFault(hash); why != "" {
		return l, "its password (not shown) " + why + ": set it anew"
	}
	l.Hash.Hash, l.Locked = hash, hash != f[1]
	return l, ""
}

// hashFault says what is wrong with a hash, and nothing of what it holds. Good
// are the forms of crypt(5): $id$…, DES with 13 characters, and BSDi's _ with 19.
func hashFault(s string) string {
	const shape = "has none of the forms of crypt(5)"
	if len(s) > maxHash {
		return fmt.Sprintf("has %d bytes, %d at most", len(s), maxHash)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`:;*!\`, c) >= 0 {
			return "holds a character that crypt(5) does not have"
		}
	}
	if s[0] != '$' {
		if des := strings.TrimPrefix(s, "_"); len(s) == 13 || len(s) == 20 && len(des) == 19 {
			for i := range len(des) {
				if c := des[i]; c != '.' && c != '/' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
					return shape
				}
			}
			return ""
		}
		return shape
	}
	id, rest, ok := strings.Cut(s[1:], "$")
	if !ok || id == "" || rest == "" {
		return shape
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("-,=", c) < 0 {
			return shape
		}
	}
	return ""
}

// unite makes one of the lines that the nodes have of a name.
func (h *Hashes) unite(lines []shadowLine) Hash {
	counts := lines[0]
	for _, l := range lines[1:] {
		if (l.Hash.Hash != "") != (counts.Hash.Hash != "") {
			if l.Hash.Hash != "" {
				counts = l
			}
		} else if l.Hash.Hash != counts.Hash.Hash && l.changed > counts.changed {
			counts = l
		}
	}
	var hashes, none, locked, expiry []string
	lock := counts.Locked
	for _, l := range lines {
		if l.Hash.Hash == "" && counts.Hash.Hash != "" {
			none = append(none, l.Node)
		} else if l.Hash.Hash != counts.Hash.Hash {
			hashes = append(hashes, l.Node)
		}
		if l.Locked {
			locked = append(locked, l.Node)
			lock = lock || l.Hash.Hash == counts.Hash.Hash
		}
		if l.Expire != counts.Expire {
			expiry = append(expiry, l.Node)
		}
		for _, text := range l.notes {
			h.Notes = append(h.Notes, Note{Node: l.Node, Name: l.Name, Text: text})
		}
	}
	note := func(format string, args ...any) {
		h.Notes = append(h.Notes, Note{Name: counts.Name, Text: fmt.Sprintf(format, args...)})
	}
	if len(hashes) > 0 {
		note("it has other passwords on %s: that of %s counts, which changed last", list(hashes), counts.Node)
	}
	if len(none) > 0 {
		note("it has no password on %s: that of %s counts", list(none), counts.Node)
	}
	if len(locked) > 0 && len(locked) < len(lines)-len(none) {
		state := "is not"
		if lock {
			state = "is"
		}
		note("its password is locked on %s alone: the one that counts %s locked", list(locked), state)
	}
	if len(expiry) > 0 {
		note("it expires on another day on %s: that of %s counts", list(expiry), counts.Node)
	}
	counts.Locked = lock
	return counts.Hash
}
