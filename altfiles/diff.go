package altfiles

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"pwb/roster"
)

// WriteDiff writes what would change, a paragraph a file that differs:
//
//	--- /usr/lib/shadow
//	-ada:<sha512crypt>
//	+ada:<sha512crypt, locked, expires on day 1>
//	-bob:<yescrypt>
//	+bob:<yescrypt> (changed)
//	 mode 0644 -> 0640
//
// Lines are matched by name, not by place. Hashes are never shown: their method
// stands for them, and "(changed)" where nothing else tells two lines apart.
// Lines that no name service could read are shown by their length. SSH keys are shown
// by their fingerprints, each line by itself. Lookup indexes
// are told of where only these differ.
//
// It reads the old files again, and fails with ErrStale if they changed since.
func (p *Plan) WriteDiff(w io.Writer) (err error) {
	d, err := p.r.openBoth()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.closeAll()) }()
	if d.id != p.dir {
		return fmt.Errorf("directory %s: %w", d.path, ErrStale)
	}
	out := bufio.NewWriter(w)
	for _, f := range slices.Backward(p.files) {
		if !f.right {
			if err := p.diffFile(out, d, &f); err != nil {
				return err
			}
		}
	}
	for _, x := range p.indexes {
		if !x.right && !p.filesChanged() { // else it goes without saying
			if err := x.diff(out, p.r.cfg.StateDir); err != nil {
				return err
			}
		}
	}
	if p.shut {
		fmt.Fprintf(out, "--- %s\n others may pass through to the index\n", p.r.cfg.StateDir)
	}
	if p.untidy {
		fmt.Fprintf(out, "--- %s\n what a pass that was killed left there is removed\n", p.r.cfg.StateDir)
	}
	if p.unswept {
		fmt.Fprintf(out, "--- %s\n what a pass that was killed left there is put away\n", d.path)
	}
	return out.Flush()
}

func (p *Plan) diffFile(w *bufio.Writer, d *dir, f *plannedFile) error {
	now, find, show := p.now.passwd, p.now.passwd.find, showPasswd
	switch f.kind {
	case groupName:
		now, find, show = p.now.group, p.now.group.find, showGroup
	case shadowName:
		now, show = p.now.shadow, showShadow // found as in passwd
	}
	dir := d.path
	if f.kind == KeysFile {
		dir = p.r.cfg.StateDir
	}
	fmt.Fprintf(w, "--- %s\n", filepath.Join(dir, f.name))
	if f.kind == KeysFile {
		shown, err := p.diffKeys(w, d)
		if err != nil {
			return err
		}
		return f.diffRest(w, shown)
	}
	if f.index != "" {
		return f.diffIndex(w)
	}
	seen := make([]bool, now.count())
	shown := false
	err := p.eachOldLine(d, f.kind, func(line []byte) error {
		i, ok := find(nameOf(line))
		if ok && i < len(seen) && !seen[i] {
			seen[i] = true
			if bytes.Equal(line, now.line(i)) {
				return nil
			}
			minus, plus := show(line), show(now.line(i))
			if minus == plus {
				plus += " (changed)"
			}
			shown = true
			_, err := fmt.Fprintf(w, "-%s\n+%s\n", minus, plus)
			return err
		}
		shown = true
		_, err := fmt.Fprintf(w, "-%s\n", show(line))
		return err
	})
	if err != nil {
		return err
	}
	for i, ok := range seen {
		if !ok {
			shown = true
			if _, err := fmt.Fprintf(w, "+%s\n", show(now.line(i))); err != nil {
				return err
			}
		}
	}
	return f.diffRest(w, shown)
}

// diffRest tells the differences that no line shows.
func (f *plannedFile) diffRest(w io.Writer, shown bool) error {
	var err error
	say := func(format string, args ...any) {
		shown = true
		if err == nil {
			_, err = fmt.Fprintf(w, " "+format+"\n", args...)
		}
	}
	switch {
	case f.gone:
		say("the file is removed")
		return err
	case !f.was.exists:
		say("the file is new, mode %#o", f.owner.perm)
		return err
	}
	if f.was.mode != f.owner.perm {
		say("mode %#o -> %#o", f.was.mode.Perm(), f.owner.perm)
	}
	if f.owner.uid >= 0 && int(f.was.uid) != f.owner.uid {
		say("uid %d -> %d", f.was.uid, f.owner.uid)
	}
	if f.owner.gid >= 0 && int(f.was.gid) != f.owner.gid {
		say("gid %d -> %d", f.was.gid, f.owner.gid)
	}
	if !shown {
		say("the same lines in another order")
	}
	return err
}

func showPasswd(line []byte) string {
	p, err := roster.ParsePasswd(string(line))
	if err != nil {
		return malformed(line)
	}
	if p.Password != "x" && p.Password != "*" {
		p.Password = "<" + method(p.Password) + ">"
	}
	return printable(p.Append(nil))
}

func showGroup(line []byte) string {
	g, err := roster.ParseGroup(string(line))
	if err != nil {
		return malformed(line)
	}
	if g.Password != "x" && g.Password != "*" {
		g.Password = "<" + method(g.Password) + ">"
	}
	return printable(g.Append(nil))
}

func showShadow(line []byte) string {
	s, err := roster.ParseShadow(string(line))
	if err != nil {
		return malformed(line)
	}
	text := method(s.Password)
	if strings.HasPrefix(s.Password, "!") {
		text += ", locked"
	}
	if s.Expire != 0 {
		text += ", expires on day " + strconv.FormatInt(s.Expire, 10)
	}
	return printable([]byte(s.Name)) + ":<" + text + ">"
}

// method names how a password is hashed, and nothing of what it holds.
func method(password string) string {
	if password == "" {
		return "empty password"
	}
	hash := strings.TrimLeft(password, "!")
	if hash == "" || hash == "*" {
		return "no password"
	}
	id, _, ok := strings.Cut(strings.TrimPrefix(hash, "$"), "$")
	if name := methods[id]; ok && name != "" && hash[0] == '$' {
		return name
	}
	return "hash"
}

// methods are the prefixes of crypt(5) that are in use.
var methods = map[string]string{
	"y": "yescrypt", "gy": "gost-yescrypt", "7": "scrypt", "6": "sha512crypt", "5": "sha256crypt",
	"2a": "bcrypt", "2b": "bcrypt", "2y": "bcrypt", "1": "md5crypt", "sha1": "sha1crypt", "md5": "sunmd5",
}

func malformed(line []byte) string { return fmt.Sprintf("<malformed line of %d bytes>", len(line)) }

// printable is a line as a terminal may see it: quoted if it holds anything
// that does not print.
func printable(line []byte) string {
	s := strings.TrimSuffix(string(line), "\n")
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return strconv.Quote(s)
	}
	return s
}
