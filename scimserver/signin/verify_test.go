package signin

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
)

// causeOf is why a token is not believed.
func causeOf(err error) scimserver.Cause {
	var not *scimserver.NotRegistered
	if errors.As(err, &not) {
		return not.Cause
	}
	return ""
}

func TestOnlyTokensOfTheProviderForUsAreBelieved(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Audiences = []string{"portal"} })
	p := s.idp
	now := time.Now()
	good := p.token("RS256", "rsa", nil)
	parts := strings.Split(good, ".")
	altered := strings.ReplaceAll(string(must(base64.RawURLEncoding.DecodeString(parts[1]))), `"ada@`, `"eve@`)
	for _, c := range []struct {
		sentence, token string
		cause           scimserver.Cause // "": it is believed
	}{
		{"one that is as it should be", good, ""},
		{"one signed with an elliptic curve", p.token("ES256", "ec", nil), ""},
		{"one without a kid", p.token("RS256", "", nil), ""},
		{"one for a portal that we know", p.token("RS256", "rsa", map[string]any{"aud": "portal"}), ""},
		{"one for two whom we know", p.token("RS256", "rsa", map[string]any{"aud": []string{"portal", "pwb"}, "azp": "portal"}), ""},
		{"one that a clock a little ahead issued", p.token("RS256", "rsa", map[string]any{"iat": now.Add(10 * time.Second).Unix(), "nbf": now.Add(10 * time.Second).Unix()}), ""},
		{"one that expired a moment ago", p.token("RS256", "rsa", map[string]any{"exp": now.Add(-10 * time.Second).Unix()}), ""},

		{"forged with another key", p.token("FORGED", "rsa", nil), scimserver.Untrusted},
		{"forged with another key that nobody knows", p.token("FORGED", "mine", nil), scimserver.Untrusted},
		{"not signed at all", p.token("none", "rsa", nil), scimserver.Untrusted},
		{"signed with the public key as a shared secret", p.token("HS256", "rsa", nil), scimserver.Untrusted},
		{"signed by a key of another kind than it says", strings.Join(append(strings.Split(p.token("ES256", "rsa", nil), ".")[:2], parts[2]), "."), scimserver.Untrusted},
		{"with other claims than were signed", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(altered)) + "." + parts[2], scimserver.Untrusted},
		{"without its signature", parts[0] + "." + parts[1] + ".", scimserver.Untrusted},
		{"expired", p.token("RS256", "rsa", map[string]any{"exp": now.Add(-time.Minute).Unix()}), scimserver.Untrusted},
		{"of no end", p.token("RS256", "rsa", map[string]any{"exp": nil}), scimserver.Untrusted},
		{"of a far end", p.token("RS256", "rsa", map[string]any{"exp": now.Add(30 * 24 * time.Hour).Unix()}), scimserver.Untrusted},
		{"issued in the future", p.token("RS256", "rsa", map[string]any{"iat": now.Add(time.Hour).Unix()}), scimserver.Untrusted},
		{"issued never", p.token("RS256", "rsa", map[string]any{"iat": nil}), scimserver.Untrusted},
		{"not valid yet", p.token("RS256", "rsa", map[string]any{"nbf": now.Add(time.Hour).Unix()}), scimserver.Untrusted},
		{"of another issuer", p.token("RS256", "rsa", map[string]any{"iss": "https://evil.example"}), scimserver.Untrusted},
		{"of an issuer with a slash more", p.token("RS256", "rsa", map[string]any{"iss": p.http.URL + "/"}), scimserver.Untrusted},
		{"for another audience", p.token("RS256", "rsa", map[string]any{"aud": "another"}), scimserver.Untrusted},
		{"for no audience", p.token("RS256", "rsa", map[string]any{"aud": nil}), scimserver.Untrusted},
		{"for others besides, and does not say who asked", p.token("RS256", "rsa", map[string]any{"aud": []string{"pwb", "another"}}), scimserver.Untrusted},
		{"for us, and another asked", p.token("RS256", "rsa", map[string]any{"azp": "another"}), scimserver.Untrusted},
		{"asked for by a number", p.token("RS256", "rsa", map[string]any{"azp": 1}), scimserver.Untrusted},
		{"no token", "no.token.atall", scimserver.Untrusted},
		{"nothing", "", scimserver.Untrusted},
		{"huge", p.token("RS256", "rsa", map[string]any{"more": strings.Repeat("x", maxIDToken)}), scimserver.Untrusted},
		{"without a username", p.token("RS256", "rsa", map[string]any{"preferred_username": nil}), scimserver.Unfit},
		{"with a username that is no text", p.token("RS256", "rsa", map[string]any{"preferred_username": []string{"ada"}}), scimserver.Unfit},
	} {
		claims, once, err := s.provider.VerifyIDToken(t.Context(), c.token)
		if causeOf(err) != c.cause || (err == nil) != (c.cause == "") {
			t.Errorf("%s: %v, want %q", c.sentence, err, c.cause)
		}
		if err == nil && (claims.Issuer != p.http.URL || claims.Subject != "1" || claims.Username != "ada@acme.example" || claims.Groups != nil || !once.Until.After(now)) {
			t.Errorf("%s: %+v %+v", c.sentence, claims, once)
		}
	}
}

// TestATokenIsTheSameInEveryForm: what differs in its signature, or in how it is
// written, counts as used.
func TestATokenIsTheSameInEveryForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.idp.usual()
	c["preferred_username"] = "ada"
	digest := func(token string) [32]byte {
		t.Helper()
		_, once, err := s.provider.VerifyIDToken(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return once.Digest
	}
	one, two := jwt("ES256", "ec", c), jwt("ES256", "ec", c)
	if one == two || digest(one) != digest(two) {
		t.Error("another signature of the same claims is another token")
	}
	c["jti"] = "another"
	if digest(jwt("ES256", "ec", c)) == digest(one) {
		t.Error("another token is the same")
	}
}

func TestGroupsAreReadAsProvidersSendThem(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.GroupsClaim = "groups" })
	for _, c := range []struct {
		sentence string
		claims   map[string]any
		want     []string // nil: nothing is said
		fails    bool
	}{
		{"a list", map[string]any{"groups": []string{"a", "b"}}, []string{"a", "b"}, false},
		{"an empty list", map[string]any{"groups": []string{}}, []string{}, false},
		{"one", map[string]any{"groups": "a"}, []string{"a"}, false},
		{"none", nil, []string{}, false},
		{"more than Entra ID sends", map[string]any{"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}}}, nil, false},
		{"numbers", map[string]any{"groups": []int{1}}, nil, true},
		{"an object", map[string]any{"groups": map[string]any{"a": true}}, nil, true},
	} {
		claims, _, err := s.provider.VerifyIDToken(t.Context(), s.idp.token("RS256", "rsa", c.claims))
		if (err != nil) != c.fails || strings.Join(claims.Groups, ",") != strings.Join(c.want, ",") || !c.fails && (claims.Groups == nil) != (c.want == nil) {
			t.Errorf("%s: %#v %v", c.sentence, claims.Groups, err)
		}
	}
}

func TestAnAddressNamesNobodyUnlessItWasVerified(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.UsernameClaim = "email" })
	for verified, ok := range map[any]bool{true: true, "true": true, false: false, "false": false, nil: false, 1: false} {
		_, _, err := s.provider.VerifyIDToken(t.Context(), s.idp.token("RS256", "rsa", map[string]any{"email": "ada@acme.example", "email_verified": verified}))
		if (err == nil) != ok {
			t.Errorf("email_verified %v: %v", verified, err)
		}
	}
}

func TestAProviderThatIsAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSite(t, func(c *Config) { c.Now = func() time.Time { return now } })
	down := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "down", http.StatusBadGateway)
		return true
	}
	s.idp.is(func() { s.idp.broken = down })
	token := s.idp.token("RS256", "rsa", nil)
	for range 5 {
		if _, _, err := s.provider.VerifyIDToken(t.Context(), token); !errors.Is(err, scimserver.ErrAway) {
			t.Fatalf("while it is away: %v", err)
		}
	}
	s.idp.is(func() {
		if len(s.idp.asked) != 1 {
			t.Errorf("it was asked %d times within a moment", len(s.idp.asked))
		}
		s.idp.broken = nil
	})
	now = now.Add(discoveryPause)
	if _, _, err := s.provider.VerifyIDToken(t.Context(), token); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	// What it said is believed on while it is away.
	s.idp.is(func() { s.idp.broken = down })
	now = now.Add(discoveryLife)
	token = s.idp.token("RS256", "rsa", map[string]any{"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	_, _, err := s.provider.VerifyIDToken(t.Context(), token)
	if errors.Is(err, scimserver.ErrAway) {
		_, _, err = s.provider.VerifyIDToken(t.Context(), token)
	}
	if err != nil {
		t.Errorf("while it is away again: %v", err)
	}
	if _, _, err := s.provider.VerifyIDToken(t.Context(), s.idp.token("FORGED", "new", map[string]any{"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})); !errors.Is(err, scimserver.ErrAway) {
		t.Errorf("a key that nobody can look up: %v", err)
	}
}

func TestAProviderThatAnswersNonsenseIsNotBelieved(t *testing.T) {
	t.Parallel()
	for sentence, change := range map[string]func(p *idp){
		"another issuer":            func(p *idp) { p.discovery["issuer"] = "https://evil.example" },
		"a token endpoint in clear": func(p *idp) { p.discovery["token_endpoint"] = "http://id.example/token" },
		"keys in clear":             func(p *idp) { p.discovery["jwks_uri"] = "http://id.example/keys" },
		"no keys":                   func(p *idp) { p.discovery["jwks_uri"] = "" },
		"a script to sign in with":  func(p *idp) { p.discovery["authorization_endpoint"] = "javascript:alert(1)" },
		"a script to sign out with": func(p *idp) { p.discovery["end_session_endpoint"] = "javascript:alert(1)" },
		"a name and a password":     func(p *idp) { p.discovery["userinfo_endpoint"] = "https://a:b@id.example/" },
		"a redirection": func(p *idp) {
			p.broken = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "https://evil.example/", http.StatusFound)
				return true
			}
		},
		"more than anybody can read": func(p *idp) { p.discovery["more"] = strings.Repeat("x", maxAnswer) },
	} {
		s := newSite(t)
		s.idp.is(func() { change(s.idp) })
		if _, err := s.provider.discover(t.Context()); !errors.Is(err, scimserver.ErrAway) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}
