package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"pwb/scimserver"
	"pwb/scimserver/signin"
)

// addOpenIDKeys adds the keys of registration at first login.
func addOpenIDKeys(f *pflag.FlagSet) {
	f.Bool("user-provisioning-register-on-first-login", false, "make and update accounts of people who sign in with OpenID Connect, and of those whom a front end with a token of scope jit-proxy names")
	f.String("auth-openid-issuer", "", "`URL` of the OpenID provider, exactly as in its iss; https, or http on a loopback address")
	f.String("auth-openid-client-id", "", "`name` by which the provider knows this server; its redirect URI is /openid/callback below base-url")
	f.String("auth-openid-client-secret-file", "", "`file` with the client's secret, mode 0600, read at each sign-in; empty: a public client")
	f.String("auth-openid-username-claim", "preferred_username", "`claim` that becomes the userName; nobody may be able to choose it freely. email needs email_verified")
	f.String("auth-openid-groups-claim", "", "`claim` that lists the groups of whoever signs in; empty: groups are left alone")
	f.StringSlice("auth-openid-scopes", []string{"openid", "profile", "email"}, "`scopes` that the provider is asked for")
	f.StringSlice("auth-openid-audiences", nil, "`clients` of the provider, besides auth-openid-client-id, whose ID tokens portals may bring")
	f.String("auth-openid-match", string(scimserver.MatchUserName), "which users that a provider or administrator made a person may turn out to be at the first login: `username`, whose userName is the claim to the letter; external-id, whose externalId is the sub besides; nobody")
	f.String("auth-openid-ca-cert", "", "PEM `file` of the authorities to trust for the provider in place of the system's, read at the start")
	f.Duration("auth-openid-wait", 5*time.Second, "most `time` that a registration waits until the nodes that follow show it, 30s at most; 0: not at all")
}

// openID is the provider that the configuration names; nil when there is none.
func (c config) openID(log *slog.Logger) (*signin.Provider, error) {
	if c.OpenIDIssuer == "" {
		if c.OpenIDClient != "" || c.OpenIDSecret != "" || len(c.OpenIDAlso) > 0 {
			return nil, errors.New("auth-openid-client-id, auth-openid-client-secret-file and auth-openid-audiences need auth-openid-issuer: name the provider")
		}
		return nil, nil
	}
	p, err := signin.NewProvider(signin.Config{
		Issuer: c.OpenIDIssuer, ClientID: c.OpenIDClient, SecretFile: c.OpenIDSecret, Audiences: c.OpenIDAlso,
		UsernameClaim: c.OpenIDUsername, GroupsClaim: c.OpenIDGroups, Scopes: c.OpenIDScopes,
		CACert: c.OpenIDCACert, BaseURL: c.BaseURL, Log: log,
	})
	switch {
	case err != nil:
		return nil, err
	case !c.Register:
		return nil, nil
	case c.BaseURL == "" && !c.InsecureHTTP:
		return nil, errors.New("auth-openid-issuer needs base-url: the provider sends browsers back to that address")
	}
	return p, nil
}

func lookAtRegistration(_ context.Context, c config) (string, error) {
	p, err := c.openID(slog.New(slog.DiscardHandler))
	err = errors.Join(err, builds(scimserver.Config{Match: scimserver.Match(c.OpenIDMatch), RegisterWait: c.OpenIDWait}))
	switch {
	case err != nil:
		return "", err
	case !c.Register:
		return "off", nil
	case p == nil:
		return "by front ends alone: no auth-openid-issuer", nil
	}
	return fmt.Sprintf("%s, client %s", c.OpenIDIssuer, c.OpenIDClient), nil
}
