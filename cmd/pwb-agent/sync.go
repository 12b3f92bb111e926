package main

import (
	"context"
	"log/slog"

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
			a, err := assemble(cmd, false)
			if err != nil {
				return err
			}
			return a.once(cmd.Context())
		},
	}
	addFlags(cmd.Flags())
	cmd.Flags().Bool("dry-run", false, "write nothing; print what would change")
	cmd.Flags().Bool(checkFlag, false, "read and prove everything, though nothing seems to have changed")
	return cmd
}

// agent is what the flags, the environment and the configuration describe.
type agent struct {
	cfg      config
	log      *slog.Logger
	renderer *altfiles.Renderer
	client   *syncer.Client
	how      syncer.Config
}

// assemble wires server, mirror and files together as the flags say; dry is
// dry-run whatever they say.
func assemble(cmd *cobra.Command, dry bool) (*agent, error) {
	flags, check, err := splitCheck(cmd.Flags())
	if err != nil {
		return nil, err
	}
	return assembleWith(cmd, flags, func(how *syncer.Config) { how.Check, how.DryRun = check, how.DryRun || dry })
}

// assembleWith is assemble with these flags alone.
func assembleWith(cmd *cobra.Command, flags *pflag.FlagSet, change ...func(*syncer.Config)) (a *agent, err error) {
	a = &agent{}
	if a.cfg, err = load(flags); err != nil {
		return nil, err
	}
	cfg := &a.cfg
	if a.log, err = settings.NewLogger(cfg.LogLevel, cfg.LogFormat); err != nil {
		return nil, err
	}
	if a.renderer, err = newRenderer(cfg); err != nil {
		return nil, err
	}
	follow, err := cfg.after(a.log)
	if err != nil {
		return nil, err
	}
	a.client, err = syncer.NewClient(syncer.ClientConfig{
		Server:    cfg.Server,
		TokenFile: cfg.TokenFile,
		CACert:    cfg.CACert,
		Node:      cfg.Node,
		Version:   version,
	})
	if err != nil {
		return nil, err
	}
	local := &localFiles{passwd: cfg.PasswdFile, group: cfg.GroupFile}
	a.how = syncer.Config{
		StateDir:     cfg.StateDir,
		Fuse:         syncer.Fuse{Count: cfg.MaxChangeCount, Percent: cfg.MaxChangePercent},
		AcceptChange: cfg.AcceptChange,
		DryRun:       cfg.DryRun,
		Diff:         cmd.OutOrStdout(),
		Wait:         cfg.Wait,
		Audit:        cfg.Audit,
		Settle:       cfg.Settle,
		MinBackoff:   cfg.MinBackoff,
		MaxBackoff:   cfg.MaxBackoff,
		Local:        local.read,
		After:        follow,
		Version:      version,
		Log:          a.log,
	}
	for _, f := range change {
		f(&a.how)
	}
	return a, nil
}

func (a *agent) syncer() (*syncer.Syncer, error) {
	return syncer.New(a.how, a.client, &sink{Renderer: a.renderer, log: a.log})
}

// once makes one pass.
func (a *agent) once(ctx context.Context) error {
	meter, err := a.meter()
	if err != nil {
		return err
	}
	if meter != nil {
		a.how.Observe = meter.Heard
	}
	s, err := a.syncer()
	if err != nil {
		return err
	}
	if meter != nil {
		defer meter.Flush() // what followed the pass
	}
	_, err = s.Once(ctx)
	return err
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

		Index:           cfg.index(),
		KeepGenerations: cfg.KeepGenerations,
	})
	if err != nil {
		return nil, err
	}
	return r, r.Preflight() // before even the mirror is written
}
