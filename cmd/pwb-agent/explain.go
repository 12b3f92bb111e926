package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"pwb/altfiles"
	"pwb/syncer"
)

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain USER|UID|GROUP",
		Short: "Say why an account or a group is on this node, or is not",
		Long: `Say rule by rule what becomes of the account or group with this name or
number, from the roster as this node last got it. The server is not asked, and
nothing is written. Hashes are not shown.

Exit status: 0 the name is in the roster, whatever becomes of it; 1 it is not, or
the mirror cannot be read.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadFiles(cmd.Flags())
			if err != nil {
				return err
			}
			renderer, err := newRenderer(&cfg)
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), renderer, &cfg, args[0])
		},
	}
	addFlags(cmd.Flags())
	cmd.Flags().Bool("json", false, "print an array of objects for programs")
	return cmd
}

func explain(w io.Writer, renderer *altfiles.Renderer, cfg *config, asked string) error {
	m, err := syncer.OpenMirror(cfg.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this node has no roster yet in %s: run pwb-agent sync first", cfg.StateDir)
	}
	if err != nil {
		return err
	}
	defer m.Close()
	all, err := renderer.Explain(m.Rows(), asked)
	if err != nil {
		return fmt.Errorf("explain %q at change %d: %w", asked, m.Position().Seq, err)
	}
	if cfg.JSON {
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		err = out.Encode(all)
	} else {
		err = writeExplanations(w, all, m.Position().Seq)
		if err == nil {
			err = writeHeldBack(w, cfg.StateDir)
		}
	}
	if err == nil && all[0].Outcome == altfiles.OutcomeUnknown {
		return fmt.Errorf("%q is neither an account nor a group of the roster at change %d", asked, m.Position().Seq)
	}
	return err
}

// writeExplanations writes for humans.
func writeExplanations(w io.Writer, all []altfiles.Explanation, seq int64) error {
	var failed error
	say := func(format string, args ...any) {
		if failed == nil {
			_, failed = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	for i, x := range all {
		if i > 0 {
			say("")
		}
		outcome := x.Outcome
		if x.By != "" {
			outcome += " by " + x.By
		}
		say("%s: %s (roster at change %d)", title(x), outcome, seq)
		for _, s := range x.Steps {
			say("  %-14s %-10s  %s", s.Rule, s.Verdict, s.Text)
		}
		sayLines(say, "now", x.Now)
		sayLines(say, "next pass", x.Next)
	}
	return failed
}

// writeHeldBack says why a next pass does not write what was explained, if so.
func writeHeldBack(w io.Writer, stateDir string) error {
	pin, err := syncer.ReadPin(stateDir)
	if err != nil {
		return err
	}
	st, _ := syncer.ReadState(stateDir) // status says what is wrong with it
	switch {
	case pin != nil:
		_, err = fmt.Fprintf(w, "\nThe files are pinned to generation %d: no pass changes them until pwb-agent rollback --release.\n", pin.Generation)
	case st.Stopped != nil:
		_, err = fmt.Fprintf(w, "\nThe fuse holds change %d back, and with it the whole next pass: see pwb-agent status.\n", st.Stopped.Position.Seq)
	}
	return err
}

func title(x altfiles.Explanation) string {
	if x.Kind == "" {
		return fmt.Sprintf("%q", x.Name)
	}
	return fmt.Sprintf("%s %q", x.Kind, x.Name)
}

func sayLines(say func(string, ...any), when string, lines []altfiles.Line) {
	if len(lines) == 0 {
		say("  %s: no line", when)
		return
	}
	say("  %s:", when)
	for _, l := range lines {
		say("    %-6s  %s", l.File, l.Text)
	}
}
