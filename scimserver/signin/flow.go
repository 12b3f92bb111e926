package signin

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"pwb/scimserver"
)

// Registrar makes accounts of people who signed in.
type Registrar interface {
	// Register is scimserver.Server's.
	Register(context.Context, scimserver.Claims, *scimserver.Once) (scimserver.Registration, error)
	// Rendered waits until nodes show a registration, and says how many do.
	Rendered(context.Context, scimserver.Registration) scimserver.Rendering
}

// Handler is the sign-in in a browser: /openid/login, which leads to the
// provider, /openid/callback, which the person comes back to, and /openid/logout.
// Nobody has a session here: the page at the end is all there is.
type Handler struct {
	provider  *Provider
	registrar Registrar
	log       *slog.Logger
	mux       *http.ServeMux
	seal      seal
	limits    limits
	signIns   chan struct{}
	spent     spent
}

// NewHandler makes the pages for a provider.
func NewHandler(p *Provider, r Registrar) (*Handler, error) {
	s, err := newSeal()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	h := &Handler{
		provider: p, registrar: r, log: p.cfg.Log, mux: http.NewServeMux(), seal: s, signIns: make(chan struct{}, maxSignIns),
		limits: newLimits(),
	}
	h.mux.HandleFunc("GET /openid/login", h.login)
	h.mux.HandleFunc("GET /openid/callback", h.callback)
	h.mux.Handle("POST /openid/logout", http.NewCrossOriginProtection().Handler(http.HandlerFunc(h.logout)))
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if !h.limits.take(address(r), h.provider.cfg.Now()) {
		w.Header().Set("Retry-After", "2")
		show(w, page{status: http.StatusTooManyRequests, Title: "Too many sign-ins", Text: []string{"Too many come from your network at this moment. Please try again in a few seconds."}, Again: true})
		return
	}
	h.mux.ServeHTTP(w, r)
}

// base is where browsers reach this server.
func (h *Handler) base(r *http.Request) (base string, err error) {
	if h.provider.cfg.BaseURL != "" {
		return strings.TrimRight(h.provider.cfg.BaseURL, "/"), nil
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if !loopback(host) {
		return "", errors.New("base-url is not set, and a request to another address than a loopback one is not believed where it was sent")
	}
	if r.TLS == nil {
		return "http://" + r.Host, nil
	}
	return "https://" + r.Host, nil
}

// client is us, as the provider knows us.
func (h *Handler) client(d *discovered, base string) (*oauth2.Config, error) {
	secret, err := h.provider.secret()
	if err != nil {
		return nil, err
	}
	endpoint := d.Endpoint()
	endpoint.AuthStyle = d.style
	return &oauth2.Config{
		ClientID: h.provider.cfg.ClientID, ClientSecret: secret, Endpoint: endpoint,
		RedirectURL: base + "/openid/callback", Scopes: h.provider.cfg.Scopes,
	}, nil
}

// login sends the browser to the provider.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	base, err := h.base(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	d, err := h.provider.discover(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	client, err := h.client(d, base)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	a := attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Until: h.provider.cfg.Now().Add(attemptLife)}
	sealed, err := h.seal.close(a)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	http.SetCookie(w, cookie(strings.HasPrefix(base, "https:"), sealed, attemptLife))
	w.Header().Set("Location", client.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)))
	w.WriteHeader(http.StatusFound)
}

// callback is where the person comes back to.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) {
	base, err := h.base(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	secure := strings.HasPrefix(base, "https:")
	sealed, err := r.Cookie(cookieName(secure))
	http.SetCookie(w, cookie(secure, "", 0)) // it was of use once
	if err != nil {
		show(w, page{status: http.StatusBadRequest, Title: "This sign-in is over", Text: []string{"It was not begun in this browser, or it took too long."}, Again: true})
		return
	}
	q := r.URL.Query()
	a, ok := h.seal.open(sealed.Value)
	if !ok || subtle.ConstantTimeCompare([]byte(a.State), []byte(q.Get("state"))) != 1 || !h.use(a) {
		show(w, page{status: http.StatusBadRequest, Title: "This sign-in is over", Text: []string{"It was not begun in this browser, was used already, or took too long."}, Again: true})
		return
	}
	// RFC 9207: an answer of another provider is not for the one we asked.
	if iss := q.Get("iss"); iss != "" && iss != h.provider.cfg.Issuer {
		h.fail(w, r, refused("the answer is that of the provider %.200q", iss))
		return
	}
	if code := q.Get("error"); code != "" {
		h.log.Info("the provider did not sign a person in", "error", fmt.Sprintf("%.100q", code), "description", fmt.Sprintf("%.300q", q.Get("error_description")))
		show(w, page{status: http.StatusForbidden, Title: "You were not signed in", Text: []string{"The provider did not let the sign-in through" + named(code) + "."}, Again: true})
		return
	}
	done, rendering, endSession, err := h.finish(r.Context(), base, a, q.Get("code"))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	show(w, accountPage(done, rendering, endSession))
}

var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// named is an error code of the provider's, if it looks like one (RFC 6749
// §4.1.2.1); what else it says is for the log.
func named(code string) string {
	if errorCode.MatchString(code) {
		return " (" + code + ")"
	}
	return ""
}

// use reports whether the attempt may still be finished, which it may be once.
func (h *Handler) use(a attempt) bool {
	now := h.provider.cfg.Now()
	return now.Before(a.Until) && h.spent.first(a.State, now)
}

// errBusy: too many sign-ins are under way.
var errBusy = errors.New("too many sign-ins are under way")

// finish takes the code to the provider, and the person to the registrar.
func (h *Handler) finish(ctx context.Context, base string, a attempt, code string) (reg scimserver.Registration, r scimserver.Rendering, endSession string, err error) {
	if code == "" {
		return reg, r, "", refused("the provider's answer has no code")
	}
	select {
	case h.signIns <- struct{}{}:
	default:
		return reg, r, "", errBusy
	}
	reg, endSession, err = func() (reg scimserver.Registration, endSession string, err error) {
		defer func() { <-h.signIns }()
		d, err := h.provider.discover(ctx)
		if err != nil {
			return reg, "", err
		}
		claims, once, err := h.redeem(ctx, d, base, a, code)
		if err != nil {
			return reg, "", err
		}
		reg, err = h.registrar.Register(ctx, claims, &once)
		return reg, d.endSession, err
	}()
	if err == nil {
		r = h.registrar.Rendered(ctx, reg)
	}
	return reg, r, endSession, err
}

// redeem has the provider say who the person is (OpenID Connect Core §3.1.3).
func (h *Handler) redeem(ctx context.Context, d *discovered, base string, a attempt, code string) (c scimserver.Claims, once scimserver.Once, err error) {
	p := h.provider
	client, err := h.client(d, base)
	if err != nil {
		return c, once, err
	}
	ctx = p.context(ctx)
	token, err := client.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	var answered *oauth2.RetrieveError
	switch {
	case errors.As(err, &answered) && answered.Response != nil && answered.Response.StatusCode < 500:
		return c, once, refused("the provider did not take the code: status %d, %.100q, %.300q", answered.Response.StatusCode, answered.ErrorCode, answered.ErrorDescription)
	case err != nil:
		return c, once, fmt.Errorf("%w for an ID token: %.300s", scimserver.ErrAway, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return c, once, refused("the provider sent no ID token")
	}
	v, err := p.verify(ctx, raw, []string{p.cfg.ClientID})
	if err != nil {
		return c, once, err
	}
	if subtle.ConstantTimeCompare([]byte(v.Nonce), []byte(a.Nonce)) != 1 {
		return c, once, refused("the ID token is not for this sign-in: its nonce is another")
	}
	if v.AccessTokenHash != "" {
		if err := v.VerifyAccessToken(token.AccessToken); err != nil {
			return c, once, refused("the access token is not that of the ID token (at_hash)")
		}
	}
	said := v.claims
	// Many providers say more at another place.
	if d.UserInfoEndpoint() != "" && token.AccessToken != "" && lacks(said, p.cfg.UsernameClaim, p.cfg.GroupsClaim, "name") {
		more, err := p.userInfo(ctx, d, token, v.Subject)
		switch {
		case errors.Is(err, scimserver.ErrAway) && !lacks(said, p.cfg.UsernameClaim, p.cfg.GroupsClaim):
			h.log.Warn("a person's full name is not to be had", "error", err)
		case err != nil:
			return c, once, err
		}
		for name, value := range more {
			if _, has := said[name]; !has {
				said[name] = value
			}
		}
	}
	c, err = p.claims(v.Subject, said)
	return c, v.once, err
}

// userInfo asks for claims that the ID token lacks (OpenID Connect Core §5.3).
func (p *Provider) userInfo(ctx context.Context, d *discovered, token *oauth2.Token, sub string) (more map[string]any, err error) {
	info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("%w for userinfo: %.300s", scimserver.ErrAway, err)
	}
	if info.Subject != sub {
		return nil, refused("userinfo is about somebody else than the ID token")
	}
	if err := info.Claims(&more); err != nil {
		return nil, refused("what userinfo says cannot be read: %.300s", err)
	}
	return more, nil
}

// logout ends the person's session at the provider, if that is offered
// (OpenID Connect RP-Initiated Logout 1.0). Nobody is sent anywhere else.
func (h *Handler) logout(w http.ResponseWriter, r *http.Request) {
	base, err := h.base(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	http.SetCookie(w, cookie(strings.HasPrefix(base, "https:"), "", 0))
	d, err := h.provider.discover(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return
	}
	u, err := url.Parse(d.endSession)
	if err != nil || d.endSession == "" {
		show(w, page{status: http.StatusOK, Title: "Nothing is kept here", Text: []string{"The provider offers no way to sign out from here: sign out there, or close the browser."}})
		return
	}
	q := u.Query()
	q.Set("client_id", h.provider.cfg.ClientID)
	u.RawQuery = q.Encode()
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusSeeOther)
}

// fail tells the person what that one can do, and the log the rest.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var not *scimserver.NotRegistered
	switch {
	case r.Context().Err() != nil && errors.Is(err, cmp.Or(context.Cause(r.Context()), r.Context().Err())):
		panic(http.ErrAbortHandler) // the browser has gone
	case errors.As(err, &not):
		h.log.Warn("nobody was registered", "cause", string(not.Cause), "reason", not.Error())
		show(w, causePage(not))
	case errors.Is(err, scimserver.ErrAway), errors.Is(err, errBusy), errors.Is(err, scimserver.ErrClosed):
		h.log.Error("a sign-in failed", "error", err)
		w.Header().Set("Retry-After", "5")
		show(w, page{status: http.StatusServiceUnavailable, Title: "Signing in is not possible just now", Text: []string{"Nothing was changed. Please try again in a moment."}, Again: true})
	default:
		h.log.Error("a sign-in failed", "error", err)
		show(w, page{status: http.StatusInternalServerError, Title: "Something went wrong", Text: []string{"Nothing was changed. The server's log says why."}, Again: true})
	}
}
