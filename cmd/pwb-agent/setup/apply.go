package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Edit is one change of the plan.
type Edit struct {
	Path string
	// Dir makes a directory.
	Dir bool
	// Content is what the file is to hold, unless Keep: then only its mode changes.
	Content string
	Keep    bool
	// Mode of a file that is not there yet, or of any with Keep.
	Mode fs.FileMode

	was    status
	before string
}

// Finding is what a part of setup says: why it does something or does not.
type Finding struct {
	Part string
	Text string
	// Missing says that something must be mended first: setup then fails.
	Missing bool
}

// Plan is what setup would do.
type Plan struct {
	Edits    []Edit
	Findings []Finding
	// Commands are programs that would run.
	Commands [][]string

	authselect *authselectPlan
}

// Missing reports whether anything must be mended before the plan can be carried out.
func (p *Plan) Missing() bool {
	for _, f := range p.Findings {
		if f.Missing {
			return true
		}
	}
	return false
}

// Changed reports whether there is anything to do.
func (p *Plan) Changed() bool { return len(p.Edits) > 0 || len(p.Commands) > 0 }

func (p *Plan) say(part, format string, args ...any) {
	p.Findings = append(p.Findings, Finding{Part: part, Text: fmt.Sprintf(format, args...)})
}

func (p *Plan) lack(part, format string, args ...any) {
	p.Findings = append(p.Findings, Finding{Part: part, Text: fmt.Sprintf(format, args...), Missing: true})
}

// edit adds an edit, and the directories that it needs, if it changes anything.
func (p *Plan) edit(t *tree, e Edit) error {
	var err error
	if e.was, e.before, err = t.look(e.Path); err != nil {
		return err
	}
	switch {
	case e.was.Exists && e.was.dir != e.Dir:
		return fmt.Errorf("%s is in the way: move it elsewhere and run again", e.Path)
	case e.Dir && e.was.Exists, e.Keep && e.was.Mode == e.Mode, !e.Dir && !e.Keep && e.was.Exists && e.before == e.Content:
		return nil
	}
	if dir := path.Dir(e.Path); dir != e.Path && !t.exists(dir) && !p.makes(dir) {
		if err := p.edit(t, Edit{Path: dir, Dir: true, Mode: 0o755}); err != nil {
			return err
		}
	}
	p.Edits = append(p.Edits, e)
	return nil
}

func (p *Plan) makes(dir string) bool {
	for _, e := range p.Edits {
		if e.Dir && e.Path == dir {
			return true
		}
	}
	return false
}

// WriteDiff writes what the plan would change, as a unified diff.
func (p *Plan) WriteDiff(w io.Writer) error {
	for _, e := range p.Edits {
		var err error
		switch {
		case e.Dir:
			_, err = fmt.Fprintf(w, "new directory %s, mode %04o\n", e.Path, e.Mode.Perm())
		case e.Keep:
			_, err = fmt.Fprintf(w, "mode of %s: %04o -> %04o\n", e.Path, e.was.Mode.Perm(), e.Mode.Perm())
		case !e.was.Exists:
			_, err = fmt.Fprintf(w, "new file %s, mode %04o\n", e.Path, e.Mode.Perm())
			err = errors.Join(err, writeDiff(w, "/dev/null", e.Path, "", e.Content))
		default:
			err = writeDiff(w, e.Path, e.Path, e.before, e.Content)
		}
		if err != nil {
			return err
		}
	}
	if p.authselect != nil {
		for _, e := range p.authselect.templates {
			if err := writeDiff(w, e.Path, e.Path, e.before, e.Content); err != nil {
				return err
			}
		}
	}
	for _, c := range p.Commands {
		if _, err := fmt.Fprintf(w, "run %s\n", shellWords(c)); err != nil {
			return err
		}
	}
	return nil
}

// apply carries the edits out. The journal is durable before the first of them, so
// that after a kill at any moment another apply or an undo finds what it needs.
func (p *Plan) apply(t *tree, j *journal) error {
	j.sweep(t)
	for i := range p.Edits {
		if err := j.add(&p.Edits[i]); err != nil {
			return err
		}
	}
	if err := t.run("journal", j.save); err != nil {
		return fmt.Errorf("keep what is needed to undo this: %w", err)
	}
	for i := range p.Edits {
		e := &p.Edits[i]
		is := j.find(e.Path).Is
		now, content, err := t.look(e.Path)
		if err != nil {
			return err
		}
		if now.Exists != e.was.Exists || content != e.before {
			return fmt.Errorf("%s was changed while setup was at work: run it again", e.Path)
		}
		switch {
		case e.Dir:
			err = t.mkdir(e.Path, e.Mode)
		case e.Keep:
			err = t.mode(e.Path, is)
		default:
			err = t.write(e.Path, e.Content, is)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add remembers how to undo an edit. What was remembered before stays the original,
// with the changes that somebody else has made since.
func (j *journal) add(e *Edit) error {
	is := e.was
	is.Modified = e.was.Modified
	if !e.was.Exists {
		is = status{UID: -1, GID: -1}
	}
	is.Exists = true
	if e.Keep || !e.was.Exists {
		is.Mode = e.Mode
	}
	is.Modified = status{}.Modified // what is written now is new
	old := j.find(e.Path)
	if old == nil {
		j.Entries = append(j.Entries, entry{Path: e.Path, Dir: e.Dir, Was: e.was})
		old = &j.Entries[len(j.Entries)-1]
		if e.was.Exists && !e.Dir && !e.Keep {
			name, err := j.keep(e.before)
			if err != nil {
				return err
			}
			old.Before = name
		}
	} else if err := j.rebase(old, e); err != nil {
		return err
	}
	old.Is = is
	if e.Dir || e.Keep {
		return nil
	}
	name, err := j.keep(e.Content)
	old.After = name
	return err
}

// rebase makes the original of an entry one that has what somebody else changed since.
func (j *journal) rebase(old *entry, e *Edit) error {
	if old.After == "" && !e.Keep && e.was.Exists { // only the mode was changed before
		name, err := j.keep(e.before)
		old.Before = name
		return err
	}
	now := digest(e.before)
	if e.Keep || e.Dir || now == old.After || now == old.Before {
		return nil
	}
	if !e.was.Exists {
		return nil // it was removed; the original is still that of before
	}
	if !old.Was.Exists { // what somebody else put where there was nothing is theirs
		name, err := j.keep(e.before)
		old.Was, old.Before = e.was, name
		return err
	}
	before, err := j.kept(old.Before)
	if err != nil {
		return err
	}
	after, err := j.kept(old.After)
	if err != nil {
		return err
	}
	merged, ok := merge(after, before, e.before)
	if !ok {
		return fmt.Errorf("%s was edited since the last setup, where setup had changed it, so that undo could not tell the two apart: run pwb-agent setup --undo --force, which restores it as it was before, or put back by hand what setup wrote (%s), then run setup again", e.Path, j.dir+"/"+old.After)
	}
	name, err := j.keep(merged)
	old.Was.Modified = status{}.Modified
	old.Before = name
	return err
}
