package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pwb/altfiles"
	"pwb/cmd/pwb-agent/setup"
	"pwb/syncer"
)

func setupCommand() *cobra.Command {
	var o setupOptions
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Set up this node: nsswitch.conf, PAM, the NSS module; --undo takes it back",
		Long: `Set up this node so that it looks accounts up where the agent renders them: edits
nsswitch.conf, or makes an authselect profile of the present one; enables a profile of
pam-auth-update; writes workbench-nss.conf and mends the modes of tokens. Every edit is
shown as a diff, then written. Run again, it changes nothing.

--undo takes everything back, byte for byte. What somebody edited since is kept if it
stands apart from what setup changed; else it says what to do, and --force restores
what was there before setup.

Exit status: 0 it is done, or nothing is to be done; 1 it is not, and the message says
what is missing or failed; 2 with --dry-run, there is something to do.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	addFlags(cmd.Flags())
	f := cmd.Flags()
	o.own = pflag.NewFlagSet("setup", pflag.ContinueOnError)
	o.own.BoolVar(&o.undo, "undo", false, "take back what setup did")
	o.own.BoolVar(&o.force, "force", false, "with --undo, restore also what somebody edited since")
	o.own.StringSliceVar(&o.only, "only", nil, "do these `parts` only: "+strings.Join(setup.Parts(), ", "))
	o.own.StringSliceVar(&o.without, "without", nil, "leave these `parts` out")
	o.own.StringVar(&o.order, "order", string(setup.OrderFilesFirst), "`order` of the sources: files-first, or index-first for tens of thousands of accounts and more")
	o.own.StringVar(&o.source, "source", "auto", "`source` that reads the rendered files: extrausers, altfiles, cache, none, or auto, as layout says")
	o.own.BoolVar(&o.module, "module", true, "add libnss_pwb, which reads the lookup index and asks the agent, to nsswitch.conf")
	o.own.StringSliceVar(&o.libDirs, "lib-dir", nil, "more `directories` in which NSS modules lie")
	o.own.StringVar(&o.homes, "homes", setup.HomesMkhomedir, "`what` makes a home at the first login: mkhomedir, pwb (pwb-pam session) or none")
	o.own.StringVar(&o.nscd, "nscd", "keep", "whether nscd `keep`s accounts and groups or not (off); the agent has it forget them after each change")
	o.own.StringVar(&o.nsswitch, "nsswitch-file", "/etc/nsswitch.conf", "the `file` that says which sources are asked")
	o.own.StringVar(&o.userToken, "user-token-file", "/etc/rstudio/user-token", "`file` with this node's node-user token, mode 0644")
	o.own.StringVar(&o.pamAuthUpdate, "pam-auth-update-program", "/usr/sbin/pam-auth-update", "`program` of Debian and Ubuntu that writes /etc/pam.d/common-*")
	o.own.StringVar(&o.authselect, "authselect-program", "/usr/bin/authselect", "`program` of Fedora and RHEL that writes nsswitch.conf and /etc/pam.d")
	f.AddFlagSet(o.own)
	f.Bool("dry-run", false, "show what would be done, and do nothing")
	cmd.MarkFlagsMutuallyExclusive("undo", "dry-run")
	cmd.MarkFlagsMutuallyExclusive("only", "without")
	return cmd
}

// setupOptions are the flags of setup that are no keys of the configuration.
type setupOptions struct {
	own *pflag.FlagSet

	undo, force, module        bool
	only, without, libDirs     []string
	order, source, homes, nscd string
	nsswitch, userToken        string
	pamAuthUpdate, authselect  string
}

func (o *setupOptions) run(cmd *cobra.Command) error {
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if o.own.Lookup(f.Name) == nil {
			flags.AddFlag(f)
		}
	})
	cfg, err := loadFiles(flags)
	if err != nil {
		return err
	}
	c, err := o.config(&cfg)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if o.undo {
		return setup.Undo(cmd.Context(), c, out, o.force)
	}
	p, err := setup.Make(cmd.Context(), c)
	if err != nil {
		return err
	}
	if err := showSetup(out, p); err != nil {
		return err
	}
	switch {
	case p.Missing():
		return setup.ErrMissing
	case !p.Changed():
		_, err := fmt.Fprintln(out, "nothing is to be done")
		return err
	case cfg.DryRun:
		return fmt.Errorf("%w: %d edits, nothing was written", syncer.ErrPending, len(p.Edits))
	}
	if err := setup.Apply(cmd.Context(), c, p, out); err != nil {
		return fmt.Errorf("%w; run it again, or take back what was done: pwb-agent setup --undo", err)
	}
	_, err = fmt.Fprintln(out, "done; next: pwb-agent sync, which writes what is looked up, or systemctl reload-or-restart pwb-agent where one stays. pwb-agent setup --undo takes all of it back")
	return err
}

func showSetup(out io.Writer, p *setup.Plan) error {
	for _, f := range p.Findings {
		sign := "note"
		if f.Missing {
			sign = "missing"
		}
		if _, err := fmt.Fprintf(out, "%s: %s: %s\n", f.Part, sign, f.Text); err != nil {
			return err
		}
	}
	return p.WriteDiff(out)
}

// config makes of flags and configuration what setup needs.
func (o *setupOptions) config(cfg *config) (c setup.Config, err error) {
	for _, f := range []struct {
		flag, value string
		may         []string
	}{
		{"order", o.order, []string{string(setup.OrderFilesFirst), string(setup.OrderIndexFirst)}},
		{"source", o.source, []string{"auto", "none", "extrausers", "altfiles", "cache"}},
		{"homes", o.homes, []string{setup.HomesMkhomedir, setup.HomesPwb, setup.HomesNone}},
		{"nscd", o.nscd, []string{"keep", "off"}},
	} {
		if !slices.Contains(f.may, f.value) {
			return c, fmt.Errorf("--%s %q is not one of %s", f.flag, f.value, strings.Join(f.may, ", "))
		}
	}
	parts := setup.Parts()
	for _, name := range slices.Concat(o.only, o.without) {
		if !slices.Contains(parts, name) {
			return c, fmt.Errorf("%q is no part of setup: there are %s", name, strings.Join(parts, ", "))
		}
	}
	if len(o.only) > 0 {
		parts = o.only
	}
	parts = slices.DeleteFunc(parts, func(name string) bool { return slices.Contains(o.without, name) })

	source := o.source
	switch source {
	case "none":
		source = ""
	case "auto":
		source = map[altfiles.Layout]string{altfiles.LayoutExtrausers: "extrausers", altfiles.LayoutAltfiles: "altfiles", altfiles.LayoutNsscache: "cache"}[altfiles.Layout(cfg.Layout)]
	}
	root := cfg.Root
	if root == "" {
		root = "/"
	}
	on := func(path string) string { // of the node, not of this system
		if in, err := filepath.Rel(root, path); err == nil && cfg.Root != "" && !strings.HasPrefix(in, "..") {
			return filepath.Join("/", in)
		}
		return path
	}
	return setup.Config{
		Root: root, StateDir: on(cfg.StateDir), Parts: parts,
		Nsswitch: o.nsswitch, Source: source, Module: o.module, Order: setup.Order(o.order), LibDirs: o.libDirs,
		ModuleConfig: on(cfg.ModuleConfig), Server: cfg.Server, CACert: cfg.CACert, AdminToken: cfg.TokenFile, UserToken: o.userToken,
		AgentStateDir: on(cfg.StateDir), RunDir: cfg.RunDir,
		Homes: o.homes, NscdOff: o.nscd == "off",
		PamAuthUpdate: o.pamAuthUpdate, Authselect: o.authselect, Restorecon: "/usr/sbin/restorecon", Systemctl: "systemctl",
	}, nil
}
