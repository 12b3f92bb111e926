package main

import (
	"time"

	"github.com/spf13/cobra"

	"pwb/cmd/settings"
	"pwb/roster"
)

// config holds every key of server.yaml; addFlags documents them.
type config struct {
	Listen       string `mapstructure:"listen"`
	DataDir      string `mapstructure:"data-dir"`
	TLSCert      string `mapstructure:"tls-cert"`
	TLSKey       string `mapstructure:"tls-key"`
	InsecureHTTP bool   `mapstructure:"insecure-http"`
	BaseURL      string `mapstructure:"base-url"`

	StartUID   uint32 `mapstructure:"user-provisioning-start-uid"`
	HomeDir    string `mapstructure:"user-homedir-path"`
	Shell      string `mapstructure:"user-shell"`
	HashRounds int    `mapstructure:"password-hash-rounds"`

	PasswdFile string `mapstructure:"local-passwd-file"`
	GroupFile  string `mapstructure:"local-group-file"`

	MaxBody     int64 `mapstructure:"max-request-bytes"`
	PageSize    int   `mapstructure:"page-size"`
	MaxPageSize int   `mapstructure:"max-page-size"`

	RequestTime time.Duration `mapstructure:"request-timeout"`

	RateLimit float64 `mapstructure:"rate-limit"`
	RateBurst int     `mapstructure:"rate-burst"`

	LogLevel  string `mapstructure:"log-level"`
	LogFormat string `mapstructure:"log-format"`
}

func addFlags(cmd *cobra.Command) {
	addCommonFlags(cmd)
	f := cmd.Flags()
	f.String("listen", "127.0.0.1:8443", "`address` to listen on, host:port")
	f.String("tls-cert", "", "PEM `file` with the server's certificate and its chain")
	f.String("tls-key", "", "PEM `file` with the certificate's private key, which not everybody may read")
	f.Bool("insecure-http", false, "speak plain HTTP; allowed on a loopback address only")
	f.String("base-url", "", "`URL` under which clients reach the server, for links in answers (default: what the request names)")
	f.Uint32("user-provisioning-start-uid", roster.MinID, "least `uid` and gid to give; 1000 or more")
	f.String("user-homedir-path", "/home", "`directory` in which homes lie")
	f.String("user-shell", "/bin/bash", "login `shell` of new accounts")
	f.Int("password-hash-rounds", 100_000, "`rounds` of a password hash (crypt(5), $6$), 1000 to 10000000")
	f.String("local-passwd-file", "/etc/passwd", "passwd `file` whose names and uids are given to nobody")
	f.String("local-group-file", "/etc/group", "group `file` whose names and gids are given to nobody")
	f.Int64("max-request-bytes", 16<<20, "most `bytes` of a SCIM request")
	f.Duration("request-timeout", 30*time.Second, "`time` that a client may take to send a request")
	f.Int("page-size", 100, "`resources` in a list when the client does not say")
	f.Int("max-page-size", 1000, "most `resources` in a list")
	f.Float64("rate-limit", 500, "SCIM `operations` a second that a token may make; 0 is no limit")
	f.Int("rate-burst", 2000, "SCIM `operations` that a token may make at once")
	settings.LogFlags(f)
}
