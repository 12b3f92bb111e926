package checkup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pwb/altfiles"
)

// nodeWith is a tree with an nsswitch.conf.
func nodeWith(t *testing.T, root, text string) *Node {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, "nsswitch.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return &Node{Root: root, Layout: altfiles.LayoutExtrausers, Nsswitch: "/nsswitch.conf"}
}

// TestEveryMendedLineIsRight has all orders of some sources, with an action behind each,
// and as the line initgroups too: what is found wrong is mended by one edit, and what is
// right stays as it is.
func TestEveryMendedLineIsRight(t *testing.T) {
	root := t.TempDir()
	cases, mended := 0, 0
	var orders func(left, chosen []string)
	orders = func(left, chosen []string) {
		if len(chosen) >= 2 {
			for _, action := range []string{"", " [NOTFOUND=return]", " [!SUCCESS=return]", " [SUCCESS=merge]"} {
				for at := range chosen {
					line := ""
					for i, s := range chosen {
						line += " " + s
						if i == at {
							line += action
						}
					}
					cases++
					if oneLine(t, root, line) {
						mended++
					}
					if action == "" {
						break
					}
				}
			}
		}
		for i, s := range left {
			orders(append(append([]string{}, left[:i]...), left[i+1:]...), append(chosen[:len(chosen):len(chosen)], s))
		}
	}
	orders([]string{"files", "extrausers", "pwb", "sss"}, nil)
	if cases < 500 || mended < 300 {
		t.Errorf("%d lines were looked at, %d mended", cases, mended)
	}
}

// oneLine mends a line, if it is wrong, and reports whether it was.
func oneLine(t *testing.T, root, line string) bool {
	t.Helper()
	text := fmt.Sprintf("# a comment\npasswd:%s # ours\ngroup: files extrausers pwb sss\ninitgroups:%s\nhosts: files dns\n", line, line)
	s := nodeWith(t, root, text).nsswitchNow()
	wrong := len(s.order)+len(s.actions) > 0 || s.groups != ""
	now := strings.NewReplacer("passwd:"+line+" # ours", s.mended["passwd"], "initgroups:"+line, s.mended["initgroups"]).Replace(text)
	if !wrong {
		return false
	}
	again := nodeWith(t, root, now).nsswitchNow()
	if len(again.order)+len(again.actions) > 0 || again.groups != "" {
		t.Errorf("%q became\n%s, which is wrong still: %v %v %q", line, now, again.order, again.actions, again.groups)
	}
	for _, source := range strings.Fields(line) {
		if !strings.HasPrefix(source, "[") && !strings.Contains(s.mended["passwd"], source) {
			t.Errorf("%q lost %s: %s", line, source, s.mended["passwd"])
		}
	}
	if !strings.HasSuffix(s.mended["passwd"], " # ours") {
		t.Errorf("%q lost its comment: %s", line, s.mended["passwd"])
	}
	return true
}

func TestTheCommandThatMendsALineIsOneForTheShell(t *testing.T) {
	root := t.TempDir()
	n := nodeWith(t, root, "passwd:  extrausers files [!UNAVAIL=return] pwb # it's\n")
	s := n.nsswitchNow()
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", n.mend(&s, "passwd")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(root, "nsswitch.conf"))
	if want := "passwd:  files extrausers pwb # it's\n"; err != nil || string(got) != want {
		t.Errorf("%v: %q, want %q", err, got, want)
	}
}

func TestTheFirstUsePAMOfSSHDCounts(t *testing.T) {
	root := t.TempDir()
	n := &Node{Root: root, SSHDConfig: "/etc/ssh/sshd_config"}
	for _, c := range []struct{ main, included, where, value string }{
		{"UsePAM yes\n", "", "/etc/ssh/sshd_config", "yes"},
		{"# UsePAM no\nusepam=no\nUsePAM yes\n", "", "/etc/ssh/sshd_config", "no"},
		{"Include sshd_config.d/*.conf\nUsePAM yes\n", "UsePAM no\n", "/etc/ssh/sshd_config.d/10.conf", "no"},
		{"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n", "Port 22\n", "/etc/ssh/sshd_config", "yes"},
		{"Match User ada\nUsePAM yes\n", "", "", ""},
		{"", "", "", ""},
	} {
		for name, text := range map[string]string{"sshd_config": c.main, "sshd_config.d/10.conf": c.included} {
			path := filepath.Join(root, "etc/ssh", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if where, value := n.usePAM(n.SSHDConfig, 0); where != c.where || value != c.value {
			t.Errorf("%q with %q: %q in %q, want %q in %q", c.main, c.included, value, where, c.value, c.where)
		}
	}
}
