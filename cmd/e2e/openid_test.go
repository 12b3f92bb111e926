package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pwb/cmd/harness"
)

// TestAFirstLoginIsOnTheNodeBeforeThePageIsShown goes the whole way: Chromium, a
// real OpenID provider, the server, an agent that stays, and getent on its node.
func TestAFirstLoginIsOnTheNodeBeforeThePageIsShown(t *testing.T) {
	t.Parallel()
	r, idp := newOpenIDRig(t)
	ns := r.namespace(t)
	watch := r.follow(t)
	if _, err := r.scim.Create(t.Context(), "/Users", user("grace")); err != nil {
		t.Fatal(err)
	}
	if err := watch.Until(within(t), "passwd", lineBegins("grace:")); err != nil {
		t.Fatal(err)
	}
	idp.says(t, "ada", map[string]any{"preferred_username": "ada@acme.example", "name": "Ada Byron", "groups": []string{"Engine", "Poetry", "docker"}})
	b := newBrowser(t)
	page := b.signIn(r.server.URL, "ada")
	// No wait: the page says that the account is there.
	for _, word := range []string{"Your Linux account is made", "Ada Byron", "/home/ada", "engine, poetry", "the one machine"} {
		if !strings.Contains(page, word) {
			t.Errorf("the page does not say %q:\n%s", word, page)
		}
	}
	b.picture("jit")
	passwd := output(t, ns, "getent", "passwd", "ada")
	if len(passwd) != 1 || !strings.Contains(passwd[0], ":Ada Byron:/home/ada:/bin/bash") {
		t.Fatalf("getent finds %q", passwd)
	}
	if groups := output(t, ns, "id", "-Gn", "ada"); groups[0] != "ada engine poetry" {
		t.Errorf("id says %q", groups)
	}

	// Later logins follow what the provider says, and keep the numbers.
	idp.says(t, "ada", map[string]any{"preferred_username": "ada@acme.example", "name": "Ada Lovelace", "groups": []string{"Engine", "Mathematics"}})
	if page = b.again(r.server.URL); !strings.Contains(page, "Ada Lovelace") || strings.Contains(page, "is made") {
		t.Errorf("the page says\n%s", page)
	}
	again := output(t, ns, "getent", "passwd", "ada")
	if again[0] != strings.Replace(passwd[0], "Byron", "Lovelace", 1) {
		t.Errorf("getent finds %q, and found %q before", again, passwd)
	}
	if groups := output(t, ns, "id", "-Gn", "ada"); groups[0] != "ada engine mathematics" {
		t.Errorf("id says %q", groups)
	}

	// Who is locked stays locked, whatever the provider says.
	r.administer(t, "user", "lock", "ada")
	if page = b.again(r.server.URL); !strings.Contains(page, "account is locked") || strings.Contains(page, "/home/ada") {
		t.Errorf("the page says\n%s", page)
	}
	b.picture("jit-locked")
	r.administer(t, "user", "unlock", "ada")
	b.again(r.server.URL)

	// Signing out leads to the provider, which the page's policy lets it.
	b.does("sign out", chromedp.Click(`button[type="submit"]`), chromedp.WaitReady(`form[action*="/session/end/confirm"]`))
	if at := ask(b, "look where", chromedp.Location()); !strings.HasPrefix(at, idp.issuer+"/session/end?client_id=pwb") {
		t.Errorf("signing out led to %s", at)
	}
}

func TestWhomTheProviderPushedIsThePersonWhoSignsIn(t *testing.T) {
	t.Parallel()
	r, idp := newOpenIDRig(t)
	id, err := r.scim.Create(t.Context(), "/Users", user("grace"))
	if err != nil {
		t.Fatal(err)
	}
	idp.says(t, "grace-1", map[string]any{"preferred_username": "grace@acme.example", "name": "Another spelling"})
	idp.says(t, "grace-2", map[string]any{"preferred_username": "grace@acme.example", "name": "An impostor"})
	if page := newBrowser(t).signIn(r.server.URL, "grace-1"); !strings.Contains(page, "User grace") || strings.Contains(page, "is made") {
		t.Errorf("the page says\n%s", page)
	}
	b := newBrowser(t)
	if page := b.signIn(r.server.URL, "grace-2"); !strings.Contains(page, "somebody else") {
		t.Errorf("the second one of the name is shown\n%s", page)
	}
	b.picture("jit-taken")
	var users []struct{ ID, Name string }
	for line := range strings.Lines(r.administer(t, "user", "list", "--json")) {
		var u struct{ ID, Name string }
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			t.Fatal(err)
		}
		users = append(users, u)
	}
	if len(users) != 1 || users[0].ID != id || users[0].Name != "grace" {
		t.Errorf("the users are %v", users)
	}
}

// TestAPortalBringsARealIDToken is a portal that signs a person in by itself.
func TestAPortalBringsARealIDToken(t *testing.T) {
	t.Parallel()
	codes := make(chan string, 1)
	portal := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if code := r.URL.Query().Get("code"); code != "" {
			codes <- code
		}
	}))
	t.Cleanup(portal.Close)
	r, idp := newOpenIDRig(t, "--auth-openid-audiences", "portal")
	idp.admit(t, "portal", portal.URL+"/back")
	idp.admit(t, "stranger", "http://127.0.0.1:1/")
	idp.says(t, "ada", map[string]any{"preferred_username": "ada@acme.example", "name": "Ada Lovelace", "groups": []string{"Engine"}})
	verifier := strings.Repeat("verifier", 8)
	sum := sha256.Sum256([]byte(verifier))
	newBrowser(t).enter(idp.issuer+"/auth?"+url.Values{
		"client_id": {"portal"}, "response_type": {"code"}, "scope": {"openid profile groups"}, "redirect_uri": {portal.URL + "/back"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
		"claims": {`{"id_token":{"preferred_username":null,"name":null,"groups":null}}`},
	}.Encode(), "ada")
	var code string
	select {
	case code = <-codes:
	case <-within(t).Done():
		t.Fatal("the browser does not come back to the portal")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, idp.issuer+"/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {portal.URL + "/back"}, "code_verifier": {verifier},
	}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("portal", url.QueryEscape(clientSecret))
	res, err := r.scim.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var tokens struct {
		ID string `json:"id_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&tokens); err != nil || tokens.ID == "" {
		t.Fatalf("the provider answers %d without an ID token: %v", res.StatusCode, err)
	}
	token, err := r.server.Token(t.Context(), "portal", "jit")
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := r.register(t.Context(), token, fmt.Sprintf(`{"id_token":%q}`, tokens.ID))
	if err != nil || status != http.StatusOK || answer["name"] != "ada" || answer["gecos"] != "Ada Lovelace" || fmt.Sprint(answer["groups"]) != "[engine]" {
		t.Fatalf("the portal is answered %d %v %v", status, answer, err)
	}
	r.server.Stop() // what was used stays used
	r.server, err = harness.StartServer(context.Background(), bin, r.server.DataDir, "127.0.0.1:0", "--user-provisioning-register-on-first-login",
		"--auth-openid-issuer", idp.issuer, "--auth-openid-client-id", "portal")
	if err != nil {
		t.Fatal(err)
	}
	second := r.server
	t.Cleanup(second.Stop)
	if status, answer, err = r.register(t.Context(), token, fmt.Sprintf(`{"id_token":%q}`, tokens.ID)); err != nil || status != http.StatusConflict || answer["error"] != "replayed" {
		t.Errorf("the token once more is answered %d %v %v", status, answer, err)
	}
	second.Stop()
	r.start(t, "store", "127.0.0.1:0", "--user-provisioning-register-on-first-login", "--auth-openid-issuer", idp.issuer, "--auth-openid-client-id", "stranger")
	if status, answer, err = r.register(t.Context(), token, fmt.Sprintf(`{"id_token":%q}`, tokens.ID)); err != nil || status != http.StatusForbidden || answer["error"] != "untrusted" {
		t.Errorf("a server that does not know the portal answers %d %v %v", status, answer, err)
	}
	if log := r.server.Log(); strings.Contains(log, tokens.ID) || strings.Contains(log, clientSecret) {
		t.Error("the server logs secrets")
	}
}

// register names a person with a token of scope jit-proxy.
func (r *rig) register(ctx context.Context, token, body string) (status int, answer map[string]any, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.server.URL+"/jit/v1/register", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := r.scim.Client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err
	}
	return res.StatusCode, answer, json.NewDecoder(bytes.NewReader(data)).Decode(&answer)
}

// TestAServerThatDiesBeforeItAnswersHasRegisteredOnce kills it while a
// registration waits for a node that never comes.
func TestAServerThatDiesBeforeItAnswersHasRegisteredOnce(t *testing.T) {
	t.Parallel()
	flags := []string{"--user-provisioning-register-on-first-login", "--auth-openid-wait", "30s"}
	r := newRig(t, flags...)
	token, err := r.server.Token(t.Context(), "portal", "jit-proxy")
	if err != nil {
		t.Fatal(err)
	}
	// A node that follows and renders nothing.
	at := r.standsAt(t)
	node, err := os.ReadFile(r.agent.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(within(t), http.MethodGet, fmt.Sprintf("%s/sync/v1/changes?epoch=%s&after=%d&sum=%v&wait=30s", r.server.URL, at.Epoch, at.Seq, at.Sum), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + strings.TrimSpace(string(node))}, "Pwb-Node": {"slow"}, "Pwb-Position": {at.String()}}
	woken := make(chan error, 1)
	go func() {
		res, err := r.scim.Client.Do(req)
		if err == nil {
			err = res.Body.Close()
		}
		woken <- err
	}()
	for !strings.Contains(r.administer(t, "node", "list"), "slow") {
		// It is written down within a second that a node came.
	}
	answered := make(chan error, 1)
	go func() {
		status, _, err := r.register(context.Background(), token, `{"username":"ada","groups":["Engine"]}`)
		answered <- cmp.Or(err, fmt.Errorf("status %d", status))
	}()
	if err := <-woken; err != nil {
		t.Fatal(err) // the node is told, so the account is there
	}
	before := r.administer(t, "user", "show", "ada", "--json")
	select {
	case err := <-answered:
		t.Fatalf("the registration did not wait for the node: %v", err)
	default:
	}
	r.server.Kill()
	if err := <-answered; err == nil || strings.HasPrefix(err.Error(), "status") {
		t.Errorf("a server that was killed answers: %v", err)
	}
	r.start(t, "store", "127.0.0.1:0", flags...)
	status, answer, err := r.register(t.Context(), token, `{"username":"ada","groups":["Engine"]}`)
	if err != nil || status != http.StatusOK || answer["created"] != false || answer["name"] != "ada" {
		t.Fatalf("once more: %d %v %v", status, answer, err)
	}
	if after := r.administer(t, "user", "show", "ada", "--json"); after != before {
		t.Errorf("the user was\n%s\nand is\n%s", before, after)
	}
	if out := r.administer(t, "ids", "check"); strings.Contains(out, "problem") {
		t.Error(out)
	}
}

func TestRegistrationIsOffUnlessItIsSwitchedOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, "--auth-openid-issuer", "https://id.example", "--auth-openid-client-id", "pwb")
	for _, path := range []string{"/openid/login", "/openid/callback", "/jit/v1/register"} {
		res, err := r.scim.Client.Get(r.server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestAServerStartsWhileTheProviderIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, "--user-provisioning-register-on-first-login", "--auth-openid-issuer", "http://127.0.0.1:1", "--auth-openid-client-id", "pwb")
	res, err := (&http.Client{Timeout: 30 * time.Second}).Get(r.server.URL + "/openid/login")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(page), "not possible just now") {
		t.Errorf("the page is %d\n%s %v", res.StatusCode, page, err)
	}
}
