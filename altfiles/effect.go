package altfiles

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"pwb/roster"
)

// before is what the files on disk say of an account that is rendered.
type before uint8

const (
	hadPasswd  before = 1 << iota // it had a line in passwd
	samePasswd                    // and has the same
	otherUID                      // with another uid
	openShell                     // with a shell that can be used
	usesShadow                    // with "x" for a password
	hadShadow                     // it had a line in shadow
	sameShadow                    // and has the same
	openShadow                    // neither locked nor expired
)

// weigh compares the rendering with the files on disk. Accounts and groups are
// known by their names; lines that cannot be parsed, and all but the first of a
// name, are no lines to a name service and count for nothing.
//
// An account is locked when a login was possible before and is no more: for a
// "!" before the hash, a day of expiry that has come, or a shell such as
// nologin(8). One that is locked is not also counted as renumbered, nor one of
// these as changed. Private groups count with their accounts.
func (p *Plan) weigh(d *dir) (roster.Effect, error) {
	now := p.now
	e := roster.Effect{After: now.passwd.count()}
	if !p.Changed() {
		e.Before = e.After
		return e, nil
	}
	was := make([]before, now.passwd.count())
	gone := map[string]bool{} // accounts that go, and whether they had a private group
	err := p.eachOldLine(d, passwdName, func(line []byte) error {
		p.weighPasswd(line, was, gone)
		return nil
	})
	if err != nil {
		return e, err
	}
	err = p.eachOldLine(d, shadowName, func(line []byte) error {
		p.weighShadow(line, was)
		return nil
	})
	if err != nil {
		return e, err
	}
	e.Removed = len(gone)
	e.Before = e.Removed
	for i, w := range was {
		if w&hadPasswd == 0 {
			e.Added++
			continue
		}
		e.Before++
		if w&samePasswd != 0 && (w&sameShadow != 0 || w&hadShadow == 0 && !p.r.rules.shadow) {
			continue
		}
		could, can := p.logins(i, w)
		switch {
		case could && !can:
			e.Locked++
		case w&otherUID != 0:
			e.Renumbered++
		default:
			e.Changed++
		}
	}
	return e, p.weighGroups(d, &e, gone)
}

func (p *Plan) weighPasswd(line []byte, was []before, gone map[string]bool) {
	i, ok := p.now.passwd.find(nameOf(line))
	if ok && was[i]&hadPasswd != 0 {
		return
	}
	if ok && bytes.Equal(line, p.now.passwd.line(i)) {
		was[i] |= hadPasswd | samePasswd
		return
	}
	old, err := roster.ParsePasswd(string(line))
	if err != nil {
		return
	}
	if !ok {
		if _, again := gone[old.Name]; !again {
			gone[old.Name] = old.UID == old.GID
		}
		return
	}
	was[i] |= hadPasswd
	if old.UID != p.newPasswd(i).UID {
		was[i] |= otherUID
	}
	if !p.r.rules.refusesLogin(old.Shell) {
		was[i] |= openShell
	}
	if old.Password == "x" {
		was[i] |= usesShadow
	}
}

func (p *Plan) weighShadow(line []byte, was []before) {
	i, ok := p.now.passwd.find(nameOf(line))
	if !ok || was[i]&hadShadow != 0 {
		return
	}
	if p.r.rules.shadow && bytes.Equal(line, p.now.shadow.line(i)) {
		was[i] |= hadShadow | sameShadow
		return
	}
	old, err := roster.ParseShadow(string(line))
	if err != nil {
		return
	}
	was[i] |= hadShadow
	if p.open(old) {
		was[i] |= openShadow
	}
}

// logins reports whether a login to the ith account was and will be possible.
func (p *Plan) logins(i int, w before) (could, can bool) {
	now := p.newPasswd(i)
	shell, shadow := !p.r.rules.refusesLogin(now.Shell), true
	if p.r.rules.shadow {
		// It was rendered and verified: it parses.
		s, _ := roster.ParseShadow(string(p.now.shadow.line(i)))
		shadow = p.open(s)
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
	could = w&openShell != 0 && (w&usesShadow == 0 || w&openShadow != 0)
	return could, can
}

// open reports whether a shadow line lets anybody in today.
func (p *Plan) open(s roster.Shadow) bool {
	locked := len(s.Password) > 0 && s.Password[0] == '!'
	return !locked && (s.Expire <= 0 || p.r.today() < s.Expire)
}

// newPasswd is the ith rendered account. It was verified: it parses.
func (p *Plan) newPasswd(i int) roster.Passwd {
	line, _ := roster.ParsePasswd(string(p.now.passwd.line(i)))
	return line
}

func (p *Plan) weighGroups(d *dir, e *roster.Effect, gone map[string]bool) error {
	now := p.now.group
	seen := make([]bool, now.count())
	lost := map[string]bool{}
	err := p.eachOldLine(d, groupName, func(line []byte) error {
		name := nameOf(line)
		i, ok := now.find(name)
		if ok && seen[i] {
			return nil
		}
		if ok && bytes.Equal(line, now.line(i)) {
			seen[i] = true
			return nil
		}
		if _, err := roster.ParseGroup(string(line)); err != nil {
			return nil
		}
		switch {
		case ok:
			seen[i] = true
			if !p.private(name) {
				e.GroupsChanged++
			}
		case !gone[string(name)] && !lost[string(name)]:
			if _, ok := p.now.passwd.find(name); !ok {
				lost[string(name)] = true
			}
		}
		return nil
	})
	e.GroupsRemoved = len(lost)
	for i, ok := range seen {
		if !ok && !p.private(now.name(i)) {
			e.GroupsAdded++
		}
	}
	return err
}

// private reports whether a rendered group is the private one of an account.
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
func (p *Plan) eachOldLine(d *dir, name string, do func(line []byte) error) error {
	f := p.file(name)
	if f == nil || !f.was.exists {
		return nil
	}
	file, err := d.open(name, f.was)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
			continue
		case err != nil && err != io.EOF:
			return fmt.Errorf("read %s: %w", filepath.Join(d.path, name), err)
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
