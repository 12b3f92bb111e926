package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pwb/altfiles"
	"pwb/cmd/settings"
	"pwb/syncer"
)

func syncCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Pull and render once, for cron and timers",
		Long: `Pull and render once.

Exit status: 0 the files are current; 1 the pass failed and the files are as
they were; 2 with --dry-run only, there is something to write; 3 the mass-change
fuse stopped the pass and the files are as they were; 4 the files are pinned by
pwb-agent rollback, and the roster is another.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := assemble(cmd, false)
			if err != nil {
				return err
			}
			_, err = s.Once(cmd.Context())
			return err
		},
	}
	addFlags(cmd.Flags())
	cmd.Flags().Bool("dry-run", false, "write nothing; print what would change")
	cmd.Flags().Bool(checkFlag, false, "read and prove everything, though nothing seems to have changed")
	return cmd
}

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Stay, and render every change within a moment",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := assemble(cmd, false)
			if err != nil {
				return err
			}
			err = s.Run(cmd.Context())
			if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
				return nil // asked to stop
			}
			return err
		},
	}
	f := cmd.Flags()
	addFlags(f)
	f.Duration("wait", 30*time.Second, "`time` that a request may wait at the server for a change")
	f.Duration("min-backoff", 500*time.Millisecond, "least `time` before a failed request is repeated")
	f.Duration("max-backoff", time.Minute, "most `time` before a failed request is repeated")
	f.Duration("audit", 10*time.Minute, "`time` between checks of the rendered files when nothing changes")
	return cmd
}

// assemble wires server, mirror and files together as the flags say; dry is
// dry-run whatever they say.
func assemble(cmd *cobra.Command, dry bool) (*syncer.Syncer, error) {
	flags, check, err := splitCheck(cmd.Flags())
	if err != nil {
		return nil, err
	}
	return assembleWith(cmd, flags, func(c *syncer.Config) { c.Check, c.DryRun = check, c.DryRun || dry })
}

// assembleWith is assemble with these flags alone.
func assembleWith(cmd *cobra.Command, flags *pflag.FlagSet, change ...func(*syncer.Config)) (*syncer.Syncer, error) {
	cfg, err := load(flags)
	if err != nil {
		return nil, err
	}
	log, err := settings.NewLogger(cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return nil, err
	}
	renderer, err := newRenderer(&cfg)
	if err != nil {
		return nil, err
	}
	client, err := syncer.NewClient(syncer.ClientConfig{
		Server:    cfg.Server,
		TokenFile: cfg.TokenFile,
		CACert:    cfg.CACert,
		Node:      cfg.Node,
		Version:   version,
	})
	if err != nil {
		return nil, err
	}
	wake, err := watch(cmd.Context(), cfg)
	if err != nil {
		log.Warn("a rotated token or certificate will be noticed at the next try only", "error", err)
	}
	local := &localFiles{passwd: cfg.PasswdFile, group: cfg.GroupFile}
	c := syncer.Config{
		StateDir:     cfg.StateDir,
		Fuse:         syncer.Fuse{Count: cfg.MaxChangeCount, Percent: cfg.MaxChangePercent},
		AcceptChange: cfg.AcceptChange,
		DryRun:       cfg.DryRun,
		Diff:         cmd.OutOrStdout(),
		Wait:         cfg.Wait,
		Audit:        cfg.Audit,
		MinBackoff:   cfg.MinBackoff,
		MaxBackoff:   cfg.MaxBackoff,
		Wake:         wake,
		Local:        local.read,
		Version:      version,
		Log:          log,
	}
	for _, f := range change {
		f(&c)
	}
	return syncer.New(c, client, &sink{Renderer: renderer, log: log})
}

// checkFlag asks for a check of everything. It is no key of the configuration:
// who configured it would lose what there is against passes for nothing.
const checkFlag = "check"

// splitCheck takes the flag from the others, and false from commands without it.
func splitCheck(all *pflag.FlagSet) (others *pflag.FlagSet, check bool, err error) {
	if all.Lookup(checkFlag) == nil {
		return all, false, nil
	}
	others = pflag.NewFlagSet(all.Name(), pflag.ContinueOnError)
	all.VisitAll(func(f *pflag.Flag) {
		if f.Name != checkFlag {
			others.AddFlag(f)
		}
	})
	check, err = all.GetBool(checkFlag)
	return others, check, err
}

// watch tells of new tokens and certificates, so that a failing agent tries
// again at once.
func watch(ctx context.Context, cfg config) (<-chan struct{}, error) {
	files := []string{cfg.TokenFile}
	if cfg.CACert != "" {
		files = append(files, cfg.CACert)
	}
	return syncer.Watch(ctx, files...)
}

// newRenderer makes the renderer that the configuration describes.
func newRenderer(cfg *config) (*altfiles.Renderer, error) {
	r, err := altfiles.New(altfiles.Config{
		Dir:         cfg.Dir,
		Layout:      altfiles.Layout(cfg.Layout),
		Root:        cfg.Root,
		StateDir:    cfg.StateDir,
		PasswdFile:  cfg.PasswdFile,
		GroupFile:   cfg.GroupFile,
		ShadowGroup: cfg.ShadowGroup,
		Policy:      cfg.policy(),

		KeepGenerations: cfg.KeepGenerations,
	})
	if err != nil {
		return nil, err
	}
	return r, r.Preflight() // before even the mirror is written
}
