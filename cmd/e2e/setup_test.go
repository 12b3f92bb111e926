package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newSetupGuest is a node on which the module is installed, and nothing is set up: its
// /etc, profiles of PAM and homes are its own.
func newSetupGuest(t *testing.T) *guest {
	t.Helper()
	need(t, "pam-auth-update", "getent", "su")
	g := newGuest(t)
	g.write(t, "nsswitch.conf", "# as installed\npasswd:         files systemd\ngroup:          files systemd\nshadow:         files systemd\ninitgroups:     files\nhosts:          files dns\n")
	g.sh(t, `rm -f /etc/rstudio/workbench-nss.conf
for dir in /usr/share/pam-configs /var/lib/pam /usr/libexec; do
  mkdir -p "$1/own$dir"; cp -a "$dir/." "$1/own$dir"; mount --bind "$1/own$dir" "$dir"
done
mount -t tmpfs -o mode=755 none /home
mkdir -p /usr/libexec/pwb
printf '#!/bin/sh\necho "$PAM_USER $1" >> "%s/asked"\ntest ! -e "%s/refuse"\n' "$1" "$1" > /usr/libexec/pwb/pwb-pam
chmod 755 /usr/libexec/pwb/pwb-pam`, g.dir)
	return g
}

// pictured is all that setup may touch: kinds, modes, owners, times of files, contents.
func (g *guest) pictured(t *testing.T) string {
	t.Helper()
	out, status := g.looks(t, "sh", "-c", `find /etc /usr/share/pam-configs /var/lib/pam /var/cache/debconf ! -type d -printf '%y %m %u %g %p %T@\n' -o -printf '%y %m %u %g %p\n' | sort
find /etc /usr/share/pam-configs /var/lib/pam /var/cache/debconf -type f -exec sha256sum {} + | sort`)
	if status != 0 {
		t.Fatal(out)
	}
	return out
}

// setup must end with the status; it returns what it said.
func (g *guest) setup(t *testing.T, status int, flags ...string) string {
	t.Helper()
	out, got := g.looks(t, append([]string{filepath.Join(string(bin), "pwb-agent"), "setup", "--server", g.server.URL, "--state-dir", g.agent.StateDir,
		"--lib-dir", filepath.Join(g.dir, "lib"), "--without", "nscd"}, flags...)...)
	if got != status {
		t.Fatalf("setup %q ended with %d, not %d:\n%s", flags, got, status, out)
	}
	return out
}

// TestANodeIsSetUpLooksUpLetsInAndIsAsItWas sets a node up with the distribution's own
// tool, looks people up with getent, lets them in with su, and undoes it all.
func TestANodeIsSetUpLooksUpLetsInAndIsAsItWas(t *testing.T) {
	g := newSetupGuest(t)
	id, err := g.scim.Create(t.Context(), "/Users", user("ada"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.scim.Create(t.Context(), "/Groups", map[string]any{"displayName": "team", "members": []any{map[string]any{"value": id}}}); err != nil {
		t.Fatal(err)
	}
	g.sync(t, 0)
	before := g.pictured(t)
	if out, status := g.looks(t, "getent", "passwd", "ada"); status != 2 {
		t.Fatalf("before setup there is %q", out)
	}

	shown := g.setup(t, 2, "--dry-run", "--source", "none")
	if now := g.pictured(t); now != before {
		t.Fatal("--dry-run wrote something")
	}
	for _, want := range []string{
		"+passwd:         files systemd pwb\n", "+initgroups:     files [SUCCESS=continue] pwb\n", "+++ /etc/pam.d/common-account\n",
		"+account\trequired\tpam_exec.so quiet stdout /usr/libexec/pwb/pwb-pam account\n", "+server-address = " + g.server.URL + "\n", "+session\toptional\t\t\tpam_mkhomedir.so",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("--dry-run does not show %q:\n%s", want, shown)
		}
	}
	g.setup(t, 0, "--source", "none")
	// Where its index lies is as the rig has it.
	if out, _ := g.looks(t, "cat", "/etc/rstudio/workbench-nss.conf"); !strings.Contains(out, "state-dir = "+g.agent.StateDir) {
		t.Errorf("workbench-nss.conf is\n%s", out)
	}
	if out := g.setup(t, 0, "--source", "none"); !strings.Contains(out, "nothing is to be done") {
		t.Errorf("a second setup says\n%s", out)
	}

	for _, c := range [][2]string{{"passwd", ":User ada:/home/ada:/bin/bash"}, {"initgroups", " 1"}} {
		if out, status := g.looks(t, "getent", c[0], "ada"); status != 0 || !strings.HasPrefix(out, "ada") || !strings.Contains(out, c[1]) {
			t.Errorf("getent %s: %d %q", c[0], status, out)
		}
	}
	if out, _ := g.looks(t, "id", "-Gn", "ada"); out != "ada team" {
		t.Errorf("ada's groups are %q", out)
	}
	if out, status := g.looks(t, "su", "-", "ada", "-c", "pwd; stat -c %U:%a ."); status != 0 || !strings.HasPrefix(out, "/home/ada\nada:7") {
		t.Errorf("su: %d %q", status, out)
	}
	if out, _ := g.looks(t, "cat", filepath.Join(g.dir, "asked")); out != "ada account" {
		t.Errorf("pwb-pam was asked %q", out)
	}
	g.sh(t, `touch "$1/refuse"`, g.dir)
	if out, status := g.looks(t, "su", "-", "ada", "-c", "id"); status == 0 {
		t.Errorf("su of somebody whom pwb-pam refuses says %q", out)
	}
	if out, status := g.looks(t, "su", "-", "root", "-c", "id -u"); status != 0 || out != "0" {
		t.Errorf("root is asked about, too: %d %q", status, out)
	}

	g.setup(t, 0, "--undo")
	if now := g.pictured(t); now != before {
		t.Errorf("undo left\n%s\nbut there was\n%s", now, before)
	}
	g.setup(t, 0, "--undo")
	if out, status := g.looks(t, "getent", "passwd", "ada"); status != 2 {
		t.Errorf("after undo there is %q", out)
	}
}

// TestASetUpNodeReadsThePlainFilesFirst has libnss-extrausers, too.
func TestASetUpNodeReadsThePlainFilesFirst(t *testing.T) {
	g := newSetupGuest(t)
	if libs, _ := filepath.Glob("/usr/lib/libnss_extrausers.so.2"); len(libs) == 0 {
		missing(t, "libnss-extrausers is needed", nil)
	}
	g.sh(t, `mount --bind "$1" /var/lib/extrausers`, g.agent.Dir)
	if _, err := g.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	g.sync(t, 0)
	g.setup(t, 0, "--without", "pam,module")
	if out, _ := g.looks(t, "cat", "/etc/nsswitch.conf"); !strings.Contains(out, "passwd:         files extrausers systemd pwb\n") || !strings.Contains(out, "shadow:         files extrausers systemd pwb\n") {
		t.Errorf("nsswitch.conf is\n%s", out)
	}
	// The plain files answer when the index is gone.
	g.sh(t, `rm "$1/roster.idx" "$1/shadow.idx"`, g.agent.StateDir)
	for _, database := range []string{"passwd", "shadow"} {
		if out, status := g.looks(t, "getent", database, "ada"); status != 0 || !strings.HasPrefix(out, "ada:") {
			t.Errorf("getent %s: %d %q", database, status, out)
		}
	}
}

// TestSetupThatTheKernelKillsAtAnyRenameIsMended kills the real program when it is about
// to put its first file into place, its second, and so on; then another goes on, or undoes it.
func TestSetupThatTheKernelKillsAtAnyRenameIsMended(t *testing.T) {
	t.Parallel()
	need(t, "strace", "getent")
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/nsswitch.conf":       "passwd: files systemd\ngroup: files systemd\nshadow: files\n",
		"etc/nscd.conf":           "\tenable-cache\t\tpasswd\t\tyes\n",
		"etc/rstudio/admin-token": "pwb_a_b\n",
		"usr/lib/libnss_pwb.so.2": "",
		"var/lib/pwb/node":        "", // the agent was there before
	} {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	pictured := func() string {
		out, err := exec.Command("sh", "-c", `cd "$1" && find . ! -type d -printf '%y %m %u %g %p %T@\n' -o -printf '%y %m %u %g %p\n' | sort; find . -type f -exec sha256sum {} + | sort`, "sh", root).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	setup := func(flags ...string) []string {
		return append([]string{filepath.Join(string(bin), "pwb-agent"), "setup", "--root", root, "--server", "https://pwb.test", "--source", "none", "--nscd", "off", "--without", "pam"}, flags...)
	}
	run := func(args []string) (string, error) {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		return string(out), err
	}
	before := pictured()
	for n := 1; ; n++ {
		const calls = "rename,renameat,renameat2"
		args := append([]string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", calls, n)}, setup()...)
		out, err := run(args)
		if err == nil {
			// strace counts for each thread, so there are fewer than renames.
			if n == 1 {
				t.Errorf("nothing was killed:\n%s", out)
			}
		} else if !strings.Contains(err.Error(), "killed") {
			t.Fatalf("rename %d: %v\n%s", n, err, out)
		}
		last := err == nil
		if n%2 == 0 || last {
			if out, err := run(setup()); err != nil {
				t.Fatalf("after a kill at rename %d: %v\n%s", n, err, out)
			}
			if out, err := run(setup("--dry-run")); err != nil || !strings.Contains(out, "nothing is to be done") {
				t.Errorf("after a kill at rename %d and another setup: %v\n%s", n, err, out)
			}
		}
		if out, err := run(setup("--undo")); err != nil {
			t.Fatalf("undo after a kill at rename %d: %v\n%s", n, err, out)
		}
		if now := pictured(); now != before {
			t.Fatalf("undo after a kill at rename %d left\n%s\nbut there was\n%s", n, now, before)
		}
		if last {
			return
		}
	}
}
