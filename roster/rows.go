package roster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Row is one fact of a roster: exactly one of the three is set.
//
// As a line it is a JSON array of its key and its value:
//
//	["a/ID",{"name":"ada","uid":1000,"gid":1000,"home":"/home/ada","shell":"/bin/bash"}]
//	["a/ID",{"name":"adela",…,"aliases":["ada"],"keys":["ssh-ed25519 AAAA…"]}]
//	["g/ID",{"name":"eng","gid":1001}]
//	["m/GROUP-ID/ACCOUNT-ID",{}]
//
// Ordered by key, all accounts come before all groups and these before all
// memberships, which stand together by group: a renderer needs one pass.
//
// The line is what digests are made of and what is stored, so an agent that is
// older than its server keeps and checks fields it does not know.
type Row struct {
	Account *Account
	Group   *Group
	Member  *Member
}

// MaxLine is the most bytes a line of a stream may have, its newline included.
const MaxLine = 64 << 10

// maxID is the most bytes an ID may have; a UUID has 36.
const maxID = 64

// CheckID reports why s cannot be an ID: 1 to 64 letters, digits, '-', '_', '.'.
func CheckID(s string) error {
	if s == "" || len(s) > maxID {
		return fmt.Errorf("id %.80q must have 1 to %d characters", s, maxID)
	}
	for i := range len(s) {
		if !idBytes[s[i]] {
			return fmt.Errorf("id %q may have only letters, digits, '-', '_' and '.'", s)
		}
	}
	return nil
}

// idBytes are the characters of an ID.
var idBytes = func() (set [256]bool) {
	for c := range set {
		b := byte(c)
		set[c] = 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.'
	}
	return set
}()

// AccountKey, GroupKey and MemberKey are the keys of rows.
func AccountKey(id string) string                { return "a/" + id }
func GroupKey(id string) string                  { return "g/" + id }
func MemberKey(groupID, accountID string) string { return "m/" + groupID + "/" + accountID }

// Key names the fact the row states; a later row with the same key replaces it.
func (r Row) Key() string {
	switch {
	case r.Account != nil:
		return AccountKey(r.Account.ID)
	case r.Group != nil:
		return GroupKey(r.Group.ID)
	case r.Member != nil:
		return MemberKey(r.Member.GroupID, r.Member.AccountID)
	}
	return ""
}

// Line encodes the row, without a newline. Equal rows have equal lines.
func (r Row) Line() []byte {
	var value any = struct{}{}
	switch {
	case r.Account != nil:
		value = r.Account
	case r.Group != nil:
		value = r.Group
	}
	var b bytes.Buffer
	b.Grow(256)
	b.WriteString(`["`)
	b.WriteString(r.Key())
	b.WriteString(`",`)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// Structs of strings, lists of them, numbers and booleans always encode.
	_ = enc.Encode(value)
	b.Truncate(b.Len() - 1)
	b.WriteByte(']')
	return b.Bytes()
}

// GoneLine is the line that says that no row has this key any more.
func GoneLine(key string) []byte { return []byte(`["` + key + `",null]`) }

// Change is one line of a stream: a row as it now is, or that it is gone.
type Change struct {
	// Key is the row's key.
	Key string
	// Line is the row's encoding, nil when the row is gone. A Reader reuses
	// the bytes: they hold until the next change is read.
	Line []byte
	// text is Line once more, or empty.
	text string
}

// ParseChange reads a line. Its errors repeat no value, which may hold a password
// hash. It checks the key's form and finds the value, but
// leaves decoding the value to Row.
func ParseChange(line []byte) (Change, error) {
	c, err := parseChange(string(line), line)
	c.text = ""
	return c, err
}

// parseChange is ParseChange of a line that is there as text too, which the
// change goes on using.
func parseChange(text string, line []byte) (Change, error) {
	rest, ok := strings.CutPrefix(text, `["`)
	if !ok {
		return Change{}, errors.New("the line does not begin with a key")
	}
	key, value, ok := strings.Cut(rest, `",`)
	if !ok || len(value) < 2 || value[len(value)-1] != ']' {
		return Change{}, errors.New("the line is not a key and a value")
	}
	if _, _, _, err := splitKey(key); err != nil {
		return Change{}, err
	}
	if value == "null]" {
		return Change{Key: key}, nil
	}
	return Change{Key: key, Line: line, text: text}, nil
}

// Row decodes the value. It fails for a row that is gone. Fields that this
// version does not know are ignored.
func (c Change) Row() (Row, error) {
	c.text = "" // a row that is kept shall not keep other lines
	return new(Decoder).Row(c)
}

// Decoder decodes one row after the other without making anything for each. A
// row that it returned holds until the next; its texts hold for ever, but keep
// the lines around theirs in memory: clone what is kept for long.
type Decoder struct {
	account Account
	group   Group
	member  Member
}

// Row is Change.Row.
func (d *Decoder) Row(c Change) (Row, error) {
	kind, id, second, err := splitKey(c.Key)
	if err != nil {
		return Row{}, err
	}
	if c.Line == nil {
		return Row{}, fmt.Errorf("row %s is gone and has no value", c.Key)
	}
	if c.text == "" {
		c.text = string(c.Line)
	}
	value := c.text[len(`["`)+len(c.Key)+len(`",`) : len(c.text)-1]
	var row Row
	var into any
	var known bool
	switch kind {
	case 'a':
		d.account = Account{ID: id}
		row.Account, into = &d.account, &d.account
		if known = decodeAccount(value, &d.account); !known {
			d.account = Account{ID: id}
		}
	case 'g':
		d.group = Group{ID: id}
		row.Group, into = &d.group, &d.group
		if known = decodeGroup(value, &d.group); !known {
			d.group = Group{ID: id}
		}
	default:
		d.member = Member{GroupID: id, AccountID: second}
		row.Member, into = &d.member, &struct{}{}
		known = value == "{}"
	}
	if known {
		return row, nil
	}
	if len(value) == 0 || value[0] != '{' {
		return Row{}, fmt.Errorf("row %s: value is not an object", c.Key)
	}
	if err := json.Unmarshal([]byte(value), into); err != nil {
		return Row{}, fmt.Errorf("row %s: %w", c.Key, err)
	}
	if a := row.Account; a != nil {
		// "aliases":[] says the same as no such field.
		if len(a.Aliases) == 0 {
			a.Aliases = nil
		}
		if len(a.Keys) == 0 {
			a.Keys = nil
		}
	}
	return row, nil
}

var errKey = errors.New("a key is a/ID, g/ID or m/ID/ID")

// splitKey takes a key apart: what it is of, and the ID or both.
func splitKey(key string) (kind byte, id, second string, err error) {
	if len(key) < 2 || key[1] != '/' {
		return 0, "", "", badKey(key, errKey)
	}
	kind, id = key[0], key[2:]
	switch kind {
	case 'a', 'g':
		if err := CheckID(id); err != nil {
			return 0, "", "", badKey(key, err)
		}
		return kind, id, "", nil
	case 'm':
		group, account, ok := strings.Cut(id, "/")
		if !ok {
			return 0, "", "", badKey(key, errKey)
		}
		if first, second := CheckID(group), CheckID(account); first != nil || second != nil {
			return 0, "", "", badKey(key, errors.Join(first, second))
		}
		return kind, group, account, nil
	}
	return 0, "", "", badKey(key, errKey)
}

func badKey(key string, err error) error { return fmt.Errorf("key %.150q: %w", key, err) }
