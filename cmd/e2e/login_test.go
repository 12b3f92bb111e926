package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pwb/cmd/harness"
	"pwb/pam"
)

func TestPeopleFindAHomeAtTheirFirstLoginAndAreShutOutWhenTheyLeave(t *testing.T) {
	t.Parallel()
	d := newDesk(t, loginProfile)
	ada := d.person(t, "ada", "c0rrect-horse")
	d.person(t, "bob", "c0rrect-horse")
	d.person(t, "carol", "c0rrect-horse")
	d.person(t, "dave", "an0ther-horse")
	eve := d.person(t, "eve", "c0rrect-horse")
	d.rig.sync(t, 0)
	d.stay(t)
	login := d.sshd(t)
	watch, err := harness.NewWatch(d.agent.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()

	if out, status := login("ada", true); status != 0 || out != "ada" {
		t.Fatalf("by key: %d, %q", status, out)
	}
	if out, status := login("bob", false); status != 0 || out != "bob" {
		t.Fatalf("by password: %d, %q", status, out)
	}
	if out, status := d.looks(t, "su", "-", "carol", "-c", "pwd; cat .profile | wc -l"); status != 0 || !strings.HasPrefix(out, "/home/carol\n") {
		t.Fatalf("by su: %d, %q", status, out)
	}
	for _, name := range []string{"ada", "bob", "carol"} {
		d.wantHome(t, name)
	}
	d.said(t, "made a home")
	if out, status := login("dave", false); status == 0 || d.home(t, "dave") != "none" {
		t.Errorf("with a wrong password: %q, home %s", out, d.home(t, "dave"))
	}

	// shutOut tries every way in.
	shutOut := func(when, who string) {
		t.Helper()
		for _, key := range []bool{true, false} {
			if out, status := login(who, key); status == 0 {
				t.Errorf("%s, key %v: %s logs in: %q", when, key, who, out)
			}
		}
		if out, good := d.phase(t, who, "acct_mgmt", ""); good {
			t.Errorf("%s: pamtester lets %s in: %q", when, who, out)
		}
		if out, status := d.looks(t, "su", who, "-s", "/bin/sh", "-c", "id"); status == 0 {
			t.Errorf("%s: su to %s: %q", when, who, out)
		}
	}
	d.patch(t, ada, "active", false)
	if err := watch.Until(within(t), "passwd", harness.Has("nologin")); err != nil {
		t.Fatal(err)
	}
	shutOut("locked", "ada")
	d.patch(t, ada, "active", true)
	if err := watch.Until(within(t), "passwd", func(b []byte) bool { return !strings.Contains(string(b), "nologin") }); err != nil {
		t.Fatal(err)
	}
	if out, status := login("ada", true); status != 0 {
		t.Errorf("unlocked: %d, %q", status, out)
	}
	d.patch(t, eve, "urn:pwb:params:scim:schemas:extension:posix:1.0:User:endDate", time.Now().Add(-48*time.Hour).UTC().Format(time.RFC3339))
	if err := watch.Until(within(t), "shadow", func(b []byte) bool { return !strings.HasSuffix(lineOf(b, "eve"), ":::::::") }); err != nil {
		t.Fatal(err)
	}
	shutOut("expired", "eve")
	d.patch(t, ada, "active", false)
	if err := watch.Until(within(t), "passwd", func(b []byte) bool { return strings.Contains(lineOf(b, "ada"), "nologin") }); err != nil {
		t.Fatal(err)
	}
	d.server.Stop()
	shutOut("locked, the server down", "ada")
	if out, status := login("bob", false); status != 0 || out != "bob" {
		t.Errorf("the server down, by password: %d, %q", status, out)
	}
	// The node's own users find what they always did.
	if out, good := d.phase(t, "lynn", "open_session", ""); !good || d.home(t, "lynn") != "none" {
		t.Errorf("a local user: %q, home %s", out, d.home(t, "lynn"))
	}
}

func lineOf(b []byte, name string) string {
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, name+":") {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

func TestWhoWasLockedAMomentAgoIsRefusedThoughNoPassWasMadeYet(t *testing.T) {
	t.Parallel()
	// Where pam_unix sees no shadow, pwb-pam alone decides.
	d := newDesk(t, map[string]string{"pwb": pam.DebianProfile, "pwb-auth": pam.DebianAuthProfile}, "fresh: 0s")
	d.write(t, "nsswitch.conf", "passwd: files pwb\ngroup: files pwb\nshadow: files\nhosts: files dns\n")
	ada := d.person(t, "ada", "")
	d.rig.sync(t, 0)
	stop := d.stay(t)
	login := d.sshd(t)
	watch, err := harness.NewWatch(d.agent.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	// The first question has a pass of its own; for a second others share it.
	d.patch(t, ada, "active", false)
	if out, good := d.phase(t, "ada", "acct_mgmt", ""); good || !strings.Contains(out, "The account ada is locked. Please ask your administrator.") {
		t.Errorf("locked a moment ago: %q", out)
	}
	if out, status := login("ada", true); status == 0 {
		t.Errorf("locked, by key: %q", out)
	}
	d.patch(t, ada, "active", true)
	if err := watch.Until(within(t), "passwd", func(b []byte) bool { return !strings.Contains(string(b), "nologin") }); err != nil {
		t.Fatal(err)
	}
	if out, status := login("ada", true); status != 0 || out != "ada" {
		t.Errorf("unlocked, by key: %d, %q", status, out)
	}
	d.patch(t, ada, "active", false)
	if err := watch.Until(within(t), "passwd", harness.Has("nologin")); err != nil {
		t.Fatal(err)
	}
	d.said(t, `msg=refused phase=account user=ada service=sshd host=127.0.0.1 why="the account is locked"`)
	// Whoever keeps the files hangs, or is gone: they decide.
	d.server.Stop()
	if out, good := d.phase(t, "ada", "acct_mgmt", ""); good {
		t.Errorf("the server down: %q", out)
	}
	stop()
	if out, good := d.phase(t, "ada", "acct_mgmt", ""); good {
		t.Errorf("the agent gone, too: %q", out)
	}
}

func TestAProgramThatIsMissingOrHangsShutsOutNobodyOfTheNodesOwn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, loginProfile)
	d.person(t, "ada", "")
	d.rig.sync(t, 0)
	for sentence, spoil := range map[string]func() error{
		"missing":     func() error { return os.Remove(d.program) },
		"no program":  func() error { return os.WriteFile(d.program, []byte("nothing"), 0o755) },
		"hanging":     func() error { return os.WriteFile(d.program, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755) },
		"not started": func() error { return os.Chmod(d.program, 0o644) },
	} {
		if err := spoil(); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, who := range []string{"root", "lynn"} {
			for _, operation := range []string{"acct_mgmt", "open_session", "close_session"} {
				if out, good := d.phase(t, who, operation, ""); !good {
					t.Errorf("%s: %s of %s: %q", sentence, operation, who, out)
				}
			}
		}
		if out, status := d.looks(t, "su", "lynn", "-c", "id -un"); status != 0 || out != "lynn" {
			t.Errorf("%s: su: %d, %q", sentence, status, out)
		}
		if sentence == "hanging" {
			continue // it would be waited for
		}
		if out, good := d.phase(t, "ada", "acct_mgmt", ""); good {
			t.Errorf("%s: an account of the agent's is let in unseen: %q", sentence, out)
		}
	}
}

func TestPasswordsAreVerifiedWhereNSSFindsNoShadow(t *testing.T) {
	t.Parallel()
	d := newDesk(t, map[string]string{"pwb": pam.DebianProfile, "pwb-auth": pam.DebianAuthProfile}, "failure-pause: 10m")
	d.write(t, "nsswitch.conf", "passwd: files pwb\ngroup: files pwb\nshadow: files\nhosts: files dns\n")
	d.person(t, "ada", "c0rrect-horse")
	d.person(t, "bob", "c0rrect-horse")
	d.person(t, "tom", "")
	carol := d.person(t, "carol", "c0rrect-horse")
	d.patch(t, carol, "active", false)
	d.rig.sync(t, 0)
	d.stay(t)
	login := d.sshd(t)
	if out, status := login("ada", false); status != 0 || out != "ada" {
		t.Errorf("by password: %d, %q", status, out)
	}
	if out, status := login("ada", true); status != 0 || out != "ada" {
		t.Errorf("by key: %d, %q", status, out)
	}
	d.wantHome(t, "ada")
	// A setuid program of somebody else's, for whom pwb-pam must be root all the same.
	for password, want := range map[string]bool{"c0rrect-horse": true, "wr0ng-horse": false} {
		out, status := d.looks(t, "sh", "-c", `echo "$1" | setpriv --reuid 70001 --regid 70001 --clear-groups su ada -c "id -un" 2>&1`, "sh", password)
		if (status == 0) != want || want && !strings.HasSuffix(out, "ada") {
			t.Errorf("su by lynn with %s: %d, %q", password, status, out)
		}
	}
	if out, good := d.phase(t, "ada", "authenticate", "c0rrect-horse", "rhost=192.0.2.1"); !good {
		t.Errorf("the right password: %q", out)
	}
	for _, c := range []struct{ who, password, why string }{
		{"ada", "c0rrect-hors", "wrong password"}, {"ada", "", ""}, {"carol", "c0rrect-horse", "the account is locked"}, {"tom", "*", "the account has no password"}, {"nosuch", "c0rrect-horse", ""}, {"lynn", "*", ""}, {"root", "x", ""},
	} {
		if out, good := d.phase(t, c.who, "authenticate", c.password, "rhost=192.0.2.2"); good {
			t.Errorf("%+v: %q", c, out)
		}
		d.said(t, c.why)
	}
	if out, good := d.phase(t, "carol", "acct_mgmt", ""); good {
		t.Errorf("a locked one: %q", out)
	}
	if out, good := d.phase(t, "lynn", "acct_mgmt", ""); !good {
		t.Errorf("a local user: %q", out)
	}
	for range 5 {
		if out, good := d.phase(t, "bob", "authenticate", "wr0ng-horse"); good {
			t.Fatalf("%q", out)
		}
	}
	if out, good := d.phase(t, "bob", "authenticate", "c0rrect-horse"); good || !strings.Contains(out, "Too many attempts") {
		t.Errorf("after five failures the right one: %q", out)
	}
	if out, good := d.phase(t, "ada", "authenticate", "c0rrect-horse"); !good {
		t.Errorf("somebody else: %q", out)
	}
	if log := d.log(); strings.Contains(log, "-horse") || strings.Contains(log, "$6$") {
		t.Errorf("secrets are in the log:\n%s", log)
	}
	// What counts is gone with a restart; where nobody can count, it is slow.
	d.sh(t, "rm -r /run/pwb-pam; ln -s /dev /run/pwb-pam")
	if out, good := d.phase(t, "bob", "authenticate", "c0rrect-horse"); !good {
		t.Errorf("where nobody counts: %q", out)
	}
	d.said(t, "attempts are not counted")
	if _, err := os.Stat(filepath.Join("/dev", pam.FailuresName)); err == nil {
		t.Error("it counts through a link")
	}
}

// TestTheLinesForAuthselectWorkInItsStacks has them in stacks as those of RHEL's sssd
// profile are, since authselect itself is not here.
func TestTheLinesForAuthselectWorkInItsStacks(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.person(t, "ada", "c0rrect-horse")
	carol := d.person(t, "carol", "c0rrect-horse")
	d.patch(t, carol, "active", false)
	d.rig.sync(t, 0)
	included := func(feature string, texts ...string) (all string) {
		for _, text := range texts {
			for line := range strings.Lines(text) {
				if line, ok := strings.CutSuffix(strings.TrimSpace(line), `{include if "`+feature+`"}`); ok {
					all += line + "\n"
				}
			}
		}
		return all
	}
	stack := func(feature string) string {
		return "auth required pam_env.so\nauth sufficient pam_unix.so nodelay nullok\n" + included(feature, pam.AuthselectAuth) + "auth required pam_deny.so\n" +
			included(feature, pam.AuthselectAuthAccount) + "account required pam_unix.so\n" + included(feature, pam.AuthselectAccount) + "account sufficient pam_localuser.so\naccount required pam_permit.so\n" +
			"session optional pam_keyinit.so revoke\nsession required pam_unix.so\n" + included(feature, pam.AuthselectSession) + "session optional pam_permit.so\n"
	}
	try := func(when, who, operation, password string, want bool) {
		t.Helper()
		if out, good := d.phase(t, who, operation, password); good != want {
			t.Errorf("%s, %s of %s: %v, %q", when, operation, who, good, out)
		}
	}
	for _, feature := range []string{pam.AuthselectFeature, pam.AuthselectAuthFeature} {
		shadow := "files pwb"
		if feature == pam.AuthselectAuthFeature {
			shadow = "files"
		}
		d.write(t, "nsswitch.conf", "passwd: files pwb\ngroup: files pwb\nshadow: "+shadow+"\nhosts: files dns\n")
		d.write(t, "pam.d/sshd", stack(feature))
		try(feature, "ada", "authenticate", "c0rrect-horse", true)
		try(feature, "ada", "authenticate", "wr0ng-horse", false)
		try(feature, "carol", "authenticate", "c0rrect-horse", false)
		try(feature, "ada", "acct_mgmt", "", true)
		try(feature, "carol", "acct_mgmt", "", false)
		for _, who := range []string{"root", "lynn"} {
			try(feature, who, "acct_mgmt", "", true)
			try(feature, who, "open_session", "", true)
		}
		if feature == pam.AuthselectFeature {
			try(feature, "ada", "open_session", "", true)
			d.wantHome(t, "ada")
		}
	}
	if err := os.Remove(d.program); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"root", "lynn"} {
		try("without the program", who, "acct_mgmt", "", true)
		try("without the program", who, "open_session", "", true)
	}
	try("without the program", "ada", "acct_mgmt", "", false)
}
