// Package metrics shows Prometheus how a node does: in a file for the textfile
// collector of node_exporter, which works for cron, too, and over HTTP. It writes
// the text format itself, since a pass that has nothing to do takes milliseconds.
package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"pwb/syncer"
)

// Config says what is looked at, and where it is shown.
type Config struct {
	// StateDir is the syncer's; what is counted is remembered there.
	StateDir string
	// File is the file for the textfile collector; empty for none. Its name ends in
	// .prom, or node_exporter does not read it.
	File string
	// Passwd, Group and Shadow are the rendered files, whose entries are counted.
	Passwd, Group, Shadow string
	// Version is the agent's.
	Version string
	// Log hears of what could not be written, once.
	Log *slog.Logger
}

// Metrics are those of one agent. Their methods may be called concurrently.
type Metrics struct {
	cfg Config

	mu     sync.Mutex
	known  memory
	failed string // what was logged last
}

// New makes Metrics. It goes on from what an agent before has remembered.
func New(cfg Config) (*Metrics, error) {
	if cfg.File != "" && !strings.HasSuffix(cfg.File, ".prom") {
		return nil, fmt.Errorf("metrics-file %s: node_exporter reads files alone whose names end in .prom: choose such a name", cfg.File)
	}
	m := &Metrics{cfg: cfg}
	var err error
	if m.known, err = readMemory(cfg.StateDir); err != nil {
		cfg.Log.Warn("metrics begin anew, since what they were cannot be read", "error", err)
	}
	return m, nil
}

// Results of passes.
const (
	resultWrote       = "wrote"
	resultUnchanged   = "unchanged"
	resultFuse        = "fuse"
	resultPinned      = "pinned"
	resultUnreachable = "unreachable"
	resultFailed      = "failed"
)

var results = []string{resultWrote, resultUnchanged, resultFuse, resultPinned, resultUnreachable, resultFailed}

func resultOf(e syncer.Event) string {
	switch {
	case errors.Is(e.Err, syncer.ErrFuse):
		return resultFuse
	case errors.Is(e.Err, syncer.ErrPinned):
		return resultPinned
	case e.Err != nil && !e.Result.Reached:
		return resultUnreachable
	case e.Err != nil:
		return resultFailed
	case e.Result.Wrote:
		return resultWrote
	}
	return resultUnchanged
}

// Heard counts what a pass came to, or a poll, and writes the file.
func (m *Metrics) Heard(e syncer.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := &m.known
	if e.Err == nil && !e.Result.Reached { // of the mirror, before the server is asked
		if !e.Result.Wrote {
			return
		}
	} else {
		k.Attempt, k.Reached = e.Time, e.Result.Reached
		if e.Err == nil {
			k.Success = e.Time
		}
	}
	k.Passes[resultOf(e)]++
	if e.Result.Took > 0 {
		k.PassSeconds = e.Result.Took.Seconds()
		if e.Result.Wrote {
			k.WriteSeconds = e.Result.Took.Seconds()
		}
	}
	m.flush()
}

// Flush writes the file anew, for what has changed since Heard.
func (m *Metrics) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flush()
}

func (m *Metrics) flush() {
	if m.cfg.File == "" {
		return
	}
	text := m.text()
	err := errors.Join(replace(m.cfg.File, text, 0o644), writeMemory(m.cfg.StateDir, m.known))
	switch {
	case err == nil:
		m.failed = ""
	case err.Error() != m.failed:
		m.failed = err.Error()
		m.cfg.Log.Warn("the metrics could not be written; the files are not concerned", "error", err)
	}
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	text := m.text()
	m.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(text) // who has gone scrapes again
}

// text is all that is known in Prometheus' text format. The caller holds mu.
func (m *Metrics) text() []byte {
	var b exposition
	k := &m.known
	b.gauge("build_info", "Always 1; which version this is.", 1, "version", m.cfg.Version, "goversion", runtime.Version())
	b.metric("passes_total", "counter", "Passes and polls by result.")
	for _, result := range results {
		b.sample("passes_total", float64(k.Passes[result]), "result", result)
	}
	b.time("last_attempt_timestamp_seconds", "When the agent last tried to reach the server.", k.Attempt)
	b.time("last_success_timestamp_seconds", "When a pass or poll last ended well: the server answered, and the files are as they should be.", k.Success)
	b.gauge("server_reachable", "1 if the server answered the last time that it was asked.", truth(k.Reached))
	b.gauge("last_pass_duration_seconds", "Duration of the last pass, without the wait for the server.", k.PassSeconds)
	b.gauge("last_write_duration_seconds", "Duration of the last pass that wrote the files.", k.WriteSeconds)

	st, err := syncer.ReadState(m.cfg.StateDir)
	pin, errPin := syncer.ReadPin(m.cfg.StateDir)
	b.gauge("state_readable", "1 if the agent's state could be read; without it what is in it is missing.", truth(err == nil && errPin == nil))
	if err == nil && errPin == nil {
		if st.Rendered != nil {
			b.gauge("feed_position", "Change of the feed that the files show.", float64(st.Rendered.Seq))
		}
		b.time("last_render_timestamp_seconds", "When the files were last found right by a whole pass, or written.", st.LastRender)
		b.time("last_change_timestamp_seconds", "When a change was last taken from the server.", st.LastPull)
		b.gauge("last_pass_failed", "1 while the last pass failed.", truth(st.LastError != ""))
		b.time("failing_since_timestamp_seconds", "Since when passes have failed; missing while they do not.", st.LastErrorSince)
		b.gauge("hooks_failing", "1 if something failed of what followed the last change: hooks, ends of sessions, nscd.", truth(st.LastHookError != ""))
		b.gauge("quarantined_entries", "Entries that this node refuses to render.", float64(st.QuarantinedCount))
		b.gauge("left_out_accounts", "Accounts that this node's policy leaves out.", float64(st.LeftOut))
		b.gauge("fuse_held", "1 while the fuse holds a change back.", truth(st.Stopped != nil))
		b.gauge("pinned", "1 while the files are pinned to a former rendering.", truth(pin != nil))
		b.counter("snapshots_total", "Whole rosters that were taken.", float64(st.Snapshots))
		b.counter("heals_total", "Snapshots that were taken to heal the mirror.", float64(st.Heals))
		b.counter("deltas_total", "Deltas that were taken.", float64(st.Deltas))
		b.counter("mends_total", "Passes that put right what somebody else had done to the files.", float64(st.Mends))
	}
	m.recount()
	if k.Files.Counted {
		b.gauge("passwd_entries", "Lines of the rendered passwd file.", float64(k.Files.Passwd))
		b.gauge("group_entries", "Lines of the rendered group file.", float64(k.Files.Group))
		b.gauge("locked_entries", "Lines of the rendered shadow file whose password is locked.", float64(k.Files.Locked))
	}
	return b.Bytes()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// recount counts the files' entries when they are others than before.
func (m *Metrics) recount() {
	marks := marksOf(m.cfg.Passwd, m.cfg.Group, m.cfg.Shadow)
	f := &m.known.Files
	if f.Marks == marks {
		return
	}
	*f = files{}
	passwd, err := os.ReadFile(m.cfg.Passwd)
	if err != nil {
		return // nothing is rendered yet
	}
	group, err := os.ReadFile(m.cfg.Group)
	if err != nil {
		return
	}
	shadow, err := os.ReadFile(m.cfg.Shadow) // there may be none
	*f = files{Counted: true, Marks: marks, Passwd: lines(passwd), Group: lines(group)}
	if err == nil {
		f.Locked = locked(shadow)
	}
}

// lines counts entries.
func lines(data []byte) (n int) {
	for line := range bytes.Lines(data) {
		if len(line) > 1 && line[0] != '#' {
			n++
		}
	}
	return n
}

// locked counts the entries of shadow(5) whose password field begins with !.
func locked(data []byte) (n int) {
	for line := range bytes.Lines(data) {
		if _, rest, ok := bytes.Cut(line, []byte(":")); ok && len(rest) > 0 && rest[0] == '!' {
			n++
		}
	}
	return n
}

// replace puts a file in its place as a whole.
func replace(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
