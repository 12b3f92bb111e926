package scimserver

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"pwb/scimserver/ledger"
)

// Config is what a Server needs. Zero fields get the defaults named here.
type Config struct {
	Store Store
	// Log receives what administrators should see; nil discards it.
	Log *slog.Logger
	// BaseURL is the scheme and host under which clients reach the server, for
	// the absolute URLs in SCIM answers. Empty: what the request names.
	BaseURL string
	// Ledger says what names and numbers are given. Its Log and Now are set here.
	Ledger ledger.Config
	// ReadLocal, when set, reads anew what the server's own host has, every few
	// minutes.
	ReadLocal func(context.Context) (*ledger.Local, error)
	// Now is the clock, default time.Now.
	Now func() time.Time
	// HashRounds is the cost of a password hash ($6$), default 100,000.
	HashRounds int
	// MaxBody is the most bytes of a SCIM request, default 16 MiB.
	MaxBody int64
	// PageSize is how many resources a list answers with when the client does
	// not say, default 100; MaxPageSize the most it answers with, default 1000.
	PageSize, MaxPageSize int
	// RequestTime is how long a client may take to send a request, default 30 s.
	RequestTime time.Duration
	// MaxWait bounds a long poll, default 60 s.
	MaxWait time.Duration
	// RateLimit is how many SCIM operations a second a token may make, and
	// RateBurst how many at once; a RateLimit of 0 is no bound.
	RateLimit float64
	RateBurst int
	// TokenFile holds a token of scope scim that somebody else made; empty: none.
	TokenFile string
	// TokenLife is how long a token that was found in the store is believed
	// without another look, default 1 s; below 0: not at all.
	TokenLife time.Duration
	// NodeOfflineAfter is how long a node may not have been seen before it counts
	// as offline, 2 min at least, default 5 min.
	NodeOfflineAfter time.Duration
	// Fuse bounds what providers may take; the zero one does not.
	Fuse FuseConfig
	// Registers opens /jit/v1/register; Match says whom a person who signs in may
	// turn out to be, default MatchUserName.
	Registers bool
	Match     Match
	// IDTokens verifies the ID tokens of /jit/v1/register; nil: none is taken.
	IDTokens IDTokens
	// RegisterWait bounds how long a registration waits until nodes show it;
	// 0: not at all.
	RegisterWait time.Duration
	// TrustedProxies are those whose word counts about who asks them: ForwardedHeader
	// is the header in which they say it, XForwardedFor (the default) or Forwarded.
	TrustedProxies  []netip.Prefix
	ForwardedHeader string
	// SlowRequest is from how long on a request is logged with a warning, without
	// what it waited for a change; 0: never.
	SlowRequest time.Duration
	// Meter hears what is done; nil: nobody does.
	Meter Meter
	// Metrics, when set, answers GET /metrics for tokens of scope operator.
	Metrics http.Handler
	// Ready, when set, says why the server is not ready though its store answers.
	Ready func() error
}

func (c *Config) setDefaults() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Meter == nil {
		c.Meter = deaf{}
	}
	c.ForwardedHeader = cmp.Or(c.ForwardedHeader, XForwardedFor)
	if c.ForwardedHeader != XForwardedFor && c.ForwardedHeader != Forwarded {
		return fmt.Errorf("forwarded-header is %q: write %s or %s", c.ForwardedHeader, XForwardedFor, Forwarded)
	}
	if c.SlowRequest < 0 {
		return fmt.Errorf("slow-request is %v, which is below 0", c.SlowRequest)
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	c.HashRounds = cmp.Or(c.HashRounds, 100_000)
	c.MaxBody = cmp.Or(c.MaxBody, 16<<20)
	c.PageSize = cmp.Or(c.PageSize, 100)
	c.MaxPageSize = cmp.Or(c.MaxPageSize, 1000)
	c.RequestTime = cmp.Or(c.RequestTime, 30*time.Second)
	c.MaxWait = cmp.Or(c.MaxWait, 60*time.Second)
	c.TokenLife = cmp.Or(c.TokenLife, time.Second)
	c.Match = cmp.Or(c.Match, MatchUserName)
	c.NodeOfflineAfter = cmp.Or(c.NodeOfflineAfter, 5*time.Minute)
	for _, n := range []struct {
		key              string
		value, low, high int64
	}{
		{"password-hash-rounds", int64(c.HashRounds), 1000, 10_000_000},
		{"max-request-bytes", c.MaxBody, 1 << 10, 1 << 30},
		{"page-size", int64(c.PageSize), 1, 10_000},
		{"max-page-size", int64(c.MaxPageSize), 1, 10_000},
		{"request-timeout in milliseconds", c.RequestTime.Milliseconds(), 1, 3_600_000},
	} {
		if n.value < n.low || n.value > n.high {
			return fmt.Errorf("%s is %d, which is not from %d to %d", n.key, n.value, n.low, n.high)
		}
	}
	if u, err := url.Parse(c.BaseURL); c.BaseURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "") {
		return fmt.Errorf("base-url %q is not a URL such as https://pwb.example", c.BaseURL)
	}
	if err := c.Fuse.check(); err != nil {
		return err
	}
	if _, err := ParseMatch(string(c.Match)); err != nil {
		return fmt.Errorf("auth-openid-match %w", err)
	}
	if c.RegisterWait < 0 || c.RegisterWait > maxRegisterWait {
		return fmt.Errorf("auth-openid-wait is %v, which is not from 0 to %v", c.RegisterWait, maxRegisterWait)
	}
	if c.NodeOfflineAfter < 2*time.Minute {
		return fmt.Errorf("node-offline-after is %v, which is below 2m: nodes that wait for changes would count as offline", c.NodeOfflineAfter)
	}
	if c.RateLimit < 0 || c.RateLimit > 0 && c.RateBurst < 1 {
		return fmt.Errorf("rate-limit %v with rate-burst %d lets nothing through; 0 is no limit", c.RateLimit, c.RateBurst)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Ledger.Log, c.Ledger.Now = c.Log, c.Now
	return nil
}
