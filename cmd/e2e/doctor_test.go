package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// populated is a patient with 40 people, a team, and two generations.
func populated(t *testing.T) (p *patient, ids []string) {
	t.Helper()
	p = newPatient(t)
	ids = p.push(t, 8, 40, "user")
	p.sync(t, 0)
	members := []any{}
	for _, id := range ids[10:30] {
		members = append(members, map[string]any{"value": id})
	}
	if _, err := p.scim.Create(t.Context(), "/Groups", map[string]any{"displayName": "Team", "members": members}); err != nil {
		t.Fatal(err)
	}
	p.sync(t, 0)
	return p, ids
}

func TestTheDoctorFindsNothingOnANodeThatIsWell(t *testing.T) {
	t.Parallel()
	p, _ := populated(t)
	p.isWell(t)
	before := p.picture(t)
	out, stderr, status := p.runs(t, "pwb-agent", "doctor")
	if status != 0 || stderr != "" || strings.Count(out, "\n") < 40 {
		t.Errorf("status %d, %s\n%s", status, stderr, out)
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "ok       ") {
			t.Errorf("not well: %s", line)
		}
	}
	if after := p.picture(t); after != before {
		t.Errorf("the doctor changed something:\n%s\nbefore\n%s", after, before)
	}
}

// picture is all that the agent and the administrator keep on the node.
func (p *patient) picture(t *testing.T) string {
	t.Helper()
	out, stderr, status := p.runs(t, "sh", "-c", `find /etc /var/lib/extrausers /run "$1/state" ! -type d -printf '%p %m %s %T@ %C@\n' | sort; find /etc /var/lib/extrausers "$1/state" -type d -printf '%p %m %C@\n' | sort`, "sh", p.dir)
	if status != 0 {
		t.Fatal(stderr)
	}
	return out
}

func TestTheDoctorSaysWhatItCannotSeeWithoutPrivilege(t *testing.T) {
	t.Parallel()
	need(t, "setpriv")
	p, _ := populated(t)
	copyTo := p.at("pwb-agent")
	if err := copyFile(string(bin)+"/pwb-agent", copyTo); err != nil {
		t.Fatal(err)
	}
	out, stderr, status := p.runs(t, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copyTo, "doctor")
	if status != 0 {
		t.Errorf("status %d: %s\n%s", status, stderr, out)
	}
	p.keepsSecrets(t, out+stderr)
	for _, check := range []string{"mirror", "last-pass"} {
		if !strings.Contains(out, "skipped  "+check+": only root can see it") {
			t.Errorf("%s is not skipped:\n%s", check, out)
		}
	}
	for _, check := range []string{"config", "server-tls", "nsswitch-order", "user-token", "disk"} {
		if !strings.Contains(out, "ok       "+check+": ") {
			t.Errorf("%s is not seen:\n%s", check, out)
		}
	}
}

func TestTheDoctorLooksAtATreeThatDoesNotRun(t *testing.T) {
	t.Parallel()
	p, _ := populated(t)
	tree := p.at("tree")
	p.sh(t, `mkdir -p "$1/etc" "$1/var/lib/extrausers" "$1/usr/lib" "$1/bin" "$1/home"; cp -a /etc/passwd /etc/group "$1/etc"; cp /usr/lib/libnss_extrausers.so.2 "$1/usr/lib"
		cp /bin/bash "$1/bin/bash"; printf 'passwd: extrausers files\ngroup: files extrausers\nshadow: files extrausers\n' > "$1/etc/nsswitch.conf"`, tree)
	args := []string{"pwb-agent", "doctor", "--root", tree, "--state-dir", "/var/lib/pwb", "--layout", "extrausers"}
	if out, stderr, status := p.runs(t, "pwb-agent", "sync", "--root", tree, "--state-dir", "/var/lib/pwb", "--layout", "extrausers"); status != 0 {
		t.Fatalf("sync: %s%s", out, stderr)
	}
	out, stderr, status := p.runs(t, args...)
	var mend string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "fail") && !strings.HasPrefix(line, "fail     nsswitch-order: passwd: extrausers is asked before files") || strings.HasPrefix(line, "warn") {
			t.Errorf("also found: %s", line)
		}
		if command, is := strings.CutPrefix(strings.TrimSpace(line), "mend: "); is {
			mend = command
		}
	}
	if status != 3 || mend == "" || !strings.Contains(out, fmt.Sprintf("skipped  nss-answers: %s is no running system", tree)) {
		t.Fatalf("status %d: %s\n%s", status, stderr, out)
	}
	p.sh(t, mend)
	if out, _, status = p.runs(t, args...); status != 0 {
		t.Errorf("after %s, status %d:\n%s", mend, status, out)
	}
}
