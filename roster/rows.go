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
//	["a/ID",{"name":"adela",…,"aliases":["ada"]}]
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
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("id %q may have only letters, digits, '-', '_' and '.'", s)
		}
	}
	return nil
}

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
}

// ParseChange reads a line. Its errors repeat no value, which may hold a password
// hash. It checks the key's form and finds the value, but
// leaves decoding the value to Row.
func ParseChange(line []byte) (Change, error) {
	rest, ok := bytes.CutPrefix(line, []byte(`["`))
	if !ok {
		return Change{}, errors.New("the line does not begin with a key")
	}
	key, value, ok := bytes.Cut(rest, []byte(`",`))
	if !ok || len(value) < 2 || value[len(value)-1] != ']' {
		return Change{}, errors.New("the line is not a key and a value")
	}
	c := Change{Key: string(key), Line: line}
	if _, err := splitKey(c.Key); err != nil {
		return Change{}, err
	}
	if string(value) == "null]" {
		c.Line = nil
	}
	return c, nil
}

// Row decodes the value. It fails for a row that is gone. Fields that this
// version does not know are ignored.
func (c Change) Row() (Row, error) {
	row, err := splitKey(c.Key)
	if err != nil {
		return Row{}, err
	}
	if c.Line == nil {
		return Row{}, fmt.Errorf("row %s is gone and has no value", c.Key)
	}
	value := c.Line[len(`["`)+len(c.Key)+len(`",`) : len(c.Line)-1]
	var into any = &struct{}{}
	switch {
	case row.Account != nil:
		into = row.Account
	case row.Group != nil:
		into = row.Group
	}
	if len(value) == 0 || value[0] != '{' {
		return Row{}, fmt.Errorf("row %s: value is not an object", c.Key)
	}
	if err := json.Unmarshal(value, into); err != nil {
		return Row{}, fmt.Errorf("row %s: %w", c.Key, err)
	}
	if a := row.Account; a != nil && len(a.Aliases) == 0 {
		a.Aliases = nil // "aliases":[] says the same as no such field
	}
	return row, nil
}

var errKey = errors.New("a key is a/ID, g/ID or m/ID/ID")

func splitKey(key string) (Row, error) {
	bad := func(err error) (Row, error) { return Row{}, fmt.Errorf("key %.150q: %w", key, err) }
	kind, id, ok := strings.Cut(key, "/")
	if !ok || len(kind) != 1 {
		return bad(errKey)
	}
	switch kind {
	case "a", "g":
		if err := CheckID(id); err != nil {
			return bad(err)
		}
		if kind == "a" {
			return Row{Account: &Account{ID: id}}, nil
		}
		return Row{Group: &Group{ID: id}}, nil
	case "m":
		group, account, ok := strings.Cut(id, "/")
		if !ok {
			return bad(errKey)
		}
		if err := errors.Join(CheckID(group), CheckID(account)); err != nil {
			return bad(err)
		}
		return Row{Member: &Member{GroupID: group, AccountID: account}}, nil
	}
	return bad(errKey)
}
