package altfiles

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"pwb/roster"
)

// before is what the files on disk say of a name that is rendered.
type before uint16

const (
	hadPasswd  before = 1 << iota // it had a line in passwd
	samePasswd                    // and has the same
	otherUID                      // with another uid
	openShell                     // with a shell that can be used
	usesShadow                    // with "x" for a password
	hadShadow                     // it had a line in shadow
	sameShadow                    // and has the same
	openShadow                    // neither locked nor expired
	freeShadow                    // not locked, be it expired
	otherKeys                     // it had other SSH keys
)

// weighing compares the rendering with the files on disk.
type weighing struct {
	*Plan
	was    []before         // of each line of passwd as it is rendered
	gone   map[string]*gone // names that go from passwd
	strays []stray
	named  map[int]naming // of some accounts, by the line of their own
	passwd follower
	shadow int // the line of shadow that most likely comes next

	leavers []roster.Leaver
}

// gone is a name that goes from passwd.
type gone struct {
	private bool // its group had the same number
	was     before
}

// weigh compares the rendering with the files on disk. Lines that cannot be
// parsed, and all but the first of a name, are no lines to a name service and
// count for nothing. Of lines with the same uid the first is an account and the
// others its aliases, on disk as in the rendering. Which account is which, see
// settleStrays.
//
// An account is locked when a login was possible before and is no more: for a
// "!" before the hash, a day of expiry that has come, or a shell such as
// nologin(8). One that is locked is not also counted as renumbered, nor one of
// these as changed. Private groups count with their accounts.
func (p *Plan) weigh(d *dir) (roster.Effect, error) {
	now := p.now
	e := roster.Effect{After: now.passwd.count() - len(now.aliases)}
	if !p.filesChanged() {
		e.Before = e.After
		return e, nil
	}
	w := &weighing{Plan: p, was: make([]before, now.passwd.count()), passwd: follower{lines: now.passwd}}
	if err := p.eachOldLine(d, passwdName, w.passwdLine); err != nil {
		return e, err
	}
	if err := p.eachOldLine(d, shadowName, w.shadowLine); err != nil {
		return e, err
	}
	w.settleAliases()
	e.Removed = w.settleStrays()
	e.Before = e.Removed
	w.dropRenamed()
	err := p.eachKeyChange(d, func(line []byte, _ bool) error {
		if i, ok := now.passwd.find(firstWord(line)); ok {
			w.was[i] |= otherKeys
		}
		return nil
	})
	if err != nil {
		return e, err
	}
	for i := range w.was {
		if _, ok := now.alias(i); !ok {
			w.count(i, &e)
		}
	}
	e.Leavers = slices.DeleteFunc(w.leavers, func(l roster.Leaver) bool { return roster.CheckNumber(l.UID) != nil }) // somebody's own line
	return e, w.groups(d, &e)
}

// count counts the account whose own line is the ith.
func (w *weighing) count(i int, e *roster.Effect) {
	was, named := w.was[i], w.named[i]
	if was&hadPasswd == 0 && !named.before {
		e.Added++
		return
	}
	e.Before++
	if w.same(was) && !named.changed {
		return
	}
	could, can := w.logins(i, was)
	if !can && (could || named.could || w.lockedAfterExpiry(i, was)) {
		w.leavers = append(w.leavers, roster.Leaver{Name: string(w.now.passwd.name(i)), UID: w.oldUID(i)})
	}
	switch {
	case (could || named.could) && !can:
		e.Locked++
	case was&otherUID != 0:
		e.Renumbered++
	default:
		e.Changed++
	}
}

// same reports whether nothing changes in a line of passwd and its shadow.
func (w *weighing) same(was before) bool {
	return was&(samePasswd|otherKeys) == samePasswd && (was&sameShadow != 0 || was&hadShadow == 0 && !w.r.rules.shadow)
}

func (w *weighing) passwdLine(line []byte) error {
	i, same, ok := w.passwd.find(line)
	if ok && w.was[i]&hadPasswd != 0 {
		return nil
	}
	if same {
		w.was[i] |= hadPasswd | samePasswd
		w.noteOrder(i)
		return nil
	}
	old, err := roster.ParsePasswd(string(line))
	if err != nil {
		return nil
	}
	if !ok {
		if _, again := w.gone[old.Name]; !again {
			if w.gone == nil {
				w.gone = map[string]*gone{}
			}
			w.gone[old.Name] = &gone{old.UID == old.GID, w.openPasswd(old)}
			w.strays = append(w.strays, stray{old.UID, -1, old.Name})
		}
		return nil
	}
	w.was[i] |= hadPasswd | w.openPasswd(old)
	if old.UID != w.newPasswd(i).UID {
		w.was[i] |= otherUID
		w.strays = append(w.strays, stray{old.UID, i, old.Name})
	} else {
		w.noteOrder(i)
	}
	return nil
}

// openPasswd is what a line of passwd tells of logins.
func (p *Plan) openPasswd(line roster.Passwd) (is before) {
	if !p.r.rules.refusesLogin(line.Shell) {
		is |= openShell
	}
	if line.Password == "x" {
		is |= usesShadow
	}
	return is
}

func (w *weighing) shadowLine(line []byte) error {
	i, same := w.shadow, w.sameShadow(w.shadow, line)
	if !same {
		var ok bool
		if i, ok = w.now.passwd.find(nameOf(line)); !ok {
			if g := w.gone[string(nameOf(line))]; g != nil && g.was&hadShadow == 0 {
				if old, err := roster.ParseShadow(string(line)); err == nil {
					g.was |= hadShadow | w.openLine(old)
				}
			}
			return nil
		}
		same = w.sameShadow(i, line)
	}
	w.shadow = i + 1
	if w.was[i]&hadShadow != 0 {
		return nil
	}
	if same {
		w.was[i] |= hadShadow | sameShadow
		return nil
	}
	old, err := roster.ParseShadow(string(line))
	if err != nil {
		return nil
	}
	w.was[i] |= hadShadow | w.openLine(old)
	return nil
}

// sameShadow reports whether line i of shadow, if there is one, is to be this.
func (w *weighing) sameShadow(i int, line []byte) bool {
	return i < w.now.shadow.count() && bytes.Equal(line, w.now.shadow.line(i))
}

// logins reports whether a login to the ith account was and will be possible.
func (p *Plan) logins(i int, w before) (could, can bool) {
	now := p.newPasswd(i)
	shell, shadow := !p.r.rules.refusesLogin(now.Shell), true
	if p.r.rules.shadow {
		// It was rendered and verified: it parses.
		s, _ := roster.ParseShadow(string(p.now.shadow.line(i)))
		shadow = p.r.open(s)
	}
	can = shell && shadow
	if w&samePasswd != 0 {
		if shell {
			w |= openShell
		}
		if now.Password == "x" {
			w |= usesShadow
		}
	}
	if w&sameShadow != 0 && shadow {
		w |= openShadow
	}
	return w.letIn(), can
}

// letIn reports whether a login was possible.
func (was before) letIn() bool {
	return was&openShell != 0 && (was&usesShadow == 0 || was&openShadow != 0)
}

// open reports whether a shadow line lets anybody in today.
func (r *Renderer) open(s roster.Shadow) bool {
	return !locks(s) && (s.Expire <= 0 || r.today() < s.Expire)
}

// locks reports whether a shadow line has a locked password.
func locks(s roster.Shadow) bool { return len(s.Password) > 0 && s.Password[0] == '!' }

// openLine is what a line of shadow tells of logins.
func (p *Plan) openLine(s roster.Shadow) (is before) {
	if !locks(s) {
		is |= freeShadow
	}
	if p.r.open(s) {
		is |= openShadow
	}
	return is
}

// newPasswd is the ith rendered account. It was verified: it parses.
func (p *Plan) newPasswd(i int) roster.Passwd {
	line, _ := roster.ParsePasswd(string(p.now.passwd.line(i)))
	return line
}

func (w *weighing) groups(d *dir, e *roster.Effect) error {
	now := follower{lines: w.now.group}
	seen := make([]bool, now.count())
	lost := map[string]bool{}
	err := w.eachOldLine(d, groupName, func(line []byte) error {
		i, same, ok := now.find(line)
		if ok && seen[i] {
			return nil
		}
		if same {
			seen[i] = true
			return nil
		}
		name := nameOf(line)
		if _, err := roster.ParseGroup(string(line)); err != nil {
			return nil
		}
		switch {
		case ok:
			seen[i] = true
			if !w.private(name) {
				e.GroupsChanged++
			}
		case !w.goneWithGroup(name) && !lost[string(name)]:
			if _, ok := w.now.passwd.find(name); !ok {
				lost[string(name)] = true
			}
		}
		return nil
	})
	e.GroupsRemoved = len(lost)
	for i, ok := range seen {
		if !ok && !w.private(now.name(i)) {
			e.GroupsAdded++
		}
	}
	return err
}

// goneWithGroup reports whether a name goes that had a private group.
func (w *weighing) goneWithGroup(name []byte) bool {
	g := w.gone[string(name)]
	return g != nil && g.private
}

// private reports whether a rendered group is the private one of an account or
// of its alias.
func (p *Plan) private(name []byte) bool {
	i, ok := p.now.passwd.find(name)
	if !ok {
		return false
	}
	a := p.newPasswd(i)
	return a.UID == a.GID
}

// eachOldLine calls do with each line of a file as it was when the plan was
// made, without its newline; the bytes hold until do returns. A file that was
// not there has no lines. It fails with ErrStale when there is another now.
func (p *Plan) eachOldLine(d *dir, kind string, do func(line []byte) error) error {
	f := p.file(kind)
	if f == nil || !f.was.exists {
		return nil
	}
	at := d.of(f.name)
	if at == nil {
		return ErrStale
	}
	file, err := at.open(f.name, f.was)
	if err != nil {
		return err
	}
	defer file.Close()
	return eachLine(file, d.pathOf(f.name), do)
}

// eachLine calls do with each line of a file, without its newline; the bytes hold
// until do returns.
func eachLine(file io.Reader, path string, do func(line []byte) error) error {
	in := bufio.NewReaderSize(file, 64<<10)
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
			continue
		case err != nil && err != io.EOF:
			return fmt.Errorf("read %s: %w", path, err)
		}
		line := part
		if len(long) > 0 {
			line = append(long, part...)
		}
		if len(line) > 0 {
			if err := do(bytes.TrimSuffix(line, []byte{'\n'})); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		long = long[:0]
	}
}
