package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pwb/cmd/harness"
)

// stay starts the node's agent and returns when it has told the module that the
// files are current; the function that it returns ends it.
func (g *guest) stay(t *testing.T) (stop func()) {
	t.Helper()
	watch, err := harness.NewWatch(filepath.Join(g.dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	var log bytes.Buffer
	cmd := g.agent.Command(context.Background(), "run", "--run-dir", filepath.Join(g.dir, "run"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Cancel()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent did not end well: %v\n%s", err, &log)
		}
	}
	t.Cleanup(stop)
	current := func(state []byte) bool { return len(state) == 64 && state[12]&3 == 3 }
	if err := watch.Until(within(t), "state", current); err != nil {
		stop()
		t.Fatalf("%v\n%s", err, &log)
	}
	return stop
}

// team makes a group with these users and returns its gid.
func (g *guest) team(t *testing.T, ids ...string) string {
	t.Helper()
	var members []map[string]string
	for _, id := range ids {
		members = append(members, map[string]string{"value": id})
	}
	if _, err := g.scim.Create(t.Context(), "/Groups", map[string]any{"displayName": "team", "members": members}); err != nil {
		t.Fatal(err)
	}
	g.rig.sync(t, 0)
	return strings.Split(lines(t, filepath.Join(g.agent.Dir, "group"))["team"], ":")[2]
}

// whereabouts is where the answer to a lookup is.
type whereabouts int

const (
	nowhere whereabouts = iota
	inIndex
	atServer
)

// asks lets every program look an account up.
func (g *guest) asks(t *testing.T, name, uid, team string, there whereabouts) {
	t.Helper()
	dir := filepath.Join(g.dir, "owned-by-"+uid)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, number, number); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("NAME", name, "UID", uid, "GROUP", team, "DIR", dir, "BASE", g.dir).Replace
	for _, h := range hosts {
		if _, err := exec.LookPath(h.needs); err != nil {
			missing(t, h.needs+" is needed", err)
		}
		args := make([]string, len(h.args))
		for i, a := range h.args {
			args[i] = fill(a)
		}
		out, status := g.looks(t, args...)
		out = strings.Join(strings.Fields(out), " ")
		switch {
		case there == atServer && h.local && status != 0:
		case there != nowhere && (status != 0 || !strings.Contains(out, fill(h.finds))):
			t.Errorf("%s: status %d, %q, want %q", h.name, status, out, fill(h.finds))
		case there == nowhere && h.misses == "" && status == 0:
			t.Errorf("%s finds nobody: %q", h.name, out)
		case there == nowhere && h.misses != "" && !strings.Contains(out, fill(h.misses)):
			t.Errorf("%s: status %d, %q, want %q", h.name, status, out, fill(h.misses))
		}
	}
	g.left(t)
}

// left fails when a process is still there that a lookup started.
func (g *guest) left(t *testing.T) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range all {
		exe, err := os.Readlink(link)
		if err == nil && exe == filepath.Join(g.dir, "lib", "nss-live") {
			t.Errorf("%s runs still", link)
		}
	}
}

func TestEveryProgramGetsTheRightAnswerWhateverIsDown(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	ids := g.some(t, "ada", "bob")
	team := g.team(t, ids["ada"])
	ada := g.uid(t, "ada")
	const nobody = "54321"

	stop := g.stay(t)
	t.Run("in the index", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	t.Run("nobody, and the agent is current", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })
	stop()

	// Carol is new at the server, and no agent says so.
	id, err := g.scim.Create(t.Context(), "/Users", user("carol"))
	if err != nil {
		t.Fatal(err)
	}
	g.join(t, "team", id)
	carol := g.number(t, "carol")
	t.Run("in the index, without an agent", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	t.Run("live", func(t *testing.T) { g.asks(t, "carol", carol, team, atServer) })
	t.Run("nobody, asked live", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })

	hole := blackHole(t)
	g.configure(t, "http://"+hole)
	t.Run("in the index, the server a black hole", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	t.Run("nobody, the server a black hole", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })
	g.configure(t, g.server.URL)
	g.server.Stop()
	t.Run("in the index, the server down", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	t.Run("nobody, the server down", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })
	t.Run("without a configuration nobody is found", func(t *testing.T) {
		if err := os.Remove(filepath.Join(g.etc, "rstudio", "workbench-nss.conf")); err != nil {
			t.Fatal(err)
		}
		g.asks(t, "ada", ada, team, nowhere)
	})
}

// join makes a user a member of a group.
func (g *guest) join(t *testing.T, group, id string) {
	t.Helper()
	found, err := g.scim.Want(t.Context(), http.StatusOK, http.MethodGet, "/Groups?filter=displayName%20eq%20%22"+group+"%22", nil)
	if err != nil {
		t.Fatal(err)
	}
	gid := found["Resources"].([]any)[0].(map[string]any)["id"].(string)
	body := map[string]any{"Operations": []any{map[string]any{"op": "add", "path": "members", "value": []any{map[string]any{"value": id}}}}}
	if status, out, err := g.scim.Do(t.Context(), http.MethodPatch, "/Groups/"+gid, body); err != nil || status/100 != 2 {
		t.Fatalf("%d %s %v", status, out, err)
	}
}

// number is the uid that the server gave to a user, whatever nodes know.
func (g *guest) number(t *testing.T, name string) string {
	t.Helper()
	out, err := bin.Command(t.Context(), "pwb-server", "user", "show", name, "--json", "--data-dir", g.server.DataDir).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(out), `"uid":`)
	if !ok {
		t.Fatalf("no uid in %s", out)
	}
	return strings.TrimSpace(rest[:strings.IndexAny(rest, ",}")])
}

// blackHole takes connections and says nothing.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// sshd is a real one on the node, for logins with keys and passwords. It takes the
// options, lines of sshd_config(5), before others.
func (g *guest) sshd(t *testing.T, options ...string) (login func(who string, key bool) (string, int)) {
	t.Helper()
	need(t, "sshd", "ssh", "ssh-keygen")
	dir := filepath.Join(g.dir, "ssh")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	g.write(t, "ssh/sshd_config", strings.Join(append(options, ""), "\n")+fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM yes\nPasswordAuthentication yes\nLogLevel VERBOSE\nPidFile none\n", port, dir, dir))
	var log bytes.Buffer
	cmd := exec.Command("nsenter", "-t", g.pid, "-m", "/usr/sbin/sshd", "-D", "-e")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", &log)
		}
	})
	ctx := within(t)
	for { // until it listens
		c, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("sshd does not listen: %v", err)
		}
	}
	ask := filepath.Join(dir, "ask")
	if err := os.WriteFile(ask, []byte("#!/bin/sh\necho c0rrect-horse\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return func(who string, key bool) (string, int) {
		args := []string{"env", "SSH_ASKPASS=" + ask, "SSH_ASKPASS_REQUIRE=force", "setsid", "ssh", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "NumberOfPasswordPrompts=1"}
		if key {
			args = append(args, "-o", "PreferredAuthentications=publickey", "-i", filepath.Join(dir, "user"))
		} else {
			args = append(args, "-o", "PreferredAuthentications=password", "-o", "PubkeyAuthentication=no")
		}
		return g.looks(t, append(args, who+"@127.0.0.1", "id -Gn")...)
	}
}

func TestPeopleLogInBySSHAndAreShutOutWhenTheyLeave(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	body := user("ada")
	body["password"] = "c0rrect-horse"
	id, err := g.scim.Create(t.Context(), "/Users", body)
	if err != nil {
		t.Fatal(err)
	}
	g.team(t, id)
	g.stay(t)
	login := g.sshd(t)
	for _, key := range []bool{true, false} {
		if out, status := login("ada", key); status != 0 || !strings.Contains(out, "ada team") {
			t.Errorf("key %v: status %d, %q", key, status, out)
		}
		if out, status := login("nosuch", key); status == 0 {
			t.Errorf("key %v: nobody logs in: %q", key, out)
		}
	}
	watch, err := harness.NewWatch(g.agent.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	g.patch(t, id, "active", false)
	if err := watch.Until(within(t), "passwd", harness.Has("nologin")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []bool{true, false} {
		if out, status := login("ada", key); status == 0 {
			t.Errorf("key %v: who left logs in: %q", key, out)
		}
	}
	g.patch(t, id, "active", true)
	if err := watch.Until(within(t), "passwd", harness.Has("bash")); err != nil {
		t.Fatal(err)
	}
	g.server.Stop()
	for _, key := range []bool{true, false} {
		if out, status := login("ada", key); status != 0 || !strings.Contains(out, "ada team") {
			t.Errorf("server down, key %v: status %d, %q", key, status, out)
		}
	}
}

func TestCronRunsTheJobsOfTheNodesUsersAndOfRootBesideAnOrphan(t *testing.T) {
	t.Parallel()
	need(t, "cron")
	g := newGuest(t)
	g.team(t, g.some(t, "ada")["ada"])
	g.stay(t)
	jobs := filepath.Join(g.dir, "jobs")
	if err := os.Mkdir(jobs, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(jobs, 0o777); err != nil {
		t.Fatal(err)
	}
	g.write(t, "crontab", "")
	for _, who := range []string{"ada", "root", "gone"} {
		g.write(t, "cron.d/"+who, fmt.Sprintf("* * * * * %s id -Gn > %s/%s.new && mv %s/%s.new %s/%s\n", who, jobs, who, jobs, who, jobs, who))
	}
	watch, err := harness.NewWatch(jobs)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	cmd := exec.Command("nsenter", "-t", g.pid, "-m", "/usr/sbin/cron", "-f")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*limit*6)
	defer cancel()
	for who, want := range map[string]string{"ada": "ada team\n", "root": "root\n"} {
		if err := watch.Until(ctx, who, func(content []byte) bool { return string(content) == want }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(jobs, "gone")); err == nil {
		t.Error("a job of nobody ran")
	}
}
