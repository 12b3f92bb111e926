package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"pwb/syncer"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how this node's files stand, from what the last passes left",
		Long: `Say which position of the roster this node's files show, when that was, what
failed since, what the fuse holds back and what is quarantined. The server is not
asked, and nothing is written.

Exit status: 0 all is well, or only single entries are quarantined; 1 the last pass
failed, nothing was rendered yet, or the state cannot be read or written; 3 the fuse
holds a change back; 4 the files are pinned by pwb-agent rollback.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadFiles(cmd.Flags())
			if err != nil {
				return err
			}
			st, err := syncer.ReadState(cfg.StateDir)
			if err != nil {
				return err
			}
			pin, err := syncer.ReadPin(cfg.StateDir)
			if err != nil {
				return err
			}
			// A pass that cannot write down that it failed leaves a state that is too good.
			stuck := syncer.CheckWritable(cfg.StateDir)
			if cfg.JSON {
				st.Complete = nil // the syncer's own
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetEscapeHTML(false)
				err = out.Encode(statusObject{st, pin, textOf(stuck)})
			} else {
				err = showStatus(cmd.OutOrStdout(), st, pin, stuck)
			}
			if err != nil {
				return err
			}
			return verdict(st, pin, stuck)
		},
	}
	addFlags(cmd.Flags())
	cmd.Flags().Bool("json", false, "print one object for programs")
	return cmd
}

// statusObject is what --json prints.
type statusObject struct {
	syncer.State
	Pin *syncer.Pin `json:"pin,omitempty"`
	// Unwritable is why no pass can write to the state directory, so that the rest
	// may be old; empty when it can.
	Unwritable string `json:"unwritable,omitempty"`
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// verdict is what the exit status follows from.
func verdict(st syncer.State, pin *syncer.Pin, stuck error) error {
	switch {
	case stuck != nil:
		return stuck
	case st.Stopped != nil:
		return stopped{fmt.Errorf("the fuse holds change %d back", st.Stopped.Position.Seq)}
	case st.LastError != "":
		return errors.New("the last pass failed")
	case pin != nil:
		return fmt.Errorf("the files are %w to generation %d", syncer.ErrPinned, pin.Generation)
	case st.Rendered == nil:
		return errors.New("nothing was rendered yet")
	}
	return nil
}

func showStatus(out io.Writer, st syncer.State, pin *syncer.Pin, stuck error) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s:\t%s\n", name, fmt.Sprintf(format, args...))
	}
	if pin != nil {
		showPin(line, st, *pin)
	}
	if st.Rendered == nil && pin == nil {
		line("files", "nothing was rendered yet: run pwb-agent sync")
	} else if st.Rendered != nil {
		line("files", "show change %d of %s, found right or written %s", st.Rendered.Seq, st.Rendered.Epoch, when(st.LastRender))
	}
	line("last change taken", "%s", when(st.LastPull))
	if st.LastError == "" {
		line("last pass", "went well")
	} else {
		line("last pass", "failed, since %s: %s", when(st.LastErrorSince), oneLine(st.LastError))
	}
	if st.LastHookError != "" {
		line("after the last change", "something failed, since %s: %s", when(st.LastHookErrorSince), oneLine(st.LastHookError))
	}
	if stuck != nil {
		line("state", "%s; passes fail until then, and what else is said here is from before", oneLine(stuck.Error()))
	}
	if st.Resyncs >= syncer.MaxResyncs {
		line("server", "does not know this node's position, %d times in a row or more, and sends the whole roster each time:", st.Resyncs)
		line("", "see whether servers with different stores answer under its address, and look at its log")
	}
	if s := st.Stopped; s != nil {
		line("fuse", "holds change %d back since %s: of %d accounts it would remove %d, lock %d, renumber %d", s.Position.Seq, when(s.Since), s.Before, s.Removed, s.Locked, s.Renumbered)
		line("", "look at it with pwb-agent plan; let it through with pwb-agent sync --accept-change %d", s.Position.Seq)
	}
	line("quarantined", "%d", st.QuarantinedCount)
	for _, q := range st.Quarantined[:min(len(st.Quarantined), maxShown)] {
		line("", "%q: %s", q.Name, oneLine(q.Reason))
	}
	if more := st.QuarantinedCount - maxShown; more > 0 {
		line("", "and %d more; --json lists up to a thousand", more)
	}
	if st.LeftOut > 0 {
		line("left out", "%d accounts, as this node's policy says", st.LeftOut)
	}
	line("since the beginning", "%d snapshots, %d of them to heal, %d deltas, %d mends of files that somebody else changed", st.Snapshots, st.Heals, st.Deltas, st.Mends)
	if st.Mends > 0 {
		line("last mend", "%s", when(st.LastMend))
	}
	return w.Flush()
}

// maxShown is how many quarantined entries are shown to people.
const maxShown = 20

// oneLine is a text without what could move the cursor.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
