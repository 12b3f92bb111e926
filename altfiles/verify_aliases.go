package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"pwb/roster"
)

// aliasLine is a line of passwd that is an alias, and the line of its account,
// which stands before it.
type aliasLine struct{ line, of uint32 }

// alias reports whether line i of passwd is an alias, and of which line.
func (v *verified) alias(i int) (of int, ok bool) {
	if len(v.aliases) == 0 {
		return 0, false
	}
	at, ok := slices.BinarySearchFunc(v.aliases, uint32(i), func(a aliasLine, line uint32) int { return int(a.line) - int(line) })
	if !ok {
		return 0, false
	}
	return int(v.aliases[at].of), true
}

// doubles are the numbers that stand more than once in an ascending list.
func doubles(ids []uint32) (twice []uint32) {
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] && (len(twice) == 0 || twice[len(twice)-1] != ids[i]) {
			twice = append(twice, ids[i])
		}
	}
	return twice
}

// verifyAliases finds the aliases: of lines with the same uid, all but the
// first. It fails unless they are like the first in everything but their names,
// and so one account's, and no more than one may have.
func (v *verified) verifyAliases(uids []uint32) error {
	if len(uids) == 0 {
		return nil
	}
	type account struct{ lines, first int }
	accounts := make([]account, len(uids))
	for i := range v.passwd.count() {
		uid := numberOf(v.passwd.line(i))
		at, ok := slices.BinarySearch(uids, uid)
		if !ok {
			continue
		}
		a := &accounts[at]
		if a.lines++; a.lines == 1 {
			a.first = i
			continue
		}
		if !sameButName(v.passwd.line(i), v.passwd.line(a.first)) {
			return fmt.Errorf("line %d has the uid %d of line %d, but is no alias of it: other fields differ", i+1, uid, a.first+1)
		}
		if v.shadow.count() > 0 && !sameButName(v.shadow.line(i), v.shadow.line(a.first)) {
			return fmt.Errorf("line %d is an alias of line %d, but their lines in shadow differ", i+1, a.first+1)
		}
		if a.lines > 1+roster.MaxAliases {
			return fmt.Errorf("line %d is one alias too many for uid %d: %d at most", i+1, uid, roster.MaxAliases)
		}
		v.aliases = append(v.aliases, aliasLine{line: uint32(i), of: uint32(a.first)})
	}
	return nil
}

// verifyGroupAliases fails unless groups with the same gid are all private ones
// of one account and its aliases.
func (v *verified) verifyGroupAliases(gids []uint32) error {
	if len(gids) == 0 {
		return nil
	}
	for i := range v.group.count() {
		line := v.group.line(i)
		gid := numberOf(line)
		if _, ok := slices.BinarySearch(gids, gid); !ok {
			continue
		}
		err := errors.New("no account has this name")
		if at, ok := v.passwd.find(nameOf(line)); ok {
			p, _ := roster.ParsePasswd(string(v.passwd.line(at))) // it was verified: it parses
			switch {
			case p.UID != gid || p.GID != gid:
				err = fmt.Errorf("the account of this name has uid %d and gid %d", p.UID, p.GID)
			case line[len(line)-1] != ':':
				err = errors.New("it has members")
			default:
				continue
			}
		}
		return fmt.Errorf("line %d has the gid %d of another line, but is no private group: %w", i+1, gid, err)
	}
	return nil
}

// sameButName reports whether two lines differ in their names alone.
func sameButName(a, b []byte) bool {
	return bytes.Equal(a[len(nameOf(a)):], b[len(nameOf(b)):])
}

// numberOf is the third field of a line that was verified: the uid in passwd,
// the gid in group.
func numberOf(line []byte) (n uint32) {
	_, rest, _ := bytes.Cut(line, []byte{':'})
	_, rest, _ = bytes.Cut(rest, []byte{':'})
	for i := 0; i < len(rest) && rest[i] != ':'; i++ {
		n = 10*n + uint32(rest[i]-'0')
	}
	return n
}
