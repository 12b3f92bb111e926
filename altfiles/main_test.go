package altfiles

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"pwb/roster"
)

// children are what this test binary does instead of testing when it runs
// itself again with childEnv set.
var children = map[string]func() error{
	"killed":    killedChild,
	"full disk": fullDiskChild,

	"killed while putting back": killedBackChild,
	"other file system":         otherFileSystemChild,
}

const childEnv = "ALTFILES_CHILD"

func TestMain(m *testing.M) {
	child, ok := children[os.Getenv(childEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func each(rows []roster.Row) iter.Seq2[roster.Row, error] {
	return func(yield func(roster.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// newRenderer makes a renderer below dir, with local files like a small node's.
func newRenderer(tb testing.TB, dir string) *Renderer {
	tb.Helper()
	return newRendererWith(tb, dir, func(*Config) {})
}

func newRendererWith(tb testing.TB, dir string, change func(*Config)) *Renderer {
	tb.Helper()
	cfg := Config{
		Dir: filepath.Join(dir, "lib"), StateDir: filepath.Join(dir, "state"),
		PasswdFile: "testdata/etc/passwd", GroupFile: "testdata/etc/group",
		Policy: DefaultPolicy(), KeepGenerations: 2, Index: true,
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	change(&cfg)
	r, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	r.beside = inTurn
	return r
}

// inTurn lets steps be counted.
func inTurn(first, second func() error) error {
	if err := first(); err != nil {
		return err
	}
	return second()
}

func plan(tb testing.TB, r *Renderer, rows []roster.Row) *Plan {
	tb.Helper()
	p, err := r.Plan(each(rows))
	if err != nil {
		tb.Fatalf("plan: %v", err)
	}
	return p
}

func commit(tb testing.TB, r *Renderer, rows []roster.Row) *Plan {
	tb.Helper()
	p := plan(tb, r, rows)
	if err := p.Commit(roster.Position{}); err != nil {
		tb.Fatalf("commit: %v", err)
	}
	return p
}

// account, group and member make rows of a small roster; change alters them.
func account(id, name string, uid uint32, change ...func(*roster.Account)) roster.Row {
	a := &roster.Account{ID: id, Name: name, UID: uid, GID: uid, Gecos: name, Home: "/home/" + name, Shell: "/bin/bash", Hash: "$6$salt$" + name + "hash"}
	for _, c := range change {
		c(a)
	}
	return roster.Row{Account: a}
}

func group(id, name string, gid uint32) roster.Row {
	return roster.Row{Group: &roster.Group{ID: id, Name: name, GID: gid}}
}

func member(group, account string) roster.Row {
	return roster.Row{Member: &roster.Member{GroupID: group, AccountID: account}}
}

// sshKey is the nth key.
func sshKey(n int) string {
	k := sha256.Sum256([]byte(fmt.Sprint("key ", n)))
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), k[:]...))
}

// withKeys gives an account the nth keys.
func withKeys(all ...int) func(*roster.Account) {
	return func(a *roster.Account) {
		for _, n := range all {
			a.Keys = append(a.Keys, sshKey(n))
		}
	}
}

// manifest is that of the state directory.
func (r *Renderer) manifest() (*manifest, error) {
	d, err := r.openBoth()
	if err != nil {
		return nil, err
	}
	defer d.closeAll()
	return d.manifest()
}

func locked(a *roster.Account) { a.Locked = true }

// read is a file of the renderer's directory, or an index, or nothing if it is not there.
func read(tb testing.TB, r *Renderer, name string) string {
	tb.Helper()
	dir := r.cfg.Dir
	if name == RosterIndex || name == ShadowIndex || name == KeysFile {
		dir = r.cfg.StateDir
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	return string(data)
}

// noTemps fails when a temporary file was left behind.
func noTemps(tb testing.TB, r *Renderer) {
	tb.Helper()
	for _, dir := range []string{r.cfg.Dir, r.cfg.StateDir} {
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil || len(left) > 0 {
			tb.Errorf("left behind: %v (%v)", left, err)
		}
	}
}

// scratch is a directory for a test, in memory where that can be had: the tests
// here make some fifty thousand fsyncs, which a disk takes its time for.
func scratch(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "altfiles-test-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}
