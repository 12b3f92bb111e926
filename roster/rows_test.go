package roster_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

func TestCheckID(t *testing.T) {
	for _, c := range []struct {
		sentence, id string
		ok           bool
	}{
		{"a UUID is an id", "0192f0c1-7c4b-7d2e-9a55-3f1f7b1f0a11", true},
		{"dots, dashes and underscores are allowed", "a.B-c_9", true},
		{"sixty-four characters are allowed", strings.Repeat("a", 64), true},
		{"sixty-five are too many", strings.Repeat("a", 65), false},
		{"nothing is no id", "", false},
		{"a slash would split the key", "a/b", false},
		{"a quote would end the key", `a"b`, false},
		{"a backslash would escape in the key", `a\b`, false},
		{"a newline would end the line", "a\nb", false},
		{"other letters are refused", "ä", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if err := roster.CheckID(c.id); (err == nil) != c.ok {
				t.Errorf("CheckID(%q) = %v", c.id, err)
			}
		})
	}
}

func TestRowsHaveTheLinesThatAreDocumented(t *testing.T) {
	for _, c := range []struct {
		sentence string
		row      roster.Row
		key      string
		line     string
	}{
		{
			"an account without anything special is short",
			roster.Row{Account: &roster.Account{ID: "u1", Name: "ada", UID: 1000, GID: 1000, Home: "/home/ada", Shell: "/bin/bash"}},
			"a/u1",
			`["a/u1",{"name":"ada","uid":1000,"gid":1000,"home":"/home/ada","shell":"/bin/bash"}]`,
		},
		{
			"an account with everything says everything",
			roster.Row{Account: &roster.Account{ID: "u1", Name: "ada", UID: 1, GID: 2, Gecos: "A & <B>", Home: "/h", Shell: "/s", Hash: "$6$x", Locked: true, Expire: 3}},
			"a/u1",
			`["a/u1",{"name":"ada","uid":1,"gid":2,"gecos":"A & <B>","home":"/h","shell":"/s","hash":"$6$x","locked":true,"expire":3}]`,
		},
		{
			"aliases come last, in their own order",
			roster.Row{Account: &roster.Account{ID: "u1", Name: "ada", UID: 1, GID: 2, Home: "/h", Shell: "/s", Aliases: []string{"b", "a"}}},
			"a/u1",
			`["a/u1",{"name":"ada","uid":1,"gid":2,"home":"/h","shell":"/s","aliases":["b","a"]}]`,
		},
		{
			"no aliases and an empty list of them are the same",
			roster.Row{Account: &roster.Account{ID: "u1", Name: "ada", UID: 1, GID: 2, Home: "/h", Shell: "/s", Aliases: []string{}}},
			"a/u1",
			`["a/u1",{"name":"ada","uid":1,"gid":2,"home":"/h","shell":"/s"}]`,
		},
		{
			"a group has a name and a number",
			roster.Row{Group: &roster.Group{ID: "g1", Name: "eng", GID: 1001}},
			"g/g1",
			`["g/g1",{"name":"eng","gid":1001}]`,
		},
		{
			"a membership is all in its key",
			roster.Row{Member: &roster.Member{GroupID: "g1", AccountID: "u1"}},
			"m/g1/u1",
			`["m/g1/u1",{}]`,
		},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if c.row.Key() != c.key {
				t.Errorf("key %q, want %q", c.row.Key(), c.key)
			}
			if string(c.row.Line()) != c.line {
				t.Errorf("line %s, want %s", c.row.Line(), c.line)
			}
			if !json.Valid(c.row.Line()) {
				t.Error("the line is not JSON")
			}
		})
	}
	if (roster.Row{}).Key() != "" {
		t.Error("a row of nothing has a key")
	}
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := row().Draw(t, "row")
		line := r.Line()
		if bytes.ContainsRune(line, '\n') || !json.Valid(line) {
			t.Fatalf("line %q is not one line of JSON", line)
		}
		c, err := roster.ParseChange(line)
		if err != nil {
			t.Fatal(err)
		}
		if c.Key != r.Key() || !bytes.Equal(c.Line, line) {
			t.Fatalf("change %q %q of row %q %q", c.Key, c.Line, r.Key(), line)
		}
		back, err := c.Row()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, r) {
			t.Fatalf("%s came back as %s", line, back.Line())
		}
		gone, err := roster.ParseChange(roster.GoneLine(r.Key()))
		if err != nil || gone.Key != r.Key() || gone.Line != nil {
			t.Fatalf("gone: %+v, %v", gone, err)
		}
		if _, err := gone.Row(); err == nil {
			t.Fatal("a row that is gone has a value")
		}
	})
}

func TestFieldsOfLaterVersionsAreKeptInTheLineAndIgnoredInTheRow(t *testing.T) {
	line := []byte(`["a/u1",{"name":"ada","uid":1000,"gid":1000,"home":"/h","shell":"/s","badge":{"no":7}}]`)
	c, err := roster.ParseChange(line)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(c.Line, []byte("badge")) {
		t.Error("the line has lost what this version does not know, and with it the digest")
	}
	r, err := c.Row()
	if err != nil || r.Account.Name != "ada" || r.Account.UID != 1000 {
		t.Errorf("row %+v, %v", r.Account, err)
	}
}

func TestRowsAreReadWithAndWithoutAliases(t *testing.T) {
	for _, c := range []struct {
		sentence, field string
		want            []string
	}{
		{"a row of a server that knows no aliases has none", ``, nil},
		{"aliases keep their order", `,"aliases":["b","a"]`, []string{"b", "a"}},
		{"an empty list is none", `,"aliases":[]`, nil},
		{"null is none", `,"aliases":null`, nil},
		{"an alias that is no name is for the renderer to refuse", `,"aliases":["","A:b"]`, []string{"", "A:b"}},
		{"beside an unknown field they are read as well", `,"badge":{"no":7},"aliases":["a"],"more":[1]`, []string{"a"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			line := []byte(`["a/u1",{"name":"ada","uid":1000,"gid":1000,"home":"/h","shell":"/s"` + c.field + `}]`)
			change, err := roster.ParseChange(line)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(change.Line, line) {
				t.Errorf("the line became %s, and with it the digest another", change.Line)
			}
			r, err := change.Row()
			if err != nil {
				t.Fatal(err)
			}
			want := &roster.Account{ID: "u1", Name: "ada", UID: 1000, GID: 1000, Home: "/h", Shell: "/s", Aliases: c.want}
			if !reflect.DeepEqual(r.Account, want) {
				t.Errorf("row %+v, not %+v", r.Account, want)
			}
		})
	}
}

func TestLinesThatAreNoChange(t *testing.T) {
	for sentence, line := range map[string]string{
		"nothing":                      ``,
		"an object":                    `{"a/u1":{}}`,
		"no key":                       `["`,
		"no value":                     `["a/u1"]`,
		"an empty value":               `["a/u1",]`,
		"no end":                       `["a/u1",{}`,
		"an empty key":                 `["",{}]`,
		"a key without an id":          `["a/",{}]`,
		"a key without a kind":         `["/u1",{}]`,
		"an unknown kind":              `["x/u1",{}]`,
		"a kind of two letters":        `["aa/u1",{}]`,
		"an account with two ids":      `["a/u1/u2",{}]`,
		"a membership with one id":     `["m/g1",{}]`,
		"a membership with three ids":  `["m/g1/u1/x",{}]`,
		"a membership without account": `["m/g1/",{}]`,
		"an id with a space":           `["a/u 1",{}]`,
		"an id that is escaped":        `["a/\u0061",{}]`,
		"space before the key":         `[ "a/u1",{}]`,
		"an id that is too long":       `["a/` + strings.Repeat("x", 65) + `",{}]`,
	} {
		t.Run(sentence, func(t *testing.T) {
			if c, err := roster.ParseChange([]byte(line)); err == nil {
				t.Errorf("%q was read as %+v", line, c)
			}
		})
	}
}

func TestValuesThatAreNoRow(t *testing.T) {
	for sentence, line := range map[string]string{
		"a number":             `["a/u1",7]`,
		"a list":               `["a/u1",[]]`,
		"garbage":              `["a/u1",{x]`,
		"two values":           `["a/u1",{},{}]`,
		"a uid of text":        `["a/u1",{"uid":"0"}]`,
		"a negative uid":       `["a/u1",{"uid":-1}]`,
		"a uid over 32 bits":   `["a/u1",{"uid":4294967296}]`,
		"a uid with a point":   `["a/u1",{"uid":1.5}]`,
		"a member of nothing":  `["m/g/u",true]`,
		"a null with a space":  `["a/u1", null]`,
		"an object after all":  `["a/u1"," {}]`,
		"a name that is a map": `["g/g1",{"name":{}}]`,
		"aliases of text":      `["a/u1",{"aliases":"ada"}]`,
		"an alias of a number": `["a/u1",{"aliases":[7]}]`,
	} {
		t.Run(sentence, func(t *testing.T) {
			c, err := roster.ParseChange([]byte(line))
			if err != nil {
				return
			}
			if r, err := c.Row(); err == nil {
				t.Errorf("%q was read as %+v", line, r)
			}
		})
	}
}

func TestKeysSortAccountsThenGroupsThenMembersByGroup(t *testing.T) {
	keys := []string{
		roster.MemberKey("g2", "a1"), roster.MemberKey("g1", "a2"), roster.MemberKey("g1", "a1"),
		roster.GroupKey("a"), roster.AccountKey("z"), roster.AccountKey("b"),
	}
	slices.Sort(keys)
	want := []string{"a/b", "a/z", "g/a", "m/g1/a1", "m/g1/a2", "m/g2/a1"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys sort as %v, want %v", keys, want)
	}
}

func TestMembersOfOneGroupStandTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.StringMatching(`[a-b.-]{1,3}`)
		var keys []string
		for range 30 {
			keys = append(keys, roster.MemberKey(few.Draw(t, "group"), few.Draw(t, "account")))
		}
		slices.Sort(keys)
		seen, last := map[string]bool{}, ""
		for _, key := range keys {
			group := strings.Split(key, "/")[1]
			if group != last && seen[group] {
				t.Fatalf("group %s comes twice in %v", group, keys)
			}
			seen[group], last = true, group
		}
	})
}

func TestPrivateGroup(t *testing.T) {
	if !(roster.Account{UID: 1000, GID: 1000}).PrivateGroup() || (roster.Account{UID: 1000, GID: 100}).PrivateGroup() {
		t.Error("a group is private exactly when its number is the uid")
	}
}

func TestEffect(t *testing.T) {
	e := roster.Effect{Before: 3, After: 0, Removed: 3, Locked: 2, Renumbered: 1, Added: 9, Changed: 7}
	if e.Harm() != 6 {
		t.Errorf("harm is %d", e.Harm())
	}
	for sentence, c := range map[string]struct {
		effect roster.Effect
		want   bool
	}{
		"all going empties":               {e, true},
		"one that stays does not empty":   {roster.Effect{Before: 3, After: 1, Removed: 2}, false},
		"others that come do not empty":   {roster.Effect{Before: 3, After: 3, Removed: 3, Added: 3}, false},
		"files that are empty stay empty": {roster.Effect{}, false},
	} {
		if c.effect.Empties() != c.want {
			t.Errorf("%s: %v", sentence, c.effect)
		}
	}
	if s := e.String(); !strings.HasPrefix(s, "accounts 3 -> 0: 9 added, 3 removed, 2 locked, 1 renumbered, 7 changed") {
		t.Errorf("String() = %q", s)
	}
}
