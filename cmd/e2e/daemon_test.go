package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pwb/cmd/harness"
)

// daemon is an agent that stays, with what it logs and tells its service manager.
type daemon struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines chan string // of its log
	told  chan string // assignments of sd_notify(3), but for
	pings atomic.Int64
}

// daemonize starts pwb-agent run as a service manager would; it ends with the test.
func (r *rig) daemonize(t testing.TB, flags ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, lines: make(chan string, 10_000), told: make(chan string, 10_000)}
	socket := filepath.Join(r.dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.told)
		buf := make([]byte, 4096)
		for {
			n, err := manager.Read(buf)
			if err != nil {
				return
			}
			for text := range strings.SplitSeq(string(buf[:n]), "\n") {
				if text == "WATCHDOG=1" { // there are many
					d.pings.Add(1)
					continue
				}
				d.told <- text
			}
		}
	}()
	d.cmd = r.agent.Command(context.Background(), "run", flags...)
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=200000")
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			d.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = d.cmd.Cancel()
		<-read
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("the agent did not end well when it was asked to: %v", err)
		}
		d.tells("STOPPING=1") // it may be on its way still
		manager.Close()
	})
	return d
}

// until takes texts until one contains what is waited for.
func (d *daemon) until(texts <-chan string, want string) string {
	d.t.Helper()
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	var seen []string
	for {
		select {
		case text := <-texts:
			if strings.Contains(text, want) {
				return text
			}
			seen = append(seen, text)
		case <-timer.C:
			d.t.Fatalf("no %q in:\n%s", want, strings.Join(seen, "\n"))
		}
	}
}

func (d *daemon) logs(want string) string  { d.t.Helper(); return d.until(d.lines, want) }
func (d *daemon) tells(want string) string { d.t.Helper(); return d.until(d.told, want) }

func TestTheServiceManagerIsToldHowTheAgentDoes(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	d := r.daemonize(t)
	d.tells("STATUS=at change 1")
	d.tells("READY=1")
	if _, err := os.Stat(filepath.Join(r.agent.Dir, "passwd")); err != nil {
		t.Errorf("ready without files: %v", err)
	}
	r.server.Stop()
	d.tells("connection refused")
	if d.pings.Load() == 0 {
		t.Error("the watchdog heard nothing")
	}
}

func TestTheAgentIsReadyFromItsMirrorWhenTheServerIsAway(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0)
	r.server.Stop()
	if err := os.Remove(filepath.Join(r.agent.Dir, "passwd")); err != nil {
		t.Fatal(err)
	}
	d := r.daemonize(t)
	d.tells("READY=1")
	content, err := os.ReadFile(filepath.Join(r.agent.Dir, "passwd"))
	if err != nil || !lineBegins("ada:")(content) {
		t.Errorf("passwd holds %q, %v", content, err)
	}
}

func TestAChangedConfigurationIsTakenWhileTheAgentRuns(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.dir, "agent.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := harness.NewWatch(r.agent.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	until := func(text string) {
		t.Helper()
		if err := watch.Until(within(t), "passwd", harness.Has(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("home-pattern: /home/%u\n")
	d := r.daemonize(t, "--config", file)
	until(":/home/ada:")
	write("home-pattern: /people/%u\n")
	until(":/people/ada:")
	d.tells("RELOADING=1")
	if text := d.tells("MONOTONIC_USEC="); len(text) < len("MONOTONIC_USEC=1") {
		t.Error("no time")
	}
	d.tells("READY=1")

	write("home-patern: /home/%u\n")
	if line := d.logs("goes on with the one before"); !strings.Contains(line, "home-patern") {
		t.Errorf("the log does not say what is wrong: %s", line)
	}
	// It goes on indeed.
	if _, err := r.scim.Create(t.Context(), "/Users", user("bob")); err != nil {
		t.Fatal(err)
	}
	until(":/people/bob:")

	// A change that inotify does not see, of what a link in another directory
	// leads to, is taken when asked for.
	elsewhere := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(elsewhere, []byte("home-pattern: /staff/%u\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, file+".link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".link", file); err != nil {
		t.Fatal(err)
	}
	until(":/staff/bob:")
	if err := os.WriteFile(elsewhere, []byte("home-pattern: /folk/%u\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(":/folk/bob:")
}

func TestAnEditedFileIsPutRightAtOnceWithAWarningThatShowsTheDifference(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	watch, err := harness.NewWatch(r.agent.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	d := r.daemonize(t)
	d.tells("READY=1")
	passwd := filepath.Join(r.agent.Dir, "passwd")
	right, err := os.ReadFile(passwd)
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range []struct {
		name  string
		do    func() error
		wants []string
	}{
		{"a line added", func() error {
			return os.WriteFile(passwd, append(right, "eve:x:0:0::/root:/bin/sh\n"...), 0o644)
		}, []string{"bytes in place of", "-eve:x:0:0"}},
		{"removed", func() error { return os.Remove(passwd) }, []string{passwd + " is gone", "+ada:x:"}},
		{"replaced", func() error {
			if err := os.WriteFile(passwd+".mine", []byte("eve:x:0:0::/root:/bin/sh\n"), 0o644); err != nil {
				return err
			}
			return os.Rename(passwd+".mine", passwd)
		}, []string{"-eve:x:0:0"}},
		{"shadow opened to all", func() error { return os.Chmod(filepath.Join(r.agent.Dir, "shadow"), 0o644) }, []string{"shadow has mode 0644"}},
	} {
		if err := edit.do(); err != nil {
			t.Fatal(err)
		}
		line := d.logs("somebody else changed")
		for _, want := range edit.wants {
			if !strings.Contains(line, want) {
				t.Errorf("%s: the warning does not say %q: %s", edit.name, want, line)
			}
		}
		if strings.Contains(line, "$6$") {
			t.Errorf("%s: a hash in %s", edit.name, line)
		}
		if now, err := os.ReadFile(passwd); err != nil || string(now) != string(right) {
			t.Errorf("%s: passwd is %q, %v", edit.name, now, err)
		}
	}
	states, err := harness.NewWatch(r.agent.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer states.Close()
	if err := states.Until(within(t), "state.json", harness.Has(`"mends": 4`)); err != nil { // the log is ahead of it
		t.Fatal(err)
	}
	if out, err := r.agent.Command(t.Context(), "status").CombinedOutput(); err != nil || !strings.Contains(string(out), "4 mends") {
		t.Errorf("status: %v\n%s", err, out)
	}
}

func TestANewTokenEndsTheWaitAfterARefusal(t *testing.T) {
	r := newRig(t)
	good, err := os.ReadFile(r.agent.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.agent.TokenFile, []byte("wrong-"+string(good)), 0o600); err != nil {
		t.Fatal(err)
	}
	d := r.daemonize(t, "--min-backoff", "1h", "--max-backoff", "1h")
	d.logs("401 Unauthorized")
	if err := os.WriteFile(r.agent.TokenFile+".new", good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.agent.TokenFile+".new", r.agent.TokenFile); err != nil {
		t.Fatal(err)
	}
	d.logs("all is well again")
}

func TestReloadsLeaveNoDescriptorBehind(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	d := r.daemonize(t)
	d.tells("READY=1")
	open := func() int {
		all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	first := 0
	for n := range 30 {
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		d.tells("RELOADING=1")
		d.tells("READY=1")
		if n == 4 {
			first = open()
		}
	}
	if last := open(); last > first+10 { // some are being closed, or come and go
		t.Errorf("%d descriptors after five reloads, %d after thirty", first, last)
	}
}
