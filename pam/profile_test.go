package pam

import (
	"strings"
	"testing"
)

// TestEveryLineOfAProfileIsPassedOverForTheNodesOwn: pam_exec(8) shuts out whoever it
// runs for when its program is missing, so that root must never come to it.
func TestEveryLineOfAProfileIsPassedOverForTheNodesOwn(t *testing.T) {
	for name, text := range map[string]string{"debian": DebianProfile, "debian-auth": DebianAuthProfile, "account": AuthselectAccount, "session": AuthselectSession, "auth": AuthselectAuth, "auth-account": AuthselectAuthAccount} {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		found := 0
		for i, line := range lines {
			if !strings.Contains(line, "pam_exec.so") {
				continue
			}
			found++
			if i == 0 || !strings.Contains(lines[i-1], "[success=1 default=ignore]") || !strings.Contains(lines[i-1], "pam_localuser.so") {
				t.Errorf("%s: %q runs for the node's own", name, line)
			}
			for _, option := range []string{" seteuid ", " quiet ", " stdout ", " /usr/libexec/pwb/pwb-pam "} {
				if !strings.Contains(line, option) {
					t.Errorf("%s: %q is without %q", name, line, option)
				}
			}
			if strings.Contains(line, "pwb-pam auth") != strings.Contains(line, "expose_authtok") {
				t.Errorf("%s: the password goes where it should not, or not where it should: %q", name, line)
			}
		}
		if found == 0 || !strings.HasSuffix(text, "\n") {
			t.Errorf("%s has %d lines that run pwb-pam", name, found)
		}
		if strings.HasPrefix(name, "debian") {
			continue
		}
		for _, line := range lines {
			feature := AuthselectFeature
			if strings.HasPrefix(name, "auth") {
				feature = AuthselectAuthFeature
			}
			if !strings.HasSuffix(line, `{include if "`+feature+`"}`) || !strings.HasPrefix(line, strings.TrimPrefix(name, "auth-")+" ") {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}
