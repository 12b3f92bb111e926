package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// opens runs pwb-pam session in the namespace, below another program perhaps.
func (m *mounts) opens(t *testing.T, r *rig, who string, below ...string) (out string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := append([]string{"-t", m.pid, "-m"}, below...)
	args = append(args, filepath.Join(string(bin), "pwb-pam"), "session", "--dir", r.agent.Dir, "--state-dir", r.agent.StateDir, "--run-dir", "", "--agent-config", "/nowhere",
		"--layout", "extrausers", "--skel", filepath.Join(r.dir, "skel"), "--work-dir", filepath.Join(r.dir, "work-"+m.pid))
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = []string{"PAM_TYPE=open_session", "PAM_USER=" + who, "PATH=/usr/bin:/bin"}
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stdout
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// newHomeRig is a node with ada, a skeleton, and a namespace with a small /home.
func newHomeRig(t *testing.T) (*rig, *mounts, string) {
	t.Helper()
	m := newMounts(t)
	r := newRig(t)
	r.some(t, "ada")
	r.sync(t, 0)
	m.sh(t, `mount -t tmpfs -o mode=755,size=200k,nr_inodes=40 none /home; mkdir -p "$1/skel/.config"; ln -s ../x "$1/skel/.config/link"; head -c 60000 /dev/zero > "$1/skel/.cache"; echo hello > "$1/skel/.profile"`, r.dir)
	return r, m, filepath.Join("/proc", m.pid, "root/home")
}

func TestAFullDiskMakesNoHomeAndLeavesNothing(t *testing.T) {
	t.Parallel()
	r, m, home := newHomeRig(t)
	for _, fill := range []string{`head -c 1M /dev/zero > /home/filler || test -s /home/filler`, `head -c 160k /dev/zero > /home/filler`, `i=0; while touch /home/filler$i; do i=$((i+1)); done 2>/dev/null; rm /home/filler0 /home/filler1; test $i -gt 9`} {
		m.sh(t, fill)
		out, status := m.opens(t, r, "ada")
		if status != 1 || !strings.Contains(out, "There is no room on the disk for the home /home/ada") {
			t.Errorf("%s: %d, %q", fill, status, out)
		}
		m.sh(t, `rm -f /home/filler*`)
		if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
			t.Errorf("%s: left: %v, %v", fill, left, err)
		}
	}
	m.sh(t, `mount -o remount,ro /home`)
	if out, status := m.opens(t, r, "ada"); status != 1 || !strings.Contains(out, "could not be made") {
		t.Errorf("read-only: %d, %q", status, out)
	}
	m.sh(t, `mount -o remount,rw /home`)
	if out, status := m.opens(t, r, "ada"); status != 0 || out != "" {
		t.Errorf("%d, %q", status, out)
	}
	if fi, err := os.Stat(filepath.Join(home, "ada/.cache")); err != nil || fi.Size() != 60000 {
		t.Errorf("%v, %v", fi, err)
	}
}

func TestEverySystemCallOfAHomeMayFailOrBeTheLast(t *testing.T) {
	t.Parallel()
	need(t, "strace")
	r, m, home := newHomeRig(t)
	calls := []string{"mkdirat", "fchown", "fchmod", "symlinkat", "fchownat", "fsync", "renameat2", "flock", "write", "readlinkat", "ftruncate", "pwrite64"}
	tried := 0
	for _, call := range calls {
		for _, end := range []string{"error=EIO", "signal=KILL"} {
			for when := 1; when < 12; when++ {
				m.sh(t, `rm -rf /home/ada`)
				out, status := m.opens(t, r, "ada", "strace", "-f", "-o", "/dev/null", "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", call, end, when))
				made, err := os.ReadDir(filepath.Join(home, "ada"))
				whole := err == nil && len(made) == 3
				if err == nil && !whole {
					t.Errorf("%s %s %d: half a home: %v", call, end, when, made)
				}
				if status == 0 && whole {
					break // no such call any more
				}
				tried++
				if status == 0 {
					t.Errorf("%s %s %d: status 0 without a home: %q", call, end, when, out)
				}
				if end == "error=EIO" && !whole {
					if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
						t.Errorf("%s %s %d: left: %v, %v", call, end, when, left, err)
					}
				}
				if out, status := m.opens(t, r, "ada"); status != 0 {
					t.Fatalf("after %s %s %d: %d, %q", call, end, when, status, out)
				}
				if left, err := os.ReadDir(home); err != nil || len(left) != 1 && !whole {
					t.Errorf("after %s %s %d: %v, %v", call, end, when, left, err)
				}
			}
		}
	}
	if tried < 30 {
		t.Errorf("%d faults only were tried", tried)
	}
}

func TestOfTenProcessesOneMakesTheHome(t *testing.T) {
	t.Parallel()
	r, m, home := newHomeRig(t)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if out, status := m.opens(t, r, "ada"); status != 0 || out != "" {
				t.Errorf("%d, %q", status, out)
			}
		})
	}
	all.Wait()
	left, err := os.ReadDir(home)
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestADamagedIndexLetsNobodyInWhoLeft(t *testing.T) {
	t.Parallel()
	need(t)
	r := newRig(t)
	ids := r.some(t, "ada", "carol")
	r.patch(t, ids["carol"], "active", false)
	r.sync(t, 0, "--index=true")
	asks := func(who string) int {
		t.Helper()
		cmd := bin.Command(t.Context(), "pwb-pam", "account", "--dir", r.agent.Dir, "--state-dir", r.agent.StateDir, "--run-dir", "", "--agent-config", "/nowhere", "--layout", "extrausers")
		cmd.Env = []string{"PAM_TYPE=account", "PAM_USER=" + who}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, out)
		}
		return cmd.ProcessState.ExitCode()
	}
	for _, index := range []string{"roster.idx", "shadow.idx"} {
		path := filepath.Join(r.agent.StateDir, index)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for sentence, bad := range map[string][]byte{
			"whole":          good,
			"without tables": append(bytes.Clone(good[:160]), make([]byte, len(good)-160)...),
			"cut":            good[:len(good)/2],
			"empty":          {},
			"other":          bytes.Repeat([]byte{0xff}, len(good)),
		} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			for who, want := range map[string]int{"ada": 0, "carol": 1, "root": 0, "nosuch": 0} {
				if got := asks(who); got != want {
					t.Errorf("%s %s: %s gets %d, want %d", index, sentence, who, got, want)
				}
			}
		}
		// What cannot be read at all refuses whom nobody knows, and not root.
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(r.agent.Dir, strings.TrimSuffix(strings.Replace(index, "roster", "passwd", 1), ".idx"))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if got := asks("carol"); got != 2 {
			t.Errorf("%s unreadable and %s gone: who is locked gets %d", index, file, got)
		}
		if err := os.Mkdir(file, 0o755); err != nil {
			t.Fatal(err)
		}
		for who, want := range map[string]int{"ada": 2, "carol": 2, "root": 0} {
			if got := asks(who); got != want {
				t.Errorf("%s and %s unreadable: %s gets %d, want %d", index, file, who, got, want)
			}
		}
		if err := errors.Join(os.Remove(file), os.WriteFile(file, text, 0o600), os.WriteFile(path, good, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkAccountCheck is a whole process of pwb-pam account, for somebody of many.
func BenchmarkAccountCheck(b *testing.B) {
	r := newRig(b)
	r.push(b, 8, 1000, "user")
	r.sync(b, 0, "--index=true")
	args := []string{"account", "--dir", r.agent.Dir, "--state-dir", r.agent.StateDir, "--run-dir", filepath.Join(r.dir, "none"), "--agent-config", "/nowhere", "--layout", "extrausers"}
	for _, who := range []string{"user500", "root"} {
		b.Run(who, func(b *testing.B) {
			for b.Loop() {
				cmd := bin.Command(b.Context(), "pwb-pam", args...)
				cmd.Env = []string{"PAM_TYPE=account", "PAM_USER=" + who}
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
		})
	}
}
