package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pwb/pam"
)

// desk is a guest at which people log in: PAM runs pwb-pam as Debian's own tool wires
// it, and /home and the system's log are the namespace's.
type desk struct {
	*guest
	program string // pwb-pam in the namespace, as the outside sees it
	mu      sync.Mutex
	logged  strings.Builder
	news    chan struct{} // has an element when more was logged
}

// newDesk makes one with pam-configs by their names, which pam-auth-update enables. The
// local user lynn is in its passwd.
func newDesk(t *testing.T, configs map[string]string, settings ...string) *desk {
	t.Helper()
	need(t, "pamtester", "pam-auth-update", "su")
	d := &desk{guest: newGuest(t), news: make(chan struct{}, 1)}
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(d.dir, "syslog"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 64<<10)
		for {
			n, err := log.Read(b)
			if err != nil {
				return
			}
			d.mu.Lock()
			d.logged.Write(append(b[:n:n], '\n'))
			d.mu.Unlock()
			select {
			case d.news <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		log.Close()
		<-done
		if t.Failed() {
			t.Logf("the system's log:\n%s", d.log())
		}
	})
	d.sh(t, `cd "$1"
		mkdir real configs saved; mount --bind /usr/libexec real; mount -t tmpfs -o mode=755 none /usr/libexec
		for f in real/*; do ln -s "$1/$f" /usr/libexec/; done
		mkdir /usr/libexec/pwb; cp "$2/pwb-pam" /usr/libexec/pwb/; ln -s "$1/syslog" /run/log
		cp -a /usr/share/pam-configs/. configs; mount --bind configs /usr/share/pam-configs
		cp -a /var/lib/pam/. saved; mount --bind saved /var/lib/pam; mount -t tmpfs none /var/cache/debconf
		mount -t tmpfs -o mode=755 none /home; mkdir -p /etc/pwb
		echo 'lynn:x:70001:70001::/home/lynn:/bin/sh' >> /etc/passwd; echo 'lynn:x:70001:' >> /etc/group; echo 'lynn:*:::::::' >> /etc/shadow`, d.dir, string(bin))
	d.program = filepath.Join("/proc", d.pid, "root/usr/libexec/pwb/pwb-pam")
	d.write(t, "pwb/agent.yaml", fmt.Sprintf("server: %s\ndir: %s\nstate-dir: %s\nrun-dir: %s\nsettle: 0s\n", d.server.URL, d.agent.Dir, d.agent.StateDir, filepath.Join(d.dir, "run")))
	d.write(t, "pwb/pam.yaml", strings.Join(append(settings, "decoy: $6$rounds=5000$"), "\n")+"\n")
	for name, text := range configs {
		if err := os.WriteFile(filepath.Join(d.dir, "configs", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, status := d.looks(t, "env", "DEBIAN_FRONTEND=noninteractive", "pam-auth-update", "--enable", name, "--force"); status != 0 {
			t.Fatalf("pam-auth-update: %d\n%s", status, out)
		}
	}
	// pam_unix waits 2 s after each failure, for which the tests have no time.
	d.sh(t, "sed -i 's/pam_unix.so nullok/pam_unix.so nodelay nullok/' /etc/pam.d/common-auth; grep -q nodelay /etc/pam.d/common-auth")
	return d
}

var loginProfile = map[string]string{"pwb": pam.DebianProfile}

func (d *desk) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.logged.String()
}

// said waits until the system's log has a text.
func (d *desk) said(t *testing.T, text string) {
	t.Helper()
	ctx := within(t)
	for !strings.Contains(d.log(), text) {
		select {
		case <-d.news:
		case <-ctx.Done():
			t.Fatalf("the log does not say %q:\n%s", text, d.log())
		}
	}
}

// phase runs a phase of PAM with pamtester, as the service sshd.
func (d *desk) phase(t *testing.T, who, operation, password string, items ...string) (out string, good bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	args := []string{"-t", d.pid, "-m", "pamtester"}
	for _, item := range items {
		args = append(args, "-I", item)
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, "sshd", who, operation)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}
	cmd.Stdin = strings.NewReader(password + "\n")
	cmd.Dir = "/"
	b, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s of %s hangs: %s", operation, who, b)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), err == nil
}

// person creates a user with a password and returns the id.
func (d *desk) person(t *testing.T, name, password string) string {
	t.Helper()
	body := user(name)
	if password != "" {
		body["password"] = password
	}
	id, err := d.scim.Create(t.Context(), "/Users", body)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// home describes the home of a user: mode, owner.
func (d *desk) home(t *testing.T, name string) string {
	t.Helper()
	fi, err := os.Lstat(filepath.Join("/proc", d.pid, "root/home", name))
	if errors.Is(err, os.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d:%d", fi.Mode(), st.Uid, st.Gid)
}

func (d *desk) wantHome(t *testing.T, name string) {
	t.Helper()
	uid, err := strconv.Atoi(d.uid(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.home(t, name), fmt.Sprintf("drwx------ %d:%d", uid, uid); got != want {
		t.Errorf("the home of %s is %s, want %s", name, got, want)
	}
	if left := d.listing(t, "/home/.pwb-*"); len(left) > 0 {
		t.Errorf("left beside it: %q", left)
	}
}

func (d *desk) listing(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("/proc", d.pid, "root", pattern))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
