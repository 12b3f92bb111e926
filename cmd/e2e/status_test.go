package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// status runs pwb-agent status, which must end with the status, say the words, and
// nothing that nobody may see.
func (r *rig) status(t testing.TB, status int, says ...string) {
	t.Helper()
	out, err := r.agent.Command(t.Context(), "status").CombinedOutput()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("status: %v\n%s", err, out)
	}
	if got != status {
		t.Errorf("status ended with %d, not %d:\n%s", got, status, out)
	}
	for _, words := range says {
		if !strings.Contains(string(out), words) {
			t.Errorf("the status does not say %q:\n%s", words, out)
		}
	}
	noSecret(t, string(out))
}

// showStatus is what pwb-agent status prints, however it ends.
func (r *rig) showStatus(t testing.TB) string {
	t.Helper()
	out, err := r.agent.Command(t.Context(), "status").CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("status: %v\n%s", err, out)
	}
	return string(out)
}

// noSecret fails for a hash or a token in what is shown.
func noSecret(t testing.TB, text string) {
	t.Helper()
	for _, secret := range []string{"$6$", "pwb_"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in\n%s", secret, text)
		}
	}
}
