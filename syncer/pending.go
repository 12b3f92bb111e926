package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pwb/roster"
)

const (
	// pendingDir holds an entry for each change that the files show and that After
	// has yet to hear of, in the order of their names.
	pendingDir = "pending"
	// intent ends the name of an entry whose files may still be on their way.
	intent = ".intent"
	// maxEntry is the most bytes of an entry: some millions of names.
	maxEntry = 256 << 20
)

var (
	entryName  = regexp.MustCompile(`^[0-9]{20}$`)
	intentName = regexp.MustCompile(`^[0-9]{20}\.intent$`)
)

// entry is a change: the position that the files show since, and who may not log
// in any more.
type entry struct {
	Position roster.Position `json:"position"`
	Leavers  []roster.Leaver `json:"leavers,omitempty"`
}

func (s *Syncer) pendingPath(name string) string {
	return filepath.Join(s.cfg.StateDir, pendingDir, name)
}

// intend writes down, durably, what follows from a commit before it is begun: who
// is killed in it leaves the entry to the next pass. The caller holds the lock,
// and calls committed when the files are written, or not.
//
// Where it cannot be written down the commit is no less urgent: the entry is kept
// in memory then, and lost with the process.
func (s *Syncer) intend(ctx context.Context, e entry) (committed func()) {
	if s.cfg.After == nil {
		return func() {}
	}
	name, err := s.writeIntent(e)
	if err != nil {
		s.log.WarnContext(ctx, "what follows from a change cannot be written down, and is lost if the agent ends before it is done", "error", err)
		return func() {
			s.unkept.Lock()
			defer s.unkept.Unlock()
			s.unkept.entries = append(s.unkept.entries, e)
		}
	}
	return func() { s.ripen(name) }
}

func (s *Syncer) writeIntent(e entry) (name string, err error) {
	dir := s.pendingPath("")
	if err := MakeStateDir(dir); err != nil {
		return "", err
	}
	names, err := s.pendingNames()
	if err != nil {
		return "", err
	}
	var last uint64
	for _, n := range names {
		number, err := strconv.ParseUint(strings.TrimSuffix(n, intent), 10, 64)
		if err != nil {
			return "", err
		}
		last = max(last, number)
	}
	name = fmt.Sprintf("%020d", last+1) + intent
	content, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	// Nobody reads it under this name.
	f, err := os.OpenFile(s.pendingPath(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(append(content, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return name, nil
}

// ripen says that an entry's files are written, if they ever will be. Should that
// fail, the next pass does it.
func (s *Syncer) ripen(name string) {
	_ = os.Rename(s.pendingPath(name), s.pendingPath(strings.TrimSuffix(name, intent)))
}

// ripenLeft is ripen for what killed passes left; the caller holds the lock, so
// that no other is at work.
func (s *Syncer) ripenLeft() {
	if s.cfg.After == nil {
		return
	}
	names, _ := s.pendingNames() // nothing is lost if it cannot be read now
	for _, name := range names {
		if intentName.MatchString(name) {
			s.ripen(name)
		}
	}
}

// pendingNames are the names of all entries, intents among them, in order.
func (s *Syncer) pendingNames() (names []string, err error) {
	all, err := os.ReadDir(s.pendingPath(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		if entryName.MatchString(e.Name()) || intentName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// pendingBatch is all that is pending at a time, as if it were one change.
type pendingBatch struct {
	entry
	names  []string // of the files
	unkept []entry  // those without one
}

// takePending reads all that is pending, and reports whether there is anything.
// Many changes are one: who is slow need not hear of each. The caller holds the
// lock of the directory, if dir is to be read.
func (s *Syncer) takePending(ctx context.Context, dir bool) (b pendingBatch, any bool) {
	var entries []entry
	if dir {
		names, err := s.pendingNames()
		if err != nil {
			s.log.WarnContext(ctx, "what follows from former changes cannot be read", "error", err)
		}
		for _, name := range names {
			if !entryName.MatchString(name) {
				continue
			}
			var e entry
			if err := readJSON(s.pendingPath(name), maxEntry, &e); err != nil {
				// Only a pass that was killed before its commit leaves such.
				s.log.WarnContext(ctx, "an entry of what follows from a change cannot be read, and passes for a change without names", "error", err)
			}
			b.names, entries = append(b.names, name), append(entries, e)
		}
	}
	s.unkept.Lock()
	b.unkept, s.unkept.entries = s.unkept.entries, nil
	s.unkept.Unlock()
	entries = append(entries, b.unkept...)
	seen := map[roster.Leaver]bool{}
	for _, e := range entries {
		if e.Position != (roster.Position{}) {
			b.Position = e.Position
		}
		for _, l := range e.Leavers {
			if !seen[l] {
				seen[l] = true
				b.Leavers = append(b.Leavers, l)
			}
		}
	}
	return b, len(entries) > 0
}

// settlePending forgets a batch that was told, but for the rest of its leavers. What
// it fails for is told again by a later round. The caller holds the lock of the
// directory.
func (s *Syncer) settlePending(b pendingBatch, rest []roster.Leaver, told bool) error {
	again, names := b.unkept, b.names
	var failed []error
	if told {
		again = nil
		if len(rest) > 0 {
			again = []entry{{b.Position, rest}}
		}
		if len(again) > 0 && len(names) > 0 {
			last := names[len(names)-1]
			content, err := json.Marshal(again[0])
			if err == nil {
				err = replaceFile(s.pendingPath(""), last, append(content, '\n'))
			}
			if err != nil {
				return fmt.Errorf("what followed from a change will be done again: %w", err)
			}
			again, names = nil, names[:len(names)-1]
		}
		for _, name := range names {
			if err := os.Remove(s.pendingPath(name)); err != nil {
				failed = append(failed, err)
			}
		}
	}
	s.unkept.Lock()
	s.unkept.entries = slices.Concat(again, s.unkept.entries)
	s.unkept.Unlock()
	if len(failed) > 0 {
		return fmt.Errorf("what followed from a change was done, and will be done again: %w", failed[0])
	}
	return nil
}

// sweepPending removes temporary files of who was killed in settlePending.
func (s *Syncer) sweepPending() {
	all, _ := filepath.Glob(s.pendingPath(".*")) // the pattern is right
	for _, path := range all {
		_ = os.Remove(path)
	}
}

// anyPending reports whether there is anything to do for After.
func (s *Syncer) anyPending() bool {
	s.unkept.Lock()
	kept := len(s.unkept.entries) > 0
	s.unkept.Unlock()
	if kept {
		return true
	}
	names, _ := s.pendingNames()
	return slices.ContainsFunc(names, entryName.MatchString)
}
