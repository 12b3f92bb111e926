package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"pwb/cmd/pwb-agent/after"
	"pwb/syncer"
)

// afterFlags adds the keys that say what follows when accounts changed.
func afterFlags(f *pflag.FlagSet) {
	f.String("hooks-dir", "/etc/pwb/hooks.d", "`directory` of programs that are called when the files changed and when an account may not log in any more; empty for none")
	f.Duration("hook-timeout", 10*time.Second, "`time` that a hook, or busctl, may take before it is killed with its process group, 1s to 10m")
	f.Bool("end-sessions", false, "end the sessions, by systemd-logind, of accounts that may not log in any more")
	f.String("busctl-program", "/usr/bin/busctl", "`program` that speaks to systemd-logind")
	f.String("nscd-socket", "/var/run/nscd/socket", "`socket` of nscd, which forgets accounts and groups when the files changed, where it runs; empty for none")
}

// after is what follows a change on this node; nil for an image, where nothing runs.
func (cfg *config) after(log *slog.Logger) (syncer.After, error) {
	if cfg.HookTimeout < time.Second || cfg.HookTimeout > 10*time.Minute {
		return nil, fmt.Errorf("hook-timeout is %v: give 1s to 10m", cfg.HookTimeout)
	}
	if cfg.Root != "" {
		return nil, nil
	}
	if cfg.HooksDir != "" {
		dir, err := filepath.Abs(cfg.HooksDir)
		if err != nil {
			return nil, err
		}
		cfg.HooksDir = dir // hooks begin in the root directory
	}
	return after.New(after.Config{
		HooksDir:    cfg.HooksDir,
		Timeout:     cfg.HookTimeout,
		EndSessions: cfg.EndSessions,
		Busctl:      cfg.Busctl,
		NscdSocket:  cfg.NscdSocket,
		Log:         log,
	}), nil
}
