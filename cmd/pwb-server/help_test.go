package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestHelpIsReadable(t *testing.T) {
	s := newTranscript(t, "help")
	for _, command := range []string{"", "user", "user add", "user renumber", "import passwd", "restore", "audit", "config check"} {
		s.run(strings.TrimSpace(command + " --help"))
	}
}

// TestEveryCommandTakesTheKeysOfServe: an administrator's command must read the
// configuration as the server does.
func TestEveryCommandTakesTheKeysOfServe(t *testing.T) {
	s := newTranscript(t, "settings")
	s.file("server.yaml", testConfig+"listen: 127.0.0.1:1\nuser-alias-days: 3\nadmin-group: bosses\n", 0o600)
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example --admin --json --user-homedir-path /homes")
	s.run("group list")
	var out bytes.Buffer
	if status := run(t.Context(), []string{"settings"}, &out, &out); status != 0 || !strings.Contains(out.String(), "| `admin-group` |") {
		t.Errorf("keys ends with %d: %s", status, &out)
	}
}
