package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"pwb/roster"
)

// administer runs a command on the rig's store and returns its standard output.
func (r *rig) administer(t testing.TB, args ...string) string {
	t.Helper()
	status, out, errs := r.command(t, args...)
	if status != 0 {
		t.Fatalf("pwb-server %s ended with status %d: %s", strings.Join(args, " "), status, errs)
	}
	return out
}

// command runs a command on the rig's store.
func (r *rig) command(t testing.TB, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(string(bin), "pwb-server"), append(args, "--data-dir", r.server.DataDir)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("pwb-server %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// sent is a request of the feed that has been sent and awaits its answer.
type sent struct {
	status int
	body   string
	err    error
}

// feed asks the feed as the rig's agent. asked is closed when the request has
// been sent.
func (r *rig) feed(ctx context.Context, path string, asked chan<- struct{}) (a sent) {
	token, err := os.ReadFile(r.agent.TokenFile)
	if err != nil {
		return sent{err: err}
	}
	var once sync.Once
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { once.Do(func() { close(asked) }) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.server.URL+"/sync/v1/"+path, nil)
	if err != nil {
		return sent{err: err}
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := r.scim.Client.Do(req)
	if err != nil {
		return sent{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return sent{res.StatusCode, string(body), err}
}

// standsAt is where the server's feed stands.
func (r *rig) standsAt(t testing.TB) roster.Position {
	t.Helper()
	a := r.feed(within(t), "snapshot", make(chan struct{}))
	if a.err != nil || a.status != http.StatusOK {
		t.Fatalf("the snapshot answers %d: %v", a.status, a.err)
	}
	stream, err := roster.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	return stream.Header().To
}

// wakes runs do while an agent's long poll waits, and returns how that is answered.
func (r *rig) wakes(t testing.TB, do func()) sent {
	t.Helper()
	at := r.standsAt(t)
	path := fmt.Sprintf("changes?epoch=%s&after=%d&sum=%s&wait=30s", at.Epoch, at.Seq, at.Sum)
	asked, answer := make(chan struct{}), make(chan sent, 1)
	ctx := within(t)
	go func() { answer <- r.feed(ctx, path, asked) }()
	select {
	case <-asked:
	case a := <-answer:
		t.Fatalf("the poll was not sent: %v", a.err)
	}
	do()
	a := <-answer
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a
}

// changing are the commands that change the roster, in an order in which each can
// be done, with what is in the change. The others (user readmit, token) are
// nothing that a node hears of.
func changing(files string) []struct {
	args  []string
	tells string
} {
	return []struct {
		args  []string
		tells string
	}{
		{[]string{"user", "add", "ada@acme.example"}, `"name":"ada"`},
		{[]string{"user", "lock", "ada"}, `"locked":true`},
		{[]string{"user", "unlock", "ada"}, `"name":"ada"`},
		{[]string{"user", "set-admin", "ada", "true"}, `"name":"pwb-admins"`},
		{[]string{"user", "renumber", "ada", "28001"}, `"uid":28001`},
		{[]string{"group", "add", "Compilers"}, `"name":"compilers"`},
		{[]string{"group", "set-gid", "compilers", "28002"}, `"gid":28002`},
		{[]string{"import", "passwd", "node=" + filepath.Join(files, "passwd")}, `"uid":28100`},
		{[]string{"import", "shadow", "node=" + filepath.Join(files, "shadow")}, `$6$abcdefgh$`},
		{[]string{"import", "group", "node=" + filepath.Join(files, "group")}, `"name":"imports"`},
		{[]string{"user", "delete", "ada"}, `"locked":true`},
	}
}

func TestCommandsReachAgentsThatWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range changing(importFiles(t)) {
		a := r.wakes(t, func() { r.administer(t, c.args...) })
		if a.status != http.StatusOK || !strings.Contains(a.body, c.tells) {
			t.Errorf("after %s the poll is answered with %d, without %s: %s", strings.Join(c.args, " "), a.status, c.tells, a.body)
		}
	}
}

func TestCommandsWorkWithoutAServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := r.standsAt(t)
	r.server.Stop()
	for _, c := range changing(importFiles(t)) {
		r.administer(t, c.args...)
	}
	if status, _, errs := r.command(t, "ids", "check"); status != 0 {
		t.Errorf("ids check: %s", errs)
	}
	r.start(t, "store", strings.TrimPrefix(r.server.URL, "http://"))
	// An agent of before goes on from where it was.
	a := r.feed(within(t), fmt.Sprintf("changes?epoch=%s&after=%d&sum=%s", at.Epoch, at.Seq, at.Sum), make(chan struct{}))
	if a.err != nil || a.status != http.StatusOK {
		t.Fatalf("the feed answers %d: %v", a.status, a.err)
	}
	for _, tells := range []string{`"uid":28001`, `"gid":28002`, `"uid":28100`, `$6$abcdefgh$`, `"name":"imports"`, `"locked":true`} {
		if !strings.Contains(a.body, tells) {
			t.Errorf("the feed does not tell of %s: %s", tells, a.body)
		}
	}
	r.sync(t, 0)
	if passwd := lines(t, filepath.Join(r.agent.Dir, "passwd")); passwd["mary"] == "" || !strings.Contains(passwd["ada"], ":28001:") {
		t.Errorf("passwd has %v", passwd)
	}
}

func TestCommandLockReachesTheShadowFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := within(t)
	body := user("ada")
	body["password"] = "c0bol-1959"
	if _, err := r.scim.Create(ctx, "/Users", body); err != nil {
		t.Fatal(err)
	}
	watch := r.follow(t)
	if err := watch.Until(ctx, "shadow", lineBegins("ada:$6$")); err != nil {
		t.Fatal(err)
	}
	r.administer(t, "user", "lock", "ada")
	if err := watch.Until(ctx, "shadow", lineBegins("ada:!$6$")); err != nil {
		t.Fatal(err)
	}
	// The provider cannot open what an administrator keeps locked.
	show := map[string]any{}
	if err := json.Unmarshal([]byte(r.administer(t, "user", "show", "ada", "--json")), &show); err != nil {
		t.Fatal(err)
	}
	active := map[string]any{"Operations": []any{map[string]any{"op": "replace", "value": map[string]any{"active": true, "displayName": "Ada, awake"}}}}
	if _, err := r.scim.Want(ctx, http.StatusOK, http.MethodPatch, fmt.Sprintf("/Users/%v", show["id"]), active); err != nil {
		t.Fatal(err)
	}
	if err := watch.Until(ctx, "passwd", func(content []byte) bool { return bytes.Contains(content, []byte("Ada, awake")) }); err != nil {
		t.Fatal(err)
	}
	if line := lines(t, filepath.Join(r.agent.Dir, "shadow"))["ada"]; !strings.HasPrefix(line, "ada:!") {
		t.Errorf("the provider opened the account: shadow has %q", line)
	}
	r.administer(t, "user", "unlock", "ada")
	if err := watch.Until(ctx, "shadow", lineBegins("ada:$6$")); err != nil {
		t.Fatal(err)
	}
}

func TestCommandsOfRenumberGiveTheFilesToTheNewNumber(t *testing.T) {
	t.Parallel()
	need(t, "find", "chown", "sh")
	dir, err := os.MkdirTemp("/var/lib", "pwb-homes-") // no home lies in /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	homes := filepath.Join(dir, "it's homes")
	r := newRig(t, "--user-homedir-path", homes)
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	r.administer(t, "user", "renumber", "ada", "28300")
	home, outside := filepath.Join(homes, "ada"), filepath.Join(homes, "of somebody else")
	hers := []string{".", "a file", "dir", "dir/-n", "link"}
	if err := errors.Join(
		os.MkdirAll(filepath.Join(home, "dir"), 0o755),
		os.WriteFile(filepath.Join(home, "a file"), nil, 0o644),
		os.WriteFile(filepath.Join(home, "dir", "-n"), nil, 0o644),
		os.WriteFile(filepath.Join(home, "of root"), nil, 0o644),
		os.WriteFile(outside, nil, 0o644),
		os.Symlink(outside, filepath.Join(home, "link")),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range hers {
		if err := os.Lchown(filepath.Join(home, name), 28300, 28300); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Lchown(outside, 28300, 28300); err != nil {
		t.Fatal(err)
	}
	out := r.administer(t, "user", "renumber", "ada", "28301")
	ran := 0
	for line := range strings.Lines(out) {
		// Not over / of this machine.
		if strings.HasPrefix(line, "find ") && !strings.HasPrefix(line, "find / ") {
			ran++
			if got, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil || len(got) > 0 {
				t.Errorf("%s: %v: %s", line, err, got)
			}
		}
	}
	if ran != 2 {
		t.Fatalf("renumber prints %d commands for the home, want one for the uid and one for the gid:\n%s", ran, out)
	}
	for path, want := range map[string]uint32{outside: 28300, filepath.Join(home, "of root"): 0} {
		if uid, gid := ownerOf(t, path); uid != want || gid != want {
			t.Errorf("%s is given to %d:%d", path, uid, gid)
		}
	}
	for _, name := range hers {
		if uid, gid := ownerOf(t, filepath.Join(home, name)); uid != 28301 || gid != 28301 {
			t.Errorf("%s belongs to %d:%d, not to 28301:28301", name, uid, gid)
		}
	}
}

func ownerOf(t testing.TB, path string) (uid, gid uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return s.Uid, s.Gid
}

func TestCommandBackupBesideLoadAndRestoreIntoTheRunningServer(t *testing.T) {
	t.Parallel()
	const before, during = 60, 12 // fewer go than a fuse stops
	r := newRig(t)
	ctx := within(t)
	r.push(t, 8, before, "user")
	watch := r.follow(t)
	if err := watch.Until(ctx, "passwd", func(content []byte) bool { return bytes.Count(content, []byte("\n")) == before }); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(r.dir, "store.backup")
	var load sync.WaitGroup
	var failed atomic.Pointer[error]
	begun := make(chan struct{})
	load.Go(func() {
		for i := range during {
			if _, err := r.scim.Create(context.Background(), "/Users", user(fmt.Sprintf("busy%d", i))); err != nil {
				failed.Store(&err)
			}
			if i == 0 {
				close(begun)
			}
		}
	})
	<-begun
	r.administer(t, "backup", file)
	load.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	r.administer(t, "user", "lock", "user7")
	if _, err := r.scim.Create(ctx, "/Users", user("late")); err != nil {
		t.Fatal(err)
	}
	if err := watch.Until(ctx, "passwd", lineBegins("late:")); err != nil {
		t.Fatal(err)
	}

	at := r.standsAt(t)
	var done struct {
		Position              roster.Position
		Users                 int
		StayLocked, Forgotten []string
	}
	a := r.wakes(t, func() {
		if err := json.Unmarshal([]byte(r.administer(t, "restore", file, "--yes", "--json")), &done); err != nil {
			t.Error(err)
		}
	})
	if a.status != http.StatusGone {
		t.Errorf("a poll that waited is answered with %d, not 410: %s", a.status, a.body)
	}
	if now := r.standsAt(t); now.Epoch == at.Epoch || now != done.Position {
		t.Errorf("the feed stands at %v after the restore to %v from %v", now, done.Position, at)
	}
	if done.Users < before+1 || !slices.Contains(done.Forgotten, "late") || !slices.Equal(done.StayLocked, []string{"user7"}) {
		t.Errorf("the restore says %+v", done)
	}
	if err := watch.Until(ctx, "passwd", func(content []byte) bool { return !lineBegins("late:")(content) }); err != nil {
		t.Fatal(err)
	}
	passwd := lines(t, filepath.Join(r.agent.Dir, "passwd"))
	exported := map[string]string{}
	for line := range strings.Lines(r.administer(t, "export", "--format", "passwd")) {
		name, _, _ := strings.Cut(line, ":")
		exported[name] = strings.TrimSuffix(line, "\n")
	}
	if len(passwd) != done.Users || len(exported) != done.Users {
		t.Errorf("%d users are restored, passwd has %d and the export %d", done.Users, len(passwd), len(exported))
	}
	for name, line := range exported {
		if passwd[name] != line {
			t.Errorf("passwd has %q, and the export %q", passwd[name], line)
		}
	}
	if line := lines(t, filepath.Join(r.agent.Dir, "shadow"))["user7"]; !strings.HasPrefix(line, "user7:!") {
		t.Errorf("who was locked after the backup is open after the restore: %q", line)
	}
	if status, _, errs := r.command(t, "ids", "check"); status != 0 {
		t.Errorf("ids check: %s", errs)
	}
	// And the server goes on.
	if _, err := r.scim.Create(ctx, "/Users", user("after")); err != nil {
		t.Fatal(err)
	}
	if err := watch.Until(ctx, "passwd", lineBegins("after:")); err != nil {
		t.Fatal(err)
	}
}

func TestCommandConfigCheckChangesNothingBesideTheServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push(t, 1, 1, "user") // so that the store has more than its file
	names := func() (all []string) {
		entries, err := os.ReadDir(r.server.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	for _, state := range []string{"running", "killed"} {
		before := names()
		if state == "killed" {
			r.server.Kill()
			before = names()
		}
		status, out, errs := r.command(t, "config", "check", "--insecure-http")
		if status != 0 || !strings.Contains(out, "ok       store: schema version") {
			t.Errorf("%s: config check ended with status %d: %s%s", state, status, out, errs)
		}
		if after := names(); !slices.Equal(after, before) {
			t.Errorf("%s: the data directory has %v, it had %v", state, after, before)
		}
	}
}
