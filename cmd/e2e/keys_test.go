package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/cmd/harness"
	"pwb/roster"
	"pwb/scimserver/scim"
)

const keysPath = scim.PosixUserURN + ":sshPublicKeys"

// newKey makes a key with ssh-keygen and returns its public half, as it writes it.
func newKey(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", append([]string{"-q", "-N", "", "-C", "made for a test", "-f", path}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return publicKey(t, path)
}

func publicKey(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// keys is what pwb-agent keys prints, with an environment that would lead elsewhere.
func keys(t *testing.T, agent harness.Agent, name string, flags ...string) []string {
	t.Helper()
	cmd := bin.Command(context.Background(), "pwb-agent", append([]string{"keys", name, "--state-dir", agent.StateDir}, flags...)...)
	cmd.Env = []string{"PWB_STATE_DIR=/nonexistent", "PWB_SERVER=http://127.0.0.1:1", "PWB_CONFIG=/nonexistent", "PWB_LOCAL_PASSWD_FILE=/nonexistent"}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("pwb-agent keys %s: %v, %s", name, err, &errs)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

func TestPeopleLogInWithTheKeysThatTheProviderGaveThem(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	// sshd wants the program where nobody but root could put another.
	bins := filepath.Join(g.etc, "pwb-bin")
	if err := os.Mkdir(bins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(string(bin), "pwb-agent"), filepath.Join(bins, "pwb-agent")); err != nil {
		t.Fatal(err)
	}
	login := g.sshd(t, "AuthorizedKeysFile none", "AuthorizedKeysCommand /etc/pwb-bin/pwb-agent keys %u --state-dir "+g.agent.StateDir, "AuthorizedKeysCommandUser nobody")
	mine, other := publicKey(t, filepath.Join(g.dir, "ssh", "user")), newKey(t, "-t", "ecdsa")
	body := user("ada")
	body[scim.PosixUserURN] = map[string]any{"sshPublicKeys": []string{other, mine}}
	ada, err := g.scim.Create(t.Context(), "/Users", body)
	if err != nil {
		t.Fatal(err)
	}
	g.some(t, "bob")
	may := func(sentence string, want bool) {
		t.Helper()
		g.sync(t, 0)
		if out, status := login("ada", true); (status == 0) != want || want && !strings.Contains(out, "ada") {
			t.Errorf("%s: status %d, %q", sentence, status, out)
		}
	}
	may("with a key from SCIM", true)
	if out, status := login("bob", true); status == 0 {
		t.Errorf("with the key of somebody else: %q", out)
	}
	status, answer, err := g.scim.Do(t.Context(), http.MethodPatch, "/Users/"+ada, map[string]any{"Operations": []any{map[string]any{"op": "replace", "path": keysPath, "value": []string{`command="/bin/sh" ` + mine}}}})
	if err != nil || status != http.StatusBadRequest || !strings.Contains(string(answer), "invalidValue") {
		t.Errorf("a key with options is answered with %d, %s, %v", status, answer, err)
	}
	may("after a refused change", true)
	g.patch(t, ada, keysPath, []string{other})
	may("with a key that was removed", false)
	g.patch(t, ada, keysPath, []string{mine})
	may("with a key that came back", true)
	g.patch(t, ada, "active", false)
	may("who is locked", false)
	if got := keys(t, g.agent, "ada"); len(got) != 0 {
		t.Errorf("who is locked has %q", got)
	}
	g.patch(t, ada, "active", true)
	may("who is unlocked", true)
	g.patch(t, ada, scim.PosixUserURN+":endDate", "2020-01-01T00:00:00Z")
	may("whose end date is over", false)
	g.patch(t, ada, scim.PosixUserURN+":endDate", "2999-01-01T00:00:00Z")
	may("whose end date is far", true)
	g.server.Stop()
	if out, status := login("ada", true); status != 0 {
		t.Errorf("while the server is down: status %d, %q", status, out)
	}
}

// TestKeysOfAllTypesArePrintedAsSSHKeygenKnowsThem, to a user without rights.
func TestKeysOfAllTypesArePrintedAsSSHKeygenKnowsThem(t *testing.T) {
	t.Parallel()
	need(t, "ssh-keygen", "setpriv")
	r := newRig(t)
	var lines, want []string
	for _, args := range [][]string{{"-t", "ed25519"}, {"-t", "rsa", "-b", "2048"}, {"-t", "ecdsa", "-b", "256"}, {"-t", "ecdsa", "-b", "384"}, {"-t", "ecdsa", "-b", "521"}} {
		line := newKey(t, args...)
		f := strings.Fields(line)
		lines, want = append(lines, line), append(want, f[0]+" "+f[1])
	}
	slices.Sort(want)
	body := user("ada")
	body[scim.PosixUserURN] = map[string]any{"sshPublicKeys": lines}
	if _, err := r.scim.Create(t.Context(), "/Users", body); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, r.agent, "ada"); len(got) != 0 {
		t.Errorf("before the first pass: %q", got)
	}
	r.sync(t, 0, "--index=false")
	if got := keys(t, r.agent, "ada"); !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
	for _, name := range []string{"nosuch", "root", "../x", ""} {
		if got := keys(t, r.agent, name); len(got) != 0 {
			t.Errorf("%q has %q", name, got)
		}
	}
	// An account of the node's own that came since is not the roster's ada.
	passwd := filepath.Join(r.dir, "passwd")
	if err := os.WriteFile(passwd, []byte("ada:x:1500:1500::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, r.agent, "ada", "--local-passwd-file", passwd); len(got) != 0 {
		t.Errorf("the node's own ada has %q", got)
	}
	if err := os.Chmod(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(r.dir, "pwb-agent")
	if err := copyFile(filepath.Join(string(bin), "pwb-agent"), plain); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", plain, "keys", "ada", "--state-dir", r.agent.StateDir).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != strings.Join(want, "\n") {
		t.Errorf("to nobody: %v, %s", err, out)
	}
	// ssh-keygen reads what is printed, and knows each key by the same fingerprint.
	file := filepath.Join(r.dir, "printed")
	if err := os.WriteFile(file, out, 0o644); err != nil {
		t.Fatal(err)
	}
	known, err := exec.Command("ssh-keygen", "-l", "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, known)
	}
	shown, err := bin.Command(t.Context(), "pwb-server", "user", "show", "ada", "--data-dir", r.server.DataDir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	for _, key := range want {
		sum := strings.Fields(roster.KeyFingerprint(key))
		if !strings.Contains(string(known), " "+sum[1]+" ") || !strings.Contains(string(shown), strings.Join(sum, " ")) {
			t.Errorf("%v is neither or not both in\n%s\nand\n%s", sum, known, shown)
		}
	}
}

// TestHostileKeysAreNotRendered: a server that checks nothing gets nobody in.
func TestHostileKeysAreNotRendered(t *testing.T) {
	t.Parallel()
	need(t, "ssh-keygen")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	good := strings.Join(strings.Fields(newKey(t, "-t", "ed25519"))[:2], " ")
	account := func(id, name string, uid uint32, keys ...string) roster.Row {
		return roster.Row{Account: &roster.Account{ID: id, Name: name, UID: uid, GID: uid, Home: "/home/" + name, Shell: "/bin/bash", Keys: keys}}
	}
	agent := harness.Agent{
		Bin: bin, TokenFile: filepath.Join(dir, "token"), Dir: filepath.Join(dir, "files"), StateDir: filepath.Join(dir, "state"),
		Server: feed(t, []roster.Row{
			account("01", "ada", 2001, `command="sh" `+good, good+"\nroot 0 "+good, "no key at all", good),
			account("02", "root", 2002, good),
			account("03", "evil 0", 2003, good),
		}),
	}
	if err := os.WriteFile(agent.TokenFile, []byte("pwb_any_token"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &rig{dir: dir, agent: agent}
	out := r.sync(t, 0)
	data, err := os.ReadFile(filepath.Join(agent.StateDir, "authorized_keys"))
	if err != nil || string(data) != "ada 0 "+good+"\n" {
		t.Errorf("rendered is %q, %v", data, err)
	}
	if got := keys(t, agent, "ada"); !slices.Equal(got, []string{good}) {
		t.Errorf("ada has %q", got)
	}
	if !strings.Contains(out, "key 1 of 4 is left out") {
		t.Errorf("the log does not say so:\n%s", out)
	}
}
