package syncer

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"pwb/altfiles"
	"pwb/roster"
)

// rendering is a Sink that is altfiles, and counts its plans.
type rendering struct {
	*altfiles.Renderer
	plans int
}

func (r *rendering) Plan(rows iter.Seq2[roster.Row, error]) (Plan, error) {
	r.plans++
	return r.Renderer.Plan(rows)
}

// house is a node with real files, whose agent is started anew for each pass.
type house struct {
	root   string
	cfg    Config
	render altfiles.Config
	age    time.Duration // racy
}

// quietAge is racy in most of these tests: longer than the kernel's tick.
const quietAge = 20 * time.Millisecond

func newHouse(root string) *house {
	h := &house{root: root, age: quietAge, cfg: Config{StateDir: root + "/state", Fuse: Fuse{Count: 1000}, Version: "1"}}
	h.render = altfiles.Config{
		Dir: root + "/files", StateDir: h.cfg.StateDir, PasswdFile: root + "/etc/passwd", GroupFile: root + "/etc/group",
		Policy: altfiles.DefaultPolicy(), KeepGenerations: 3, Index: true,
	}
	must(os.MkdirAll(h.render.Dir, 0o755))
	must(os.MkdirAll(root+"/etc", 0o755))
	must(os.WriteFile(h.render.PasswdFile, []byte("root:x:0:0::/root:/bin/sh\n"), 0o644))
	must(os.WriteFile(h.render.GroupFile, []byte("root:x:0:\nshadow:x:42:\n"), 0o644))
	return h
}

// once makes a pass and reports whether it planned.
func (h *house) once(t testing.TB, src Source) (planned bool, res Result, err error) {
	renderer, err := altfiles.New(h.render)
	must(err)
	sink := &rendering{Renderer: renderer}
	s, err := New(h.cfg, src, sink)
	must(err)
	s.racy = h.age
	res, err = s.Once(t.Context())
	return sink.plans > 0, res, err
}

// settle makes passes until one is quiet.
func (h *house) settle(t testing.TB, src Source) {
	t.Helper()
	for range 4 {
		time.Sleep(2 * quietAge)
		planned, _, err := h.once(t, src)
		if err != nil {
			t.Fatal(err)
		}
		if !planned {
			return
		}
	}
	t.Fatal("no pass is quiet though nothing changes")
}

// check fails unless the files are those of a new node with the same settings.
func (h *house) check(t rapid.TB, o *origin) {
	fresh := h.render
	dir, err := os.MkdirTemp(h.root, "fresh-")
	must(err)
	defer os.RemoveAll(dir)
	fresh.Dir, fresh.StateDir = dir, dir
	must(os.Chmod(dir, 0o755))
	r, err := altfiles.New(fresh)
	must(err)
	p, err := r.Plan(func(yield func(roster.Row, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(o.rows)) {
			row, err := roster.Change{Key: k, Line: o.rows[k]}.Row()
			if !yield(row, err) {
				return
			}
		}
	})
	must(err)
	must(p.Commit(roster.Position{}))
	for _, name := range []string{"passwd", "group", "shadow"} {
		want, _ := os.ReadFile(filepath.Join(dir, name))
		got, _ := os.ReadFile(filepath.Join(h.render.Dir, name))
		if !bytes.Equal(got, want) {
			t.Fatalf("%s is\n%s\nnot\n%s", name, got, want)
		}
	}
	for _, name := range []string{altfiles.RosterIndex, altfiles.ShadowIndex} {
		want, _ := os.ReadFile(filepath.Join(dir, name))
		got, _ := os.ReadFile(filepath.Join(h.render.StateDir, name))
		if !bytes.Equal(got, want) {
			t.Fatalf("%s is not that of a new node", name)
		}
	}
}

// editInPlace changes a byte and restores size and mtime.
func editInPlace(path string) {
	fi, err := os.Stat(path)
	must(err)
	b, err := os.ReadFile(path)
	must(err)
	b[len(b)/2] ^= 1
	must(os.WriteFile(path, b, 0o600))
	must(os.Chtimes(path, time.Time{}, fi.ModTime()))
}

// replaceByCopy puts a file in another's place that differs in its inode alone.
func replaceByCopy(path string) {
	fi, err := os.Stat(path)
	must(err)
	b, err := os.ReadFile(path)
	must(err)
	must(os.WriteFile(path+"~", b, fi.Mode().Perm()))
	must(os.Chtimes(path+"~", time.Time{}, fi.ModTime()))
	must(os.Rename(path+"~", path))
}

func (h *house) editState(change func(*State)) {
	st, err := ReadState(h.cfg.StateDir)
	must(err)
	change(&st)
	b, err := json.Marshal(st)
	must(err)
	must(os.WriteFile(filepath.Join(h.cfg.StateDir, stateFile), b, 0o600))
}

func TestAPassIsNotQuietWhenAnythingThatMattersDiffers(t *testing.T) {
	type disturb = func(*house, *origin)
	tests := map[string]disturb{
		"the server has a change":     func(_ *house, o *origin) { o.set(account(77)) },
		"a local account is added":    func(h *house, _ *origin) { appendTo(h.render.PasswdFile, "user1:x:1234:1234::/:/bin/sh\n") },
		"a local group is added":      func(h *house, _ *origin) { appendTo(h.render.GroupFile, "group1:x:1234:\n") },
		"local passwd is edited":      func(h *house, _ *origin) { editInPlace(h.render.PasswdFile) },
		"local group is replaced":     func(h *house, _ *origin) { replaceByCopy(h.render.GroupFile) },
		"the least id is another":     func(h *house, _ *origin) { h.render.Policy.MinID = 10003 },
		"a name is allowed":           func(h *house, _ *origin) { h.render.Policy.AllowNames = []string{"docker"} },
		"the shells are others":       func(h *house, _ *origin) { h.render.Policy.Shells = []string{"/bin/bash"} },
		"the nologin shell is other":  func(h *house, _ *origin) { h.render.Policy.NologinShell = "/bin/false" },
		"shadow is not wanted":        func(h *house, _ *origin) { h.render.Policy.Shadow = false },
		"the shadow group is other":   func(h *house, _ *origin) { h.render.ShadowGroup = "root" },
		"the local passwd is another": func(h *house, _ *origin) { copyTo(&h.render.PasswdFile) },
		"the local group is another":  func(h *house, _ *origin) { copyTo(&h.render.GroupFile) },
		"the directory is another": func(h *house, _ *origin) {
			h.render.Dir += "-2"
			must(os.Mkdir(h.render.Dir, 0o755))
		},
		"the agent has another version":  func(h *house, _ *origin) { h.cfg.Version = "2" },
		"another agent made the record":  func(h *house, _ *origin) { h.editState(func(st *State) { st.Complete.Program = "1 0:0:0:0:0" }) },
		"a check is asked for":           func(h *house, _ *origin) { h.cfg.Check = true },
		"the mirror was edited":          func(h *house, _ *origin) { editInPlace(h.cfg.StateDir + "/mirror") },
		"the mirror was replaced":        func(h *house, _ *origin) { replaceByCopy(h.cfg.StateDir + "/mirror") },
		"the mirror is gone":             func(h *house, _ *origin) { must(os.Remove(h.cfg.StateDir + "/mirror")) },
		"the manifest was replaced":      func(h *house, _ *origin) { replaceByCopy(h.cfg.StateDir + "/manifest.json") },
		"the state is gone":              func(h *house, _ *origin) { must(os.Remove(h.cfg.StateDir + "/state.json")) },
		"the state is garbled":           func(h *house, _ *origin) { must(os.WriteFile(h.cfg.StateDir+"/state.json", []byte("{"), 0o600)) },
		"the last pass failed":           func(h *house, _ *origin) { h.editState(func(st *State) { st.LastError = "x" }) },
		"the fuse stopped the last":      func(h *house, _ *origin) { h.editState(func(st *State) { st.Stopped = &Stop{} }) },
		"the state shows another change": func(h *house, _ *origin) { h.editState(func(st *State) { st.Rendered.Seq++ }) },
		"the proof is a day old": func(h *house, _ *origin) {
			h.editState(func(st *State) { st.Complete.Proven = time.Now().Add(-provenFor) })
		},
		"the clock stepped back": func(h *house, _ *origin) {
			h.editState(func(st *State) { st.Complete.Proven = time.Now().Add(time.Minute) })
		},
		"passwd may not be read": func(h *house, _ *origin) { must(os.Chmod(h.render.Dir+"/passwd", 0o600)) },
	}
	for _, name := range []string{"passwd", "group", "shadow"} {
		tests[name+" was edited"] = func(h *house, _ *origin) { editInPlace(h.render.Dir + "/" + name) }
		tests[name+" was deleted"] = func(h *house, _ *origin) { must(os.Remove(h.render.Dir + "/" + name)) }
		tests[name+" was replaced"] = func(h *house, _ *origin) { replaceByCopy(h.render.Dir + "/" + name) }
		tests[name+" was emptied"] = func(h *house, _ *origin) { must(os.Truncate(h.render.Dir+"/"+name, 0)) }
		tests[name+" may be read by others"] = func(h *house, _ *origin) { must(os.Chmod(h.render.Dir+"/"+name, 0o666)) }
	}
	for _, name := range []string{altfiles.RosterIndex, altfiles.ShadowIndex} {
		tests[name+" was edited"] = func(h *house, _ *origin) { editInPlace(h.cfg.StateDir + "/" + name) }
		tests[name+" was deleted"] = func(h *house, _ *origin) { must(os.Remove(h.cfg.StateDir + "/" + name)) }
		tests[name+" was replaced"] = func(h *house, _ *origin) { replaceByCopy(h.cfg.StateDir + "/" + name) }
	}
	tests["no index is wanted"] = func(h *house, _ *origin) { h.render.Index = false }
	tests["nobody else reaches the index"] = func(h *house, _ *origin) { must(os.Chmod(h.cfg.StateDir, 0o700)) }
	for name, disturb := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, o := newHouse(t.TempDir()), town()
			h.settle(t, o)
			time.Sleep(quietAge)
			disturb(h, o)
			planned, _, err := h.once(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if !planned {
				t.Fatal("the pass was quiet")
			}
			h.check(t, o)
			h.cfg.Check = false
			h.settle(t, o)
			h.check(t, o)
		})
	}
}

func appendTo(path, text string) {
	b, err := os.ReadFile(path)
	must(err)
	must(os.WriteFile(path, append(b, text...), 0o644))
}

func copyTo(path *string) {
	b, err := os.ReadFile(*path)
	must(err)
	*path += "-2"
	must(os.WriteFile(*path, b, 0o644))
}

func TestAQuietPassReadsNoMirrorAndWritesNothing(t *testing.T) {
	h, o := newHouse(t.TempDir()), town()
	h.settle(t, o)
	quiet := h.watch(t)
	planned, res, err := h.once(t, o)
	if err != nil || planned || !res.Reached || res.Position != o.position() || res.Pulled || res.Wrote {
		t.Errorf("planned %v, %+v, %v", planned, res, err)
	}
	if !quiet() {
		t.Error("a file was read or written")
	}
	h.cfg.Check = true
	if _, _, err := h.once(t, o); err != nil || quiet() {
		t.Errorf("this test does not see what a full pass reads (%v)", err)
	}
}

// watch watches all files with inotify(7), and returns what reports whether
// nothing was read or written since.
func (h *house) watch(t *testing.T) (quiet func() bool) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	must(err)
	t.Cleanup(func() { unix.Close(fd) })
	for _, path := range []string{"files/passwd", "files/group", "files/shadow", "etc/passwd", "etc/group", "state/mirror", "state/manifest.json"} {
		_, err := unix.InotifyAddWatch(fd, filepath.Join(h.root, path), unix.IN_ALL_EVENTS)
		must(err)
	}
	for _, path := range []string{"files", "state"} {
		_, err := unix.InotifyAddWatch(fd, filepath.Join(h.root, path), unix.IN_MODIFY|unix.IN_ATTRIB|unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVE)
		must(err)
	}
	return func() bool {
		events := make([]byte, 64<<10)
		n, err := unix.Read(fd, events)
		return n <= 0 && errors.Is(err, unix.EAGAIN)
	}
}

func TestAFileThatIsYoungIsLookedAtAgain(t *testing.T) {
	h, o := newHouse(t.TempDir()), town()
	if planned, _, err := h.once(t, o); !planned || err != nil {
		t.Fatal(planned, err)
	}
	h.age = time.Hour // within which the files could be written to without a sign of it
	_, _, err := h.once(t, o)
	must(err)
	if st, err := ReadState(h.cfg.StateDir); err != nil || st.Complete != nil {
		t.Errorf("files just written are trusted: %+v, %v", st.Complete, err)
	}
	h.age = quietAge
	h.settle(t, o)
}

func TestAFileFromTheFutureIsNeverTrusted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // where it is the year 2000
		h, o := newHouse(dir), town()
		o.inBubble = true
		for range 4 {
			time.Sleep(time.Minute)
			if planned, _, err := h.once(t, o); !planned || err != nil {
				t.Fatal(planned, err)
			}
		}
	})
}

func TestWhatAQuietPassAskedIsNotAskedTwice(t *testing.T) {
	h, o := newHouse(t.TempDir()), town()
	h.settle(t, o)
	o.set(account(50))
	asked := len(o.asks())
	if _, _, err := h.once(t, o); err != nil {
		t.Fatal(err)
	}
	must(os.Remove(h.render.Dir + "/group"))
	if _, _, err := h.once(t, o); err != nil {
		t.Fatal(err)
	}
	if got := o.asks()[asked:]; !slices.Equal(got, []string{"changes", "changes"}) {
		t.Errorf("asked %v", got)
	}
}

// Whatever happens between passes, after each the files are those of a node that
// begins anew, byte for byte.
func TestFilesAreThoseOfANewNodeWhateverHappened(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root, err := os.MkdirTemp("/dev/shm", "quiet-") // in memory, if it can be had
		if err != nil {
			root, err = os.MkdirTemp("", "quiet-")
		}
		must(err)
		defer os.RemoveAll(root)
		h, o := newHouse(root), newOrigin("e")
		o.set(account(1), account(2), group(1), member(1, 1))
		people := rapid.IntRange(0, 9)
		rt.Repeat(map[string]func(*rapid.T){
			"the server changes rows": func(t *rapid.T) {
				o.change(func() {
					for range rapid.IntRange(1, 4).Draw(t, "rows") {
						a, g := people.Draw(t, "account"), people.Draw(t, "group")%3
						renamed := account(a)
						renamed.Account.Name, renamed.Account.Aliases = "new"+renamed.Account.Name, []string{renamed.Account.Name}
						row := rapid.SampledFrom([]roster.Row{account(a), renamed, locked(a), group(g), member(g, a)}).Draw(t, "row")
						if line := row.Line(); rapid.IntRange(0, 3).Draw(t, "gone") > 0 {
							o.put(row.Key(), line)
						} else if row.Account == nil {
							o.put(row.Key(), nil)
						}
					}
				})
			},
			"a file is damaged": func(t *rapid.T) {
				path := filepath.Join(root, rapid.SampledFrom([]string{"files/passwd", "files/group", "files/shadow", "state/mirror", "state/state.json"}).Draw(t, "path"))
				if fi, err := os.Stat(path); err != nil || fi.Size() == 0 {
					return
				}
				rapid.SampledFrom([]func(string){editInPlace, replaceByCopy, func(p string) { must(os.Remove(p)) }}).Draw(t, "how")(path)
			},
			"the policy changes": func(t *rapid.T) {
				p := altfiles.DefaultPolicy()
				p.MinID = rapid.SampledFrom([]uint32{1000, 10003}).Draw(t, "least id")
				p.Shadow = rapid.Bool().Draw(t, "shadow")
				h.render.Policy = p
			},
			"local files change": func(t *rapid.T) {
				text := "root:x:0:0::/root:/bin/sh\n"
				if rapid.Bool().Draw(t, "clash") {
					text += "user1:x:1234:1234::/:/bin/sh\n"
				}
				must(os.WriteFile(h.render.PasswdFile, []byte(text), 0o644))
			},
			"time passes": func(*rapid.T) { time.Sleep(2 * quietAge) },
			"passes":      func(t *rapid.T) { h.passes(t, 1+people.Draw(t, "passes")%3, o) },
		})
		h.passes(rt, 1, o)
	})
}

// passes makes some passes and checks each.
func (h *house) passes(t *rapid.T, n int, o *origin) {
	for range n {
		renderer, err := altfiles.New(h.render)
		must(err)
		s, err := New(h.cfg, o, &rendering{Renderer: renderer})
		must(err)
		s.racy = quietAge
		res, err := s.Once(t.Context())
		if errors.Is(err, ErrFuse) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if res.Position != o.pos {
			t.Fatalf("at %v, not %v", res.Position, o.pos)
		}
		h.check(t, o)
		st, err := ReadState(h.cfg.StateDir)
		must(err)
		if st.Rendered == nil || *st.Rendered != o.pos || (st.QuarantinedCount > 0) != (len(st.Quarantined) > 0) {
			t.Fatalf("state %+v", st)
		}
	}
}
