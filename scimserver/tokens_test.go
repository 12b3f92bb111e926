package scimserver_test

import (
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

// bearing asks for users with a token.
func (h *house) bearing(token string) int {
	h.t.Helper()
	return h.send("GET", "/scim/v2/Users", "", "Authorization", "Bearer "+token).status
}

func TestATokenEndsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	made, text, err := h.steward().AddToken(t.Context(), "idp", scimserver.ScopeSCIM, day)
	if err != nil || !made.Expires.Equal(clock.now().Add(day)) {
		t.Fatalf("%+v, %v", made, err)
	}
	h.secrets = append(h.secrets, text)
	if got := h.bearing(text); got != 200 {
		t.Errorf("status %d", got)
	}
	clock.pass(day - time.Millisecond)
	if got := h.bearing(text); got != 200 {
		t.Errorf("just before its end: status %d", got)
	}
	clock.pass(time.Millisecond)
	if got := h.bearing(text); got != 401 {
		t.Errorf("at its end: status %d", got)
	}
}

func TestARevokedTokenIsRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	op := h.steward()
	_, text, err := op.AddToken(t.Context(), "idp", scimserver.ScopeSCIM, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.secrets = append(h.secrets, text)
	if _, _, err := op.AddToken(t.Context(), "idp", scimserver.ScopeSCIM, 0); err == nil || !strings.Contains(err.Error(), "idp") {
		t.Errorf("a second token of the name: %v", err)
	}
	for _, bad := range []struct {
		name  string
		scope scimserver.Scope
	}{{"", scimserver.ScopeSCIM}, {"a\nb", scimserver.ScopeSCIM}, {strings.Repeat("x", 101), scimserver.ScopeSCIM}, {"x", "everything"}} {
		if _, _, err := op.AddToken(t.Context(), bad.name, bad.scope, 0); err == nil {
			t.Errorf("a token %q of scope %q was made", bad.name, bad.scope)
		}
	}
	if err := op.RevokeToken(t.Context(), "idp"); err != nil {
		t.Fatal(err)
	}
	if got := h.bearing(text); got != 401 {
		t.Errorf("status %d", got)
	}
	if err := op.RevokeToken(t.Context(), "idp"); err == nil || !strings.Contains(err.Error(), "idp") {
		t.Errorf("revoked twice: %v", err)
	}
	var told []string
	for _, e := range h.events("") {
		told = append(told, fmt.Sprint(e.Actor, " ", e.Action, " ", e.Name, " ", strings.Contains(string(e.Changes), "scim")))
	}
	if want := "[administrator test token.create idp true administrator test token.revoke idp true]"; fmt.Sprint(told) != want {
		t.Errorf("events %v, want %v", told, want)
	}
	all, err := op.Tokens(t.Context())
	if err != nil || len(all) != 4 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestUsesOfTokensAreWrittenDownOnlyNowAndThen(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	h.newUser("ada")
	db, err := sql.Open("sqlite", filepath.Join(h.dir, sqlite.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // it is the connection's own count
	version := func() (n int64) {
		t.Helper()
		if err := db.QueryRow(`PRAGMA data_version`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	used := func() (at time.Time) {
		t.Helper()
		all, err := h.steward().Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range all {
			if k.Scope == scimserver.ScopeSCIM {
				at = k.Used
			}
		}
		return at
	}
	h.tend()
	first, before, at := used(), version(), h.feed().at
	if !first.Equal(clock.now()) {
		t.Errorf("used %v, want %v", first, clock.now())
	}
	clock.pass(time.Hour)
	for range 10 {
		h.do("GET", "/Users", "").ok(200)
	}
	if version() != before || h.feed().at != at || !used().Equal(first) {
		t.Errorf("reading wrote: data version %d became %d, %v became %v", before, version(), at, h.feed().at)
	}
	h.tend()
	if version() == before || h.feed().at != at || !used().Equal(clock.now()) {
		t.Errorf("used %v, want %v", used(), clock.now())
	}
	after := version()
	h.send("GET", "/scim/v2/Users", "", "Authorization", "Bearer "+h.token[scimserver.ScopeSCIM]+"x")
	for range 2 { // who is refused has used nothing; the agents' tokens are told of once
		h.tend()
	}
	if got := version(); got > after+1 {
		t.Errorf("data version %d became %d", after, got)
	}
	if n := len(h.events("")); n != 1 {
		t.Errorf("there are %d events", n)
	}
}

func TestATokenFromAFileWorksUntilTheFileChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	h := open(t, func(c *scimserver.Config) { c.TokenFile = file })
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	first, second := strings.Repeat("first-", 6), strings.Repeat("second!", 5)
	h.secrets = append(h.secrets, first, second)
	if err := h.server.TendOnce(t.Context()); err == nil || !strings.Contains(err.Error(), "scim-token-file") {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, c := range []struct {
		text string
		mode os.FileMode
		says string
	}{
		{first, 0o644, "chmod"}, {first, 0o604, "chmod"}, {first, 0o602, "chmod"}, {strings.Repeat("x", 31), 0o600, "32 to 1024"},
		{strings.Repeat("x", 1025), 0o600, "1024"}, {strings.Repeat("x", 2000), 0o600, "1024"}, {"two words " + first, 0o600, "blanks"}, {"\n", 0o600, "32 to 1024"}, {"", 0o600, "no token"},
		{strings.Repeat("ü", 32), 0o600, "ASCII"},
	} {
		write(c.text, c.mode)
		err := h.server.TendOnce(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), first) {
			t.Errorf("%.40q with mode %o: %v", c.text, c.mode, err)
		}
		if c.text == first && h.bearing(first) != 401 {
			t.Errorf("the token works with mode %o", c.mode)
		}
	}
	write(first+"\n", 0o600)
	h.tend()
	if got := h.bearing(first); got != 200 {
		t.Errorf("status %d", got)
	}
	if got := h.send("GET", "/scim/v2/Users", "", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("okta:"+first))).status; got != 200 {
		t.Errorf("as a password: status %d", got)
	}
	events := len(h.events(""))
	h.tend()
	if n := len(h.events("")); n != events {
		t.Errorf("the same file made %d events more", n-events)
	}
	write(second, 0o640)
	h.tend()
	if one, two := h.bearing(first), h.bearing(second); one != 401 || two != 200 {
		t.Errorf("the old token is answered with %d, the new one with %d", one, two)
	}
	// A file that cannot be used any more leaves what there is.
	write(first, 0o644)
	if err := h.server.TendOnce(t.Context()); err == nil {
		t.Error("a file that everybody reads was used")
	}
	if got := h.bearing(second); got != 200 {
		t.Errorf("status %d", got)
	}
	var told []string
	for _, e := range h.events("") {
		told = append(told, e.Actor+" "+e.Action+" "+e.Name)
	}
	if want := "server token.create scim-token-file, server token.create scim-token-file"; strings.Join(told, ", ") != want {
		t.Errorf("events %v", told)
	}
}
