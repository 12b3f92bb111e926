package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pwb/cmd/harness"
)

// password is everybody's who has one.
const password = "c0rrect-horse"

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
	if err := os.WriteFile(ask, []byte("#!/bin/sh\necho "+password+"\n"), 0o755); err != nil {
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
	body["password"] = password
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

// jobs starts a cron that has a job for root, for the account and for nobody, each to
// be run when cron starts, and waits for those that are somebody's. All are begun in
// one go, so that the others would have left a trace by then.
func (g *guest) jobs(t *testing.T, name string, there whereabouts) {
	t.Helper()
	need(t, "cron")
	dir, err := os.MkdirTemp(g.dir, "jobs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	g.write(t, "crontab", "")
	for _, who := range []string{name, "orphan", "root"} {
		g.write(t, "cron.d/"+who, fmt.Sprintf("@reboot %s id -Gn > %s/%s.new; mv %s/%s.new %s/%s\n", who, dir, who, dir, who, dir, who))
	}
	defer func() {
		for _, who := range []string{name, "orphan", "root"} {
			os.Remove(filepath.Join(g.etc, "cron.d", who))
		}
	}()
	watch, err := harness.NewWatch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	cmd := exec.Command("nsenter", "-t", g.pid, "-m", "sh", "-c", "rm -f /run/crond.reboot /run/crond.pid; exec /usr/sbin/cron -f")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	want := map[string]string{"root": "root\n"}
	if there != nowhere {
		want[name] = name + " team\n"
	}
	for who, groups := range want {
		if err := watch.Until(within(t), who, func(content []byte) bool { return string(content) == groups }); err != nil {
			t.Errorf("cron, the job of %s: %v", who, err)
		}
	}
	for _, who := range []string{"orphan", name} {
		if _, err := os.Stat(filepath.Join(dir, who)); err == nil && want[who] == "" {
			t.Errorf("cron ran a job of %s, who is nobody", who)
		}
	}
}
