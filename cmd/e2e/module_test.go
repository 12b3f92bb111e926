package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// guest is a node that looks accounts up with libnss_pwb alone, in a mount namespace
// with an /etc of its own: the machine's is never touched.
type guest struct {
	*rig
	*mounts
	module string // bin's libnss_pwb.so.2
	etc    string // what is /etc in the namespace
	// login is by an sshd of the node; nil before there is one.
	login func(who string, key bool) (string, int)
}

// buildModule builds the module beside the other binaries, once.
var buildModule = sync.OnceValue(func() error {
	cmd := exec.Command("make", "--no-print-directory", "module", "OUT="+string(bin))
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make module: %w\n%s", err, out)
	}
	cmd = exec.Command("go", "build", "-o", filepath.Join(string(bin), "gouser"), "./testdata/gouser")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build gouser: %w\n%s", err, out)
	}
	return nil
})

// newGuest makes a node whose nsswitch.conf says "files pwb".
func newGuest(t *testing.T, flags ...string) *guest {
	t.Helper()
	need(t, "unshare", "nsenter", "mount", "cp", "ldconfig")
	if err := buildModule(); err != nil {
		t.Fatal(err)
	}
	g := &guest{rig: newRig(t, flags...), mounts: newMounts(t)}
	g.etc = filepath.Join(g.dir, "etc")
	g.agent.Flags = append(g.agent.Flags, "--index=true") // its module-config is the machine's
	libs := filepath.Join(g.dir, "lib")
	g.module = filepath.Join(libs, "libnss_pwb.so.2")
	live := filepath.Join(libs, "nss-live")
	runtime := filepath.Join(g.dir, "run")
	for _, step := range []error{
		os.Chmod(g.dir, 0o755), // people look up, too
		os.Mkdir(libs, 0o755), os.Mkdir(runtime, 0o755),
		copyFile(filepath.Join(string(bin), "libnss_pwb.so.2"), g.module),
		copyFile(filepath.Join(string(bin), "nss-live"), live),
		copyFile(filepath.Join(string(bin), "gouser"), filepath.Join(g.dir, "gouser")),
		exec.Command("cp", "-a", "/etc", g.etc).Run(),
		os.MkdirAll(filepath.Join(g.etc, "rstudio"), 0o755),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := g.server.TokenFile(t.Context(), filepath.Join(g.etc, "rstudio", "admin-token"), "module-admin", "node-admin"); err != nil {
		t.Fatal(err)
	}
	if err := g.server.TokenFile(t.Context(), filepath.Join(g.etc, "rstudio", "user-token"), "module-user", "node-user"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(g.etc, "rstudio", "user-token"), 0o644); err != nil {
		t.Fatal(err)
	}
	g.write(t, "nsswitch.conf", "passwd: files pwb\ngroup: files pwb\nshadow: files pwb\nhosts: files dns\n")
	g.configure(t, g.server.URL)
	// The module is found as an installed one is, by setuid programs, too.
	g.write(t, "ld.so.conf.d/pwb.conf", libs+"\n")
	g.sh(t, `mount --bind "$1" /etc; ldconfig; mount -t tmpfs none /run; mkdir -p /run/sshd; mount -t tmpfs none /var/spool/cron 2>/dev/null || true`, g.etc)
	return g
}

// configure writes workbench-nss.conf, with more lines than those that say where
// everything is.
func (g *guest) configure(t *testing.T, server string, more ...string) {
	t.Helper()
	runtime := filepath.Join(g.dir, "run")
	g.write(t, "rstudio/workbench-nss.conf", fmt.Sprintf("server-address = %s\nstate-dir = %s\nsocket-path = %s/agent.sock\nstate-path = %s/state\nlive-path = %s/lib/nss-live\n%s\n",
		server, g.agent.StateDir, runtime, runtime, g.dir, strings.Join(more, "\n")))
}

// write puts a file into the node's /etc.
func (g *guest) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.etc, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// limit is when a lookup counts as hung: far above all deadlines.
const limit = 20 * time.Second

// looks runs a program on the node and returns what it printed, one line, and its
// exit status. It fails when the program hangs.
func (g *guest) looks(t *testing.T, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", g.pid, "-m"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%q hangs: %s", args, out)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

// host is a program that looks accounts up.
type host struct {
	name string
	// needs is a program that has to be there.
	needs string
	// args asks for an account; NAME, UID and DIR stand for its name, its number and
	// a directory that it owns.
	args []string
	// finds is what it prints of an account that is there, misses of one that is
	// not; empty misses is any failure.
	finds  string
	misses string
	// local says that it has no room for a live query: it gets none, and no harm.
	local bool
}

const forked = `
import os, pwd, sys
def look():
    try: return pwd.getpwnam(sys.argv[1]).pw_uid
    except KeyError: return -1
first = look()
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, str(look()).encode()); os._exit(0)
os.waitpid(pid, 0)
print(first, os.read(r, 99).decode())
`

const multi = `
import multiprocessing, pwd, sys
def look(name):
    try: return pwd.getpwnam(name).pw_uid
    except KeyError: return -1
if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    first = look(sys.argv[1])
    with multiprocessing.Pool(4) as p: print(first, *sorted(set(p.map(look, [sys.argv[1]] * 20))))
`

const newUserNamespace = `
import ctypes, pwd, sys
try: print(pwd.getpwnam(sys.argv[1]).pw_uid, end=" ")
except KeyError: print(-1, end=" ")
print(ctypes.CDLL(None).unshare(0x10000000))  # CLONE_NEWUSER, for programs with one thread only
`

// hosts are programs that load the module, each in its own way.
var hosts = []host{
	{"getent by name", "getent", []string{"getent", "passwd", "NAME"}, "NAME:x:UID:UID:User NAME:/home/NAME:/bin/bash", "", false},
	{"getent by number", "getent", []string{"getent", "passwd", "UID"}, "NAME:x:UID:UID:User NAME:/home/NAME:/bin/bash", "", false},
	{"getent of a group", "getent", []string{"getent", "group", "NAME"}, "NAME:x:UID:", "", false},
	{"getent initgroups", "getent", []string{"getent", "initgroups", "NAME"}, "NAME GROUP", "NAME", false},
	{"id", "id", []string{"id", "-Gn", "NAME"}, "NAME team", "", false},
	{"ls -l", "ls", []string{"ls", "-ld", "DIR"}, " NAME NAME ", " UID UID ", false},
	{"runuser", "runuser", []string{"runuser", "-u", "NAME", "--", "id", "-Gn"}, "NAME team", "", false},
	{"su", "su", []string{"su", "NAME", "-s", "/bin/sh", "-c", "id -Gn"}, "NAME team", "", false},
	{"sudo", "sudo", []string{"sudo", "-n", "-u", "NAME", "id", "-Gn"}, "NAME team", "", false},
	{"login", "script", []string{"sh", "-c", `echo "id -Gn; exit" | script -qec "login -f $1" /dev/null`, "sh", "NAME"}, "NAME team", "Authentication failure", false},
	{"setpriv", "setpriv", []string{"setpriv", "--reuid", "NAME", "--regid", "NAME", "--init-groups", "--inh-caps", "-all", "id", "-Gn"}, "NAME team", "", false},
	{"python that forks", "/usr/bin/python3", []string{"/usr/bin/python3", "-c", forked, "NAME"}, "UID UID", "-1 -1", false},
	{"python multiprocessing", "/usr/bin/python3", []string{"/usr/bin/python3", "-c", multi, "NAME"}, "UID UID", "-1 -1", false},
	{"a new user namespace", "/usr/bin/python3", []string{"/usr/bin/python3", "-c", newUserNamespace, "NAME"}, "UID 0", "-1 0", false},
	{"a program of Go with 32 threads", "sh", []string{"BASE/gouser", "NAME"}, "UID", "nobody", false},
	{"with SIGCHLD ignored", "sh", []string{"sh", "-c", `trap "" CHLD; getent passwd "$1"`, "sh", "NAME"}, "NAME:x:UID:UID:User NAME:/home/NAME:/bin/bash", "", false},
	{"without descriptors", "sh", []string{"sh", "-c", `exec getent passwd "$1" 0<&- 2>&-`, "sh", "NAME"}, "NAME:x:UID:UID:User NAME:/home/NAME:/bin/bash", "", false},
	{"with little memory", "prlimit", []string{"prlimit", "--as=200000000", "getent", "passwd", "NAME"}, "NAME:x:UID:UID:User NAME:/home/NAME:/bin/bash", "", true},
	{"with few descriptors", "prlimit", []string{"prlimit", "--nofile=16", "getent", "passwd", "NAME"}, "NAME:x:UID:UID:User NAME:/home/NAME:/bin/bash", "", false},
	{"with too few descriptors for a query", "prlimit", []string{"prlimit", "--nofile=8", "getent", "passwd", "NAME"}, "NAME:x:UID:UID:User NAME:/home/NAME:/bin/bash", "", true},
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
