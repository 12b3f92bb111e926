package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pwb/altfiles"
	"pwb/cmd/settings"
	"pwb/roster"
	"pwb/syncer"
)

func rollbackCommand() *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback [GENERATION]",
		Short: "Put back the files as they were rendered before, and keep them so",
		Long: `Put back a former rendering of this node's files, byte for byte, and pin them
to it: whatever the server says from then on is taken and not rendered, until
pwb-agent rollback --release. Without a number it is the rendering before the one
in place. The server is not asked, but with --release.

Who was locked or removed since can log in again. If there is anybody, the command
says who and does nothing; --yes says that this is meant.

Exit status: 0 it is done; 1 it is not, and the files are as they were, unless the
message says that they are pinned already, so that the next pass does the rest; 2 with
--dry-run, there is something to write. With --release those of sync, but also 0 when
the server cannot be reached and the files are rendered from what was last pulled.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args)
		},
	}
	addFlags(cmd.Flags())
	f := cmd.Flags()
	f.BoolVar(&o.list, "list", false, "print which generations there are")
	f.BoolVar(&o.release, "release", false, "let the files follow the server again, and make a pass")
	f.BoolVar(&o.yes, "yes", false, "put back also what lets somebody in who cannot log in now")
	f.Bool("dry-run", false, "write nothing; print what would change")
	f.Bool("json", false, "with --list, print an array of objects for programs")
	cmd.MarkFlagsMutuallyExclusive("list", "release", "dry-run")
	o.flags = []string{"list", "release", "yes"}
	return cmd
}

// rollbackOptions are the flags of rollback that are no keys of the configuration.
type rollbackOptions struct {
	list, release, yes bool
	flags              []string
}

func (o *rollbackOptions) run(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && (o.list || o.release) {
		return errors.New("a generation is given to put it back, not with --list or --release")
	}
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		for _, own := range o.flags {
			if f.Name == own {
				return
			}
		}
		flags.AddFlag(f)
	})
	if o.release {
		return release(cmd, flags)
	}
	cfg, err := loadFiles(flags)
	if err != nil {
		return err
	}
	renderer, err := newRenderer(&cfg)
	if err != nil {
		return err
	}
	all, err := renderer.Generations()
	if err != nil {
		return err
	}
	pin, err := syncer.ReadPin(cfg.StateDir)
	if o.list {
		if err != nil {
			return err
		}
		return listGenerations(cmd.OutOrStdout(), all, pin, cfg.JSON)
	}
	g, err := choose(all, args)
	if err != nil {
		return err
	}
	if cfg.DryRun {
		return showRollback(cmd.OutOrStdout(), renderer, g)
	}
	log, err := settings.NewLogger(cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return err
	}
	follow, err := cfg.after(log)
	if err != nil {
		return err
	}
	s, err := syncer.New(syncer.Config{StateDir: cfg.StateDir, After: follow, Log: log}, noSource{}, &sink{Renderer: renderer, log: log})
	if err != nil {
		return err
	}
	_, err = s.Rollback(cmd.Context(), syncer.Pin{Generation: g.Number, Position: g.Position}, func(p syncer.Plan) error {
		return o.consent(cmd.ErrOrStderr(), p.(committing).Plan)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the files are those of generation %d and stay so until: pwb-agent rollback --release\n", g.Number)
	return err
}

// release lets the files go. It wants a server to ask, as sync does.
func release(cmd *cobra.Command, flags *pflag.FlagSet) error {
	a, err := assembleWith(cmd, flags)
	if err != nil {
		return err
	}
	s, err := a.syncer()
	if err != nil {
		return err
	}
	_, err = s.Release(cmd.Context())
	return err
}

// choose is the generation that was asked for: the one before that in place,
// unless it is named.
func choose(all []altfiles.Generation, args []string) (g altfiles.Generation, err error) {
	if len(args) == 0 {
		current := false
		for i := len(all) - 1; i >= 0; i-- {
			if current || !hasCurrent(all) {
				return all[i], nil
			}
			current = all[i].InPlace
		}
		return g, errors.New("no rendering before the one in place is kept")
	}
	number, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil || number < 1 {
		return g, fmt.Errorf("%q is no generation: give a number that pwb-agent rollback --list shows", args[0])
	}
	for _, g := range all {
		if g.Number == number {
			return g, nil
		}
	}
	return g, fmt.Errorf("generation %d is not kept: see which are with pwb-agent rollback --list", number)
}

func hasCurrent(all []altfiles.Generation) bool {
	for _, g := range all {
		if g.InPlace {
			return true
		}
	}
	return false
}

// consent tells what putting back would do, and refuses to let anybody in whom
// nobody spoke of.
func (o *rollbackOptions) consent(out io.Writer, p *altfiles.Plan) error {
	fmt.Fprintf(out, "%v\n", p.Effect())
	readmitted, err := tellReadmitted(out, p)
	if err != nil {
		return err
	}
	if readmitted && !o.yes {
		return errors.New("nothing was written: this lets somebody in who cannot log in now, or with a former password or key; if that is meant, add --yes")
	}
	return nil
}

// tellReadmitted says who could log in again, and reports whether anybody could.
func tellReadmitted(out io.Writer, p *altfiles.Plan) (bool, error) {
	in, passwords, keys, err := p.Readmits()
	if err != nil {
		return false, err
	}
	for _, l := range []struct {
		what  string
		names []string
	}{{"can log in again", in}, {"get a former password back", passwords}, {"get a former SSH key back", keys}} {
		if n := len(l.names); n > 0 {
			names := strings.Join(l.names[:min(n, maxShown)], " ")
			if n > maxShown {
				names += fmt.Sprintf(" and %d more", n-maxShown)
			}
			fmt.Fprintf(out, "%d %s: %s\n", n, l.what, oneLine(names))
		}
	}
	return len(in)+len(passwords)+len(keys) > 0, nil
}

// showRollback prints what putting a generation back would change.
func showRollback(out io.Writer, renderer *altfiles.Renderer, g altfiles.Generation) error {
	p, err := renderer.PlanGeneration(g.Number)
	if err != nil {
		return err
	}
	if !p.Changed() {
		_, err := fmt.Fprintf(out, "the files are those of generation %d\n", g.Number)
		return err
	}
	if err := p.WriteDiff(out); err != nil {
		return fmt.Errorf("show the differences: %w", err)
	}
	if _, err := tellReadmitted(out, p); err != nil {
		return err
	}
	return fmt.Errorf("%w: %v", syncer.ErrPending, p.Effect())
}

// listed is a generation as --list --json prints it.
type listed struct {
	altfiles.Generation
	Pinned bool `json:"pinned"`
}

func listGenerations(out io.Writer, all []altfiles.Generation, pin *syncer.Pin, asJSON bool) error {
	rows := []listed{}
	for _, g := range all {
		rows = append(rows, listed{g, pin != nil && pin.Generation == g.Number})
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "GENERATION\tFIRST IN PLACE\tCHANGE\tACCOUNTS\t")
	for _, g := range rows {
		change, notes := "unknown", []string(nil)
		if g.Position != (roster.Position{}) {
			change = fmt.Sprintf("%d of %s", g.Position.Seq, oneLine(g.Position.Epoch))
		}
		if g.InPlace {
			notes = append(notes, "in place")
		}
		if g.Pinned {
			notes = append(notes, "pinned")
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\n", g.Number, when(g.Time), change, g.Accounts, strings.Join(notes, ", "))
	}
	return w.Flush()
}

// showPin is what status says of a pin.
func showPin(line func(name, format string, args ...any), st syncer.State, pin syncer.Pin) {
	line("PINNED", "to generation %d since %s; let the files go with pwb-agent rollback --release", pin.Generation, when(pin.Since))
	if h := st.Held; h != nil {
		line("", "%s", oneLine((&syncer.PinnedError{Held: *h}).Error()))
	}
}

// noSource is where nothing is asked.
type noSource struct{}

var errNotAsked = errors.New("the server is not asked")

func (noSource) Changes(context.Context, roster.Position, time.Duration) (io.ReadCloser, error) {
	return nil, errNotAsked
}

func (noSource) Snapshot(context.Context) (io.ReadCloser, error) { return nil, errNotAsked }
