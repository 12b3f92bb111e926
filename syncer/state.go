package syncer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"pwb/roster"
)

const (
	stateFile = "state.json"
	maxState  = 4 << 20
	// maxListed is the most quarantined rows that the state lists by name.
	maxListed = 1000
	// maxErrorText is the most bytes of an error that the state keeps.
	maxErrorText = 2000
	// MaxResyncs is what State.Resyncs counts up to. A server that is restored, or
	// two that change places once, do not come that far.
	MaxResyncs = 3
)

// State is what a node remembers between passes: the file state.json. Losing it
// loses history and nothing else. Times are UTC, in whole seconds.
//
// It is written when something other than a time changed or when files were
// written, so LastPull is the time of the last pull that made a difference.
type State struct {
	// Rendered is the position that the node's files show; nil when unknown.
	Rendered *roster.Position `json:"rendered,omitempty"`
	// Complete is the last pass if it found nothing to write, so that the next one
	// may do without looking so closely; nil when that has to.
	Complete *Complete `json:"complete,omitempty"`
	// LastPull is when the server last answered, LastRender when rendered files
	// were last found right or written.
	LastPull   time.Time `json:"last_pull,omitzero"`
	LastRender time.Time `json:"last_render,omitzero"`
	// LastError is why the last pass failed, empty when it did not; a stop by
	// the fuse is not a failure. LastErrorSince is when that began.
	LastError      string    `json:"last_error,omitempty"`
	LastErrorSince time.Time `json:"last_error_since,omitzero"`
	// LastHookError is what went wrong when After was last told of a change, empty
	// when nothing did. LastHookErrorSince is when that began.
	LastHookError      string    `json:"last_hook_error,omitempty"`
	LastHookErrorSince time.Time `json:"last_hook_error_since,omitzero"`
	// Resyncs counts pulls in a row, up to MaxResyncs, in which the server had no
	// changes that lead on from this node's position, so that a snapshot was asked
	// for. One follows a restore. MaxResyncs are a server that does not know its own
	// positions, or several with different stores behind one address.
	Resyncs int `json:"resyncs,omitempty"`
	// Stopped is what the fuse holds back, nil when nothing.
	Stopped *Stop `json:"stopped,omitempty"`
	// Held is what a pin holds back, nil when nothing.
	Held *Held `json:"held,omitempty"`
	// Quarantined are the rows that the node refuses, the first thousand of
	// QuarantinedCount.
	Quarantined      []roster.Quarantine `json:"quarantined,omitempty"`
	QuarantinedCount int                 `json:"quarantined_count,omitempty"`
	// LeftOut counts the accounts that the node's policy leaves out.
	LeftOut int `json:"left_out,omitempty"`
	// Snapshots and Deltas count what was written to the mirror. Heals counts
	// those snapshots that were taken because the mirror was damaged or a delta
	// did not fit. Mends counts the passes that put right what somebody else had
	// done to rendered files, LastMend is when the last did.
	Snapshots int64     `json:"snapshots"`
	Deltas    int64     `json:"deltas"`
	Heals     int64     `json:"heals"`
	Mends     int64     `json:"mends"`
	LastMend  time.Time `json:"last_mend,omitzero"`
}

// Stop is a rendering that the fuse holds back.
type Stop struct {
	// Position is that of the roster, Since when it was first stopped.
	Position roster.Position `json:"position"`
	Since    time.Time       `json:"since"`
	// The accounts that the node has, and that would lose something.
	Before     int `json:"before"`
	Removed    int `json:"removed"`
	Locked     int `json:"locked"`
	Renumbered int `json:"renumbered"`
}

// ReadState reads the state in a state directory. Without a file it is the zero
// State; a file that is not one is an error.
func ReadState(stateDir string) (State, error) {
	var st State
	if err := readJSON(filepath.Join(stateDir, stateFile), maxState, &st); err != nil {
		return State{}, fmt.Errorf("read the state: %w", err)
	}
	return st, nil
}

// readJSON reads a file of at most limit bytes into v, which stays as it is when
// there is no such file.
func readJSON(path string, limit int64, v any) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return err
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, hideContent(err))
	}
	return nil
}

func writeState(stateDir string, st State) error {
	if err := writeJSON(stateDir, stateFile, st); err != nil {
		return fmt.Errorf("record the state: %w", err)
	}
	return nil
}

// writeJSON puts v into the state directory, whole and durably.
func writeJSON(stateDir, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(stateDir, name, append(b, '\n'))
}

// replaceFile puts a file into the state directory, whole and durably.
func replaceFile(stateDir, name string, content []byte) error {
	err := renameio.WriteFile(filepath.Join(stateDir, name), content, 0o600,
		renameio.WithTempDir(stateDir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	return syncDir(stateDir)
}

// same reports whether two states differ in nothing but times.
func (st State) same(other State) bool {
	return reflect.DeepEqual(st.timeless(), other.timeless())
}

func (st State) timeless() State {
	st.LastPull, st.LastRender, st.LastErrorSince, st.LastHookErrorSince = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if st.Stopped != nil {
		stop := *st.Stopped
		stop.Since = time.Time{}
		st.Stopped = &stop
	}
	return st
}

func (st *State) setError(err error) {
	if err == nil {
		st.LastError, st.LastErrorSince = "", time.Time{}
		return
	}
	if st.LastError == "" {
		st.LastErrorSince = utcNow()
	}
	st.LastError = errorText(err)
}

func (st *State) setHookError(err error) {
	if err == nil {
		st.LastHookError, st.LastHookErrorSince = "", time.Time{}
		return
	}
	if st.LastHookError == "" {
		st.LastHookErrorSince = utcNow()
	}
	st.LastHookError = errorText(err)
}

func errorText(err error) string {
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	return validText(text)
}

// setResync counts a pull that needed a snapshot, or begins anew after one that
// did not.
func (st *State) setResync(needed bool) {
	if !needed {
		st.Resyncs = 0
		return
	}
	st.Resyncs = min(st.Resyncs+1, MaxResyncs)
}

func (st *State) setStopped(e *FuseError) {
	if e == nil {
		st.Stopped = nil
		return
	}
	stop := &Stop{
		Position: e.Position, Since: utcNow(),
		Before: e.Effect.Before, Removed: e.Effect.Removed, Locked: e.Effect.Locked, Renumbered: e.Effect.Renumbered,
	}
	if st.Stopped != nil && st.Stopped.Position == stop.Position {
		stop.Since = st.Stopped.Since
	}
	st.Stopped = stop
}

func (st *State) setQuarantined(q []roster.Quarantine) {
	st.QuarantinedCount = len(q)
	st.Quarantined = nil
	for _, q := range q[:min(len(q), maxListed)] {
		st.Quarantined = append(st.Quarantined, roster.Quarantine{Key: validText(q.Key), Name: validText(q.Name), Reason: validText(q.Reason)})
	}
}

// validText is text that comes back from JSON as it went in.
func validText(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func utcNow() time.Time { return time.Now().UTC().Truncate(time.Second) }
