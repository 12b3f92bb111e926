package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newcomer is a node that has no tokens yet.
type newcomer struct {
	*rig
	etc string
}

func (r *rig) newcomer(t *testing.T, name string) *newcomer {
	t.Helper()
	n := &newcomer{r, filepath.Join(r.dir, name)}
	mkdir(t, n.etc)
	return n
}

// enrolmentToken makes one with the administrators' command, and a file that holds it.
func (r *rig) enrolmentToken(t *testing.T, name, uses string) (file string) {
	t.Helper()
	out, err := bin.Command(t.Context(), "pwb-server", "token", "create", name, "--scope", "enroll", "--expires", "24h", "--uses", uses, "--data-dir", r.server.DataDir).Output()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(r.dir, name)
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (n *newcomer) command(ctx context.Context, server, token string, flags ...string) *exec.Cmd {
	return bin.Command(ctx, "pwb-agent", append([]string{"enroll", "--server", server, "--token-file", token, "--name", filepath.Base(n.etc), "--config", n.file("agent.yaml"),
		"--admin-token-file", n.file("admin-token"), "--user-token-file", n.file("user-token")}, flags...)...)
}

func (n *newcomer) file(name string) string { return filepath.Join(n.etc, name) }

// enroll must end with the status and say something.
func (n *newcomer) enroll(t *testing.T, status int, says, token string, flags ...string) {
	t.Helper()
	cmd := n.command(t.Context(), n.server.URL, token, flags...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status || !strings.Contains(string(out), says) {
		t.Fatalf("enroll: %v, want status %d and %q:\n%s", err, status, says, out)
	}
}

// tokens is what the administrator's list says of tokens with this name in theirs.
func (r *rig) tokens(t *testing.T, name string) (lines []string) {
	t.Helper()
	out, err := bin.Command(t.Context(), "pwb-server", "token", "list", "--data-dir", r.server.DataDir).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, name) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestANodeEnrolsAndFollowsTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	n := r.newcomer(t, "web1")
	token := r.enrolmentToken(t, "rack7", "2")
	n.enroll(t, 1, "check the CA certificate", token)
	n.enroll(t, 0, "enrolled as web1", token, "--ca-cert", cert)
	for name, mode := range map[string]os.FileMode{"admin-token": 0o600, "user-token": 0o644, "agent.yaml": 0o644} {
		if fi, err := os.Stat(n.file(name)); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
	sync := bin.Command(t.Context(), "pwb-agent", "sync", "--config", n.file("agent.yaml"), "--dir", r.agent.Dir, "--state-dir", r.agent.StateDir, "--hooks-dir", r.agent.HooksDir(), "--nscd-socket", "")
	if out, err := sync.CombinedOutput(); err != nil {
		t.Fatalf("the node cannot follow the server: %v\n%s", err, out)
	}
	n.enroll(t, 1, "--force", token, "--ca-cert", cert)
	if err := os.Remove(n.file("admin-token")); err != nil {
		t.Fatal(err)
	}
	n.enroll(t, 1, "are in use", token, "--ca-cert", cert, "--force") // and the node's user token is not lost
	second := r.newcomer(t, "web2")
	second.enroll(t, 0, "enrolled as web2", token, "--ca-cert", cert)
	third := r.newcomer(t, "web3")
	third.enroll(t, 1, "used up", token, "--ca-cert", cert)
	third.enroll(t, 1, "403", r.agent.TokenFile, "--ca-cert", cert) // a node's token is none
	other := r.enrolmentToken(t, "rack8", "5")
	if err := bin.Command(t.Context(), "pwb-server", "token", "revoke", "rack8", "--data-dir", r.server.DataDir).Run(); err != nil {
		t.Fatal(err)
	}
	third.enroll(t, 1, "neither expired nor used up", other, "--ca-cert", cert)
	if left, err := os.ReadDir(third.etc); err != nil || len(left) > 0 {
		t.Errorf("what was refused left %v, %v", left, err)
	}
	if got := r.tokens(t, "@"); len(got) != 4 {
		t.Errorf("the server has %q", got)
	}
	for _, file := range []string{"admin-token", "user-token"} {
		secret, err := os.ReadFile(second.file(file))
		if err != nil || bytes.Contains([]byte(r.server.Log()), bytes.TrimSpace(secret)) {
			t.Errorf("%s: %v, or the server's log has it", file, err)
		}
	}
}

// TestAnAgentThatIsKilledWhileItEnrolsIsMendedByTheNext: the server has done it, the
// answer never came.
func TestAnAgentThatIsKilledWhileItEnrolsIsMendedByTheNext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.newcomer(t, "web1")
	token := r.enrolmentToken(t, "rack7", "1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answered := make(chan error, 1)
	go func() { // passes one request on, and keeps the answer
		answered <- func() error {
			from, err := l.Accept()
			if err != nil {
				return err
			}
			to, err := net.Dial("tcp", strings.TrimPrefix(r.server.URL, "http://"))
			if err != nil {
				return err
			}
			go io.Copy(to, from)
			_, err = to.Read(make([]byte, 1))
			return err
		}()
	}()
	cmd := n.command(t.Context(), "http://"+l.Addr().String(), token)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	before := r.tokens(t, "web1")
	if len(before) != 2 {
		t.Fatalf("the server has %q", before)
	}
	n.enroll(t, 0, "enrolled as web1", token)
	if got := r.tokens(t, "web1"); strings.Join(got, "") != strings.Join(before, "") {
		t.Errorf("the server has %q, had %q", got, before)
	}
	r.agent.TokenFile = n.file("admin-token")
	r.sync(t, 0)
}
