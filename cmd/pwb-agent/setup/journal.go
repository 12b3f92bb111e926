package setup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// journal is what undo needs: for each path what was there before the first setup, and
// what setup wrote. It lies in Config.StateDir/setup, for root only, with the contents
// by their SHA-256 beside it, and is durable before the first edit.
type journal struct {
	dir string // its directory, as the system sees it

	Version int     `json:"version"`
	Entries []entry `json:"entries"`
	// Made are the directories above dir that setup made, outermost first.
	Made []string `json:"made,omitempty"`
	// Authselect is what was selected before, when setup selected another profile.
	Authselect *authselected `json:"authselect,omitempty"`
}

const journalVersion = 1

// entry is one path.
type entry struct {
	Path string `json:"path"`
	Dir  bool   `json:"dir,omitempty"`
	// Was is what was there, Before the digest of its content; empty when only mode
	// and owner were changed, or nothing was there.
	Was    status `json:"was"`
	Before string `json:"before,omitempty"`
	// Is is what setup makes of it, After the digest of the content; empty when the
	// content was not changed.
	Is    status `json:"is"`
	After string `json:"after,omitempty"`
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// journalDir is where the journal lies below the state directory.
const journalDir = "setup"

// openJournal reads the journal; one that is not there yet is empty.
func openJournal(t *tree, stateDir string) (*journal, error) {
	dir, err := t.path(filepath.Join(stateDir, journalDir))
	if err != nil {
		return nil, err
	}
	j := &journal{dir: dir, Version: journalVersion}
	data, err := os.ReadFile(filepath.Join(dir, "journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what setup did before: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(j); err != nil || j.Version != journalVersion {
		return nil, fmt.Errorf("%s/journal.json is not a journal of this version of pwb-agent (version %d, %v): use the one that wrote it, or restore from %[1]s by hand", dir, j.Version, err)
	}
	return j, nil
}

// empty reports whether there is nothing to undo.
func (j *journal) empty() bool { return len(j.Entries) == 0 && j.Authselect == nil }

func (j *journal) find(path string) *entry {
	if j == nil {
		return nil
	}
	for i := range j.Entries {
		if j.Entries[i].Path == path {
			return &j.Entries[i]
		}
	}
	return nil
}

// lock keeps other setups away until release is called or the process ends. It makes
// the journal's directory, and remembers which ones above it it made.
func (j *journal) lock() (release func() error, err error) {
	var made []string
	for dir := filepath.Dir(j.dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		made = append([]string{dir}, made...)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(j.dir), 0o711), os.MkdirAll(j.dir, 0o700)); err != nil {
		return nil, fmt.Errorf("make the directory of the journal: %w", err)
	}
	j.Made = append(made, j.Made...)
	f, err := os.OpenFile(filepath.Join(j.dir, "lock"), os.O_RDONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the journal: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another pwb-agent setup is at work (%s is locked): let it finish and run again", f.Name()), f.Close())
	}
	if len(made) > 0 { // before anything else is, so that undo removes them
		if err := j.save(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return func() error {
		// A child that has been forked and not become its program yet holds the file, too.
		return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
	}, nil
}

// keep stores a content durably and returns its digest.
func (j *journal) keep(content string) (string, error) {
	name := digest(content)
	if have, err := os.ReadFile(filepath.Join(j.dir, name)); err == nil && string(have) == content {
		return name, nil
	}
	return name, j.put(name, content)
}

// kept returns a content that keep stored.
func (j *journal) kept(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	data, err := os.ReadFile(filepath.Join(j.dir, name))
	if err == nil && digest(string(data)) != name {
		err = fmt.Errorf("%s/%s is damaged", j.dir, name)
	}
	return string(data), err
}

func (j *journal) put(name, content string) error {
	t := &tree{root: j.dir}
	return t.write(name, content, status{Mode: 0o600, UID: -1, GID: -1})
}

// save makes the journal durable.
func (j *journal) save() error {
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := j.put("journal.json", string(data)+"\n"); err != nil {
		return err
	}
	return syncDir(filepath.Dir(j.dir))
}

// discard removes the journal and the directories that were made for it.
func (j *journal) discard() error {
	// First the journal: without it the contents mean nothing.
	if err := os.Remove(filepath.Join(j.dir, "journal.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(j.dir); err != nil {
		return err
	}
	for i := len(j.Made) - 1; i >= 0; i-- {
		if err := os.Remove(j.Made[i]); err != nil {
			return nil // the agent keeps its own things there by now
		}
	}
	return nil
}

// sweep removes files that a setup which was killed left beside the journal's paths.
func (j *journal) sweep(t *tree) {
	for _, e := range j.Entries {
		path, err := t.path(e.Path)
		if err != nil {
			continue
		}
		left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), tempPrefix+"*")) // the pattern is right
		for _, file := range left {
			if strings.HasPrefix(filepath.Base(file), tempPrefix) {
				_ = os.Remove(file) // it is in nobody's way
			}
		}
	}
}
