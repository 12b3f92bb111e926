package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pwb/cmd/doctor"
	"pwb/cmd/pwb-server/probe"
	"pwb/cmd/settings"
	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

func doctorCommand() *cobra.Command {
	var d serverDoctor
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with this server, or with any SCIM endpoint",
		Long: `Look at the configuration, the certificate, the store, the tokens, the nodes and the
fuse of this server, whether it runs or not. A line for each check says ok, warn, fail,
or skipped and why; below what is wrong stand why that matters and the command that
mends it. Nothing is changed. It takes 15 seconds at most.

With --scim URL it asks a SCIM endpoint instead, this server's or another product's, as
Okta, Entra ID and WSO2 do, with the token in --token-file. It only reads, unless --write
is given: then it creates a user and a group called pwb-probe-RANDOM, changes them, and
removes them again, also after a failure or Ctrl-C. A pwb server keeps the name and the
number of such a user for ever, and its locked account for user-retention-days.

Exit status: 0 all is well; 1 it could not run; 2 there are warnings; 3 there are
failures. Checks that were skipped do not count.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd) },
	}
	d.keys = pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	addKeys(d.keys)
	d.keys.VisitAll(func(f *pflag.Flag) { f.Hidden = f.Name != settings.FileFlag && f.Name != "data-dir" })
	f := cmd.Flags()
	f.AddFlagSet(d.keys)
	f.BoolVar(&d.json, "json", false, "print an object a line for each finding")
	f.StringVar(&d.scim.URL, "scim", "", "base `URL` of a SCIM endpoint to ask in place of looking at this server, such as https://pwb.example/scim/v2")
	f.StringVar(&d.scim.TokenFile, "token-file", "", "with --scim, `file` with a bearer token, which nobody else may read")
	f.StringVar(&d.scim.CACert, "ca-cert", "", "with --scim, PEM `file` of the authorities to trust in place of the system's")
	f.BoolVar(&d.scim.Write, "write", false, "with --scim, also create, change and remove a user and a group")
	cmd.MarkFlagsRequiredTogether("scim", "token-file")
	return cmd
}

// serverDoctor is a pwb-server doctor while it runs.
type serverDoctor struct {
	keys *pflag.FlagSet
	json bool
	scim probe.Config

	file    string // the configuration
	cfg     config
	broken  error    // why it cannot be used
	unknown []string // keys in it that are none
	flags   []string // for commands that are to do the same
	// operator is there where the store could be opened.
	operator *scimserver.Operator
	unopened error
}

func (d *serverDoctor) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	show := doctor.Show
	if d.json {
		show = doctor.ShowJSON
	}
	if d.scim.URL != "" {
		found, err := probe.Run(ctx, d.scim)
		if shown := show(cmd.OutOrStdout(), found); err == nil {
			err = shown
		}
		if err != nil {
			return err
		}
		return doctor.Judge(found)
	}
	d.load()
	closeStore := d.open(ctx)
	found := doctor.Run(ctx, d.checks())
	err := errors.Join(ctx.Err(), closeStore())
	if shown := show(cmd.OutOrStdout(), found); err == nil {
		err = shown
	}
	if err != nil {
		return err
	}
	return doctor.Judge(found)
}

// load reads the configuration. Keys that are none are told apart: the rest is as if
// they were not there.
func (d *serverDoctor) load() {
	var all struct {
		config `mapstructure:",squash"`
		Others map[string]any `mapstructure:",remain"`
	}
	d.broken = settings.Load(d.keys, defaultConfigFile, &all)
	d.cfg, d.unknown = all.config, slices.Sorted(maps.Keys(all.Others))
	d.file = defaultConfigFile
	for _, name := range []string{settings.FileFlag, "data-dir"} {
		if f := d.keys.Lookup(name); f.Changed {
			d.flags = append(d.flags, "--"+name+"="+f.Value.String())
			if name == settings.FileFlag {
				d.file = f.Value.String()
			}
		}
	}
}

// open opens the store, unless that would change it: one that is not there, or of an
// older version.
func (d *serverDoctor) open(ctx context.Context) (closeStore func() error) {
	nothing := func() error { return nil }
	ctx, cancel := context.WithTimeout(ctx, doctor.CheckTime)
	defer cancel()
	if d.unopened = d.broken; d.unopened != nil {
		return nothing
	}
	if d.unopened = checkStore(d.cfg.DataDir); d.unopened != nil {
		return nothing
	}
	version, known, err := sqlite.Schema(ctx, d.cfg.DataDir)
	if err == nil && version < known {
		err = fmt.Errorf("it has schema version %d, which pwb-server serve brings to %d", version, known)
	}
	if err == nil {
		_, err = lookAtDataDir(ctx, d.cfg) // which a store is not opened in
	}
	if d.unopened = err; err != nil {
		return nothing
	}
	store, err := sqlite.Open(ctx, d.cfg.DataDir)
	if d.unopened = err; err != nil {
		return nothing
	}
	server, err := d.cfg.handler(ctx, store, nil, false)
	if err != nil {
		d.unopened = errMisconfigured // config tells which key
		return store.Close
	}
	d.operator = server.Operator("administrator " + invoker())
	return store.Close
}

var errMisconfigured = errors.New("the configuration cannot be used: see config")

// command is one of pwb-server with the flags that were given here.
func (d *serverDoctor) command(args ...string) string {
	return doctor.Words(slices.Concat([]string{"pwb-server"}, args, d.flags)...)
}

// stored reports whether the store can be asked, and else tells the report.
func (d *serverDoctor) stored(r *doctor.Report) bool {
	if d.operator == nil {
		r.Skip("the store was not opened: see store")
	}
	return d.operator != nil
}

// Times from which something is told of.
const (
	endsSoon   = 14 * day
	longUnused = 90 * day
)

func dateOf(t time.Time) string { return t.UTC().Format(timeLayout) + " UTC" }
