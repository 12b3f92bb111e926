package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pwb/roster"
)

// KeysFile is the file of SSH keys in the state directory, mode 0644: lines
//
//	NAME DAY TYPE BASE64
//
// sorted by bytes, so by NAME first, which is the name or an alias of an account
// that is not locked. DAY is the day on which it expires, in days since 1970-01-01
// as in shadow(5); 0 means never. TYPE BASE64 is a key as roster.ParseKey returns
// it. There is no such file while there are no keys. ReadKeys finds a name in it.
const KeysFile = "authorized_keys"

// keyed is an account with SSH keys.
type keyed struct {
	account    int
	start, end uint32   // its part of builder.keys: DAY TYPE BASE64, a line each
	refused    []string // why others are left out
}

// addKeys keeps the keys of the ith account until all names are known.
func (b *builder) addKeys(i int, a *roster.Account) {
	k := keyed{account: i, start: uint32(len(b.keys))}
	var fit []string
	total := 0
	for n, line := range a.Keys {
		key, err := roster.ParseKey(line)
		switch {
		case err != nil:
		case slices.Contains(fit, key):
			continue
		case len(fit) == roster.MaxKeys || total+len(key) > roster.MaxKeyBytes:
			err = fmt.Errorf("it is more than the %d keys of %d bytes in all that an account has at most", roster.MaxKeys, roster.MaxKeyBytes)
		}
		if err != nil {
			k.refused = append(k.refused, fmt.Sprintf("key %d of %d is left out: %v", n+1, len(a.Keys), err))
			continue
		}
		fit = append(fit, key)
		total += len(key)
	}
	slices.Sort(fit)
	for _, key := range fit {
		b.keys = append(strconv.AppendInt(b.keys, a.Expire, 10), ' ')
		b.keys = append(append(b.keys, key...), '\n')
	}
	k.end = uint32(len(b.keys))
	b.keyed = append(b.keyed, k)
}

// settleKeys makes the lines of keys, once it is known which accounts have lines,
// and under which names.
func (b *builder) settleKeys() {
	type entry struct {
		name  []byte
		lines []byte
	}
	var all []entry
	size := 0
	for _, k := range b.keyed {
		if b.accounts[k.account].dropped {
			continue
		}
		for _, why := range k.refused {
			q := roster.Quarantine{Key: roster.AccountKey(string(b.id(k.account))), Name: string(b.name(k.account)), Part: roster.PartKey, Reason: why}
			b.out.quarantined = append(b.out.quarantined, q)
		}
		lines := b.keys[k.start:k.end]
		add := func(name []byte) {
			all = append(all, entry{name, lines})
			size += len(lines) + bytes.Count(lines, []byte{'\n'})*(len(name)+1)
		}
		add(b.name(k.account))
		for _, alias := range b.aliasesOf(k.account) {
			add([]byte(alias))
		}
	}
	slices.SortFunc(all, func(x, y entry) int { return bytes.Compare(x.name, y.name) })
	o := &b.out
	o.keys = make([]byte, 0, size)
	for _, e := range all {
		for line := range bytes.Lines(e.lines) {
			o.keys = append(append(append(o.keys, e.name...), ' '), line...)
		}
	}
	b.keyed, b.keys = nil, nil
}

// keyLine is a line of KeysFile.
type keyLine struct {
	name string
	day  int64
	key  string
}

// expired reports whether the account had expired by a day.
func (k keyLine) expired(today int64) bool { return k.day > 0 && today >= k.day }

var errKeyLine = errors.New("it is not NAME DAY TYPE BASE64")

// parseKeyLine reads a line, without its newline, as it is written here.
func parseKeyLine(line string) (k keyLine, err error) {
	name, rest, ok1 := strings.Cut(line, " ")
	day, key, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 {
		return k, errKeyLine
	}
	k = keyLine{name: name, key: key}
	if k.day, err = strconv.ParseInt(day, 10, 64); err != nil || k.day < 0 || k.day > maxExpire || strconv.FormatInt(k.day, 10) != day {
		return k, errKeyLine
	}
	if err := roster.CheckName(name); err != nil {
		return k, err
	}
	if plain, err := roster.ParseKey(key); err != nil || plain != key {
		return k, errors.Join(errKeyLine, err)
	}
	return k, nil
}

// verifyKeys verifies the keys against the lines of passwd and shadow.
func (r *rules) verifyKeys(data []byte, v *verified) error {
	var last []byte
	for n := 1; len(data) > 0; n++ {
		line, rest := cutLine(data)
		if len(line) == 0 {
			return fmt.Errorf("%s: line %d has no end", KeysFile, n)
		}
		data = rest
		line = line[:len(line)-1]
		k, err := parseKeyLine(string(line))
		if err == nil && bytes.Compare(line, last) <= 0 {
			err = errors.New("it does not come after the one before")
		}
		if err == nil {
			err = r.verifyKey(k, v)
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", KeysFile, n, err)
		}
		last = line
	}
	return nil
}

func (r *rules) verifyKey(k keyLine, v *verified) error {
	i, ok := v.passwd.find([]byte(k.name))
	if !ok {
		return fmt.Errorf("%q has no account", k.name)
	}
	if !r.shadow {
		return nil // what would say so is not rendered
	}
	s, err := roster.ParseShadow(string(v.shadow.line(i)))
	switch {
	case err != nil:
		return err
	case locks(s):
		return fmt.Errorf("%q is locked", k.name)
	case s.Expire != k.day:
		return fmt.Errorf("%q expires on day %d, not on %d", k.name, s.Expire, k.day)
	}
	return nil
}

// eachKeyChange calls do with each line of keys that goes and each that comes, in
// ascending order; now says which of the two. The bytes hold until do returns.
func (p *Plan) eachKeyChange(d *dir, do func(line []byte, now bool) error) error {
	f := p.file(KeysFile)
	if f == nil || f.right {
		return nil
	}
	now := f.data
	if f.gone {
		now = nil
	}
	// come are the lines before an old one, or all.
	come := func(until []byte) error {
		for len(now) > 0 {
			line, rest := cutLine(now)
			line = line[:len(line)-1]
			if until != nil && bytes.Compare(line, until) >= 0 {
				return nil
			}
			now = rest
			if err := do(line, true); err != nil {
				return err
			}
		}
		return nil
	}
	err := p.eachOldLine(d, KeysFile, func(old []byte) error {
		if err := come(old); err != nil {
			return err
		}
		if line, rest := cutLine(now); len(line) > 0 && bytes.Equal(line[:len(line)-1], old) {
			now = rest
			return nil
		}
		return do(old, false)
	})
	if err != nil {
		return err
	}
	return come(nil)
}

// showKey is a line of keys with the key's fingerprint.
func showKey(line []byte) string {
	k, err := parseKeyLine(string(line))
	if err != nil {
		return malformed(line)
	}
	text := k.name + " " + roster.KeyFingerprint(k.key)
	if k.day > 0 {
		text += fmt.Sprintf(" until day %d", k.day)
	}
	return text
}

// diffKeys shows which keys come and go.
func (p *Plan) diffKeys(w interface{ WriteString(string) (int, error) }, d *dir) (shown bool, err error) {
	err = p.eachKeyChange(d, func(line []byte, now bool) error {
		shown = true
		sign := "-"
		if now {
			sign = "+"
		}
		_, err := w.WriteString(sign + showKey(line) + "\n")
		return err
	})
	return shown, err
}

// keyedNames are the names of lines that come, once each.
func (p *Plan) keyedNames(d *dir) (names []string, err error) {
	err = p.eachKeyChange(d, func(line []byte, now bool) error {
		name, _, _ := strings.Cut(string(line), " ")
		if now && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}
