package scimserver_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// claimed is the body of an enrolment and the node-admin token that it claims.
func claimed(node, mark string) (body, admin string) {
	claim := func(id, secret string) string {
		sum := sha256.Sum256([]byte(secret))
		return fmt.Sprintf(`{"id":%q,"hash":%q}`, id, hex.EncodeToString(sum[:]))
	}
	a, u := "admin"+mark, "user0"+mark
	return fmt.Sprintf(`{"node":%q,"admin":%s,"user":%s}`, node, claim(a, "secret of "+a), claim(u, "secret of "+u)), "pwb_" + a + "_secret of " + a
}

func (h *house) enrolment(uses int, life time.Duration) string {
	h.t.Helper()
	_, text, err := h.steward().AddEnrolment(h.t.Context(), fmt.Sprintf("rack %d", len(h.secrets)), uses, life)
	if err != nil {
		h.t.Fatal(err)
	}
	h.secrets = append(h.secrets, text)
	return text
}

func (h *house) enroll(token, body string) *answer {
	h.t.Helper()
	return h.send("POST", "/enroll/v1", body, "Authorization", "Bearer "+token)
}

// names are those of all tokens but the house's own.
func (h *house) names() string {
	h.t.Helper()
	all, err := h.steward().Tokens(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, t := range all {
		if strings.Contains(t.Name, "@") {
			names = append(names, t.Name+"="+t.ID)
		}
	}
	return strings.Join(names, " ")
}

func (a *answer) is(status int, word string) {
	a.t.Helper()
	if a.status != status || !strings.Contains(string(a.body), word) {
		a.t.Errorf("%s: %d %q, want %d and %q", a.what, a.status, a.body, status, word)
	}
}

func TestANodeIsEnrolledOnceHoweverOftenItAsks(t *testing.T) {
	t.Parallel()
	h := open(t)
	token := h.enrolment(2, time.Hour)
	body, admin := claimed("web1", "aaa")
	report := func() int {
		return h.send("POST", "/sync/v1/node", `{}`, "Authorization", "Bearer "+admin, "Pwb-Node", "web1").status
	}
	if got := report(); got != 401 {
		t.Errorf("before, the token's status is %d", got)
	}
	for range 3 { // the answer was lost twice
		h.enroll(token, body).is(204, "")
	}
	if got, want := h.names(), "node-admin@web1=adminaaa node-user@web1=user0aaa"; got != want {
		t.Errorf("there are %q, want %q", got, want)
	}
	if got := report(); got != 204 {
		t.Errorf("the node's token has status %d", got)
	}
	second, _ := claimed("web2", "bbb")
	h.enroll(token, second).is(204, "")
	third, _ := claimed("web3", "ccc")
	h.enroll(token, third).is(403, "used up")
	h.enroll(token, second).is(204, "") // still a lost answer
	var did []string
	for _, e := range h.events("") {
		if e.Actor != "administrator test" {
			did = append(did, e.Action+" "+e.Name)
		}
	}
	want := "token.create node-admin@web1, token.create node-user@web1, node.enroll web1, token.create node-admin@web2, token.create node-user@web2, node.enroll web2"
	if got := strings.Join(did, ", "); got != want {
		t.Errorf("the audit log has %s, want %s", got, want)
	}
}

func TestAnEnrolledNodeReportsForItselfAlone(t *testing.T) {
	t.Parallel()
	h := open(t)
	token := h.enrolment(1, time.Hour)
	body, admin := claimed("web1", "aaa")
	h.enroll(token, body).is(204, "")
	begin := h.feed().at
	h.newUser("ada")
	h.agent("web2", h.feed().at, "changes", query(h.feed().at, "")) // by a token that many may have
	h.send("POST", "/sync/v1/node", `{}`, "Authorization", "Bearer "+admin, "Pwb-Node", "web2", "Pwb-Position", begin.String()).is(204, "")
	h.tend()
	if got := slices.Sorted(maps.Keys(h.fleet())); !slices.Equal(got, []string{"web1", "web2"}) {
		t.Errorf("the nodes are %q", got)
	}
	if got := h.fleet()["web2"]; got.Position != h.feed().at.Seq {
		t.Errorf("web1 spoke for web2: %+v", got)
	}
}

func TestTokensThatNobodyUsedAreReplacedAndOthersAreNot(t *testing.T) {
	t.Parallel()
	h := open(t)
	token := h.enrolment(9, time.Hour)
	lost, _ := claimed("web1", "aaa")
	body, admin := claimed("web1", "bbb")
	h.enroll(token, lost).is(204, "")
	h.enroll(token, body).is(204, "")
	if got, want := h.names(), "node-admin@web1=adminbbb node-user@web1=user0bbb"; got != want {
		t.Errorf("there are %q, want %q", got, want)
	}
	if a := h.send("POST", "/sync/v1/node", `{}`, "Authorization", "Bearer "+admin, "Pwb-Node", "web1"); a.status != 204 {
		t.Fatalf("the node's token has status %d", a.status)
	}
	for _, written := range []bool{false, true} { // that the token was used
		if written {
			h.tend()
		}
		h.enroll(token, lost).is(409, "in use")
	}
	if err := errors.Join(h.steward().RevokeToken(t.Context(), "node-admin@web1"), h.steward().RevokeToken(t.Context(), "node-user@web1")); err != nil {
		t.Fatal(err)
	}
	h.enroll(token, lost).is(204, "")
	other, _ := claimed("web2", "aaa")
	h.enroll(token, other).is(409, "id is there")
}

func TestEnrolmentsThatAreRefusedChangeNothing(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	token := h.enrolment(2, time.Hour)
	good, _ := claimed("web1", "aaa")
	for scope, other := range h.token {
		want := 403
		if a := h.enroll(other, good); a.status != want {
			t.Errorf("%s: status %d", scope, a.status)
		}
	}
	h.send("POST", "/enroll/v1", good).is(401, "no token")
	for sentence, body := range map[string]string{
		"without a body": "", "that is no JSON": "{", "without a name": `{}`,
		"with a name of blanks":      strings.Replace(good, "web1", "web 1", 1),
		"with a long name":           strings.Replace(good, "web1", strings.Repeat("x", 81), 1),
		"with a name that is a path": strings.Replace(good, "web1", "../x", 1),
		"with an id that is none":    strings.Replace(good, "adminaaa", "admin_aa", 1),
		"with a short hash":          strings.Replace(good, `"hash":"`, `"hash":"00`, 1),
		"that is large":              good + strings.Repeat(" ", 4<<10),
	} {
		if a := h.enroll(token, body); a.status != 400 || len(a.body) == 0 {
			t.Errorf("an enrolment %s: %d %s", sentence, a.status, a.body)
		}
	}
	// An enrolment token opens nothing else.
	for _, path := range []string{"/sync/v1/changes", "/nss/v1/passwd/name/ada", "/scim/v2/Users"} {
		if a := h.send("GET", path, "", "Authorization", "Bearer "+token); a.status != 403 {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	broken := errors.New("the disk is full")
	h.store.broken.Store(&broken)
	h.enroll(token, good).is(500, "log")
	h.store.broken.Store(nil)
	clock.pass(2 * time.Hour)
	h.enroll(token, good).is(401, "expired")
	if got := h.names(); got != "" {
		t.Errorf("there are %q", got)
	}
}

func TestAnEnrolmentTokenIsSpentByAsManyNodesAsItSays(t *testing.T) {
	t.Parallel()
	h := open(t)
	token := h.enrolment(5, 0)
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[int]int{}
	for i := range 12 {
		body, _ := claimed(fmt.Sprintf("web%d", i), fmt.Sprintf("%03d", i))
		wg.Go(func() {
			a := h.enroll(token, body)
			mu.Lock()
			defer mu.Unlock()
			count[a.status]++
		})
	}
	wg.Wait()
	if count[204] != 5 || count[403] != 7 {
		t.Errorf("statuses %v", count)
	}
	if err := h.steward().RevokeToken(t.Context(), h.tokenName(token)); err != nil {
		t.Fatal(err)
	}
	body, _ := claimed("late", "xyz")
	h.enroll(token, body).is(401, "revoked")
}

func TestEnrolmentsAreBounded(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, clock.rule)
	token := h.enrolment(1, time.Hour)
	for range 100 {
		h.enroll(token, `{}`).is(400, "")
	}
	a := h.enroll(token, `{}`)
	if a.is(429, "try again"); a.header.Get("Retry-After") == "" {
		t.Error("it does not say when")
	}
	clock.pass(time.Second)
	h.enroll(token, `{}`).is(400, "")
}

// tokenName finds the name of a token.
func (h *house) tokenName(text string) (name string) {
	h.t.Helper()
	all, err := h.steward().Tokens(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, t := range all {
		if t.ID == strings.Split(text, "_")[1] {
			name = t.Name
		}
	}
	return name
}
