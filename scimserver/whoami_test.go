package scimserver_test

import (
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
)

func TestATokenIsToldWhatItIsAndNothingElse(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	ask := func(text string) *answer {
		h.t.Helper()
		return h.send("GET", "/sync/v1/whoami", "", "Authorization", "Bearer "+text)
	}
	for _, scope := range []scimserver.Scope{scimserver.ScopeSCIM, scimserver.ScopeNodeAdmin, scimserver.ScopeNodeUser, scimserver.ScopeOperator, scimserver.ScopeEnroll} {
		_, text, err := h.steward().AddToken(t.Context(), "the "+string(scope), scope, 2*day)
		if err != nil {
			t.Fatal(err)
		}
		got := ask(text)
		want := `{"name":"the ` + string(scope) + `","scope":"` + string(scope) + `","expires":"2026-03-03T12:00:00Z","now":"2026-03-01T12:00:00Z"}`
		if got.status != 200 || strings.TrimSpace(string(got.body)) != want {
			t.Errorf("%s: %d %s, want %s", scope, got.status, got.body, want)
		}
	}
	_, forever, err := h.steward().AddToken(t.Context(), "for ever", scimserver.ScopeNodeAdmin, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(forever); strings.Contains(string(got.body), "expires") {
		t.Errorf("a token without an end has one: %s", got.body)
	}
	ask("pwb_nobody00_whatever").is(401, "unknown, revoked or expired")
	h.send("GET", "/sync/v1/whoami", "").is(401, "no token")
	_, short, err := h.steward().AddToken(t.Context(), "short", scimserver.ScopeNodeUser, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	clock.pass(time.Hour)
	ask(short).is(401, "unknown, revoked or expired")
	nodes := 0
	if err := h.steward().Nodes(t.Context(), func(scimserver.NodeRecord) error { nodes++; return nil }); err != nil || nodes != 0 {
		t.Errorf("who asks counts as %d nodes seen (%v)", nodes, err)
	}
}
