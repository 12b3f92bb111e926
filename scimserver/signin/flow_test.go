package signin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
)

// got is an answer that was read.
type got struct {
	*http.Response
	body string
}

func (s *site) get(b *http.Client, where string) got {
	s.t.Helper()
	if strings.HasPrefix(where, "/") {
		where = s.http.URL + where
	}
	res, err := b.Get(where)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	g := got{res, string(body)}
	if strings.HasPrefix(where, s.http.URL) {
		s.safe(g)
	}
	return g
}

var styleTag = regexp.MustCompile(`(?s)<style>.*?</style>`)

// safe demands of every answer of ours what keeps pages from harm.
func (s *site) safe(g got) {
	s.t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
		if value := g.Header.Get(name); value != want {
			s.t.Errorf("%s: %s is %q, want %q", g.Request.URL.Path, name, value, want)
		}
	}
	if !strings.HasPrefix(g.Header.Get("Content-Type"), "text/html") {
		return
	}
	policy := g.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "style-src " + styleSource, "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, part) {
			s.t.Errorf("%s: the policy %q has no %s", g.Request.URL.Path, policy, part)
		}
	}
	for _, never := range []string{"<script", "javascript:", "<img", "onerror"} {
		if text := styleTag.ReplaceAllString(g.body, ""); strings.Contains(text, never) {
			s.t.Errorf("the page has %s:\n%s", never, text)
		}
	}
	if strings.Contains(g.body, "ZgotmplZ") {
		s.t.Errorf("the page was made of what its template refuses:\n%s", g.body)
	}
}

// shows demands a status and words of a page.
func (g got) shows(t *testing.T, status int, words ...string) {
	t.Helper()
	if g.StatusCode != status {
		t.Errorf("%s: status %d, want %d:\n%s", g.Request.URL.Path, g.StatusCode, status, g.body)
	}
	for _, word := range words {
		if !strings.Contains(g.body, word) {
			t.Errorf("%s does not show %q:\n%s", g.Request.URL.Path, word, styleTag.ReplaceAllString(g.body, ""))
		}
	}
}

// begin goes to the provider and returns the URL that it sends the browser back to.
func (s *site) begin(b *http.Client) *url.URL {
	s.t.Helper()
	login := s.get(b, "/openid/login")
	if login.StatusCode != http.StatusFound {
		s.t.Fatalf("login: %d\n%s", login.StatusCode, login.body)
	}
	back := s.get(b, login.Header.Get("Location"))
	return must(url.Parse(back.Header.Get("Location")))
}

func TestWhoSignsInIsRegisteredAndToldOfTheAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.GroupsClaim = "groups" })
	s.idp.is(func() { s.idp.claims["groups"] = []string{"Engine"} })
	s.registry.shown = scimserver.Rendering{Shown: 3, Nodes: 3}
	b := s.browser()
	login := s.get(b, "/openid/login")
	q := must(url.Parse(login.Header.Get("Location"))).Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "pwb", "code_challenge_method": "S256", "scope": "openid profile email", "redirect_uri": s.http.URL + "/openid/callback",
	} {
		if q.Get(name) != want {
			t.Errorf("the provider is asked with %s=%q, want %q", name, q.Get(name), want)
		}
	}
	if len(q.Get("state")) < 26 || len(q.Get("nonce")) < 26 || len(q.Get("code_challenge")) != 43 {
		t.Errorf("the provider is asked with %v", q)
	}
	c := login.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 600 || c.Domain != "" || strings.Contains(c.Value, q.Get("state")) {
		t.Errorf("the cookie is %v", c)
	}
	back := s.get(b, login.Header.Get("Location")).Header.Get("Location")
	page := s.get(b, back)
	page.shows(t, 200, "Your Linux account is made", "<code>ada</code>", "<code>1000</code>", "<code>/home/ada</code>", "<code>engine</code>, <code>poetry</code>", "Ada Lovelace", "all 3 machines", `action="/openid/logout"`)
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' "+s.idp.http.URL) {
		t.Errorf("the policy %q lets nobody sign out", policy)
	}
	want := scimserver.Claims{Issuer: s.idp.http.URL, Subject: "1", Username: "ada@acme.example", Name: "Ada Lovelace", Groups: []string{"Engine"}}
	if len(s.registry.claims) != 1 || fmt.Sprint(s.registry.claims[0]) != fmt.Sprint(want) {
		t.Errorf("registered %+v, want %+v", s.registry.claims, want)
	}
	// The cookie went, and a sign-in counts once even where it is kept.
	s.get(b, back).shows(t, 400, "This sign-in is over", `href="/openid/login"`)
	again := s.browser()
	again.Jar.SetCookies(must(url.Parse(s.http.URL)), []*http.Cookie{{Name: c.Name, Value: c.Value}})
	s.get(again, back).shows(t, 400, "was used already")
	if len(s.registry.claims) != 1 {
		t.Error("it was registered twice")
	}
}

func TestACookieOfASecureSiteIsForThatHostAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.BaseURL = "https://pwb.example/" })
	login := s.get(s.browser(), "/openid/login")
	if c := login.Cookies()[0]; c.Name != "__Host-pwb-login" || !c.Secure || c.Path != "/" || c.Domain != "" {
		t.Errorf("the cookie is %v", c)
	}
	if to := must(url.Parse(login.Header.Get("Location"))).Query().Get("redirect_uri"); to != "https://pwb.example/openid/callback" {
		t.Errorf("the provider sends browsers to %q", to)
	}
}

func TestASiteWithoutItsAddressBelievesNoHostHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	req := must(http.NewRequest("GET", s.http.URL+"/openid/login", nil))
	req.Host = "evil.example"
	res, err := s.browser().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 500 || !strings.Contains(s.log.String(), "base-url") {
		t.Errorf("status %d, and the log says\n%s", res.StatusCode, s.log)
	}
}

func TestASignInThatSomebodyMeddledWithRegistersNobody(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		sentence string
		status   int
		words    string
		meddle   func(s *site, b *http.Client, back *url.URL) *http.Client
	}{
		{"another state", 400, "This sign-in is over", func(s *site, b *http.Client, back *url.URL) *http.Client {
			edit(back, "state", "another")
			return b
		}},
		{"no state", 400, "This sign-in is over", func(s *site, b *http.Client, back *url.URL) *http.Client { edit(back, "state", ""); return b }},
		{"a browser that did not begin it", 400, "not begun in this browser", func(s *site, b *http.Client, back *url.URL) *http.Client { return s.browser() }},
		{"a browser that began another one", 400, "not begun in this browser", func(s *site, b *http.Client, back *url.URL) *http.Client {
			other := s.browser()
			s.begin(other)
			return other
		}},
		{"a cookie that was altered", 400, "not begun in this browser", func(s *site, b *http.Client, back *url.URL) *http.Client {
			at := must(url.Parse(s.http.URL))
			value := []byte(b.Jar.Cookies(at)[0].Value)
			value[20] ^= 1
			b.Jar.SetCookies(at, []*http.Cookie{{Name: cookieName(false), Value: string(value)}})
			return b
		}},
		{"too late", 400, "took too long", func(s *site, b *http.Client, back *url.URL) *http.Client {
			s.handler.provider.cfg.Now = func() time.Time { return now.Add(attemptLife + time.Minute) }
			return b
		}},
		{"the answer of another provider", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client {
			edit(back, "iss", "https://evil.example")
			return b
		}},
		{"no code", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client { edit(back, "code", ""); return b }},
		{"a code that nobody gave", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client { edit(back, "code", "guess"); return b }},
		{"the code of another sign-in, whose verifier is another", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client {
			edit(back, "code", s.begin(s.browser()).Query().Get("code"))
			return b
		}},
		{"an ID token of another sign-in", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client {
			s.idp.is(func() { s.idp.claims["nonce"] = "another" })
			return b
		}},
		{"an ID token of another access token", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client {
			s.idp.is(func() { s.idp.claims["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" })
			return b
		}},
		{"an ID token for a portal", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client {
			s.idp.is(func() { s.idp.claims["aud"] = "portal" })
			return b
		}},
		{"a forged ID token", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client {
			s.idp.is(func() { s.idp.sign = func(c map[string]any) string { return jwt("FORGED", "rsa", c) } })
			return b
		}},
		{"userinfo of somebody else", 403, "could not be verified", func(s *site, b *http.Client, back *url.URL) *http.Client {
			s.idp.is(func() {
				delete(s.idp.claims, "name")
				s.idp.info = map[string]any{"sub": "2", "name": "Eve"}
			})
			return b
		}},
		{"an error that would be a page", 403, "You were not signed in", func(s *site, b *http.Client, back *url.URL) *http.Client {
			back.RawQuery = url.Values{"state": back.Query()["state"], "error": {"<script>alert(1)</script>"}, "error_description": {"<img src=x onerror=alert(1)>"}}.Encode()
			return b
		}},
		{"who declined", 403, "(access_denied)", func(s *site, b *http.Client, back *url.URL) *http.Client {
			back.RawQuery = url.Values{"state": back.Query()["state"], "error": {"access_denied"}, "error_description": {"You may not"}}.Encode()
			return b
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *Config) { c.Audiences = []string{"portal"} })
			b := s.browser()
			back := s.begin(b)
			b = c.meddle(s, b, back)
			page := s.get(b, back.String())
			page.shows(t, c.status, c.words)
			if strings.Contains(page.body, "alert(1)") || strings.Contains(page.body, "You may not") {
				t.Errorf("the page repeats what it was sent:\n%s", page.body)
			}
			if len(s.registry.claims) > 0 {
				t.Errorf("registered %+v", s.registry.claims)
			}
		})
	}
}

func edit(u *url.URL, name, value string) {
	q := u.Query()
	if q.Set(name, value); value == "" {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
}

func TestWhatTheIDTokenLacksIsAskedOfUserinfo(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.GroupsClaim = "groups" })
	s.idp.is(func() {
		s.idp.claims = map[string]any{"name": "As signed"}
		s.idp.info = map[string]any{"sub": "1", "preferred_username": "ada", "groups": []string{"Engine"}, "name": "As told", "iss": "https://evil.example"}
	})
	b := s.browser()
	s.get(b, s.begin(b).String()).shows(t, 200, "Your Linux account")
	c := s.registry.claims[0]
	if c.Username != "ada" || c.Name != "As signed" || !slices.Equal(c.Groups, []string{"Engine"}) || c.Issuer != s.idp.http.URL {
		t.Errorf("registered %+v", c)
	}
}

func TestAFullNameIsNotWorthASignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.idp.is(func() {
		delete(s.idp.claims, "name")
		s.idp.broken = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/userinfo" {
				http.Error(w, "down", http.StatusBadGateway)
			}
			return r.URL.Path == "/userinfo"
		}
	})
	b := s.browser()
	s.get(b, s.begin(b).String()).shows(t, 200, "Your Linux account")
	s.idp.is(func() { delete(s.idp.claims, "preferred_username") })
	s.get(b, s.begin(b).String()).shows(t, 503, "not possible just now")
	if len(s.registry.claims) != 1 {
		t.Errorf("registered %+v", s.registry.claims)
	}
}

func TestAPersonWithoutAnAccountIsToldWhyInPlainWords(t *testing.T) {
	t.Parallel()
	for cause, words := range map[scimserver.Cause]string{
		scimserver.Locked: "account is locked", scimserver.Departed: "was closed", scimserver.Taken: "somebody else", scimserver.Unfit: "No Linux account follows", scimserver.Replayed: "is over",
	} {
		s := newSite(t)
		s.registry.err = scimserver.Refuse(cause, "the reason <b>for</b> administrators")
		b := s.browser()
		page := s.get(b, s.begin(b).String())
		page.shows(t, s.registry.err.(*scimserver.NotRegistered).Status(), words)
		if strings.Contains(page.body, "administrators</b>") || strings.Contains(page.body, "the reason") {
			t.Errorf("%s: the page tells\n%s", cause, page.body)
		}
		if !strings.Contains(s.log.String(), "the reason") {
			t.Errorf("%s: the log tells\n%s", cause, s.log)
		}
	}
	s := newSite(t)
	s.registry.err = errors.New("the disk is full")
	b := s.browser()
	if page := s.get(b, s.begin(b).String()); page.StatusCode != 500 || strings.Contains(page.body, "disk") {
		t.Errorf("a fault of ours: %d\n%s", page.StatusCode, page.body)
	}
}

func TestNamesAreTextOnThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.idp.is(func() { s.idp.claims["name"] = `<script>alert("Ada")</script>` })
	b := s.browser()
	s.get(b, s.begin(b).String()).shows(t, 200, "&lt;script&gt;alert(")
}

func TestTheClientsSecretIsReadAtEachUse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.idp.is(func() { s.idp.secret = "a new secret of the client" })
	b := s.browser()
	s.get(b, s.begin(b).String()).shows(t, 403, "could not be verified")
	if err := os.WriteFile(s.secret, []byte("a new secret of the client"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.get(b, s.begin(b).String()).shows(t, 200, "Your Linux account")
	if err := os.Chmod(s.secret, 0o644); err != nil {
		t.Fatal(err)
	}
	s.get(b, "/openid/login").shows(t, 500, "Something went wrong")
	if !strings.Contains(s.log.String(), "chmod 0600") {
		t.Errorf("the log says\n%s", s.log)
	}
}

func TestSigningOutLeadsToTheProviderAndNowhereElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	if g := s.get(b, "/openid/logout?post_logout_redirect_uri=https://evil.example"); g.StatusCode != 405 {
		t.Errorf("a link signs out: %d", g.StatusCode)
	}
	post := func(header ...string) got {
		t.Helper()
		req := must(http.NewRequest("POST", s.http.URL+"/openid/logout?post_logout_redirect_uri=https://evil.example&next=//evil.example", nil))
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return got{res, string(must(io.ReadAll(res.Body)))}
	}
	if g := post("Sec-Fetch-Site", "cross-site"); g.StatusCode != 403 {
		t.Errorf("another site signs out: %d", g.StatusCode)
	}
	if g := post("Origin", "https://evil.example"); g.StatusCode != 403 {
		t.Errorf("another origin signs out: %d", g.StatusCode)
	}
	g := post("Sec-Fetch-Site", "same-origin")
	if to := g.Header.Get("Location"); g.StatusCode != 303 || to != s.idp.http.URL+"/end?client_id=pwb&x=1" {
		t.Errorf("signing out leads to %d %q", g.StatusCode, to)
	}
	if c := g.Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("signing out leaves the cookies %v", c)
	}
	s = newSite(t)
	s.idp.is(func() { s.idp.discovery["end_session_endpoint"] = "" })
	post("Sec-Fetch-Site", "same-origin").shows(t, 200, "Nothing is kept here")
}
