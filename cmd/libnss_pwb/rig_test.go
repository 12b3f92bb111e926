package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// once is what all tests of a run share: the library as make build links it, and
// the C programs that load it.
var once struct {
	sync.Mutex
	dir  string
	made map[string]error
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "libnss_pwb")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	once.dir, once.made = dir, map[string]error{}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// made returns the path of a file that is made once for all tests.
func made(t testing.TB, name string, command func(to string) *exec.Cmd) string {
	t.Helper()
	once.Lock()
	defer once.Unlock()
	path := filepath.Join(once.dir, name)
	err, done := once.made[name]
	if !done {
		var out []byte
		if out, err = command(path).CombinedOutput(); err != nil {
			err = fmt.Errorf("make %s: %w\n%s", name, err, out)
		}
		once.made[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// library is libnss_pwb.so.2, linked by the flags in the Makefile.
func library(t testing.TB) string {
	t.Helper()
	return made(t, "libnss_pwb.so.2", func(to string) *exec.Cmd { return link(t, to, "asleep.ld") })
}

// link links the library with a script of the linker's, as the Makefile does.
func link(t testing.TB, to, script string) *exec.Cmd {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, flags, ok := strings.Cut(string(makefile), "\nNSS_LINK")
	flags, _, _ = strings.Cut(flags, "\n")
	if flags = strings.TrimLeft(flags, " =:"); !ok || flags == "" {
		t.Fatal("there is no NSS_LINK in the Makefile any more")
	}
	flags = strings.ReplaceAll(strings.ReplaceAll(flags, "asleep.ld", script), "$(NSS)", here)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -extldflags '"+flags+"'", "-buildmode=c-shared", "-o", to, ".")
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	return cmd
}

var cFlags = []string{"-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g"}

// program is a C program of testdata.
func program(t testing.TB, name string) string {
	t.Helper()
	return made(t, name, func(to string) *exec.Cmd {
		return exec.Command("gcc", append(cFlags, "-O1", "-o", to, "testdata/"+name+".c", "-ldl", "-lpthread", "-lrt")...)
	})
}

// node is a machine's files for one test, in a directory of its own.
type node struct {
	dir    string // etc, state, run and libexec lie below it
	direct bool   // run programs as children of the test, which is then an agent's own child
}

func newNode(t testing.TB) *node {
	t.Helper()
	// Not t.TempDir: other users read it, and a socket's path is short.
	dir, err := os.MkdirTemp("", "pwbn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n := &node{dir: dir}
	n.configure(t)
	for _, d := range []string{"state", "run", "libexec"} {
		if err := os.Mkdir(n.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (n *node) path(elem ...string) string { return filepath.Join(append([]string{n.dir}, elem...)...) }

// configure writes the configuration, with more lines than the paths.
func (n *node) configure(t testing.TB, lines ...string) {
	t.Helper()
	all := append([]string{
		"# a node of a test", "server-address = https://accounts.example:8443",
		"state-dir=" + n.path("state"), "state-path = " + n.path("run", "state"),
		"socket-path = " + n.path("run", "agent.sock"), "live-path = " + n.path("libexec", "nss-live"),
	}, lines...)
	write(t, n.path("etc", "rstudio", "workbench-nss.conf"), []byte(strings.Join(all, "\n")+"\n"), 0o644)
}

// publish writes both indexes.
func (n *node) publish(t testing.TB, x index) {
	t.Helper()
	write(t, n.path("state", "roster.idx"), x.bytes(1), 0o644)
	write(t, n.path("state", "shadow.idx"), x.bytes(2), 0o600)
}

func (n *node) beat(t testing.TB, s state) {
	t.Helper()
	write(t, n.path("run", "state"), s.bytes(t), 0o644)
}

// namespaces reports whether this machine lets tests mount; then they load the
// library that ships, which reads its configuration under /etc.
var namespaces = sync.OnceValue(func() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("only root can make a mount namespace")
	}
	out, err := exec.Command("unshare", "--mount", "--propagation", "private", "true").CombinedOutput()
	if err != nil {
		return fmt.Errorf("unshare: %w: %s", err, out)
	}
	return nil
})

// command runs a program that loads the module on the node, with the node's etc in
// place of /etc. Where no namespaces can be had, the same C is built with the
// configuration's path compiled in; $LIB in args is the module.
func (n *node) command(t testing.TB, ctx context.Context, args ...string) *exec.Cmd {
	t.Helper()
	lib := ""
	if namespaces() == nil {
		lib = library(t)
	} else {
		// A link of one name to the node's file; no two tests run at once.
		conf := filepath.Join(once.dir, "conf")
		lib = made(t, "plain.so", func(to string) *exec.Cmd {
			return compile(t, to, "-shared", "-fPIC", "-O2", "-fvisibility=hidden", fmt.Sprintf("-DPWB_CONF=%q", conf))
		})
		os.Remove(conf)
		if err := os.Symlink(n.path("etc", "rstudio", "workbench-nss.conf"), conf); err != nil {
			t.Fatal(err)
		}
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$LIB", lib)
	}
	program := `"$@"; exit $?`
	if n.direct {
		program = `exec "$@"`
	}
	if namespaces() != nil {
		return exec.CommandContext(ctx, "sh", append([]string{"-c", program, "sh"}, args...)...)
	}
	for name, content := range map[string]string{
		"nsswitch.conf": "passwd: files pwb\ngroup: files pwb\nshadow: files pwb\nhosts: files\n",
		"passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
		"group":         "root:x:0:\nnogroup:x:65534:\n",
		"shadow":        "root:*:19000::::::\nnobody:*:19000::::::\n",
	} {
		if _, err := os.Stat(n.path("etc", name)); err != nil {
			write(t, n.path("etc", name), []byte(content), 0o644)
		}
	}
	if cache, err := os.ReadFile("/etc/ld.so.cache"); err == nil {
		write(t, n.path("etc", "ld.so.cache"), cache, 0o644)
	}
	// A running nscd would answer from the machine's own files.
	script := "mount --bind '" + n.path("etc") + "' /etc && if [ -d /run/nscd ]; then mount -t tmpfs none /run/nscd; fi || exit 4; " + program
	return exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh"}, args...)...)
}

// compile compiles the module's C alone.
func compile(t testing.TB, to string, flags ...string) *exec.Cmd {
	t.Helper()
	sources, err := filepath.Glob("*.c")
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command("gcc", append(append(append(cFlags, "-o", to), flags...), sources...)...)
}

// run is command with an end, its input, and its output.
func (n *node) run(t testing.TB, input string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := n.command(t, ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.String(), err
}

// drive runs the driver over lines and returns its answers.
func (n *node) drive(t testing.TB, lines ...string) []string {
	t.Helper()
	out, err := n.run(t, strings.Join(lines, "\n")+"\n", program(t, "driver"), "$LIB")
	if err != nil {
		t.Fatalf("driver: %v\nafter %s", err, out)
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

// expect drives the lines and compares each answer.
func (n *node) expect(t testing.TB, pairs ...string) {
	t.Helper()
	var lines, want []string
	for i := 0; i < len(pairs); i += 2 {
		lines = append(lines, pairs[i])
		if pairs[i+1] != "" { // a line without an answer
			want = append(want, pairs[i+1])
		}
	}
	got := n.drive(t, lines...)
	if len(got) != len(want) {
		t.Fatalf("%d answers, %d expected: %q", len(got), len(want), got)
	}
	k := 0
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if got[k] != want[k] {
			t.Errorf("%s:\n got %s\nwant %s", pairs[i], got[k], want[k])
		}
		k++
	}
}
