package scimserver_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
)

// tokens believes ID tokens of the form SUB USERNAME.
type tokens struct{ err error }

func (v tokens) VerifyIDToken(_ context.Context, token string) (scimserver.Claims, scimserver.Once, error) {
	sub, username, _ := strings.Cut(token, " ")
	return vouched(sub, username), scimserver.Once{Digest: sha256.Sum256([]byte(token)), Until: time.Now().Add(time.Hour)}, v.err
}

func believing(c *scimserver.Config) { c.Registers, c.IDTokens = true, tokens{} }

// post sends a registration with a token of a scope, and returns what the answer
// holds.
func (h *house) postRegister(scope scimserver.Scope, status int, body string) map[string]any {
	h.t.Helper()
	if h.token[scope] == "" {
		h.token[scope] = h.newToken("test "+string(scope), scope, time.Now(), 0)
	}
	return h.postRegisterAs(h.token[scope], status, body)
}

func (h *house) postRegisterAs(token string, status int, body string) map[string]any {
	h.t.Helper()
	a := h.send("POST", "/jit/v1/register", body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	if a.status != status || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		h.t.Fatalf("%s: status %d, want %d, header %v: %s", body, a.status, status, a.header, a.body)
	}
	var answer map[string]any
	if err := json.Unmarshal(a.body, &answer); err != nil {
		h.t.Fatal(err)
	}
	return answer
}

func TestAPortalRegistersWithAnIDTokenOnce(t *testing.T) {
	t.Parallel()
	h := open(t, believing)
	got := h.postRegister(scimserver.ScopeJIT, 200, `{"id_token":"1 ada"}`)
	if got["name"] != "ada" || got["uid"] != 1000.0 || got["gid"] != 1000.0 || got["home"] != "/home/ada" || got["created"] != true || fmt.Sprint(got["groups"]) != "[]" ||
		fmt.Sprint(got["rendered"]) != "map[nodes:0 shown:0]" || got["position"] == nil {
		t.Errorf("the answer is %v", got)
	}
	if got := h.postRegister(scimserver.ScopeJIT, 409, `{"id_token":"1 ada"}`); got["error"] != "replayed" {
		t.Errorf("the token once more: %v", got)
	}
	if got := h.postRegister(scimserver.ScopeJIT, 409, `{"id_token":"2 ada"}`); got["error"] != "taken" {
		t.Errorf("another person's token: %v", got)
	}
	if _, err := h.steward().Lock(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	if got := h.postRegister(scimserver.ScopeJIT, 403, `{"id_token":"1 ada@elsewhere"}`); got["error"] != "locked" {
		t.Errorf("who is locked: %v", got)
	}
	for _, e := range h.events("") {
		if e.Action == "user.create" && e.Actor != "jit:"+issuer+" by token test jit" {
			t.Errorf("it is written to %q", e.Actor)
		}
	}
}

func TestAFrontEndNamesPeople(t *testing.T) {
	t.Parallel()
	h := open(t, believing)
	got := h.postRegister(scimserver.ScopeJITProxy, 200, `{"username":"ada","name":"Ada Lovelace","groups":["Engine","sudo"]}`)
	if got["gecos"] != "Ada Lovelace" || fmt.Sprint(got["groups"]) != "[engine]" || fmt.Sprint(got["skipped_groups"]) != "[sudo]" {
		t.Errorf("the answer is %v", got)
	}
	if got := h.postRegister(scimserver.ScopeJITProxy, 200, `{"username":"ada"}`); got["created"] != false || fmt.Sprint(got["groups"]) != "[engine]" {
		t.Errorf("once more: %v", got)
	}
	// A name of the front end's own outlives a change of the username.
	first := h.postRegister(scimserver.ScopeJITProxy, 200, `{"username":"grace","subject":"g-1"}`)
	second := h.postRegister(scimserver.ScopeJITProxy, 200, `{"username":"hopper","subject":"g-1"}`)
	if first["uid"] != second["uid"] || second["name"] != "hopper" {
		t.Errorf("first %v, then %v", first, second)
	}
}

func TestEachScopeRegistersInItsOwnWay(t *testing.T) {
	t.Parallel()
	h := open(t, believing)
	h.changesNothing("what is refused", func() {
		for _, scope := range []scimserver.Scope{scimserver.ScopeSCIM, scimserver.ScopeNodeAdmin, scimserver.ScopeNodeUser, scimserver.ScopeOperator} {
			h.postRegister(scope, 403, `{"username":"ada"}`)
			h.postRegister(scope, 403, `{"id_token":"1 ada"}`)
		}
		h.postRegister(scimserver.ScopeJIT, 400, `{"username":"ada"}`)
		h.postRegister(scimserver.ScopeJIT, 400, `{"id_token":"1 ada","username":"root"}`)
		h.postRegister(scimserver.ScopeJIT, 400, `{"id_token":"1 ada","groups":["prod"]}`)
		h.postRegister(scimserver.ScopeJITProxy, 400, `{"id_token":"1 ada"}`)
		h.postRegister(scimserver.ScopeJITProxy, 400, `{"username":""}`)
		h.postRegister(scimserver.ScopeJITProxy, 400, `{"username":"ada"}{"username":"grace"}`)
		h.postRegister(scimserver.ScopeJITProxy, 400, `{"username":"ada","uid":0}`)
		h.postRegister(scimserver.ScopeJITProxy, 400, `["ada"]`)
		h.postRegister(scimserver.ScopeJITProxy, 413, `{"username":"`+strings.Repeat("a", 200_000)+`"}`)
		if a := h.send("POST", "/jit/v1/register", `{"username":"ada"}`); a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("without a token: %d", a.status)
		}
		for _, scope := range []scimserver.Scope{scimserver.ScopeJIT, scimserver.ScopeJITProxy} {
			if a := h.send("GET", "/scim/v2/Users", "", "Authorization", "Bearer "+h.token[scope]); a.status != 403 {
				t.Errorf("a token of scope %s reads users: %d", scope, a.status)
			}
			if a := h.send("GET", "/sync/v1/snapshot", "", "Authorization", "Bearer "+h.token[scope]); a.status != 403 {
				t.Errorf("a token of scope %s reads the feed: %d", scope, a.status)
			}
		}
	})
	h.again() // off
	if a := h.send("POST", "/jit/v1/register", `{"username":"ada"}`, "Authorization", "Bearer "+h.token[scimserver.ScopeJITProxy]); a.status != 404 {
		t.Errorf("where it is off: %d", a.status)
	}
}

func TestAProviderThatIsAwayIsNoFaultOfThePortal(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) {
		c.Registers, c.IDTokens = true, tokens{fmt.Errorf("%w: no route", scimserver.ErrAway)}
	})
	if got := h.postRegister(scimserver.ScopeJIT, 503, `{"id_token":"1 ada"}`); strings.Contains(fmt.Sprint(got), "no route") {
		t.Errorf("the portal is told %v", got)
	}
	h.again(registering)
	h.postRegister(scimserver.ScopeJIT, 400, `{"id_token":"1 ada"}`)
}

func TestARateHoldsForRegistrations(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, believing, clock.rule, func(c *scimserver.Config) { c.RateLimit, c.RateBurst = 1, 2 })
	for range 2 {
		h.postRegister(scimserver.ScopeJITProxy, 200, `{"username":"ada"}`)
	}
	h.postRegister(scimserver.ScopeJITProxy, 429, `{"username":"ada"}`)
	clock.pass(time.Second)
	h.postRegister(scimserver.ScopeJITProxy, 200, `{"username":"ada"}`)
}

// follow is a request of an agent that waits, at a position.
func (h *house) follow(ctx context.Context, node string, at feed) <-chan int {
	h.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", h.http.URL+"/sync/v1/changes"+query(at.at, "&wait=30s"), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin])
	req.Header.Set("Pwb-Node", node)
	req.Header.Set("Pwb-Position", at.at.String())
	status := make(chan int, 1)
	go func() {
		res, err := h.http.Client().Do(req)
		if err != nil {
			status <- 0
			return
		}
		res.Body.Close()
		status <- res.StatusCode
	}()
	return status
}

func TestARegistrationWaitsForTheNodesThatFollow(t *testing.T) {
	t.Parallel()
	h := open(t, registering, func(c *scimserver.Config) { c.RegisterWait = 30 * time.Second })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := h.feed()
	var told []<-chan int
	for _, node := range []string{"n1", "n2"} {
		told = append(told, h.follow(ctx, node, before))
		<-h.arrived
	}
	h.sync("changes", query(before.at, ""), "Pwb-Node", "cron", "Pwb-Position", before.at.String())
	for h.server.Rendered(ctx, scimserver.Registration{Position: before.at}).Nodes < 2 {
		// The requests have arrived, and are noted before they wait.
	}
	reg := h.register(vouched("1", "ada"))
	for _, status := range told {
		if got := <-status; got != 200 {
			t.Fatalf("a node that waits is answered %d", got)
		}
	}
	done := make(chan scimserver.Rendering, 1)
	go func() { done <- h.server.Rendered(ctx, reg) }()
	after := h.feed()
	for _, node := range []string{"n1", "n2"} {
		select {
		case r := <-done:
			t.Fatalf("the wait ended with %+v before %s came", r, node)
		default:
		}
		h.follow(ctx, node, after)
		<-h.arrived
	}
	if r := <-done; !r.All() || r.Nodes != 2 || r.Shown != 2 {
		t.Errorf("the wait ended with %+v", r)
	}
}

func TestOfManyRegistrationsSomeAloneWaitForNodes(t *testing.T) {
	t.Parallel()
	h := open(t, registering, func(c *scimserver.Config) { c.RegisterWait = 30 * time.Second })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := h.feed()
	h.follow(ctx, "n1", before)
	<-h.arrived
	for h.server.Rendered(ctx, scimserver.Registration{Position: before.at}).Nodes < 1 {
		// As above.
	}
	reg := h.register(vouched("1", "ada"))
	const waiting, more = 32, 8
	done := make(chan scimserver.Rendering, waiting+more)
	wait, stop := context.WithCancel(ctx)
	for range waiting + more {
		go func() { done <- h.server.Rendered(wait, reg) }()
	}
	for range more {
		if r := <-done; r.Nodes != 1 || r.Shown != 0 {
			t.Errorf("who does not wait is told %+v", r)
		}
	}
	select {
	case r := <-done:
		t.Errorf("one more does not wait: %+v", r)
	default:
	}
	stop()
	for range waiting {
		<-done
	}
}

func TestARegistrationDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	h := open(t, registering, func(c *scimserver.Config) { c.RegisterWait = time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := h.feed()
	h.follow(ctx, "n1", before)
	<-h.arrived
	for h.server.Rendered(ctx, scimserver.Registration{Position: before.at}).Nodes < 1 {
	}
	if r := h.server.Rendered(ctx, h.register(vouched("1", "ada"))); r.Nodes != 1 || r.Shown != 0 || r.All() {
		t.Errorf("the wait ended with %+v", r)
	}
	h.server.Drain()
	if r := h.server.Rendered(ctx, h.register(vouched("2", "grace"))); r.All() {
		t.Errorf("a server that ends waits until %+v", r)
	}
}

func TestSettingsOfRegistrationAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []scimserver.Config{{Match: "somebody"}, {RegisterWait: -1}, {RegisterWait: time.Hour}} {
		if _, err := scimserver.New(c); err == nil || !strings.Contains(err.Error(), "auth-openid-") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	scopes := []scimserver.Scope{scimserver.ScopeJIT, scimserver.ScopeJITProxy}
	for _, name := range []string{"jit", "jit-proxy"} {
		if s, err := scimserver.ParseScope(name); err != nil || !slices.Contains(scopes, s) {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
}
