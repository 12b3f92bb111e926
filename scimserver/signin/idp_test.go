package signin

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pwb/scimserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	rsaKey   = must(rsa.GenerateKey(rand.Reader, 2048))
	otherKey = must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey    = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// idp is an OpenID provider with keys of its own, which does as it is told.
type idp struct {
	t    *testing.T
	http *httptest.Server

	mu sync.Mutex
	// claims are those of the ID token besides the usual ones, info what userinfo
	// says; sign makes the token.
	claims, info map[string]any
	sign         func(claims map[string]any) string
	// discovery changes what it says of itself, and broken what it answers with.
	discovery map[string]any
	broken    func(w http.ResponseWriter, r *http.Request) bool
	codes     map[string]url.Values // to the authorization request
	// secret is what the client must know.
	secret string
	asked  []string // paths
}

func newIDP(t *testing.T) *idp {
	p := &idp{t: t, codes: map[string]url.Values{}, secret: "the client's secret", discovery: map[string]any{}}
	p.claims = map[string]any{"preferred_username": "ada@acme.example", "name": "Ada Lovelace"}
	p.sign = func(c map[string]any) string { return jwt("RS256", "rsa", c) }
	p.http = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.http.Close)
	return p
}

// is changes the provider.
func (p *idp) is(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *idp) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r.URL.Path)
	if p.broken != nil && p.broken(w, r) {
		return
	}
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		d := map[string]any{
			"issuer": p.http.URL, "authorization_endpoint": p.http.URL + "/authorize", "token_endpoint": p.http.URL + "/token", "jwks_uri": p.http.URL + "/keys",
			"userinfo_endpoint": p.http.URL + "/userinfo", "end_session_endpoint": p.http.URL + "/end?x=1",
			// What a careless or captured provider might say: it does not decide.
			"id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256", "ES256"},
		}
		maps.Copy(d, p.discovery)
		answer(200, d)
	case "/keys":
		n := base64.RawURLEncoding.EncodeToString(rsaKey.N.Bytes())
		e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(rsaKey.E)).Bytes())
		point := must(ecKey.PublicKey.Bytes())
		answer(200, map[string]any{"keys": []any{
			map[string]any{"kty": "RSA", "kid": "rsa", "use": "sig", "n": n, "e": e},
			map[string]any{"kty": "EC", "kid": "ec", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])},
		}})
	case "/authorize":
		code := fmt.Sprint("code", len(p.codes))
		p.codes[code] = r.URL.Query()
		to := must(url.Parse(r.URL.Query().Get("redirect_uri")))
		to.RawQuery = url.Values{"code": {code}, "state": {r.URL.Query().Get("state")}, "iss": {p.http.URL}}.Encode()
		http.Redirect(w, r, to.String(), http.StatusFound)
	case "/token":
		q, ok := p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
		id, secret, _ := r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		switch {
		case id != "pwb" || secret != p.secret:
			answer(401, map[string]any{"error": "invalid_client"})
		case !ok || q.Get("redirect_uri") != r.PostFormValue("redirect_uri"):
			answer(400, map[string]any{"error": "invalid_grant"})
		case q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]):
			answer(400, map[string]any{"error": "invalid_grant", "error_description": "PKCE"})
		default:
			c := p.usual()
			c["nonce"] = q.Get("nonce")
			maps.Copy(c, p.claims)
			answer(200, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": p.sign(c)})
		}
	case "/userinfo":
		if p.info == nil {
			answer(200, map[string]any{"sub": "1"})
		} else {
			answer(200, p.info)
		}
	default:
		http.NotFound(w, r)
	}
}

// usual are the claims that every ID token has.
func (p *idp) usual() map[string]any {
	now := time.Now()
	return map[string]any{"iss": p.http.URL, "sub": "1", "aud": "pwb", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text()}
}

// token is an ID token with other claims than usual; nil takes one away.
func (p *idp) token(alg, kid string, changes map[string]any) string {
	c := p.usual()
	c["preferred_username"] = "ada@acme.example"
	for name, v := range changes {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return jwt(alg, kid, c)
}

// jwt signs claims: RS256 with the provider's key, FORGED with another one as
// RS256, and HS256 with what everybody knows, the public key.
func jwt(alg, kid string, claims map[string]any) string {
	named := alg
	if alg == "FORGED" {
		named = "RS256"
	}
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))) }
	text := part(map[string]any{"alg": named, "kid": kid, "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	var signature []byte
	switch alg {
	case "RS256":
		signature = must(rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, sum[:]))
	case "FORGED":
		signature = must(rsa.SignPKCS1v15(rand.Reader, otherKey, crypto.SHA256, sum[:]))
	case "ES256":
		r, s, err := ecdsa.Sign(rand.Reader, ecKey, sum[:])
		if err != nil {
			panic(err)
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "HS256":
		mac := hmac.New(sha256.New, rsaKey.N.Bytes())
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// registry is a server that registers everybody, once for each token.
type registry struct {
	mu     sync.Mutex
	claims []scimserver.Claims
	used   map[[32]byte]bool
	err    error
	shown  scimserver.Rendering
}

func (r *registry) Register(_ context.Context, c scimserver.Claims, once *scimserver.Once) (scimserver.Registration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return scimserver.Registration{}, r.err
	}
	if r.used[once.Digest] {
		return scimserver.Registration{}, scimserver.Refuse(scimserver.Replayed, "used")
	}
	r.used[once.Digest] = true
	r.claims = append(r.claims, c)
	return scimserver.Registration{ID: "u1", Name: "ada", Gecos: c.Name, Home: "/home/ada", UID: 1000, GID: 1000, Groups: []string{"engine", "poetry"}, Created: true}, nil
}

func (r *registry) Rendered(context.Context, scimserver.Registration) scimserver.Rendering {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shown
}

// site is a sign-in of ours, in front of a provider.
type site struct {
	t        *testing.T
	idp      *idp
	provider *Provider
	registry *registry
	handler  *Handler
	http     *httptest.Server
	log      *syncBuffer
	secret   string // file
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newSite(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	s := &site{t: t, idp: newIDP(t), registry: &registry{used: map[[32]byte]bool{}}, log: &syncBuffer{}, secret: filepath.Join(t.TempDir(), "secret")}
	if err := os.WriteFile(s.secret, []byte(s.idp.secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Issuer: s.idp.http.URL, ClientID: "pwb", SecretFile: s.secret, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if s.provider, err = NewProvider(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.provider.Close)
	if s.handler, err = NewHandler(s.provider, s.registry); err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(s.handler)
	t.Cleanup(s.http.Close)
	t.Cleanup(func() {
		if log := s.log.String(); bytes.Contains([]byte(log), []byte(s.idp.secret)) {
			t.Errorf("the log holds the client's secret:\n%s", log)
		}
	})
	return s
}

// browser is a browser that keeps cookies and goes nowhere by itself.
func (s *site) browser() *http.Client {
	c := &http.Client{Jar: must(cookiejar.New(nil)), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{}}
	s.t.Cleanup(c.CloseIdleConnections)
	return c
}
