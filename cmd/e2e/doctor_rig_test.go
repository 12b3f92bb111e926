package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patient is a node as pwb-agent setup leaves it, in a mount namespace with an /etc, a
// /run and libraries of its own, and a server that speaks TLS.
type patient struct {
	*rig
	*mounts
	t *testing.T
}

// finding is what pwb-agent doctor --json prints.
type finding struct{ Check, State, What, Why, Mend, Advice string }

func newPatient(t *testing.T) *patient {
	t.Helper()
	need(t, "unshare", "nsenter", "mount", "cp", "ldconfig", "getent", "nscd")
	if libs, _ := filepath.Glob("/usr/lib/libnss_extrausers.so.2"); len(libs) == 0 {
		missing(t, "libnss-extrausers is needed", errors.New("it is not in /usr/lib"))
	}
	if err := buildModule(); err != nil {
		t.Fatal(err)
	}
	certs := t.TempDir()
	cert, key := certificate(t, certs, "server")
	p := &patient{rig: newRig(t, "--tls-cert", cert, "--tls-key", key), mounts: newMounts(t), t: t}
	p.scim.Client = trusting(t, cert)
	for _, step := range []error{
		os.Chmod(p.dir, 0o755),
		os.Mkdir(p.at("lib"), 0o755),
		copyFile(filepath.Join(string(bin), "libnss_pwb.so.2"), p.at("lib/libnss_pwb.so.2")),
		copyFile(cert, p.at("ca.crt")),
		exec.Command("cp", "-a", "/etc", p.at("etc")).Run(),
		exec.Command("cp", "-a", "/var/lib/pam", p.at("pam")).Run(),
		exec.Command("cp", "-a", "/usr/share/pam-configs", p.at("pam-configs")).Run(),
		os.MkdirAll(p.at("etc/rstudio"), 0o755),
		os.MkdirAll(p.at("etc/pwb"), 0o755),
		os.MkdirAll(p.at("etc/cron.d"), 0o755),
		p.server.TokenFile(t.Context(), p.at("etc/rstudio/admin-token"), "node1-admin", "node-admin"),
		p.server.TokenFile(t.Context(), p.at("etc/rstudio/user-token"), "node1-user", "node-user"),
		os.Chmod(p.at("etc/rstudio/user-token"), 0o644),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	p.put("etc/pwb/agent.yaml", fmt.Sprintf("server: %s\nca-cert: %s\nstate-dir: %s\n", p.server.URL, p.at("ca.crt"), p.agent.StateDir))
	p.put("etc/rstudio/workbench-nss.conf", fmt.Sprintf("server-address = %s\nca-cert-path = %s\nstate-dir = %s\n", p.server.URL, p.at("ca.crt"), p.agent.StateDir))
	p.put("etc/nsswitch.conf", "# a node\npasswd:         files extrausers systemd pwb\ngroup:          files extrausers systemd pwb\nshadow:         files extrausers pwb\n\nhosts:          files dns\n")
	p.put("etc/cron.d/pwb-agent", "* * * * * root pwb-agent sync\n")
	p.sh(t, `
		mount --bind "$1/etc" /etc
		mount --bind "$1/files" /var/lib/extrausers
		mount --bind "$1/lib" /usr/local/lib
		mount --bind "$1/pam" /var/lib/pam
		mount --bind "$1/pam-configs" /usr/share/pam-configs
		mount -t tmpfs none /run
		mount -t tmpfs none /srv
		mount -t tmpfs none /usr/libexec
		mkdir -p /usr/libexec/pwb
		ldconfig`, p.dir)
	return p
}

// at is a path in the rig's directory.
func (p *patient) at(name string) string { return filepath.Join(p.dir, name) }

func (p *patient) put(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.at(name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// runs runs a command on the node, as root at a prompt would.
func (p *patient) runs(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", p.pid, "-m"}, args...)...)
	cmd.Env = []string{"PATH=" + string(bin) + ":/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "DEBIAN_FRONTEND=noninteractive"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v\n%s%s", args, err, &out, &errs)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// doctor returns what the doctor finds besides what is well, and its exit status.
func (p *patient) doctor(t *testing.T) (wrong, skipped []finding, status int) {
	t.Helper()
	out, stderr, status := p.runs(t, "pwb-agent", "doctor", "--json")
	if status == 1 {
		t.Fatalf("the doctor could not run: %s", stderr)
	}
	for line := range strings.Lines(out) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch f.State {
		case "ok":
		case "skipped":
			skipped = append(skipped, f)
		default:
			wrong = append(wrong, f)
		}
	}
	p.keepsSecrets(t, out+stderr)
	return wrong, skipped, status
}

// keepsSecrets fails the test if a text has a token or a hash.
func (p *patient) keepsSecrets(t *testing.T, text string) {
	t.Helper()
	for _, file := range []string{"etc/rstudio/admin-token", "etc/rstudio/user-token"} {
		if token, err := os.ReadFile(p.at(file)); err == nil && len(token) > 1 && strings.Contains(text, strings.TrimSpace(string(token))) {
			t.Errorf("the token in %s is shown:\n%s", file, text)
		}
	}
	if strings.Contains(text, "$6$") {
		t.Errorf("a hash is shown:\n%s", text)
	}
}

// isWell fails the test unless the doctor finds nothing and sees all.
func (p *patient) isWell(t *testing.T) {
	t.Helper()
	if wrong, skipped, status := p.doctor(t); status != 0 || len(wrong)+len(skipped) > 0 {
		t.Fatalf("the node is not well, status %d:\n%+v\nskipped: %+v", status, wrong, skipped)
	}
}

func (p *patient) sync(t *testing.T, want int) {
	t.Helper()
	if out, stderr, status := p.runs(t, "pwb-agent", "sync"); status != want {
		t.Fatalf("sync ended with status %d, not %d: %s%s", status, want, out, stderr)
	}
}
