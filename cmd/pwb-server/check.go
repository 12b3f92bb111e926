package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"pwb/cmd/settings"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/sqlite"
)

func configCommand() *cobra.Command {
	return family("config", "Check the configuration", configCheckCommand())
}

func configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look at the configuration and all that it names, and change nothing",
		Args:  takes(0, 0),
	}
	return administer(cmd, needFiles, func(ctx context.Context, j *job, _ []string) error {
		if err := j.showLooked(looked{"configuration", true, j.configFile()}); err != nil {
			return err
		}
		problems := 0
		for _, l := range looks {
			found, err := l.at(ctx, j.cfg)
			r := looked{What: l.what, OK: err == nil, Found: found}
			if err != nil {
				problems++
				r.Found = oneLine(err)
			}
			if err := j.showLooked(r); err != nil {
				return err
			}
		}
		if problems > 0 {
			return fmt.Errorf("the configuration has %s", plural(problems, "problem", "problems"))
		}
		return nil
	})
}

// configFile says which file was read.
func (j *job) configFile() string {
	if file := j.cmd.Flag(settings.FileFlag).Value.String(); file != "" {
		return file
	}
	if _, err := os.Stat(defaultConfigFile); err != nil {
		return "no file, so defaults, the environment and flags"
	}
	return defaultConfigFile
}

// looked is what one look found.
type looked struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
}

func (j *job) showLooked(r looked) error {
	if j.out.json {
		return j.out.object(r)
	}
	state := "ok"
	if !r.OK {
		state = "PROBLEM"
	}
	j.out.say("%-8s %s: %s", state, r.What, shown(r.Found))
	return nil
}

// looks are what is looked at, each by itself, so that every problem is found.
var looks = []struct {
	what string
	at   func(ctx context.Context, c config) (found string, err error)
}{
	{"log-level and log-format", func(_ context.Context, c config) (string, error) {
		_, err := settings.NewLogger(c.LogLevel, c.LogFormat)
		return c.LogLevel + ", " + c.LogFormat, err
	}},
	{"listen", func(_ context.Context, c config) (string, error) {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return "", fmt.Errorf("listen %q is not host:port: %w", c.Listen, err)
		}
		return c.Listen, nil
	}},
	{"certificate", lookAtCertificate},
	{"base-url", func(_ context.Context, c config) (string, error) {
		found := c.BaseURL
		if found == "" {
			found = "what requests name"
		}
		return found, builds(scimserver.Config{BaseURL: c.BaseURL})
	}},
	{"trusted-proxies", func(_ context.Context, c config) (string, error) {
		all, err := scimserver.ParseProxies(c.TrustedProxies)
		found := "none, so that no header says who asks"
		if len(all) > 0 {
			found = plural(len(all), "network", "networks") + ", by " + c.ForwardedHeader
		}
		return found, errors.Join(err, builds(scimserver.Config{ForwardedHeader: c.ForwardedHeader}))
	}},
	{"metrics-listen", func(_ context.Context, c config) (string, error) {
		if c.MetricsListen == "" {
			return "none", nil
		}
		_, _, err := metricsAddress(c.MetricsListen)
		return c.MetricsListen, err
	}},
	{"limits", func(_ context.Context, c config) (string, error) {
		err := errors.Join(
			builds(scimserver.Config{HashRounds: c.HashRounds}),
			builds(scimserver.Config{MaxBody: c.MaxBody}),
			builds(scimserver.Config{RequestTime: c.RequestTime}),
			builds(scimserver.Config{PageSize: c.PageSize}),
			builds(scimserver.Config{MaxPageSize: c.MaxPageSize}),
			builds(scimserver.Config{RateLimit: c.RateLimit, RateBurst: c.RateBurst}))
		return fmt.Sprintf("%d hash rounds, %d bytes and %v for a request, pages of %d to %d", c.HashRounds, c.MaxBody, c.RequestTime, c.PageSize, c.MaxPageSize), err
	}},
	{"uids and gids", func(_ context.Context, c config) (string, error) {
		err := errors.Join(
			builds(scimserver.Config{Ledger: ledger.Config{StartUID: c.StartUID, EndUID: c.EndUID}}),
			builds(scimserver.Config{Ledger: ledger.Config{StartGID: c.StartGID, EndGID: c.EndGID}}))
		found := fmt.Sprintf("uids %d-%d", c.StartUID, c.EndUID)
		if c.StartGID != 0 {
			found += fmt.Sprintf(", gids of groups %d-%d", c.StartGID, c.EndGID)
		}
		return found, err
	}},
	{"provisioning-excluded-ids", func(_ context.Context, c config) (string, error) {
		excluded, err := parseRanges(c.ExcludedIDs)
		return plural(len(excluded), "range", "ranges"), err
	}},
	{"auth-user-rewrite-rule", func(_ context.Context, c config) (string, error) {
		if c.RewriteRule == "" {
			return "none", nil
		}
		_, err := ledger.ParseRule(c.RewriteRule)
		return c.RewriteRule, err
	}},
	{"homes and shells", func(_ context.Context, c config) (string, error) {
		err := errors.Join(
			builds(scimserver.Config{Ledger: ledger.Config{HomeDir: c.HomeDir}}),
			builds(scimserver.Config{Ledger: ledger.Config{Shell: c.Shell}}))
		return c.HomeDir + ", " + c.Shell, err
	}},
	{"user-alias-days and user-retention-days", func(_ context.Context, c config) (string, error) {
		return fmt.Sprintf("%d and %d days", c.AliasDays, c.RetentionDays),
			errors.Join(checkDays("user-alias-days", c.AliasDays), checkDays("user-retention-days", c.RetentionDays))
	}},
	{"admin-group", func(_ context.Context, c config) (string, error) {
		found := c.AdminGroup
		if found == "" {
			found = "none"
		}
		return found, builds(scimserver.Config{Ledger: ledger.Config{AdminGroup: c.AdminGroup}})
	}},
	{"local-passwd-file", func(_ context.Context, c config) (string, error) { return readable(c.PasswdFile) }},
	{"local-group-file", func(_ context.Context, c config) (string, error) { return readable(c.GroupFile) }},
	{"local-nss", func(ctx context.Context, c config) (string, error) {
		if !c.LocalNSS {
			return "not asked", nil
		}
		_, err := ledger.ReadLocal(ctx, ledger.Sources{Passwd: os.DevNull, Group: os.DevNull, NSS: true})
		return "getent answers", err
	}},
	{"scim-token-file", func(_ context.Context, c config) (string, error) {
		if c.SCIMTokenFile == "" {
			return "none", nil
		}
		text, err := scimserver.ReadSecret(c.SCIMTokenFile)
		if err == nil {
			_, err = scimserver.ForeignToken("scim-token-file", scimserver.ScopeSCIM, text, time.Now())
		}
		if err != nil {
			return "", fmt.Errorf("scim-token-file %s: %w", c.SCIMTokenFile, err)
		}
		return c.SCIMTokenFile, nil
	}},
	{"registration at first login", lookAtRegistration},
	{"data-dir", lookAtDataDir},
	{"store", lookAtStore},
}

// builds says what is wrong with a part of the configuration; what is zero in it
// has the defaults.
func builds(cfg scimserver.Config) error {
	_, err := scimserver.New(cfg)
	return err
}

func lookAtCertificate(_ context.Context, c config) (string, error) {
	certs, err := transport(c, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		return "", err
	case certs == nil:
		return "none: plain HTTP on " + c.Listen, nil
	}
	leaf := certs.leaf()
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		return "", fmt.Errorf("tls-cert %s expired on %s: renew it", c.TLSCert, timeText(&leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return "", fmt.Errorf("tls-cert %s is not valid before %s: look at the clock", c.TLSCert, timeText(&leaf.NotBefore))
	}
	return fmt.Sprintf("%s, valid until %s", c.TLSCert, timeText(&leaf.NotAfter)), nil
}

func readable(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	return file, f.Close()
}

func lookAtDataDir(_ context.Context, c config) (string, error) {
	info, err := os.Stat(c.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.DataDir + " is not there yet: pwb-server serve makes it", nil
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", fmt.Errorf("%s is not a directory: name another with data-dir", c.DataDir)
	case info.Mode()&0o077 != 0:
		return "", fmt.Errorf("%s has mode %#o, so that others can reach password hashes in it: chmod 0700 it", c.DataDir, info.Mode().Perm())
	}
	return c.DataDir, nil
}

func lookAtStore(ctx context.Context, c config) (string, error) {
	switch _, err := os.Stat(filepath.Join(c.DataDir, sqlite.FileName)); {
	case errors.Is(err, fs.ErrNotExist):
		return "none yet: pwb-server serve makes it", nil
	case err != nil:
		return "", err
	}
	version, known, err := sqlite.Schema(ctx, c.DataDir)
	switch {
	case err != nil:
		return "", err
	case version < known:
		return fmt.Sprintf("schema version %d, which pwb-server serve brings to %d", version, known), nil
	}
	return fmt.Sprintf("schema version %d", version), nil
}
