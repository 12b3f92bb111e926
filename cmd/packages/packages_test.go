package packages_test

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTheSameSourceMakesTheSamePackages packs a copy of the module that lies elsewhere.
func TestTheSameSourceMakesTheSamePackages(t *testing.T) {
	dir := packed(t)
	module := filepath.Join(t.TempDir(), "somewhere", "else")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && slices.Contains([]string{".git", "bin", "run"}, name):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(module, name), 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(module, name), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := pack(module, again, []string{"TMPDIR=" + t.TempDir(), "TZ=Asia/Tokyo", "LANG=C"}, "-version", "v"+first); err != nil {
		t.Fatal(err)
	}
	names := func(dir string) (all []string) {
		found, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			all = append(all, f.Name())
		}
		return all
	}
	if a, b := names(dir), names(again); len(a) != 4 || !slices.Equal(a, b) {
		t.Fatalf("the packages are %q, and %q", a, b)
	}
	for _, name := range names(dir) {
		a, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same when it is made elsewhere", name)
		}
	}
}

// TestWhatCannotBePackedIsRefused before anything is built.
func TestWhatCannotBePackedIsRefused(t *testing.T) {
	for _, c := range []struct{ args, env, want string }{
		{"-version=next", "", "does not begin with a number"},
		{"-version=1.0.0 -arch=sparc", "", "give amd64 or arm64"},
		{"-version=1.0.0", "SOURCE_DATE_EPOCH=today", "seconds since 1970"},
	} {
		err := pack("../..", t.TempDir(), strings.Fields(c.env), strings.Fields(c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.env, c.args, err)
		}
	}
}

// TestUnitsAreConfined prints what systemd thinks of them.
func TestUnitsAreConfined(t *testing.T) {
	need(t, "systemd-analyze")
	root := unpacked(t)
	for unit, most := range map[string]float64{"pwb-server": 1.5, "pwb-agent": 3, "pwb-agent-sync": 3} {
		out := output(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--root="+root, unit+".service")
		found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("systemd-analyze says no level:\n%s", out)
		}
		t.Logf("exposure of %s: %s", unit, found[1])
		if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > most {
			t.Errorf("the exposure of %s is %s, more than %v:\n%s", unit, found[1], most, out)
		}
	}
}

// TestBothWaysOfTheAgentAreConfinedAlike compares the daemon's unit with the timer's.
func TestBothWaysOfTheAgentAreConfinedAlike(t *testing.T) {
	confinement := func(name string) []string {
		text, err := os.ReadFile(filepath.Join("agent", name))
		if err != nil {
			t.Fatal(err)
		}
		_, after, ok := strings.Cut(string(text), "\nStateDirectory=")
		if !ok {
			t.Fatalf("%s has no StateDirectory=", name)
		}
		after, _, _ = strings.Cut(after, "[Install]")
		return slices.DeleteFunc(strings.Split(strings.TrimSpace(after), "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
	}
	a, b := confinement("pwb-agent.service"), confinement("pwb-agent-sync.service")
	if len(a) < 20 || !slices.Equal(a, b) {
		t.Errorf("pwb-agent.service has\n%s\npwb-agent-sync.service has\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// TestManualPagesAreWhole has groff look for what it does not understand.
func TestManualPagesAreWhole(t *testing.T) {
	need(t, "man", "gzip")
	root := unpacked(t)
	pages, err := filepath.Glob(filepath.Join(root, "usr/share/man/man*/*"))
	if err != nil || len(pages) != 7 {
		t.Fatalf("the pages are %q, %v", pages, err)
	}
	for _, page := range pages {
		// What lintian(1) does.
		out := output(t, "sh", "-c", `LC_ALL=C.UTF-8 MANROFFSEQ= MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$1" 2>&1 >/dev/null`, "sh", page)
		if out != "" {
			t.Errorf("%s:\n%s", filepath.Base(page), out)
		}
		text := output(t, "sh", "-c", `LC_ALL=C.UTF-8 MANWIDTH=200 man -l "$1"`, "sh", page)
		for _, want := range map[string][]string{
			"pwb-server.8.gz":      {"pwb-server token create", "--scope", "FILES"},
			"pwb-agent.8.gz":       {"pwb-agent rollback", "--release", "EXIT STATUS"},
			"pwb-agent.yaml.5.gz":  {"state-dir", "Default: /var/lib/pwb."},
			"pwb-server.yaml.5.gz": {"listen", "Default: "},
			"libnss_pwb.8.gz":      {"nsswitch.conf", "workbench-nss.conf"},
			"pwb-pam.8.gz":         {"pwb-pam homes archive USER", "List the homes of who left", "--only-ours", "pam_localuser.so"},
			"pwb-pam.yaml.5.gz":    {"departed-homes", "Default: /run/pwb-pam.", "the environment is not read"},
		}[filepath.Base(page)] {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", filepath.Base(page), want, text)
			}
		}
	}
}

// TestLibnssPagesKeysAreTheModules holds the page against the table of the reference.
func TestLibnssPagesKeysAreTheModules(t *testing.T) {
	page, err := os.ReadFile("agent/libnss_pwb.8")
	if err != nil {
		t.Fatal(err)
	}
	reference, err := os.ReadFile("../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(reference), "\n## workbench-nss.conf\n")
	section, _, _ = strings.Cut(section, "\n## ")
	keys := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(section, -1)
	if len(keys) < 10 {
		t.Fatalf("the reference has %d keys of the module", len(keys))
	}
	for _, k := range keys {
		if !strings.Contains(string(page), ".B "+strings.ReplaceAll(k[1], "-", `\-`)+"\n") {
			t.Errorf("libnss_pwb(8) does not have %s", k[1])
		}
	}
}

// TestTheProgramsNeedNoLibc: they run with whatever a distribution has; the module
// must run in programs of the distribution's.
func TestTheProgramsNeedNoLibc(t *testing.T) {
	need(t, "dpkg-deb")
	root := unpacked(t)
	for _, program := range []string{"usr/bin/pwb-server", "usr/bin/pwb-agent", "usr/libexec/pwb/nss-live", "usr/libexec/pwb/pwb-pam"} {
		f, err := elf.Open(filepath.Join(root, program))
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s asks for a dynamic loader", program)
		}
		f.Close()
	}
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	if _, err := os.Stat(filepath.Join(root, "usr/lib", triplet, "libnss_pwb.so.2")); err != nil {
		t.Error(err)
	}
	depends := output(t, "dpkg-deb", "-f", deb(packed(t), "pwb-agent", first), "Depends")
	if !regexp.MustCompile(`^libc6 \(>= 2\.[0-9]+\)`).MatchString(depends) {
		t.Errorf("pwb-agent depends on %s", depends)
	}
}

// TestAnUnusualCallOfAScriptDoesNothing: dpkg calls them for failures, too.
func TestAnUnusualCallOfAScriptDoesNothing(t *testing.T) {
	scripts, err := filepath.Glob("*/*.sh")
	if err != nil || len(scripts) != 6 {
		t.Fatalf("the scripts are %q, %v", scripts, err)
	}
	for _, script := range scripts {
		for _, call := range []string{"abort-upgrade", "abort-remove", "deconfigure", "failed-upgrade", "upgrade", "disappear", ""} {
			if call == "upgrade" && strings.HasSuffix(script, "postinst.sh") {
				continue // it has no such call
			}
			// Without a PATH, whatever it did would fail.
			if out := output(t, "env", "-i", "PATH=/nowhere", "/bin/sh", script, call); out != "" {
				t.Errorf("%s %s says %s", script, call, out)
			}
		}
	}
}

// TestTheSELinuxPolicyCompiles against the reference policy. It was not run on a
// system that enforces one.
func TestTheSELinuxPolicyCompiles(t *testing.T) {
	const makefile = "/usr/share/selinux/devel/Makefile"
	need(t, "checkmodule", "m4")
	if _, err := os.Stat(makefile); err != nil {
		missing(t, "selinux-policy-dev is needed", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("agent/selinux")); err != nil {
		t.Fatal(err)
	}
	output(t, "make", "-C", dir, "-f", makefile, "pwb.pp")
	if _, err := os.Stat(filepath.Join(dir, "pwb.pp")); err != nil {
		t.Error(err)
	}
}
