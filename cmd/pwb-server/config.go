package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"pwb/cmd/settings"
	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// config holds every key of server.yaml; addKeys documents them.
type config struct {
	Listen       string `mapstructure:"listen"`
	DataDir      string `mapstructure:"data-dir"`
	TLSCert      string `mapstructure:"tls-cert"`
	TLSKey       string `mapstructure:"tls-key"`
	InsecureHTTP bool   `mapstructure:"insecure-http"`
	BaseURL      string `mapstructure:"base-url"`

	TrustedProxies  []string      `mapstructure:"trusted-proxies"`
	ForwardedHeader string        `mapstructure:"forwarded-header"`
	MetricsListen   string        `mapstructure:"metrics-listen"`
	MetricsNodes    int           `mapstructure:"metrics-nodes"`
	SlowRequest     time.Duration `mapstructure:"slow-request"`
	MinFreeBytes    uint64        `mapstructure:"min-free-bytes"`
	CheckStore      bool          `mapstructure:"check-store"`

	StartUID      uint32   `mapstructure:"user-provisioning-start-uid"`
	EndUID        uint32   `mapstructure:"user-provisioning-end-uid"`
	StartGID      uint32   `mapstructure:"group-provisioning-start-gid"`
	EndGID        uint32   `mapstructure:"group-provisioning-end-gid"`
	ExcludedIDs   []string `mapstructure:"provisioning-excluded-ids"`
	RewriteRule   string   `mapstructure:"auth-user-rewrite-rule"`
	HomeDir       string   `mapstructure:"user-homedir-path"`
	Shell         string   `mapstructure:"user-shell"`
	AliasDays     int      `mapstructure:"user-alias-days"`
	RetentionDays int      `mapstructure:"user-retention-days"`
	AdminGroup    string   `mapstructure:"admin-group"`
	AdoptLocal    bool     `mapstructure:"adopt-local-accounts"`
	HashRounds    int      `mapstructure:"password-hash-rounds"`

	PasswdFile string `mapstructure:"local-passwd-file"`
	GroupFile  string `mapstructure:"local-group-file"`
	LocalNSS   bool   `mapstructure:"local-nss"`

	SCIMTokenFile string `mapstructure:"scim-token-file"`

	MaxBody     int64 `mapstructure:"max-request-bytes"`
	PageSize    int   `mapstructure:"page-size"`
	MaxPageSize int   `mapstructure:"max-page-size"`

	RequestTime time.Duration `mapstructure:"request-timeout"`

	RateLimit float64 `mapstructure:"rate-limit"`
	RateBurst int     `mapstructure:"rate-burst"`

	NodeOfflineAfter time.Duration `mapstructure:"node-offline-after"`

	FuseWindow  time.Duration `mapstructure:"fuse-window"`
	FuseCount   int           `mapstructure:"fuse-count"`
	FusePercent int           `mapstructure:"fuse-percent"`

	Register       bool          `mapstructure:"user-provisioning-register-on-first-login"`
	OpenIDIssuer   string        `mapstructure:"auth-openid-issuer"`
	OpenIDClient   string        `mapstructure:"auth-openid-client-id"`
	OpenIDSecret   string        `mapstructure:"auth-openid-client-secret-file"`
	OpenIDUsername string        `mapstructure:"auth-openid-username-claim"`
	OpenIDGroups   string        `mapstructure:"auth-openid-groups-claim"`
	OpenIDScopes   []string      `mapstructure:"auth-openid-scopes"`
	OpenIDAlso     []string      `mapstructure:"auth-openid-audiences"`
	OpenIDMatch    string        `mapstructure:"auth-openid-match"`
	OpenIDCACert   string        `mapstructure:"auth-openid-ca-cert"`
	OpenIDWait     time.Duration `mapstructure:"auth-openid-wait"`

	LogLevel  string `mapstructure:"log-level"`
	LogFormat string `mapstructure:"log-format"`
}

// addKeys adds a flag for every key.
func addKeys(f *pflag.FlagSet) {
	f.String(settings.FileFlag, "", "configuration `file` (default "+defaultConfigFile+" if it is there)")
	f.String("data-dir", "/var/lib/pwb-server", "`directory` of the store; only its owner may reach it")
	f.String("listen", "127.0.0.1:8443", "`address` to listen on, host:port")
	f.String("tls-cert", "", "PEM `file` with the server's certificate and its chain")
	f.String("tls-key", "", "PEM `file` with the certificate's private key, which not everybody may read")
	f.Bool("insecure-http", false, "speak plain HTTP; allowed on a loopback address only")
	f.String("base-url", "", "`URL` under which clients reach the server, for links in answers (default: what the request names)")
	f.StringSlice("trusted-proxies", nil, "`addresses` and networks, such as 10.0.0.0/8, of reverse proxies; only these are believed who asks them, and whether by TLS")
	f.String("forwarded-header", scimserver.XForwardedFor, "`header` in which trusted-proxies say for whom they ask: X-Forwarded-For (with X-Forwarded-Proto) or Forwarded; they must set it themselves")
	f.String("metrics-listen", "", "`address` to show metrics on at /metrics, to everybody who reaches it: host:port on a loopback or management address, or unix:/path; empty: none. A token of scope operator reads /metrics on the main address, too")
	f.Int("metrics-nodes", 1000, "most `nodes` with metrics of their own, those in trouble first; 0: sums only")
	f.Duration("slow-request", time.Second, "`time` from which on a request is logged as slow, with what it spent the time on; 0: never")
	f.Bool("check-store", true, "look at the start whether the store is whole, which takes some seconds for a million users, and do not serve one that is damaged")
	f.Uint64("min-free-bytes", 64<<20, "free `bytes` in data-dir below which the server says that it is not ready")
	f.Uint32("user-provisioning-start-uid", roster.MinID, "least `uid` to give, which is the gid of a private group too; 1000 or more")
	f.Uint32("user-provisioning-end-uid", 1<<31-1, "greatest `uid` to give")
	f.Uint32("group-provisioning-start-gid", 0, "least `gid` to give to groups; 0: users and groups share one sequence")
	f.Uint32("group-provisioning-end-gid", 1<<31-1, "greatest `gid` to give to groups")
	f.StringSlice("provisioning-excluded-ids", nil, "`ranges` that no uid or gid is given from, such as 5000-5999")
	f.String("auth-user-rewrite-rule", "", "`rule` that rewrites a userName before a name is made of it: a regular expression (RE2), a blank, and what its matches become; $1 is the first group")
	f.String("user-homedir-path", "/home", "`directory` in which homes lie")
	f.String("user-shell", "/bin/bash", "login `shell` of new accounts")
	f.Int("user-alias-days", 30, "`days` for which a former name works after a rename; 0: not at all")
	f.Int("user-retention-days", 365, "`days` for which the locked account of a deleted user stays resolvable; 0: for ever")
	f.String("admin-group", "pwb-admins", "`group` of those whose admin attribute is true; empty: none")
	f.Bool("adopt-local-accounts", true, "a new user takes over the account of the same name that a person has on the server's own host")
	f.Int("password-hash-rounds", 100_000, "`rounds` of a password hash (crypt(5), $6$), 1000 to 10000000")
	f.String("local-passwd-file", "/etc/passwd", "passwd `file` whose names and uids are given to nobody else")
	f.String("local-group-file", "/etc/group", "group `file` whose names and gids are given to nobody else")
	f.Bool("local-nss", true, "also ask getent(1) what the host's name services add to the two files")
	f.String("scim-token-file", "", "`file` with a token of scope scim that somebody else made, such as a mounted secret")
	f.Int64("max-request-bytes", 16<<20, "most `bytes` of a SCIM request")
	f.Duration("request-timeout", 30*time.Second, "`time` that a client may take to send a request")
	f.Int("page-size", 100, "`resources` in a list when the client does not say")
	f.Int("max-page-size", 1000, "most `resources` in a list")
	f.Float64("rate-limit", 500, "SCIM `operations` a second that a token may make; 0 is no limit")
	f.Int("rate-burst", 2000, "SCIM `operations` that a token may make at once")
	f.Duration("fuse-window", time.Hour, "`time` for which the users count whom providers locked or deleted: when they are more than fuse-count and fuse-percent, further such requests are refused; 0: never")
	f.Int("fuse-count", 50, "`users` whom providers may lock or delete within fuse-window, whatever their share; 0: no bound")
	f.Int("fuse-percent", 20, "share of all users, in `percent`, that providers may lock or delete within fuse-window; 0: no bound")
	f.Duration("node-offline-after", 5*time.Minute, "`time` after which a node that was not seen counts as offline, 2m or more")
	addOpenIDKeys(f)
	settings.LogFlags(f)
}

// handler makes the server that the configuration describes, on a store. Only
// who gives names or numbers needs to know what the host has: without givesIDs
// it is not asked, which could take its time or fail.
func (c config) handler(ctx context.Context, store scimserver.Store, log *slog.Logger, givesIDs bool, changes ...func(*scimserver.Config)) (*scimserver.Server, error) {
	excluded, err := parseRanges(c.ExcludedIDs)
	if err != nil {
		return nil, fmt.Errorf("provisioning-excluded-ids: %w", err)
	}
	var rule *ledger.Rule
	if c.RewriteRule != "" {
		if rule, err = ledger.ParseRule(c.RewriteRule); err != nil {
			return nil, fmt.Errorf("auth-user-rewrite-rule: %w", err)
		}
	}
	if err := errors.Join(checkDays("user-alias-days", c.AliasDays), checkDays("user-retention-days", c.RetentionDays)); err != nil {
		return nil, err
	}
	var local *ledger.Local
	if givesIDs {
		if local, err = ledger.ReadLocal(ctx, c.sources()); err != nil {
			return nil, err
		}
	}
	proxies, err := scimserver.ParseProxies(c.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("trusted-proxies: %w", err)
	}
	full := scimserver.Config{
		Store:   store,
		Log:     log,
		BaseURL: c.BaseURL,
		Ledger: ledger.Config{
			StartUID:   c.StartUID,
			EndUID:     c.EndUID,
			StartGID:   c.StartGID,
			EndGID:     c.EndGID,
			Excluded:   excluded,
			HomeDir:    c.HomeDir,
			Shell:      c.Shell,
			Rewrite:    rule,
			AliasTime:  time.Duration(c.AliasDays) * day,
			Retention:  time.Duration(c.RetentionDays) * day,
			AdminGroup: c.AdminGroup,
			Adopt:      c.AdoptLocal,
			Local:      local,
		},
		ReadLocal:   func(ctx context.Context) (*ledger.Local, error) { return ledger.ReadLocal(ctx, c.sources()) },
		HashRounds:  c.HashRounds,
		TokenFile:   c.SCIMTokenFile,
		MaxBody:     c.MaxBody,
		RequestTime: c.RequestTime,
		PageSize:    c.PageSize,
		MaxPageSize: c.MaxPageSize,
		RateLimit:   c.RateLimit,
		RateBurst:   c.RateBurst,

		NodeOfflineAfter: c.NodeOfflineAfter,
		Registers:        c.Register,
		Match:            scimserver.Match(c.OpenIDMatch),
		RegisterWait:     c.OpenIDWait,
		Fuse:             scimserver.FuseConfig{Window: c.FuseWindow, Count: c.FuseCount, Percent: c.FusePercent},

		TrustedProxies:  proxies,
		ForwardedHeader: c.ForwardedHeader,
		SlowRequest:     c.SlowRequest,
	}
	for _, change := range changes {
		change(&full)
	}
	return scimserver.New(full)
}

const (
	day     = 24 * time.Hour
	maxDays = 36500
)

func (c config) sources() ledger.Sources {
	return ledger.Sources{Passwd: c.PasswdFile, Group: c.GroupFile, NSS: c.LocalNSS}
}

func checkDays(key string, days int) error {
	if days < 0 || days > maxDays {
		return fmt.Errorf("%s is %d, which is not from 0 to %d", key, days, maxDays)
	}
	return nil
}

// parseRanges reads ranges such as 5000-5999 and single numbers.
func parseRanges(texts []string) (all []roster.IDRange, err error) {
	for _, text := range texts {
		first, last, two := strings.Cut(strings.TrimSpace(text), "-")
		if !two {
			last = first
		}
		from, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 32)
		to, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 32)
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("%.40q is not a range such as 5000-5999", text)
		}
		all = append(all, roster.IDRange{First: uint32(from), Last: uint32(to)})
	}
	return all, nil
}
