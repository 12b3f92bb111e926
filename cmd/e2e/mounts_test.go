package e2e

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pwb/cmd/harness"
)

// mounts is a mount namespace of its own, for file systems that go wrong.
type mounts struct {
	pid string
}

func newMounts(t *testing.T) *mounts {
	t.Helper()
	need(t, "unshare", "nsenter", "mount", "cp")
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo $$; exec cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		missing(t, "a mount namespace is needed", err)
	}
	return &mounts{strings.TrimSpace(pid)}
}

// sh runs a script in the namespace, $1 and on being args; it must end well.
func (m *mounts) sh(t *testing.T, script string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "nsenter", append([]string{"-t", m.pid, "-m", "sh", "-ec", script, "sh"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// in makes an agent run in the namespace.
func (m *mounts) in(t *testing.T, r *rig) *rig {
	t.Helper()
	bins := filepath.Join(r.dir, "in-"+m.pid)
	if err := os.Mkdir(bins, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter -t %s -m %s/pwb-agent \"$@\"\n", m.pid, bin)
	if err := os.WriteFile(filepath.Join(bins, "pwb-agent"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	own := *r
	own.agent.Bin = harness.Bin(bins)
	return &own
}

// contents of the rendered files as the namespace has them.
func (m *mounts) contents(t *testing.T, r *rig) map[string]string {
	t.Helper()
	return contents(t, filepath.Join("/proc", m.pid, "root", r.agent.Dir))
}

// TestFileSystemsThatTakeNothingLeaveTheFilesAndAreTold breaks the file system of
// the rendered files and that of the state, one at a time.
func TestFileSystemsThatTakeNothingLeaveTheFilesAndAreTold(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "nsenter", "mount", "cp")
	base := newRig(t)
	base.push(t, 8, 20, "old")
	base.sync(t, 0)
	before := contents(t, base.agent.Dir)
	old := copyNode(t, base.agent, "old")
	base.push(t, 8, 400, "new") // some hundred KiB
	base.sync(t, 0)
	after := contents(t, base.agent.Dir)

	const (
		// own puts a file system with what is there in its place, with options.
		own      = `mount -t tmpfs -o "mode=$(stat -c %a "$1"),$2" none /mnt; cp -a "$1"/. /mnt; mount --move /mnt "$1"`
		readOnly = `mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"`
		// fill takes what is left, to the last page or inode.
		fill   = `head -c 100M /dev/zero > "$1/filler" 2>/dev/null || test -s "$1/filler"`
		inodes = `i=0; while touch "$1/filler-$i"; do i=$((i+1)); done 2>/dev/null; test $i -gt 0`
		unfill = `rm -f "$1"/filler*`
	)
	for _, c := range []struct {
		name       string
		state      bool // that of the state directory, else that of the files
		wrong      string
		fill, mend string
		options    string
		pass       string // what the pass says
		status     string // what the status says
	}{
		{"files, read-only", false, readOnly, "", `umount "$1"`, "", "read-only file system", "read-only file system"},
		{"files, small", false, own, "", `mount -o remount,size=10m "$1"`, "size=20k", "no space left on device", "no space left on device"},
		{"files, full", false, own, fill, unfill, "size=200k", "no space left on device", "no space left on device"},
		{"files, without inodes", false, own, inodes, unfill, "nr_inodes=20", "no space left on device", "no space left on device"},
		{"state, read-only", true, readOnly, "", `umount "$1"`, "", "read-only file system", "read-only file system"},
		{"state, small", true, own, "", `mount -o remount,size=10m "$1"`, "size=40k", "no space left on device", "no space left on device"},
		{"state, full", true, own, fill, unfill, "size=1m", "no space left on device", "its file system is full"},
		{"state, without inodes", true, own, inodes, unfill, "nr_inodes=20", "no space left on device", "no inodes left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMounts(t)
			r := *base
			r.agent = copyNode(t, old, strings.ReplaceAll(strings.ReplaceAll(c.name, ", ", "-"), " ", "-"))
			in := m.in(t, &r)
			broken := r.agent.Dir
			if c.state {
				broken = r.agent.StateDir
			}
			m.sh(t, c.wrong, broken, c.options)
			if c.fill != "" {
				m.sh(t, c.fill, broken)
			}
			for range 2 {
				out := in.sync(t, 1)
				if !strings.Contains(out, c.pass) {
					t.Errorf("the pass does not say %q:\n%s", c.pass, out)
				}
				noSecret(t, out)
				in.status(t, 1, c.status)
				if now := m.contents(t, &r); !maps.Equal(now, before) {
					t.Error("the files changed")
				}
			}
			m.sh(t, c.mend, broken)
			in.sync(t, 0)
			in.status(t, 0, "went well")
			if now := m.contents(t, &r); !maps.Equal(now, after) {
				t.Error("the next pass does not mend it")
			}
			m.sh(t, `test -z "$(find "$1" -name '.*' -type f)"`, broken)
		})
	}
}
