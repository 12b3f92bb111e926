package syncer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pwb/roster"
)

// origin is a server's feed in memory: a Source by itself, and over HTTP.
type origin struct {
	mu      sync.Mutex
	pos     roster.Position
	rows    map[string][]byte
	past    map[roster.Position]map[string][]byte
	changed chan struct{} // closed by the next change

	// fault, when set, answers instead; ok is false to let the origin answer.
	fault    func(kind string) (body io.ReadCloser, err error, ok bool)
	asked    []string // "changes" and "snapshot", in order
	rendered []roster.Position
	inBubble bool // of synctest; see lateOrigin

	told   []Facts     // whole reports, also those that were not taken
	toldAt []time.Time // when they came
	refuse func(context.Context) error
}

func newOrigin(epoch string) *origin {
	o := &origin{
		pos: roster.Position{Epoch: epoch}, rows: map[string][]byte{},
		past: map[roster.Position]map[string][]byte{}, changed: make(chan struct{}),
	}
	o.past[o.pos] = maps.Clone(o.rows)
	return o
}

// set adds or replaces rows in one change.
func (o *origin) set(rows ...roster.Row) {
	o.change(func() {
		for _, r := range rows {
			o.put(r.Key(), r.Line())
		}
	})
}

// drop removes rows in one change.
func (o *origin) drop(keys ...string) {
	o.change(func() {
		for _, k := range keys {
			o.put(k, nil)
		}
	})
}

func (o *origin) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	o.pos.Seq++
	o.past[o.pos] = maps.Clone(o.rows)
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *origin) put(key string, line []byte) {
	if old, ok := o.rows[key]; ok {
		o.pos.Sum.Remove(old)
		delete(o.rows, key)
	}
	if line != nil {
		o.pos.Sum.Add(line)
		o.rows[key] = line
	}
}

func (o *origin) position() roster.Position {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pos
}

func (o *origin) setFault(f func(kind string) (io.ReadCloser, error, bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = f
}

func (o *origin) asks() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

func (o *origin) Rendered(pos roster.Position) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rendered) == 0 || o.rendered[len(o.rendered)-1] != pos {
		o.rendered = append(o.rendered, pos)
	}
}

func (o *origin) Snapshot(context.Context) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, "snapshot")
	if o.fault != nil {
		if body, err, ok := o.fault("snapshot"); ok {
			return body, err
		}
	}
	return io.NopCloser(bytes.NewReader(o.snapshot())), nil
}

func (o *origin) Changes(ctx context.Context, pos roster.Position, wait time.Duration) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, "changes")
	end := time.NewTimer(wait)
	defer end.Stop()
	for {
		if o.fault != nil {
			if body, err, ok := o.fault("changes"); ok {
				return body, err
			}
		}
		if _, ok := o.past[pos]; !ok {
			return nil, ErrResync
		}
		if pos != o.pos {
			return io.NopCloser(bytes.NewReader(o.delta(pos))), nil
		}
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-changed:
			o.mu.Lock()
		case <-end.C:
			o.mu.Lock()
			return nil, ErrNoChange
		case <-ctx.Done():
			o.mu.Lock()
			return nil, ctx.Err()
		}
	}
}

func (o *origin) snapshot() []byte { return write(nil, o.pos, o.rows) }

func (o *origin) delta(from roster.Position) []byte {
	old := o.past[from]
	diff := map[string][]byte{}
	for k, line := range o.rows {
		if !bytes.Equal(old[k], line) {
			diff[k] = line
		}
	}
	for k := range old {
		if o.rows[k] == nil {
			diff[k] = nil
		}
	}
	return write(&from, o.pos, diff)
}

// write makes a stream, a snapshot when from is nil.
func write(from *roster.Position, to roster.Position, rows map[string][]byte) []byte {
	var b bytes.Buffer
	w, err := roster.NewWriter(&b, from, to)
	must(err)
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		must(w.Write(roster.Change{Key: k, Line: rows[k]}))
	}
	must(w.Close())
	return b.Bytes()
}

// ServeHTTP is the protocol's server side, without authentication.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.ReadCloser
	var err error
	switch {
	case strings.HasSuffix(r.URL.Path, "/sync/v1/snapshot"):
		body, err = o.Snapshot(r.Context())
	case strings.HasSuffix(r.URL.Path, "/sync/v1/changes"):
		q := r.URL.Query()
		pos, perr := roster.ParsePosition(q.Get("epoch") + "/" + q.Get("after") + "/" + q.Get("sum"))
		wait, werr := time.ParseDuration(q.Get("wait"))
		if err := errors.Join(perr, werr); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body, err = o.Changes(r.Context(), pos, wait)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/sync/v1/node"):
		o.serveNode(w, r)
		return
	default:
		http.NotFound(w, r)
		return
	}
	switch {
	case errors.Is(err, ErrNoChange):
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, ErrResync):
		w.WriteHeader(http.StatusGone)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		defer body.Close()
		w.Header().Set("Content-Type", streamType)
		_, _ = io.Copy(w, body)
	}
}

// files is a Sink that renders one text file.
type files struct {
	path string
	lazy bool // stops before the end of the rows
	// policy is part of the mark and changes nothing.
	policy string

	plans atomic.Int64 // calls of Plan

	mu        sync.Mutex // over the rest
	planErr   error
	commitErr error
	wrote     *string // by the last Commit
	outErr    error
	// around, when set, is called in place of a commit, which it is given.
	around func(commit func() error) error
}

func (f *files) fail(plan, commit error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planErr, f.commitErr = plan, commit
}

func (f *files) failures() (plan, commit error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.planErr, f.commitErr
}

type filesPlan struct {
	files  *files
	effect roster.Effect
	before string
	after  string
}

func (f *files) Plan(rows iter.Seq2[roster.Row, error]) (Plan, error) {
	f.plans.Add(1)
	if err, _ := f.failures(); err != nil {
		return nil, err
	}
	accounts := map[string]string{}
	var text strings.Builder
	for row, err := range rows {
		switch {
		case err != nil:
			return nil, err
		case row.Account != nil:
			a := row.Account
			accounts[a.Name] = fmt.Sprintf("%s:%d:%v", a.Name, a.UID, a.Locked)
			fmt.Fprintln(&text, accounts[a.Name])
		case row.Group != nil:
			fmt.Fprintf(&text, "group %s:%d\n", row.Group.Name, row.Group.GID)
		case row.Member != nil:
			fmt.Fprintf(&text, "member %s:%s\n", row.Member.GroupID, row.Member.AccountID)
		}
		if f.lazy {
			break
		}
	}
	before, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	p := &filesPlan{files: f, before: string(before), after: text.String()}
	old := map[string]string{}
	for line := range strings.Lines(p.before) {
		if line = strings.TrimSpace(line); !strings.Contains(line, " ") {
			old[line[:strings.Index(line, ":")]] = line
		}
	}
	p.effect.Before, p.effect.After = len(old), len(accounts)
	defer func() {
		slices.SortFunc(p.effect.Leavers, func(a, b roster.Leaver) int { return cmp.Compare(a.UID, b.UID) })
	}()
	for name, line := range old {
		now, ok := accounts[name]
		if was := strings.Split(line, ":"); was[2] == "false" && !strings.HasSuffix(now, ":false") {
			uid, err := strconv.ParseUint(was[1], 10, 32)
			must(err)
			p.effect.Leavers = append(p.effect.Leavers, roster.Leaver{Name: name, UID: uint32(uid)})
		}
		switch was, is := strings.Split(line, ":"), strings.Split(now, ":"); {
		case !ok:
			p.effect.Removed++
		case was[1] != is[1]:
			p.effect.Renumbered++
		case was[2] == "false" && is[2] == "true":
			p.effect.Locked++
		}
	}
	return p, nil
}

// Mark is that of the rendered file.
func (f *files) Mark() (string, time.Time, error) {
	fi, err := os.Lstat(f.path)
	if err != nil {
		return "", time.Time{}, err
	}
	return f.policy + fileMark(fi), ctime(fi), nil
}

// Out returns those who have no line that ends in false.
func (f *files) Out(leavers []roster.Leaver) ([]roster.Leaver, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := os.ReadFile(f.path)
	if err = cmp.Or(f.outErr, err); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(leavers), func(l roster.Leaver) bool {
		return strings.Contains("\n"+string(text), fmt.Sprintf("\n%s:%d:false\n", l.Name, l.UID))
	}), nil
}

func (p *filesPlan) Effect() roster.Effect { return p.effect }
func (p *filesPlan) Changed() bool         { return p.before != p.after }
func (p *filesPlan) WriteDiff(w io.Writer) error {
	_, err := fmt.Fprintf(w, "-%s+%s", p.before, p.after)
	return err
}

func (p *filesPlan) Commit(roster.Position) error {
	if _, err := p.files.failures(); err != nil {
		return err
	}
	write := func() error {
		p.files.mu.Lock()
		p.files.wrote = &p.after
		p.files.mu.Unlock()
		return os.WriteFile(p.files.path, []byte(p.after), 0o600)
	}
	if p.files.around != nil {
		return p.files.around(write)
	}
	return write()
}

func (p *filesPlan) Altered() ([]string, error) {
	p.files.mu.Lock()
	defer p.files.mu.Unlock()
	if wrote := p.files.wrote; wrote != nil && *wrote != p.before {
		return []string{p.files.path + " holds something else"}, nil
	}
	return nil, nil
}

// node is a state directory, a sink, and the settings for both.
type node struct {
	t    testing.TB
	cfg  Config
	sink *files
}

func newNode(t testing.TB) *node {
	t.Helper()
	dir := t.TempDir()
	return &node{
		t:    t,
		cfg:  Config{StateDir: filepath.Join(dir, "state"), Fuse: Fuse{Count: 1000}},
		sink: &files{path: filepath.Join(dir, "rendered")},
	}
}

func (n *node) syncer(src Source) *Syncer {
	n.t.Helper()
	s, err := New(n.cfg, src, n.sink)
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

func (n *node) once(src Source) (Result, error) {
	n.t.Helper()
	return n.syncer(src).Once(context.Background()) // also for calls from a bubble of synctest
}

func (n *node) mustOnce(src Source) Result {
	n.t.Helper()
	res, err := n.once(src)
	if err != nil {
		n.t.Fatalf("Once: %v", err)
	}
	return res
}

// bytes are those of the mirror and of the rendered file; "absent" when there
// is none.
func (n *node) bytes() (mirror, rendered string) {
	n.t.Helper()
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return "absent"
		}
		if err != nil {
			n.t.Fatal(err)
		}
		return string(b)
	}
	return read(n.mirrorPath()), read(n.sink.path)
}

func (n *node) mirrorPath() string { return filepath.Join(n.cfg.StateDir, mirrorFile) }

func (n *node) state() State {
	n.t.Helper()
	st, err := ReadState(n.cfg.StateDir)
	if err != nil {
		n.t.Fatal(err)
	}
	return st
}

// checkInStep fails unless the node's mirror and file are those of o's roster.
func (n *node) checkInStep(o *origin) {
	n.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	mirror, rendered := n.bytes()
	if mirror != string(o.snapshot()) {
		n.t.Errorf("the mirror is not the server's roster:\n%s\nwant\n%s", mirror, o.snapshot())
	}
	m, err := OpenMirror(n.cfg.StateDir)
	if err != nil {
		n.t.Fatal(err)
	}
	defer m.Close()
	plan, err := (&files{path: n.sink.path}).Plan(m.Rows())
	if err != nil {
		n.t.Fatal(err)
	}
	if plan.Changed() {
		n.t.Errorf("the rendered file is not up to date: %q", rendered)
	}
	if st := n.state(); st.Rendered == nil || *st.Rendered != o.pos {
		n.t.Errorf("the state says that %v is rendered, want %v", st.Rendered, o.pos)
	}
}

func account(i int) roster.Row {
	name := "user" + strconv.Itoa(i)
	return roster.Row{Account: &roster.Account{
		ID: fmt.Sprintf("id-%06d", i), Name: name, UID: uint32(10000 + i), GID: uint32(10000 + i),
		Gecos: "User " + strconv.Itoa(i), Home: "/home/" + name, Shell: "/bin/bash",
		Hash: "$6$saltsalt$TopSecretHashOf" + name,
	}}
}

func locked(i int) roster.Row {
	r := account(i)
	r.Account.Locked = true
	return r
}

func accountID(i int) string { return account(i).Account.ID }

func group(i int) roster.Row {
	return roster.Row{Group: &roster.Group{ID: fmt.Sprintf("gr-%03d", i), Name: "group" + strconv.Itoa(i), GID: uint32(50000 + i)}}
}

func member(g, a int) roster.Row {
	return roster.Row{Member: &roster.Member{GroupID: group(g).Group.ID, AccountID: accountID(a)}}
}

// town is an origin with a few accounts, a group and members.
func town() *origin {
	o := newOrigin("town")
	o.set(account(1), account(2), account(3), account(4), group(1), member(1, 1), member(1, 3))
	o.set(account(5))
	return o
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func textBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
