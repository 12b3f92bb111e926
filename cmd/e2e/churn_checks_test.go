package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"pwb/roster"
	"pwb/syncer"
)

// lock says that nobody may log in with a uid from a position on, until it is
// forgotten.
type lock struct {
	uid uint32
	at  roster.Position
}

// locks are those by subject.
type locks struct {
	mu  sync.Mutex
	all map[string]lock
}

func (l *locks) note(id string, k lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[id] = k
}

// forget is called before anything that might unlock.
func (l *locks) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, id)
}

func (l *locks) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.all))
}

// at are the uids that are locked at a position and have been since.
func (l *locks) at(pos roster.Position) map[uint32]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	uids := map[uint32]int64{}
	for _, k := range l.all {
		if k.at.Epoch == pos.Epoch && k.at.Seq <= pos.Seq {
			uids[k.uid] = k.at.Seq
		}
	}
	return uids
}

// ties are the names and numbers that nodes showed together, and with whom.
type ties struct {
	mu     sync.Mutex
	all    map[tie]int    // by the first agent that showed it
	owners map[string]tie // by kind and number, the first
}

type tie struct {
	kind string // "uid" or "gid"
	name string
	id   uint32
}

// whose is the part of a name that every name of its owner has.
func whose(name string) string {
	if team, _, ok := strings.Cut(name, "_"); ok && strings.HasPrefix(name, "team-") {
		return team
	}
	return name[:min(len(name), 4)]
}

// tied notes what a node shows, and fails when the number was somebody else's.
func (t *ties) tied(agent int, tie tie) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.all[tie]; !ok {
		t.all[tie] = agent
	}
	key := tie.kind + strconv.FormatUint(uint64(tie.id), 10)
	first, ok := t.owners[key]
	if !ok {
		t.owners[key] = tie
	} else if whose(first.name) != whose(tie.name) {
		return fmt.Errorf("%s %d is %s's and was %s's", tie.kind, tie.id, tie.name, first.name)
	}
	return nil
}

// shown is what a node's three files hold.
type shown struct {
	passwd []roster.Passwd
	group  []roster.GroupLine
	shadow map[string]roster.Shadow
}

// readLines parses each line of a file, which must end with a newline. Without a
// file there are none.
func readLines[T any](path string, parse func(string) (T, error)) (all []T, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || len(data) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, whole := strings.CutSuffix(string(data), "\n")
	if !whole {
		return nil, fmt.Errorf("%s does not end with a newline", path)
	}
	for _, line := range strings.Split(text, "\n") {
		v, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// read reads the files one after the other: each is whole at any moment.
func (a *churnAgent) read() (r shown, err error) {
	var errs [3]error
	r.passwd, errs[0] = readLines(a.file(a.dir, "passwd"), roster.ParsePasswd)
	r.group, errs[1] = readLines(a.file(a.dir, "group"), roster.ParseGroup)
	shadow, err := readLines(a.file(a.dir, "shadow"), roster.ParseShadow)
	errs[2] = err
	r.shadow = map[string]roster.Shadow{}
	for _, s := range shadow {
		r.shadow[s.Name] = s
	}
	return r, errors.Join(errs[:]...)
}

// peek reads the files at any moment, also while they are being replaced.
func (a *churnAgent) peek() {
	before, spoiled := a.spoiled()
	_, err := a.read()
	if after, _ := a.spoiled(); err != nil && !spoiled && before == after {
		a.fail("%v: a reader found: %v", a, err)
	}
}

// check looks at the files between two passes: they fit each other, each number
// is one owner's, and who is locked is locked.
func (a *churnAgent) check() {
	before, spoiled := a.spoiled()
	if spoiled {
		return
	}
	st, stateErr := syncer.ReadState(a.state)
	r, err := a.read()
	var found []string
	if err != nil {
		found = append(found, err.Error())
	}
	found = append(found, a.fit(r)...)
	if stateErr == nil && st.Rendered != nil {
		// Asked for after reading: who was unlocked meanwhile is not among them.
		found = append(found, a.open(r, a.locks.at(*st.Rendered))...)
	}
	if after, _ := a.spoiled(); before != after || len(found) == 0 {
		return
	}
	a.fail("%v at %v: %s", a, st.Rendered, strings.Join(found[:min(len(found), 5)], "; "))
}

// fit says what does not fit.
func (a *churnAgent) fit(r shown) (found []string) {
	gids, names := map[uint32]bool{}, map[string]bool{}
	for _, g := range r.group {
		gids[g.GID] = true
		if g.GID < roster.MinID {
			continue // merged into a group of the node's own
		}
		if err := a.ties.tied(a.n, tie{"gid", g.Name, g.GID}); err != nil {
			found = append(found, err.Error())
		}
	}
	for _, p := range r.passwd {
		if names[p.Name] {
			found = append(found, fmt.Sprintf("%s is there twice", p.Name))
		}
		names[p.Name] = true
		if !gids[p.GID] {
			found = append(found, fmt.Sprintf("%s has no group %d", p.Name, p.GID))
		}
		if _, ok := r.shadow[p.Name]; a.rules().Shadow && !ok {
			found = append(found, fmt.Sprintf("%s has no shadow line", p.Name))
		}
		if err := a.ties.tied(a.n, tie{"uid", p.Name, p.UID}); err != nil {
			found = append(found, err.Error())
		}
	}
	return found
}

// open says who can log in and may not.
func (a *churnAgent) open(r shown, locked map[uint32]int64) (found []string) {
	policy := a.rules()
	for _, p := range r.passwd {
		since, ok := locked[p.UID]
		if !ok {
			continue
		}
		s := r.shadow[p.Name]
		if p.Shell != policy.NologinShell || policy.Shadow && (!strings.HasPrefix(s.Password, "!") || s.Expire != 1) {
			found = append(found, fmt.Sprintf("%s (uid %d) is open, though locked since change %d", p.Name, p.UID, since))
		}
	}
	return found
}

// everything are all files of a directory: bytes, mode and owner.
func everything(dir string) (map[string]string, error) {
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		st := info.Sys().(*syscall.Stat_t)
		all[e.Name()] = fmt.Sprintf("%v %d:%d\n%s", info.Mode(), st.Uid, st.Gid, data)
	}
	return all, nil
}

// difference names the first difference between two directories' contents.
func difference(got, want map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		switch {
		case !ok:
			return name + " is missing"
		case g != want[name]:
			gl, wl := strings.Split(g, "\n"), strings.Split(want[name], "\n")
			for i := range min(len(gl), len(wl)) {
				if gl[i] != wl[i] {
					return fmt.Sprintf("%s: line %d is %q, not %q", name, i, gl[i], wl[i])
				}
			}
			return fmt.Sprintf("%s has %d lines, not %d", name, len(gl), len(wl))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return name + " should not be there"
		}
	}
	return ""
}

// reference is a breed's files and refusals as the server's own rows make them
// on a node that is new.
type reference struct {
	files      map[string]string
	quarantine []roster.Quarantine
}

func (l *life) reference(b *breed, rows []roster.Row) (ref reference, err error) {
	home := filepath.Join(l.dir, "references", b.name)
	dir := filepath.Join(home, "files")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return ref, err
	}
	r, err := b.renderer(dir, filepath.Join(home, "state"))
	if err != nil {
		return ref, err
	}
	plan, err := r.Plan(func(yield func(roster.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	})
	if err != nil {
		return ref, err
	}
	if err := plan.Commit(roster.Position{}); err != nil {
		return ref, err
	}
	ref.quarantine = plan.Effect().Quarantined
	ref.files, err = everything(dir)
	return ref, err
}

// compare holds every agent against the server's own rendering.
func (l *life) compare(at roster.Position, rows []roster.Row) {
	var lines bytes.Buffer
	var sum roster.Sum
	for _, row := range rows {
		line := row.Line()
		sum.Add(line)
		lines.Write(line)
	}
	if sum != at.Sum {
		l.fail("the rows of the store add up to %v, not to %v", sum, at)
	}
	refs := map[*breed]reference{}
	for _, a := range l.agents {
		ref, ok := refs[a.breed]
		if !ok {
			var err error
			if ref, err = l.reference(a.breed, rows); err != nil {
				l.fatal("render %s from the store: %v", a.breed.name, err)
			}
			refs[a.breed] = ref
		}
		l.compareOne(a, at, ref)
	}
	for b, ref := range refs {
		accounts := strings.Count(ref.files[filepath.Base(b.file("", "passwd"))], "\n") - 1
		l.t.Logf("%-12s %4d lines of passwd, %d rows refused, the same on all its nodes", b.name, accounts, len(ref.quarantine))
		if accounts < 1 {
			l.fail("%s: nothing is rendered, which proves nothing", b.name)
		}
	}
}

func (l *life) compareOne(a *churnAgent, at roster.Position, ref reference) {
	got, err := everything(a.dir)
	if err != nil {
		l.fail("%v: %v", a, err)
		return
	}
	if d := difference(got, ref.files); d != "" {
		l.fail("%v differs from the server's own rendering: %s", a, d)
	}
	st, err := syncer.ReadState(a.state)
	if err != nil || st.Rendered == nil || *st.Rendered != at {
		l.fail("%v says that it shows %v, not %v (%v)", a, st.Rendered, at, err)
	}
	if len(st.Quarantined) != len(ref.quarantine) || len(ref.quarantine) > 0 && !reflect.DeepEqual(st.Quarantined, ref.quarantine) {
		l.fail("%v refuses %v, not %v", a, st.Quarantined, ref.quarantine)
	}
	m, err := syncer.OpenMirror(a.state)
	if err != nil {
		l.fail("%v: %v", a, err)
		return
	}
	defer m.Close()
	if err := m.Verify(); err != nil || m.Position() != at {
		l.fail("%v: its mirror is at %v, not %v (%v)", a, m.Position(), at, err)
	}
}

// compareOwners asks the server whose each name and number was that any node
// ever showed: the two are one subject's.
func (l *life) compareOwners() {
	owner := func(what, key string) string {
		owners, err := l.server.operator().History(l.ctx, key, time.Time{})
		for _, o := range owners {
			if o.What == what {
				return o.Subject
			}
		}
		l.fail("a node showed the %s %s, which is and was nobody's: %v", what, key, err)
		return ""
	}
	names := map[string]string{}
	numbers := map[string]string{}
	for tie, agent := range l.ties.all {
		if _, ok := names[tie.name]; !ok {
			names[tie.name] = owner("name", tie.name)
		}
		key := tie.kind + fmt.Sprint(tie.id)
		if _, ok := numbers[key]; !ok {
			numbers[key] = owner(tie.kind, fmt.Sprint(tie.id))
		}
		if names[tie.name] != numbers[key] {
			l.fail("agent %d showed %s with %s %d, which is another's: %s and %s", agent, tie.name, tie.kind, tie.id, names[tie.name], numbers[key])
		}
	}
	l.t.Logf("%d names and %d numbers were shown, each one owner's", len(names), len(numbers))
}
