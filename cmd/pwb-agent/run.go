package main

import (
	"context"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pwb/cmd/settings"
	"pwb/syncer"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Stay, and render every change within a moment",
		Long: `Stay, and render every change within a moment.

A changed configuration file is taken within a second, or at SIGHUP; one that is wrong is
logged and changes nothing. Token and certificates are read anew by themselves, and
rendered files that somebody else changed are put right. systemd(1) is told when the
last good files are there, what the agent does, and that it is not stuck: in its unit,
Type=notify-reload, or notify where that is not known, and WatchdogSec= if you like.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return stay(cmd) },
	}
	f := cmd.Flags()
	addFlags(f)
	f.String("run-dir", "/run/pwb", "`directory` of the socket on which the NSS module asks, and of the file that tells it how the agent stands; empty for neither")
	f.String(metricsFlag, "", "`address` to show metrics on at /metrics, host:port, to everybody who reaches it; empty for none")
	f.Duration("wait", 30*time.Second, "`time` that a request may wait at the server for a change")
	f.Duration("min-backoff", 500*time.Millisecond, "least `time` before a failed request is repeated")
	f.Duration("max-backoff", time.Minute, "most `time` before a failed request is repeated")
	f.Duration("audit", 10*time.Minute, "`time` between checks of the rendered files when nothing changes")
	f.Duration("settle", 0, "least `time` between two renders, for which a lock waits, too; in any case half as long as the last one took, 5s at most")
	return cmd
}

// stay runs the agent until the command's context ends, anew after each change of
// the configuration.
func stay(cmd *cobra.Command) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	// Before the file is read, so that no edit goes unseen.
	edits, unseen := syncer.Watch(ctx, configFile(cmd))
	edited := calm(ctx, edits, editPause)
	a, err := assemble(cmd, false)
	if err != nil {
		return err
	}
	if unseen != nil {
		a.log.Debug("a changed configuration will be noticed within a minute", "error", unseen)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	manager := newManager(ctx, a.log)
	defer manager.stopping()
	for {
		end, ended, err := a.begin(ctx, manager)
		if err != nil {
			return err
		}
		next := (*agent)(nil)
		for next == nil {
			asked := true
			select {
			case err := <-ended:
				end()
				return err
			case <-hangup:
			case <-edited:
				asked = false
			}
			next = a.successor(cmd, asked)
			if asked || next != nil {
				manager.reloading()
			}
			if asked && next == nil {
				manager.serving()
			}
		}
		end()
		if err := <-ended; err != nil {
			return err
		}
		a.client.Close()
		a = next
		manager.begins()
		a.log.Info("runs with a new configuration")
	}
}

// configFile is where the configuration is, or would be.
func configFile(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup(settings.FileFlag); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	return defaultConfigFile
}

// begin lets the agent run until end is called or ctx ends; ended then has a value.
func (a *agent) begin(ctx context.Context, m *manager) (end func(), ended <-chan error, err error) {
	ctx, end = context.WithCancel(ctx)
	paths := append(a.renderer.Paths(), a.cfg.TokenFile)
	if a.cfg.CACert != "" {
		paths = append(paths, a.cfg.CACert)
	}
	// What is not there cannot be watched; that it cannot be made is the first pass's to say.
	_ = syncer.MakeStateDir(a.cfg.StateDir)
	if a.how.Wake, err = syncer.Watch(ctx, paths...); err != nil {
		a.log.Warn("some changes of files will be noticed a minute late", "error", err)
	}
	a.how.Observe, a.how.Alive = m.observe, m.alive
	s, closeDesk, err := a.open(m)
	if err != nil {
		end()
		return nil, nil, err
	}
	result := make(chan error, 1)
	go func() {
		err := s.Run(ctx)
		closeDesk()
		result <- err
	}()
	return end, result, nil
}

// successor is the agent that the configuration describes now; nil when that cannot
// be, or, unless it was asked for, when it is the same.
func (a *agent) successor(cmd *cobra.Command, asked bool) *agent {
	next, err := assemble(cmd, false)
	if err == nil {
		_, err = next.syncer() // which checks more
	}
	if err == nil {
		_, err = next.meter()
	}
	if err != nil {
		a.log.Error("the configuration is not taken; the agent goes on with the one before", "error", err)
		return nil
	}
	if !asked && reflect.DeepEqual(a.cfg, next.cfg) {
		return nil
	}
	return next
}
