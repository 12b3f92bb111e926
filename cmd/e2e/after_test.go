package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fsnotify/fsnotify"

	"pwb/cmd/harness"
)

// listening gives the rig's node a hook that writes down how it is called, and who
// can log in by shadow then, in a file of a directory of its own.
func (r *rig) listening(t testing.TB) (heard string) {
	t.Helper()
	heard = filepath.Join(r.dir, "heard", "by-hooks")
	r.hook(t, "10-note", fmt.Sprintf(`echo "$*${PWB_UID:+ }$PWB_UID: $(grep -v :! %s/shadow | cut -d: -f1 | sort | tr '\n' ' ')" >> %s`, r.agent.Dir, heard))
	if err := os.Mkdir(filepath.Dir(heard), 0o755); err != nil {
		t.Fatal(err)
	}
	return heard
}

// hook gives the rig's node a hook.
func (r *rig) hook(t testing.TB, name, script string) {
	t.Helper()
	dir := r.agent.HooksDir()
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
}

// take is what a file holds, which is gone afterwards.
func take(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	_ = os.Remove(path)
	return string(data)
}

// patch changes an attribute of a user.
func (r *rig) patch(t testing.TB, id, attribute string, value any) {
	t.Helper()
	body := map[string]any{"Operations": []any{map[string]any{"op": "replace", "path": attribute, "value": value}}}
	if _, err := r.scim.Want(t.Context(), http.StatusOK, http.MethodPatch, "/Users/"+id, body); err != nil {
		t.Fatal(err)
	}
}

// some creates users and returns their ids.
func (r *rig) some(t testing.TB, names ...string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, name := range names {
		id, err := r.scim.Create(t.Context(), "/Users", user(name))
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = id
	}
	return ids
}

func (r *rig) uid(t testing.TB, name string) string {
	t.Helper()
	f := strings.Split(lines(t, filepath.Join(r.agent.Dir, "passwd"))[name], ":")
	if len(f) < 3 {
		t.Fatalf("%s has no line in passwd", name)
	}
	return f[2]
}

func TestHooksHearOfWhatARollbackDoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.some(t, "ada")
	r.sync(t, 0)
	r.some(t, "bob")
	r.sync(t, 0)
	bob := r.uid(t, "bob")
	heard := r.listening(t)
	if status, out := r.both(t, "rollback"); status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	if got, want := take(t, heard), "change: ada \nlock bob "+bob+": ada \n"; got != want {
		t.Errorf("after a rollback the hook heard\n%s, not\n%s", got, want)
	}
	if status, out := r.both(t, "rollback", "--release"); status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	if got, want := take(t, heard), "change: ada bob \n"; got != want {
		t.Errorf("after the release the hook heard\n%s, not\n%s", got, want)
	}
}

func TestHooksHearOfChangesAndLocks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heard := r.listening(t)
	ids := r.some(t, "ada", "bob", "carol")
	r.sync(t, 2, "--dry-run")
	if got := take(t, heard); got != "" {
		t.Errorf("a dry run calls hooks: %q", got)
	}
	r.sync(t, 0)
	ada, bob, carol := r.uid(t, "ada"), r.uid(t, "bob"), r.uid(t, "carol")
	check := func(what, want string) {
		t.Helper()
		r.sync(t, 0)
		if got := take(t, heard); got != want {
			t.Errorf("%s: the hook heard\n%s, not\n%s", what, got, want)
		}
	}
	if got := take(t, heard); got != "change: ada bob carol \n" {
		t.Errorf("at first the hook heard\n%s", got)
	}
	check("nothing", "")
	r.patch(t, ids["ada"], "active", false)
	check("a lock", "change: bob carol \nlock ada "+ada+": bob carol \n")
	r.patch(t, ids["ada"], "active", true)
	check("an unlock", "change: ada bob carol \n")
	r.patch(t, ids["ada"], "active", false)
	check("a second lock", "change: bob carol \nlock ada "+ada+": bob carol \n")
	r.patch(t, ids["bob"], "userName", "robert@acme.example")
	check("a rename", "change: bob carol robert \n")
	r.patch(t, ids["ada"], "active", true)
	r.patch(t, ids["ada"], "active", false)
	check("there and back", "")
	if _, err := r.scim.Want(t.Context(), http.StatusNoContent, http.MethodDelete, "/Users/"+ids["bob"], nil); err != nil {
		t.Fatal(err)
	}
	check("a deletion", "change: carol \nlock robert "+bob+": carol \n")
	// And an account that this node alone removes.
	r.sync(t, 0, "--deny-users", "carol", "--max-change-count", "9")
	if got := take(t, heard); got != "change: \nlock carol "+carol+": \n" {
		t.Errorf("a removal: the hook heard\n%s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(r.agent.StateDir, "pending", "[0-9]*")); len(left) > 0 {
		t.Errorf("still pending: %v", left)
	}
}

func TestAHookThatFailsFailsNoPassAndStatusTells(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heard := r.listening(t)
	r.hook(t, "05-fails", "echo on fire; exit 7")
	ids := r.some(t, "ada")
	if out := r.sync(t, 0); !strings.Contains(out, "exit status 7") || strings.Count(out, "on fire") != 1 {
		t.Errorf("the pass says\n%s", out)
	}
	status := func() string {
		out, err := r.agent.Command(t.Context(), "status").CombinedOutput()
		if err != nil {
			t.Errorf("status: %v", err)
		}
		return string(out)
	}
	if out := status(); !strings.Contains(out, "after the last change:") || !strings.Contains(out, "exit status 7") {
		t.Errorf("status says\n%s", out)
	}
	r.hook(t, "05-fails", "exit 0")
	r.patch(t, ids["ada"], "active", false)
	r.sync(t, 0)
	if out := status(); strings.Contains(out, "after the last change:") {
		t.Errorf("status says\n%s", out)
	}
	if got := take(t, heard); !strings.HasPrefix(got, "change: ada \nchange: \nlock ada ") {
		t.Errorf("the other hook heard\n%s", got)
	}
}

func TestAnAgentThatStaysCallsHooksToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heard := r.listening(t)
	ids := r.some(t, "ada")
	r.sync(t, 0)
	take(t, heard)
	watch, err := harness.NewWatch(filepath.Dir(heard))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	r.follow(t)
	r.patch(t, ids["ada"], "active", false)
	if err := watch.Until(within(t), filepath.Base(heard), harness.Has("lock ada "+r.uid(t, "ada")+": \n")); err != nil {
		t.Error(err)
	}
}

func TestSessionsAreEndedWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	busctl, calls := filepath.Join(r.dir, "busctl"), filepath.Join(r.dir, "calls")
	ids := r.some(t, "ada", "bob")
	r.sync(t, 0)
	ada, bob := r.uid(t, "ada"), r.uid(t, "bob")
	script := fmt.Sprintf("#!/bin/sh\nshift 5; echo \"$*\" >> %s\nif [ $1 = ListUsers ]; then echo 'a(uso) 2 %s \"ada\" \"/a\" %s \"bob\" \"/b\"'; fi\n", calls, ada, bob)
	if err := os.WriteFile(busctl, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r.agent.Flags = append(r.agent.Flags, "--busctl-program", busctl)
	r.patch(t, ids["ada"], "active", false)
	r.sync(t, 0)
	if got := take(t, calls); got != "" {
		t.Errorf("unasked, logind is told %q", got)
	}
	r.patch(t, ids["ada"], "active", true)
	r.sync(t, 0, "--end-sessions")
	r.patch(t, ids["ada"], "active", false)
	r.sync(t, 0, "--end-sessions")
	if got := take(t, calls); got != "ListUsers\nTerminateUser u "+ada+"\n" {
		t.Errorf("logind is told %q", got)
	}
}

func TestNothingIsRunForAnImage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heard := r.listening(t)
	r.some(t, "ada")
	root := filepath.Join(r.dir, "root")
	for _, dir := range []string{"etc", "usr/lib", "var/lib/extrausers"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"etc/passwd", "etc/group"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := bin.Command(t.Context(), "pwb-agent", "sync", "--root", root, "--server", r.agent.Server, "--token-file", r.agent.TokenFile, "--hooks-dir", r.agent.HooksDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := take(t, heard); got != "" {
		t.Errorf("hooks are called: %q", got)
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/pwb/pending")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something waits for them: %v", err)
	}
}

// TestHooksHearOfALockWhereverTheAgentWasKilled kills the real agent at its nth
// call of each system call that the way to the hooks is made of.
func TestHooksHearOfALockWhereverTheAgentWasKilled(t *testing.T) {
	t.Parallel()
	need(t, "strace", "cp")
	r := newRig(t)
	heard := r.listening(t)
	ids := r.some(t, "ada", "bob")
	r.sync(t, 0)
	ada := r.uid(t, "ada")
	r.agent.Flags = append(r.agent.Flags, "--hooks-dir", r.agent.HooksDir())
	base := r.agent
	r.patch(t, ids["ada"], "active", false)
	kills := 0
	for _, call := range []string{"fsync", "renameat", "unlinkat", "wait4,waitid"} {
		for n, alive := 1, 0; alive < 3 && n < 100; n++ {
			take(t, heard)
			r.agent = copyNode(t, base, fmt.Sprintf("%s-%d", call, n))
			if syncKilledAt(t, r, call, n) {
				kills++
			} else {
				alive++
			}
			r.sync(t, 0)
			got := take(t, heard)
			if !strings.Contains(got, "\nlock ada "+ada+": ") || strings.Contains(got, "lock bob") {
				t.Errorf("killed at %s number %d: the hook heard\n%s", call, n, got)
			}
			r.sync(t, 0)
			if got := take(t, heard); got != "" {
				t.Errorf("killed at %s number %d: in the end the hook heard\n%s", call, n, got)
			}
			os.RemoveAll(filepath.Dir(r.agent.Dir))
		}
	}
	if kills < 15 {
		t.Errorf("only %d passes were killed", kills)
	}
	t.Logf("%d passes were killed", kills)
}

// nscdConf makes nscd keep accounts for an hour, and look at no file.
const nscdConf = `server-user root
paranoia no
enable-cache passwd yes
positive-time-to-live passwd 3600
check-files passwd no
persistent passwd no
shared passwd no
enable-cache group yes
positive-time-to-live group 3600
check-files group no
persistent group no
shared group no
`

func TestNscdForgetsWhatChanged(t *testing.T) {
	t.Parallel()
	need(t, "nscd", "unshare", "nsenter", "getent")
	r := newRig(t)
	ids := r.some(t, "ada")
	r.sync(t, 0)
	ns := r.namespace(t)
	run, conf := filepath.Join(r.dir, "nscd"), filepath.Join(r.dir, "nscd.conf")
	if err := errors.Join(os.Mkdir(run, 0o755), os.WriteFile(conf, []byte(nscdConf), 0o644)); err != nil {
		t.Fatal(err)
	}
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := watch.Add(run); err != nil {
		t.Fatal(err)
	}
	// The shell becomes nscd, whose namespace the lookups join.
	daemon := ns.Command(t.Context(), "sh", "-c", "mkdir -p /run/nscd && mount --bind "+run+" /run/nscd && exec nscd -F -f "+conf)
	var log strings.Builder
	daemon.Stderr = &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	socket := filepath.Join(run, "socket")
	for ctx := within(t); ; {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		} else if errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil {
			continue // between its bind(2) and its listen(2)
		}
		select {
		case <-watch.Events:
		case <-ctx.Done():
			t.Fatalf("nscd does not come: %s", &log)
		}
	}
	gecos := func() string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "nsenter", "--mount", "--target", fmt.Sprint(daemon.Process.Pid), "getent", "passwd", "ada").Output()
		if err != nil {
			t.Fatalf("getent: %v", err)
		}
		return strings.Split(string(out), ":")[4]
	}
	if got := gecos(); got != "User ada" {
		t.Fatalf("ada is %q", got)
	}
	r.patch(t, ids["ada"], "displayName", "Lovelace")
	r.sync(t, 0)
	if got := gecos(); got != "User ada" {
		t.Fatalf("nscd does not keep what it knows, so this test would show nothing: ada is %q", got)
	}
	r.patch(t, ids["ada"], "displayName", "Countess")
	r.sync(t, 0, "--nscd-socket", socket)
	if got := gecos(); got != "Countess" {
		t.Errorf("ada is %q after a pass that has nscd forget her", got)
	}
}
