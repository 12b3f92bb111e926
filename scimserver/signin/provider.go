package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"pwb/scimserver"
)

// Config says which provider is believed, and what of it.
type Config struct {
	// Issuer is the provider's iss, from which it is discovered (OpenID Connect
	// Discovery 1.0 §4).
	Issuer string
	// ClientID and SecretFile are what the provider knows us by; without a file
	// the client is a public one. The file is read at each use.
	ClientID, SecretFile string
	// Audiences are other clients of the provider whose ID tokens are taken.
	Audiences []string
	// UsernameClaim is the claim that becomes the userName, default
	// preferred_username. GroupsClaim lists groups; empty: nothing is said of them.
	UsernameClaim, GroupsClaim string
	// Scopes are asked for, default openid, profile and email.
	Scopes []string
	// CACert is a PEM file of the authorities to trust in place of the system's.
	CACert string
	// BaseURL is where browsers reach this server; empty: what a request to a
	// loopback address names.
	BaseURL string
	// Log is for administrators; nil discards.
	Log *slog.Logger
	// Now is the clock, default time.Now.
	Now func() time.Time
}

// Provider is an OpenID provider. It is asked when it is first needed, so that a
// server starts while it is away.
type Provider struct {
	cfg    Config
	client *http.Client

	mu     sync.Mutex
	known  *discovered
	asking chan struct{} // closed when the question under way is answered; nil: none is
	asked  time.Time
	err    error // why known is nil
}

// discovered is what a provider said of itself.
type discovered struct {
	*oidc.Provider
	at         time.Time
	keys       oidc.KeySet
	endSession string
	style      oauth2.AuthStyle
}

const (
	// discoveryLife is how long is believed what a provider said of itself.
	discoveryLife = time.Hour
	// discoveryPause is for how long a provider that did not answer is left alone.
	discoveryPause = 2 * time.Second
	// leeway is how far clocks may be apart.
	leeway = 30 * time.Second
	// maxIDToken is the most bytes of an ID token.
	maxIDToken = 64 << 10
)

// algorithms are those of ID tokens: signatures by a private key alone. A shared
// secret, or none, proves nothing to us.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// NewProvider says what is wrong with cfg, and asks nobody yet.
func NewProvider(cfg Config) (*Provider, error) {
	cfg.UsernameClaim = cmp.Or(cfg.UsernameClaim, "preferred_username")
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := checkURL(cfg.Issuer); err != nil {
		return nil, fmt.Errorf("auth-openid-issuer %w", err)
	}
	if cfg.ClientID == "" {
		return nil, errors.New("auth-openid-issuer needs auth-openid-client-id: the client that was registered there for this server")
	}
	if !slices.Contains(cfg.Scopes, oidc.ScopeOpenID) {
		return nil, errors.New("auth-openid-scopes has no openid, without which there is no ID token")
	}
	client, err := newClient(cfg.CACert)
	if err != nil {
		return nil, fmt.Errorf("auth-openid-ca-cert: %w", err)
	}
	p := &Provider{cfg: cfg, client: client}
	if _, err := p.secret(); err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the connections to the provider that are idle.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// secret reads the client's secret anew.
func (p *Provider) secret() (string, error) {
	if p.cfg.SecretFile == "" {
		return "", nil
	}
	text, err := scimserver.ReadSecret(p.cfg.SecretFile)
	if err == nil && text == "" {
		err = fmt.Errorf("%s is empty", p.cfg.SecretFile)
	}
	if err != nil {
		return "", fmt.Errorf("auth-openid-client-secret-file: %w", err)
	}
	return text, nil
}

func (p *Provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// discover returns what the provider says of itself. One question is under way at
// a time; who is waiting for it shares its answer.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	for {
		p.mu.Lock()
		now := p.cfg.Now()
		switch {
		case p.known != nil && now.Sub(p.known.at) < discoveryLife, p.known != nil && now.Sub(p.asked) < discoveryPause:
			defer p.mu.Unlock()
			return p.known, nil
		case p.err != nil && now.Sub(p.asked) < discoveryPause:
			defer p.mu.Unlock()
			return nil, p.err
		}
		if p.asking == nil {
			p.asking, p.asked = make(chan struct{}), now
			go p.ask(p.asking)
		}
		answered := p.asking
		p.mu.Unlock()
		select {
		case <-answered:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// ask asks, for all who wait; the request of who came first may end before.
func (p *Provider) ask(answered chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	d, err := p.read(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.known, p.err = d, nil
	} else if p.err = fmt.Errorf("%w: %.500s", scimserver.ErrAway, err); p.known != nil {
		p.cfg.Log.Warn("the OpenID provider could not be asked again; what it said before counts", "issuer", p.cfg.Issuer, "error", p.err)
	}
	p.asked, p.asking = p.cfg.Now(), nil
	close(answered)
}

func (p *Provider) read(ctx context.Context) (*discovered, error) {
	found, err := oidc.NewProvider(p.context(ctx), p.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	var also struct {
		EndSession string   `json:"end_session_endpoint"`
		Keys       string   `json:"jwks_uri"`
		Methods    []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&also); err != nil {
		return nil, err
	}
	for _, u := range []struct {
		what, url string
		needed    bool
	}{
		{"authorization_endpoint", found.Endpoint().AuthURL, true},
		{"token_endpoint", found.Endpoint().TokenURL, true},
		{"jwks_uri", also.Keys, true},
		{"userinfo_endpoint", found.UserInfoEndpoint(), false},
		{"end_session_endpoint", also.EndSession, false},
	} {
		if u.url == "" && !u.needed {
			continue
		}
		if err := checkURL(u.url); err != nil {
			return nil, fmt.Errorf("its %s %w", u.what, err)
		}
	}
	d := &discovered{Provider: found, at: p.cfg.Now(), endSession: also.EndSession, style: oauth2.AuthStyleInHeader}
	if p.cfg.SecretFile == "" || len(also.Methods) > 0 && !slices.Contains(also.Methods, "client_secret_basic") {
		d.style = oauth2.AuthStyleInParams
	}
	d.keys = oidc.NewRemoteKeySet(p.context(context.Background()), also.Keys)
	return d, nil
}

// keySet tells a provider that is away from a signature that is wrong, which
// look alike behind the verifier.
type keySet struct {
	oidc.KeySet
	away error
}

func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if err != nil && strings.HasPrefix(err.Error(), "fetching keys") {
		k.away = fmt.Errorf("%w: %.500s", scimserver.ErrAway, err)
	}
	return payload, err
}
