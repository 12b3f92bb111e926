package signin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"pwb/scimserver"
)

// verified is an ID token of which everything was checked but its nonce.
type verified struct {
	*oidc.IDToken
	claims map[string]any
	once   scimserver.Once
}

// refused is why a token is not believed; its text is for administrators.
func refused(format string, args ...any) error {
	return scimserver.Refuse(scimserver.Untrusted, format, args...)
}

// VerifyIDToken implements scimserver.IDTokens for ID tokens of our own client and
// of Config.Audiences.
func (p *Provider) VerifyIDToken(ctx context.Context, token string) (scimserver.Claims, scimserver.Once, error) {
	v, err := p.verify(ctx, token, append([]string{p.cfg.ClientID}, p.cfg.Audiences...))
	if err != nil {
		return scimserver.Claims{}, scimserver.Once{}, err
	}
	c, err := p.claims(v.Subject, v.claims)
	return c, v.once, err
}

// verify checks an ID token (OpenID Connect Core §3.1.3.7): that the provider
// signed it, for one of the audiences, and that it is neither over nor of the
// future.
func (p *Provider) verify(ctx context.Context, raw string, audiences []string) (*verified, error) {
	if len(raw) > maxIDToken {
		return nil, refused("the ID token has more than %d bytes", maxIDToken)
	}
	d, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	keys := &keySet{KeySet: d.keys}
	// The times are checked below, with one leeway for all of them.
	verifier := oidc.NewVerifier(p.cfg.Issuer, keys, &oidc.Config{SupportedSigningAlgs: algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true})
	token, err := verifier.Verify(p.context(ctx), raw)
	switch {
	case keys.away != nil:
		return nil, keys.away
	case err != nil:
		return nil, refused("the ID token is not the provider's: %.300s", err)
	}
	v := &verified{IDToken: token}
	if err := token.Claims(&v.claims); err != nil {
		return nil, refused("the ID token's claims cannot be read: %.300s", err)
	}
	if err := p.checkAudience(v, audiences); err != nil {
		return nil, err
	}
	if err := p.checkTimes(v); err != nil {
		return nil, err
	}
	// What was signed, and not how it is written: the signature, and the base64 of
	// the rest, have more than one form.
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return nil, refused("the ID token's claims cannot be read: %.300s", err)
	}
	v.once = scimserver.Once{Digest: sha256.Sum256(append([]byte("id token "), payload...)), Until: token.Expiry.Add(leeway)}
	return v, nil
}

// checkAudience: one of ours is meant, nobody else besides, and who asked for the
// token is one of ours, too.
func (p *Provider) checkAudience(v *verified, audiences []string) error {
	ours := func(a string) bool { return slices.Contains(audiences, a) }
	if !slices.ContainsFunc(v.Audience, ours) {
		return refused("the ID token is for %.200q, not for this server", v.Audience)
	}
	azp, has := v.claims["azp"]
	if party, _ := azp.(string); has && !ours(party) {
		return refused("the ID token was issued to %.200q, not to this server (azp)", azp)
	}
	if len(v.Audience) > 1 && !has {
		return refused("the ID token is for several audiences, %.200q, and does not say who asked for it (azp)", v.Audience)
	}
	return nil
}

// maxLife is the longest that an ID token may live: it is remembered for as long.
const maxLife = 7 * 24 * time.Hour

func (p *Provider) checkTimes(v *verified) error {
	now := p.cfg.Now()
	var notBefore struct {
		At *json.Number `json:"nbf"`
	}
	if err := v.Claims(&notBefore); err != nil {
		return refused("the ID token's nbf is no time")
	}
	if notBefore.At != nil {
		seconds, err := notBefore.At.Float64()
		if err != nil || seconds > float64(now.Add(leeway).Unix()) {
			return refused("the ID token is not valid yet")
		}
	}
	switch {
	case v.Expiry.Unix() <= 0:
		return refused("the ID token does not say when it expires")
	case !now.Before(v.Expiry.Add(leeway)):
		return refused("the ID token expired at %s", v.Expiry.UTC().Format(time.RFC3339))
	case v.IssuedAt.Unix() <= 0:
		return refused("the ID token does not say when it was issued")
	case v.IssuedAt.After(now.Add(leeway)):
		return refused("the ID token was issued at %s, which is still to come: are the clocks right?", v.IssuedAt.UTC().Format(time.RFC3339))
	case v.Expiry.Sub(now) > maxLife:
		return refused("the ID token lives until %s, longer than %v", v.Expiry.UTC().Format(time.RFC3339), maxLife)
	}
	return nil
}

// claims reads who the person is, and what is said of groups.
func (p *Provider) claims(sub string, said map[string]any) (c scimserver.Claims, err error) {
	unfit := func(format string, args ...any) error {
		return scimserver.Refuse(scimserver.Unfit, format, args...)
	}
	c = scimserver.Claims{Issuer: p.cfg.Issuer, Subject: sub}
	c.Name, _ = said["name"].(string)
	c.Email, _ = said["email"].(string)
	username, ok := said[p.cfg.UsernameClaim].(string)
	if !ok {
		return c, unfit("the claims have no text %s (auth-openid-username-claim)", p.cfg.UsernameClaim)
	}
	// What people may type themselves names nobody.
	if verified := said["email_verified"]; p.cfg.UsernameClaim == "email" && verified != true && verified != "true" {
		return c, unfit("the provider does not say that it verified the address %.100q (email_verified), so that it names nobody", username)
	}
	c.Username = username
	if p.cfg.GroupsClaim == "" {
		return c, nil
	}
	switch groups := said[p.cfg.GroupsClaim].(type) {
	case nil:
		// Entra ID sends a reference where there are too many: that says nothing.
		// Otherwise who is in no group has no claim, and keeps no membership.
		if names, _ := said["_claim_names"].(map[string]any); names[p.cfg.GroupsClaim] != nil {
			p.cfg.Log.Warn("the provider sends no groups, since there are too many of them; memberships stay as they are", "username", username)
			return c, nil
		}
		c.Groups = []string{}
	case string:
		c.Groups = []string{groups}
	case []any:
		c.Groups = []string{}
		for _, g := range groups {
			name, ok := g.(string)
			if !ok {
				return c, unfit("the claim %s lists something else than texts", p.cfg.GroupsClaim)
			}
			c.Groups = append(c.Groups, name)
		}
	default:
		return c, unfit("the claim %s is no list of texts", p.cfg.GroupsClaim)
	}
	return c, nil
}

// lacks reports whether the claims have not all of those that are read; an empty
// name is none.
func lacks(said map[string]any, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, has := said[name]
		return name != "" && !has
	})
}
