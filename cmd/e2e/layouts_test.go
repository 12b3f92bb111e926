package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unshared is a shell script in a mount namespace of its own.
func unshared(t testing.TB, script string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-ec", script, "sh"}, args...)...).CombinedOutput()
	return string(out), err
}

func TestLibnssCacheFindsEverybody(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "getent", "id")
	if libs, _ := filepath.Glob("/usr/lib/*/libnss_cache.so.2"); len(libs) == 0 {
		missing(t, "libnss-cache is needed", fmt.Errorf("apt-get install libnss-cache"))
	}
	const users = 300
	r := newRig(t)
	ids := r.push(t, 8, users, "user")
	var members []map[string]string
	for _, id := range ids[:20] {
		members = append(members, map[string]string{"value": id})
	}
	if _, err := r.scim.Create(t.Context(), "/Groups", map[string]any{"displayName": "team", "members": members}); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0, "--layout", "nsscache")
	nsswitch := filepath.Join(r.dir, "nsswitch.conf")
	if err := os.WriteFile(nsswitch, []byte("passwd: files cache\ngroup: files cache\nshadow: files cache\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// An overlay would need more than bind mounts of new files: /etc is copied.
	prepare := `mount -t tmpfs -o mode=755 none /mnt; cp -a /etc/passwd /etc/group /etc/shadow ` + nsswitch + ` /mnt/; cp -a ` + r.agent.Dir + `/*.cache* /mnt/; mount --move /mnt /etc
if [ -d /run/nscd ]; then mount -t tmpfs none /run/nscd; fi; `
	passwd := lines(t, filepath.Join(r.agent.Dir, "passwd.cache"))
	var names, uids, want []string
	for name, line := range passwd {
		names, uids, want = append(names, name), append(uids, strings.Split(line, ":")[2]), append(want, line)
	}
	slices.Sort(want)
	for what, keys := range map[string][]string{"names": names, "uids": uids} {
		out, err := unshared(t, prepare+`exec getent passwd "$@"`, keys...)
		got := strings.Split(strings.TrimSpace(out), "\n")
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("getent passwd with all %s: %v, %d lines, want %d", what, err, len(got), len(want))
		}
	}
	// The index alone is asked: a file that the index does not lead to has nobody.
	out, err := unshared(t, prepare+`printf 'extra:x:5000:5000::/home/extra:/bin/sh\n' >> /etc/passwd.cache; touch -d '+1 minute' /etc/passwd.cache.ix*; getent passwd extra || echo none; rm /etc/passwd.cache.ix*; getent passwd extra`)
	if err != nil || !strings.HasPrefix(out, "none\nextra:") {
		t.Errorf("the index is not what is asked: %v\n%s", err, out)
	}
	group := lines(t, filepath.Join(r.agent.Dir, "group.cache"))
	gid := strings.Split(group["team"], ":")[2]
	out, err = unshared(t, prepare+`getent group team `+gid+`; getent shadow user7; id -nG user7; getent passwd nosuch 4294967290 || echo none`)
	shadow := lines(t, filepath.Join(r.agent.Dir, "shadow.cache"))
	if want := group["team"] + "\n" + group["team"] + "\n" + shadow["user7"] + "\nuser7 team\nnone\n"; err != nil || out != want {
		t.Errorf("%v, got\n%swant\n%s", err, out, want)
	}
	if status, out := r.run(t, "plan", "--layout", "nsscache"); status != 0 {
		t.Errorf("a plan after the pass ended with %d:\n%s", status, out)
	}
}

func TestImageIsRenderedBelowItsRoot(t *testing.T) {
	t.Parallel()
	r, _ := policyRig(t)
	for distribution, dir := range map[string]string{"ID=debian": "var/lib/extrausers", "ID=rocky\nID_LIKE=\"rhel centos fedora\"": "usr/lib"} {
		root := t.TempDir()
		for _, d := range []string{"etc", "usr/lib", "var/lib/extrausers"} {
			if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range map[string]string{
			"os-release": distribution + "\n",
			"passwd":     "root:x:0:0:root:/root:/bin/bash\nbob:x:1500:1500::/home/bob:/bin/sh\n", "group": "root:x:0:\n",
		} {
			if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := bin.Command(t.Context(), "pwb-agent", "sync", "--root", root, "--server", r.agent.Server, "--token-file", r.agent.TokenFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", distribution, err, out)
		}
		passwd := lines(t, filepath.Join(root, dir, "passwd"))
		if passwd["ada"] == "" || passwd["bob"] != "" {
			t.Errorf("%s: rendered %v", distribution, passwd)
		}
		if _, err := os.Stat(filepath.Join(root, "var/lib/pwb/mirror")); err != nil {
			t.Error(err)
		}
	}
}

func TestImageOfARunningSystemIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	need(t, "unshare")
	r := newRig(t)
	agent := filepath.Join(string(bin), "pwb-agent")
	out, err := unshared(t, `mount -t tmpfs none /run; touch /run/ostree-booted; "$@" || echo status $?`,
		agent, "sync", "--layout", "altfiles", "--server", r.agent.Server, "--token-file", r.agent.TokenFile, "--state-dir", r.agent.StateDir, "--hooks-dir", "", "--nscd-socket", "")
	if err != nil || !strings.Contains(out, "status 1") || !strings.Contains(out, "lies in the image of this system") || !strings.Contains(out, "--root") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(r.agent.StateDir); err == nil {
		t.Error("the state directory was made")
	}
	out, err = unshared(t, `mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; "$@" || echo status $?`, append([]string{r.agent.Dir}, r.agent.Command(t.Context(), "sync").Args...)...)
	if err != nil || !strings.Contains(out, "status 1") || !strings.Contains(out, "read-only") || !strings.Contains(out, "--root") {
		t.Errorf("%v\n%s", err, out)
	}
}
