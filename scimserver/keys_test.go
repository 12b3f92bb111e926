package scimserver_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
	"pwb/scimserver/scim"
)

// sshKey is the nth key of its kind, without a comment.
func sshKey(n int) string {
	k := sha256.Sum256([]byte(fmt.Sprint("key ", n)))
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), k[:]...))
}

const keysPath = scim.PosixUserURN + ":sshPublicKeys"

// keyed is the inside of pwb's extension with these keys.
func keyed(lines ...string) string {
	quoted := []string{}
	for _, line := range lines {
		quoted = append(quoted, fmt.Sprintf("%q", line))
	}
	return `"sshPublicKeys":[` + strings.Join(quoted, ",") + `]`
}

// sorted are keys as an account has them.
func sorted(keys ...string) []string {
	slices.Sort(keys)
	return keys
}

func TestSSHKeysComeIntoTheFeedAndLeaveItOneByOne(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.admit("ada", ``, keyed(sshKey(1)+" ada@laptop", sshKey(2)))
	before := h.feed().at
	for _, step := range []struct {
		sentence, method, body string
		want                   []string
	}{
		{"another is added", "PATCH", patch(fmt.Sprintf(`{"op":"add","path":%q,"value":[%q]}`, keysPath, sshKey(3)+" new")), sorted(sshKey(1), sshKey(2), sshKey(3))},
		{"one is removed by its value", "PATCH", patch(fmt.Sprintf(`{"op":"remove","path":"%s[value eq \"%s\"]"}`, keysPath, sshKey(1)+" ada@laptop")), sorted(sshKey(2), sshKey(3))},
		{"one is replaced", "PATCH", patch(fmt.Sprintf(`{"op":"replace","path":"%s[value eq \"%s\"]","value":%q}`, keysPath, sshKey(2), sshKey(4))), sorted(sshKey(3), sshKey(4))},
		{"all are replaced by a PUT", "PUT", person("ada", ``, keyed(sshKey(5))), sorted(sshKey(5))},
		{"a PUT with the extension that names none takes all", "PUT", person("ada", ``, ``), nil},
		{"and they come back", "PUT", person("ada", ``, keyed(sshKey(5), sshKey(6))), sorted(sshKey(5), sshKey(6))},
		{"all are removed by a PATCH", "PATCH", patch(fmt.Sprintf(`{"op":"remove","path":%q}`, keysPath)), nil},
	} {
		h.do(step.method, "/Users/"+ada, step.body).ok(200)
		f := h.feed()
		if got := f.account(t, ada).Keys; !slices.Equal(got, step.want) {
			t.Errorf("%s: the account has %q, want %q", step.sentence, got, step.want)
		}
		if f.at.Seq != before.Seq+1 {
			t.Errorf("%s: the feed went from %d to %d", step.sentence, before.Seq, f.at.Seq)
		}
		before = f.at
	}
	h.do("PATCH", "/Users/"+ada, patch(fmt.Sprintf(`{"op":"add","path":%q,"value":[%q]}`, keysPath, sshKey(7)))).ok(200)
	h.do("PUT", "/Users/"+ada, `{"userName":"ada","title":"Countess"}`).ok(200)
	if a := h.account(ada); !slices.Equal(a.Keys, sorted(sshKey(7))) {
		t.Errorf("a PUT of a provider that does not know the extension leaves %q", a.Keys)
	}
	h.do("PUT", "/Users/"+ada, fmt.Sprintf(`{"userName":"ada","%s":null}`, keysPath)).ok(200)
	if a := h.account(ada); a.Keys != nil {
		t.Errorf("a PUT with null leaves %q", a.Keys)
	}
	h.do("PATCH", "/Users/"+ada, patch(fmt.Sprintf(`{"op":"add","path":%q,"value":[%q,%q]}`, keysPath, sshKey(6)+" six", sshKey(5)))).ok(200)
	one := h.account(ada)
	h.do("PUT", "/Users/"+ada, person("ada", ``, keyed(sshKey(5)+" five", sshKey(6), sshKey(6)+" again"))).ok(200)
	if two := h.account(ada); !slices.Equal(one.Keys, two.Keys) || len(two.Keys) != 2 {
		t.Errorf("the same keys in another order, with other comments: %q and %q", one.Keys, two.Keys)
	}
}

func TestKeysThatSSHDWouldReadOtherwiseAreRefusedAndNothingChanges(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.admit("ada", ``, keyed(sshKey(1)))
	var many []string
	for n := range roster.MaxKeys + 1 {
		many = append(many, sshKey(n))
	}
	for sentence, c := range map[string]struct {
		keys []string
		says []string
	}{
		"a forced command":   {[]string{sshKey(2), `command="sh" ` + sshKey(3)}, []string{"sshPublicKeys", "key 2 of 2", "options"}},
		"no base64":          {[]string{"ssh-ed25519 *"}, []string{"key 1 of 1", "base64"}},
		"an old type":        {[]string{"ssh-dss AAAA"}, []string{"key 1 of 1", "ssh-dss"}},
		"more than may be":   {many, []string{"sshPublicKeys", "33 keys"}},
		"something else":     {[]string{"hello"}, []string{"key 1 of 1", "no type"}},
		"a key of two lines": {[]string{sshKey(2) + "\n" + sshKey(3)}, []string{"sshPublicKeys"}},
	} {
		h.changesNothing(sentence, func() {
			h.do("POST", "/Users", person("bob", ``, keyed(c.keys...))).fails(400, "invalidValue").says(c.says...)
			h.do("PUT", "/Users/"+ada, person("ada", ``, keyed(c.keys...))).fails(400, "invalidValue").says(c.says...)
			h.do("PATCH", "/Users/"+ada, patch(fmt.Sprintf(`{"op":"replace","path":%q,"value":%s}`, keysPath, strings.TrimPrefix(keyed(c.keys...), `"sshPublicKeys":`)))).fails(400, "invalidValue")
		})
	}
}

func TestWhoIsLockedIsLockedThoughAKeyIsRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.admit("ada", ``, keyed(sshKey(1)))
	h.do("PUT", "/Users/"+ada, person("ada", ``, keyed("hello"), `"active":false,`)).ok(200).has("active", false)
	if a := h.account(ada); !a.Locked || a.Keyed() {
		t.Errorf("account %+v", a)
	}
}

func TestKeysOfWhoIsDeletedDoNotComeBackByThemselves(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.admit("ada", ``, keyed(sshKey(1)), `"externalId":"e1",`)
	h.do("DELETE", "/Users/"+ada, "").ok(204)
	if a := h.account(ada); len(a.Keys) != 0 || !a.Locked {
		t.Errorf("deleted: %+v", a)
	}
	h.do("POST", "/Users", person("ada", ``, keyed(sshKey(2)), `"externalId":"e1",`)).ok(201).has("id", ada)
	if a := h.account(ada); !slices.Equal(a.Keys, sorted(sshKey(2))) || a.Locked {
		t.Errorf("back again: %+v", a)
	}
}

// TestKeysThatAnOlderServerStored are honoured from the user's next change on, though
// that be none, and those of no use are in nobody's way.
func TestKeysThatAnOlderServerStored(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.newUser("ada")
	h.raw(`UPDATE resources SET doc = json_set(doc, '$."'||?||'"', json(?)) WHERE id = ?`, scim.PosixUserURN, "{"+keyed("hello", sshKey(1))+"}", ada)
	if a := h.account(ada); len(a.Keys) != 0 {
		t.Fatalf("account %+v", a)
	}
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	if a := h.account(ada); !slices.Equal(a.Keys, sorted(sshKey(1))) {
		t.Errorf("after a change that is none: %+v", a)
	}
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	if a := h.account(ada); !a.Locked {
		t.Errorf("account %+v", a)
	}
}

func TestTheAuditLogAndAdministratorsSeeWhichKeysThereAre(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.newUser("ada")
	e := h.heard(func() { h.do("PUT", "/Users/"+ada, person("ada", ``, keyed(sshKey(1)))).ok(200) })
	if got, want := changed(t, e)["account.keys"], fmt.Sprintf("null %q", roster.KeyFingerprint(sshKey(1))); got != want {
		t.Errorf("the event says %s, want %s", got, want)
	}
	if u := h.record("ada"); !slices.Equal(u.Keys, []string{sshKey(1)}) {
		t.Errorf("record %+v", u)
	}
}
