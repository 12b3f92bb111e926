package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// errKept says that something could not be undone without losing somebody's edits.
var errKept = errors.New("not all could be undone")

// undo takes every entry back, the last first. Files that nobody edited since get
// their former content, mode, owner and time; of edited ones what setup changed is
// taken back if it stands apart from the edits, else they are left as they are, unless
// force. What is undone leaves the journal; when all is, the journal goes.
func (j *journal) undo(t *tree, out io.Writer, force bool) error {
	j.sweep(t)
	var kept []entry
	for i := len(j.Entries) - 1; i >= 0; i-- {
		e := &j.Entries[i]
		said, err := j.takeBack(t, e, force)
		if err == nil && said != "" {
			_, err = fmt.Fprintln(out, said)
		}
		var stuck *stuckError
		if errors.As(err, &stuck) {
			fmt.Fprintln(out, stuck)
			kept = append([]entry{*e}, kept...)
			continue
		}
		if err != nil {
			return err
		}
	}
	if len(kept) > 0 || j.Authselect != nil {
		j.Entries = kept
		if err := j.save(); err != nil {
			return err
		}
		if len(kept) > 0 {
			return fmt.Errorf("%w: see above, then run it again", errKept)
		}
		return nil
	}
	return t.run("discard", j.discard)
}

// stuckError is an entry that an edit since keeps from being undone.
type stuckError struct{ path, why string }

func (e *stuckError) Error() string {
	return fmt.Sprintf("%s: left as it is, since %s", e.path, e.why)
}

func (j *journal) takeBack(t *tree, e *entry, force bool) (said string, err error) {
	now, content, err := t.look(e.Path)
	if err != nil {
		return "", &stuckError{e.Path, fmt.Sprintf("it is another kind of file now (%v); move that away", err)}
	}
	switch {
	case e.Dir:
		return j.takeBackDir(t, e, now)
	case e.After == "":
		return j.takeBackMode(t, e, now)
	case !e.Was.Exists && !now.Exists:
		return "", nil
	case !e.Was.Exists && (force || digest(content) == e.After):
		return "removed " + e.Path, t.remove(e.Path)
	case !e.Was.Exists:
		return "", &stuckError{e.Path, "setup made it and somebody edited it; remove it by hand, or with --force"}
	}
	before, err := j.kept(e.Before)
	if err != nil {
		return "", err
	}
	if now.Exists && content == before {
		if now.Mode == e.Was.Mode && now.UID == e.Was.UID && now.GID == e.Was.GID {
			return "", nil
		}
		return "restored the mode of " + e.Path, t.mode(e.Path, e.Was)
	}
	if force || now.Exists && digest(content) == e.After {
		return "restored " + e.Path, t.write(e.Path, before, e.Was)
	}
	if !now.Exists {
		return "", &stuckError{e.Path, "somebody removed it; --force puts back what was there before setup"}
	}
	after, err := j.kept(e.After)
	if err != nil {
		return "", err
	}
	merged, ok := merge(after, before, content)
	if !ok {
		return "", &stuckError{e.Path, fmt.Sprintf("somebody edited the lines that setup had changed; compare with %s/%s, which is from before setup, and take pwb out by hand, or run with --force to put that back", j.dir, e.Before)}
	}
	return "took pwb out of " + e.Path + " and kept what was edited since", t.write(e.Path, merged, status{Mode: now.Mode, UID: now.UID, GID: now.GID})
}

func (j *journal) takeBackDir(t *tree, e *entry, now status) (string, error) {
	if !now.Exists {
		return "", nil
	}
	path, err := t.path(e.Path)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return fmt.Sprintf("left the directory %s, which is not empty", e.Path), nil
	}
	return "removed " + e.Path, t.remove(e.Path)
}

func (j *journal) takeBackMode(t *tree, e *entry, now status) (string, error) {
	if !now.Exists || now.Mode == e.Was.Mode {
		return "", nil
	}
	if now.Mode != e.Is.Mode {
		return fmt.Sprintf("left the mode of %s, which somebody changed since", e.Path), nil
	}
	return fmt.Sprintf("mode of %s: %04o -> %04o", e.Path, now.Mode&fs.ModePerm, e.Was.Mode&fs.ModePerm), t.mode(e.Path, e.Was)
}
