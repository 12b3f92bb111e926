package setup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSetupThenUndoLeavesEveryFileAsItWas(t *testing.T) {
	n := newNode(t).withPAM()
	before := n.picture()
	p := n.plan()
	if !p.Changed() || p.Missing() {
		t.Fatalf("the plan is %+v", p)
	}
	same(t, "planning wrote something", n.picture(), before)
	n.apply()
	for file, want := range map[string]string{
		"/etc/nsswitch.conf":              "passwd:         files extrausers systemd pwb\n",
		"/etc/rstudio/workbench-nss.conf": "server-address = https://pwb.example\n",
		"/etc/pam.d/common-account":       pamHelper + " account\n",
		"/etc/pam.d/common-session":       "pam_mkhomedir.so",
		"/etc/nscd.conf":                  "enable-cache\t\tpasswd\t\tno\n\tenable-cache\t\tgroup\t\tno\n\tenable-cache\t\thosts\t\tyes\n",
	} {
		if got := n.get(file); !strings.Contains(got, want) {
			t.Errorf("%s has no %q:\n%s", file, want, got)
		}
	}
	for file, want := range map[string]os.FileMode{"/etc/rstudio/admin-token": 0o600, "/etc/rstudio/user-token": 0o644, "/var/lib/pwb/setup": 0o700} {
		if fi, err := os.Stat(filepath.Join(n.root, file)); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", file, fi.Mode(), err, want)
		}
	}
	after := n.picture()
	if p := n.plan(); p.Changed() {
		t.Errorf("a second setup would do %+v", p.Edits)
	}
	n.apply()
	same(t, "a second setup changed something", n.picture(), after)
	n.mustUndo()
	same(t, "undo left something else", n.picture(), before)
	if out := n.mustUndo(); out != "there is nothing to undo\n" {
		t.Errorf("a second undo says %q", out)
	}
	same(t, "a second undo changed something", n.picture(), before)
}

// TestKilledAnywhereSetupIsMended ends a setup at each of its steps, before the step
// and behind it, and mends it by another setup, or by undo.
func TestKilledAnywhereSetupIsMended(t *testing.T) {
	killed := errors.New("killed")
	t.Parallel()
	n := newNode(t).withPAM()
	before := n.picture()
	steps := 0
	n.cfg.Step = func(_ string, op func() error) error { steps++; return op() }
	p := n.plan()
	apply := func() error { return Apply(t.Context(), n.cfg, p, new(strings.Builder)) }
	if err := apply(); err != nil {
		t.Fatal(err)
	}
	done := n.picture()
	applied := steps
	n.mustUndo()
	if same(t, "undo", n.picture(), before); applied < 10 {
		t.Fatalf("setup has %d steps", applied)
	}
	contents := func(picture string) string { // without times
		var b strings.Builder
		for line := range strings.Lines(picture) {
			if f := strings.Fields(line); len(f) < 4 || !strings.Contains(f[1], "/setup/") {
				b.WriteString(strings.Join(f[:min(3, len(f))], " ") + "\n")
			}
		}
		return b.String()
	}
	dieAt := func(k int, behind bool) {
		i := 0
		n.cfg.Step = func(_ string, op func() error) error {
			if i++; i < k {
				return op()
			}
			if i == k && behind {
				_ = op() // nobody hears how it went
			}
			return killed
		}
	}
	live := func() { n.cfg.Step = nil }
	for k := 1; k <= applied; k++ {
		for _, behind := range []bool{false, true} {
			dieAt(k, behind)
			if err := apply(); !errors.Is(err, killed) {
				t.Fatalf("at step %d: %v", k, err)
			}
			live()
			if behind == (k%2 == 0) { // else by undo at once
				n.apply()
				same(t, "setup after a kill", contents(n.picture()), contents(done))
			}
			n.mustUndo()
			same(t, "undo after a kill", n.picture(), before)
		}
		if t.Failed() {
			t.Fatalf("that was step %d", k)
		}
	}
	for k := 1; k <= steps-applied; k++ { // of undo
		for _, behind := range []bool{false, true} {
			if err := apply(); err != nil {
				t.Fatal(err)
			}
			dieAt(k, behind)
			if out, err := n.undo(false); !errors.Is(err, killed) {
				t.Fatalf("at step %d of undo: %v\n%s", k, err, out)
			}
			live()
			n.mustUndo()
			same(t, "undo after a kill of undo", n.picture(), before)
		}
	}
}

// TestUndoAfterAnotherPackageCameWithAProfile has pam-auth-update write the same files
// after setup, as the package of another module would.
func TestUndoAfterAnotherPackageCameWithAProfile(t *testing.T) {
	t.Parallel()
	n := newNode(t).withPAM()
	n.cfg.Parts = []string{PartPAM}
	other := func(n *node) {
		n.put(pamConfigs+"/other", "Name: other\nDefault: no\nPriority: 127\nAccount-Type: Additional\nAccount:\n\trequired\tpam_access.so\nSession-Type: Additional\nSession:\n\toptional\tpam_keyinit.so\n", 0o644)
		if err := n.cfg.pamAuthUpdate(t.Context(), n.root, "--enable", "other"); err != nil {
			t.Fatal(err)
		}
		n.remove("debconf.dat")
	}
	n.apply()
	other(n)
	if out := n.mustUndo(); !strings.Contains(out, "pam-auth-update took pwb out") {
		t.Errorf("undo says %q", out)
	}
	without := newNode(t).withPAM()
	other(without)
	for _, name := range stagedPAM() {
		if filepath.Base(name) != "seen" { // which lists what was ever there
			same(t, name, n.get(name), without.get(name))
		}
	}
}

// TestPAMAuthUpdateWithoutARootOfItsOwn uses one as it was before Debian 12, which sees
// the copies in a mount namespace.
func TestPAMAuthUpdateWithoutARootOfItsOwn(t *testing.T) {
	t.Parallel()
	n := newNode(t).withPAM()
	n.cfg.Parts = []string{PartPAM}
	program, err := os.ReadFile(n.cfg.PamAuthUpdate)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.NewReplacer("'--root'", "'--not-known'", "${rootdir}$inputdir", "$inputdir").Replace(string(program))
	n.cfg.PamAuthUpdate = filepath.Join(t.TempDir(), "pam-auth-update")
	if err := os.WriteFile(n.cfg.PamAuthUpdate, []byte(old), 0o755); err != nil {
		t.Fatal(err)
	}
	machines, err := os.ReadFile("/etc/pam.d/common-account")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a mount namespace is needed, and CI leaves nothing out: %v %s", err, out)
		}
		t.Skipf("LEFT OUT: no mount namespace: %v %s", err, out)
	}
	n.apply()
	if got := n.get("/etc/pam.d/common-account"); !strings.Contains(got, pamHelper) {
		t.Errorf("common-account is\n%s", got)
	}
	if now, err := os.ReadFile("/etc/pam.d/common-account"); err != nil || string(now) != string(machines) {
		t.Errorf("the machine's own file was changed (%v)", err)
	}
}

func TestUndoKeepsWhatSomebodyEditedSince(t *testing.T) {
	n := newNode(t)
	n.cfg.Parts = []string{PartNsswitch}
	n.apply()
	n.put("/etc/nsswitch.conf", strings.Replace(n.get("/etc/nsswitch.conf"), "files dns", "files mymachines dns", 1), 0o644)
	if out := n.mustUndo(); !strings.Contains(out, "kept what was edited") {
		t.Errorf("undo says %q", out)
	}
	same(t, "undo", n.get("/etc/nsswitch.conf"), strings.Replace(debianNsswitch, "files dns", "files mymachines dns", 1))
}

func TestUndoLeavesLinesThatSomebodyEditedTooUnlessForced(t *testing.T) {
	n := newNode(t)
	n.cfg.Parts = []string{PartNsswitch, PartModule}
	before := n.picture()
	n.apply()
	edited := strings.Replace(n.get("/etc/nsswitch.conf"), "systemd pwb", "systemd pwb ldap", 1)
	n.put("/etc/nsswitch.conf", edited, 0o644)
	n.put("/etc/rstudio/workbench-nss.conf", n.get("/etc/rstudio/workbench-nss.conf")+"enumerate = 1\n", 0o644)
	out, err := n.undo(false)
	if !errors.Is(err, errKept) || strings.Count(out, "left as it is") != 2 || !strings.Contains(out, "--force") {
		t.Fatalf("%v\n%s", err, out)
	}
	same(t, "undo overwrote", n.get("/etc/nsswitch.conf"), edited)
	if out, err := n.undo(true); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	same(t, "undo --force", n.picture(), before)
}

func TestSetupAgainAfterAnEditKeepsTheEditInWhatUndoRestores(t *testing.T) {
	n := newNode(t)
	n.cfg.Parts = []string{PartNsswitch}
	n.cfg.Module = false
	n.apply()
	n.put("/etc/nsswitch.conf", strings.Replace(n.get("/etc/nsswitch.conf"), "files dns", "files mymachines dns", 1), 0o644)
	n.cfg.Module = true
	n.apply()
	if got := n.get("/etc/nsswitch.conf"); !strings.Contains(got, "files extrausers systemd pwb") || !strings.Contains(got, "mymachines") {
		t.Errorf("setup wrote\n%s", got)
	}
	n.mustUndo()
	same(t, "undo", n.get("/etc/nsswitch.conf"), strings.Replace(debianNsswitch, "files dns", "files mymachines dns", 1))
}

func TestSetupSaysWhatIsMissingAndWritesNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(n *node)
		says   string
	}{
		{"the module", func(n *node) { n.remove("/usr/lib/x86_64-linux-gnu/libnss_pwb.so.2") }, "--module=false"},
		{"the source of the files", func(n *node) { n.remove("/usr/lib/libnss_extrausers.so.2") }, "libnss-extrausers"},
		{"the program that PAM calls", func(n *node) { n.withPAM().remove(pamHelper) }, "nobody from uid 1000 on could log in"},
		{"the server", func(n *node) { n.cfg.Server = "" }, "--server"},
		{"a PAM configuration that pam-auth-update may write to", func(n *node) {
			n.withPAM().put("/etc/pam.d/common-account", "account required pam_unix.so\n", 0o644)
		}, "pam-auth-update --force"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			c.change(n)
			before := n.picture()
			p := n.plan()
			if err := Apply(t.Context(), n.cfg, p, new(strings.Builder)); !errors.Is(err, ErrMissing) {
				t.Errorf("the error is %v", err)
			}
			said := false
			for _, f := range p.Findings {
				said = said || f.Missing && strings.Contains(f.Text, c.says)
			}
			if !said {
				t.Errorf("nothing says %q: %+v", c.says, p.Findings)
			}
			same(t, "setup wrote something", n.picture(), before)
		})
	}
}

func TestTheSystemsImageIsLeftAlone(t *testing.T) {
	n := newNode(t)
	n.put("/run/ostree-booted", "", 0o644)
	n.put("/usr/lib64/libnss_altfiles.so.2", "", 0o755)
	n.cfg.Source, n.cfg.Parts = "altfiles", []string{PartNsswitch}
	if p := n.plan(); p.Missing() {
		t.Errorf("an image that is being built is refused: %+v", p.Findings)
	}
	var p Plan
	c := n.cfg
	c.Root = "/"
	c.sources(n.cfg.tree(), &p)
	if !p.Missing() || !strings.Contains(p.Findings[0].Text, "index-first") {
		t.Errorf("it says %+v", p.Findings)
	}
}

func TestSetupRefusesFilesThatAreNone(t *testing.T) {
	for name, damage := range map[string]func(n *node) error{
		"a link": func(n *node) error {
			return errors.Join(os.Rename(filepath.Join(n.root, "etc/nsswitch.conf"), filepath.Join(n.root, "etc/real")), os.Symlink("real", filepath.Join(n.root, "etc/nsswitch.conf")))
		},
		"a directory": func(n *node) error {
			return errors.Join(os.Remove(filepath.Join(n.root, "etc/nsswitch.conf")), os.Mkdir(filepath.Join(n.root, "etc/nsswitch.conf"), 0o755))
		},
		"a way out of the root": func(n *node) error {
			return errors.Join(os.Rename(filepath.Join(n.root, "etc"), filepath.Join(n.root, "etc2")), os.Symlink("/etc", filepath.Join(n.root, "etc")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.cfg.Parts = []string{PartNsswitch}
			if err := damage(n); err != nil {
				t.Fatal(err)
			}
			before := n.picture()
			if p, err := Make(t.Context(), n.cfg); err == nil {
				t.Errorf("the plan is %+v", p)
			}
			same(t, "setup wrote something", n.picture(), before)
		})
	}
}

func TestTwoSetupsDoNotRunAtOnce(t *testing.T) {
	n := newNode(t)
	n.cfg.Parts = []string{PartNsswitch}
	p := n.plan()
	_, release, err := n.cfg.journal(n.cfg.tree())
	if err != nil {
		t.Fatal(err)
	}
	if err := Apply(t.Context(), n.cfg, p, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), "at work") {
		t.Errorf("the error is %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	n.apply()
}

func (n *node) remove(name string) {
	n.t.Helper()
	if err := os.Remove(filepath.Join(n.root, name)); err != nil {
		n.t.Fatal(err)
	}
}
