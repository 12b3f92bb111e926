package altfiles

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"pwb/roster"
)

// nameOf is the first field of a line.
func nameOf(line []byte) []byte {
	name, _, _ := bytes.Cut(line, []byte{':'})
	return name
}

// cutLine splits off the first line with its newline.
func cutLine(data []byte) (line, rest []byte) {
	i := bytes.IndexByte(data, '\n') + 1
	return data[:i], data[i:]
}

// lines is a rendered file whose lines are found by their number, from 0, or by
// their name.
type lines struct {
	data  []byte
	at    []uint32 // where lines begin
	names table
}

// newLines finds the lines of data. It fails for an empty line, for two of the
// same name, and when the last line has no newline.
func newLines(data []byte) (*lines, error) {
	l, err := splitLines(data)
	if err != nil {
		return nil, err
	}
	l.names.reserve(l.count())
	for i := range l.count() {
		name := l.name(i)
		if _, ok := l.find(name); ok {
			return nil, fmt.Errorf("line %d is the second of %q", i+1, name)
		}
		l.names.add(hashOf(name), i)
	}
	return l, nil
}

// splitLines is newLines without the names: find finds nothing.
func splitLines(data []byte) (*lines, error) {
	l := &lines{data: data, at: make([]uint32, 0, bytes.Count(data, []byte{'\n'}))}
	for at := 0; at < len(data); {
		n := bytes.IndexByte(data[at:], '\n') + 1
		if n <= 1 {
			return nil, fmt.Errorf("line %d is empty or has no end", l.count()+1)
		}
		l.at = append(l.at, uint32(at))
		at += n
	}
	return l, nil
}

func (l *lines) count() int { return len(l.at) }

// line is the ith line without its newline.
func (l *lines) line(i int) []byte {
	end := len(l.data)
	if i+1 < len(l.at) {
		end = int(l.at[i+1])
	}
	return l.data[l.at[i] : end-1]
}

// texts are the lines as texts, one after the other and without newlines.
func (l *lines) texts() *texts { return &texts{data: l.data} }

// texts makes one text of many lines, so that parsing needs none for each.
type texts struct {
	data  []byte // what is yet to come behind ready
	ready string
}

// textBlock is about how many bytes become one text.
const textBlock = 32 << 10

// next is the next line. There has to be one.
func (t *texts) next() string {
	if t.ready == "" {
		n := min(len(t.data), textBlock)
		n += bytes.IndexByte(t.data[n:], '\n') + 1 // perhaps a line too many
		t.ready, t.data = string(t.data[:n]), t.data[n:]
	}
	line, rest, _ := strings.Cut(t.ready, "\n")
	t.ready = rest
	return line
}

func (l *lines) name(i int) []byte { return nameOf(l.data[l.at[i]:]) }

func (l *lines) find(name []byte) (int, bool) {
	return l.names.find(hashOf(name), func(i int) bool { return bytes.Equal(l.name(i), name) })
}

// follower finds lines by their names, and most without looking: those that come
// in the order of the file.
type follower struct {
	*lines
	next int
}

// find is lines.find for a line that may be there as it is.
func (f *follower) find(line []byte) (i int, same, ok bool) {
	if f.next < f.count() && bytes.Equal(f.line(f.next), line) {
		f.next++
		return f.next - 1, true, true
	}
	i, ok = f.lines.find(nameOf(line))
	if !ok {
		return 0, false, false
	}
	f.next = i + 1
	return i, bytes.Equal(f.line(i), line), true
}

// verified are the three files, found good. Line i of shadow is that of line i
// of passwd, which is how it is found; shadow has none where none is written.
type verified struct {
	passwd, group, shadow *lines
	aliases               []aliasLine // ascending by line
}

// verify parses what was rendered, as a name service would, and checks what
// must hold of it whatever the roster said. It knows nothing of how the bytes
// were made, apart from the policy. Extra care is due: libnss-extrausers stops
// looking for a uid at the first line that is malformed.
//
// No error quotes a shadow line.
func (r *rules) verify(o *rendering, local *local) (*verified, error) {
	var v verified
	err := both(func() (err error) {
		if v.passwd, err = newLines(o.passwd); err != nil {
			return fmt.Errorf("passwd: %w", err)
		}
		return nil
	}, func() (err error) {
		if v.group, err = newLines(o.group); err != nil {
			return fmt.Errorf("group: %w", err)
		}
		if v.shadow, err = splitLines(o.shadow); err != nil {
			return fmt.Errorf("shadow: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r.shadow && v.shadow.count() != v.passwd.count() || !r.shadow && v.shadow.count() != 0 {
		return nil, fmt.Errorf("shadow has %d lines, passwd %d", v.shadow.count(), v.passwd.count())
	}
	var gids, uids, primaries []uint32
	err = both(
		func() (err error) { uids, primaries, err = r.verifyAccounts(&v, local); return err },
		func() (err error) {
			if gids, err = r.verifyGroups(&v, local); err == nil {
				err = r.verifyShadows(&v)
			}
			return err
		},
	)
	if err != nil {
		return nil, err
	}
	for i, gid := range primaries {
		if _, ok := slices.BinarySearch(gids, gid); ok {
			continue
		}
		if _, ok := local.gids[gid]; !ok {
			return nil, fmt.Errorf("passwd: line %d: gid %d is that of no group", i+1, gid)
		}
	}
	if err := v.verifyAliases(doubles(uids)); err != nil {
		return nil, fmt.Errorf("passwd: %w", err)
	}
	if err := v.verifyGroupAliases(doubles(gids)); err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	return &v, r.verifyKeys(o.keys, &v)
}

// both does two things at once. Of two errors it returns the first function's.
func both(first, second func() error) error {
	var later error
	var others sync.WaitGroup
	others.Go(func() { later = second() })
	err := first()
	others.Wait()
	return cmp.Or(err, later)
}

// verifyGroups verifies the lines of group by themselves, and returns their gids
// in ascending order.
func (r *rules) verifyGroups(v *verified, local *local) (gids []uint32, err error) {
	gids = make([]uint32, 0, v.group.count())
	groups := v.group.texts()
	for i := range v.group.count() {
		g, err := roster.ParseGroup(groups.next())
		if err == nil {
			err = r.verifyGroup(g, local, v.passwd)
		}
		if err != nil {
			return nil, fmt.Errorf("group: line %d: %w", i+1, err)
		}
		gids = append(gids, g.GID)
	}
	slices.Sort(gids)
	return gids, nil
}

// verifyAccounts verifies the lines of passwd by themselves. It returns the uids
// in ascending order, and the gids in the order of the lines.
func (r *rules) verifyAccounts(v *verified, local *local) (uids, gids []uint32, err error) {
	uids, gids = make([]uint32, 0, v.passwd.count()), make([]uint32, 0, v.passwd.count())
	accounts := v.passwd.texts()
	for i := range v.passwd.count() {
		p, err := roster.ParsePasswd(accounts.next())
		if err == nil {
			err = r.verifyPasswd(p, local)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("passwd: line %d: %w", i+1, err)
		}
		uids, gids = append(uids, p.UID), append(gids, p.GID)
	}
	slices.Sort(uids)
	return uids, gids, nil
}

// verifyShadows verifies the lines of shadow against the names of passwd.
func (r *rules) verifyShadows(v *verified) error {
	shadows := v.shadow.texts()
	for i := range v.shadow.count() {
		s, err := roster.ParseShadow(shadows.next())
		if err == nil {
			err = r.verifyShadow(s, v.passwd.name(i))
		}
		if err != nil {
			return fmt.Errorf("shadow: line %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *rules) verifyGroup(g roster.GroupLine, local *local, passwd *lines) error {
	if is, err := r.verifyMerge(g, local); err != nil {
		return err
	} else if is {
		return verifyMembers(g, passwd)
	}
	if err := cmp.Or(roster.CheckName(g.Name), r.checkNumber("gid", g.GID), local.checkGroup(g.Name, g.GID)); err != nil {
		return err
	}
	if g.Password != "x" {
		return errors.New("password field is not \"x\"")
	}
	return verifyMembers(g, passwd)
}

func verifyMembers(g roster.GroupLine, passwd *lines) error {
	for _, m := range g.Members {
		if _, ok := passwd.find([]byte(m)); !ok {
			return fmt.Errorf("member %q has no account", m)
		}
	}
	return nil
}

func (r *rules) verifyPasswd(p roster.Passwd, local *local) error {
	known := r.shells[p.Shell] || p.Shell == r.nologin
	err := cmp.Or(roster.CheckName(p.Name), r.checkNumber("uid", p.UID), r.checkNumber("gid", p.GID),
		roster.CheckField(p.Gecos), roster.CheckHome(p.Home))
	if err == nil && !known {
		err = roster.CheckPath(p.Shell) // those that are known have passed it
	}
	if err != nil {
		return err
	}
	password := "*"
	if r.shadow {
		password = "x"
	}
	_, named := local.users[p.Name]
	_, numbered := local.uids[p.UID]
	switch {
	case p.Password != password:
		return fmt.Errorf("password field is not %q", password)
	case named || numbered:
		return fmt.Errorf("%q or its uid %d is a local account's", p.Name, p.UID)
	case !known:
		return fmt.Errorf("shell %q is not allowed", p.Shell)
	}
	return nil
}

func (r *rules) verifyShadow(s roster.Shadow, name []byte) error {
	switch {
	case s.Name != string(name):
		return fmt.Errorf("it is that of %q, not of %q as in passwd", s.Name, name)
	case s.Password == "":
		return fmt.Errorf("%q could log in without a password", s.Name)
	case s.Expire < 0:
		return fmt.Errorf("%q has the expiry day %d", s.Name, s.Expire)
	}
	why := hashFault(s.Password)
	if why != "" {
		// The mark of a locked account may come on top of the longest hash.
		why = hashFault(strings.TrimPrefix(s.Password, "!"))
	}
	if why != "" {
		return fmt.Errorf("password field of %q %s", s.Name, why)
	}
	return nil
}
