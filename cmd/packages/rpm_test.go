package packages_test

import (
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestTheRPMsHoldWhatTheDebsHold but for what each distribution has elsewhere.
func TestTheRPMsHoldWhatTheDebsHold(t *testing.T) {
	need(t, "rpm", "dpkg-deb")
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	for _, name := range []string{"pwb-server", "pwb-agent"} {
		inRPM := strings.Fields(output(t, "rpm", "-qpl", rpm(t, name)))
		var inDeb []string
		for line := range strings.Lines(output(t, "dpkg-deb", "-c", deb(packed(t), name, first))) {
			path := strings.TrimPrefix(strings.Fields(line)[5], ".")
			// rpm lists the directories that it is to remove, which are ours alone.
			if !strings.HasSuffix(path, "/") || strings.Contains(path, "pwb") {
				inDeb = append(inDeb, strings.TrimSuffix(path, "/"))
			}
		}
		for i, path := range inDeb {
			path = strings.Replace(path, "/usr/lib/"+triplet+"/", "/usr/lib64/", 1)
			inDeb[i] = strings.Replace(path, "/usr/share/doc/"+name+"/copyright", "/usr/share/licenses/"+name+"/LICENSE", 1)
		}
		inDeb = append(inDeb, "/usr/share/licenses/"+name)
		slices.Sort(inRPM)
		slices.Sort(inDeb)
		if len(inRPM) < 10 || !slices.Equal(inRPM, inDeb) {
			t.Errorf("the rpm of %s has\n%s\nthe deb has\n%s", name, strings.Join(inRPM, "\n"), strings.Join(inDeb, "\n"))
		}
		configs := map[string][]string{"pwb-server": {"/etc/pwb/server.yaml"}, "pwb-agent": {"/etc/pwb/agent.yaml", "/etc/pwb/pam.yaml"}}[name]
		if got := strings.Fields(output(t, "rpm", "-qpc", rpm(t, name))); !slices.Equal(got, configs) {
			t.Errorf("the configuration of the rpm is %q", got)
		}
		if got := strings.Fields(output(t, "dpkg-deb", "-I", deb(packed(t), name, first), "conffiles")); !slices.Equal(got, configs) {
			t.Errorf("the configuration of the deb is %q", got)
		}
		// c is for configuration, n for noreplace: an edited file stays, the new one becomes .rpmnew.
		flags := output(t, "rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", rpm(t, name))
		for _, path := range configs {
			if !strings.Contains(flags, path+" cn\n") {
				t.Errorf("the flags of files are\n%s", flags)
			}
		}
		for _, owner := range strings.Fields(output(t, "rpm", "-qp", "--qf", "[%{FILEUSERNAME}:%{FILEGROUPNAME}\n]", rpm(t, name))) {
			if owner != "root:root" {
				t.Errorf("a file of %s belongs to %s", name, owner)
			}
		}
	}
}

// TestTheRPMsRunTheSameScripts: each knows how both package managers call it.
func TestTheRPMsRunTheSameScripts(t *testing.T) {
	need(t, "rpm")
	for _, name := range []string{"pwb-server", "pwb-agent"} {
		for tag, file := range map[string]string{"POSTIN": "postinst.sh", "PREUN": "prerm.sh", "POSTUN": "postrm.sh"} {
			text, err := os.ReadFile(strings.TrimPrefix(name, "pwb-") + "/" + file)
			if err != nil {
				t.Fatal(err)
			}
			if got := output(t, "rpm", "-qp", "--qf", "%{"+tag+"}", rpm(t, name)); strings.TrimSpace(got) != strings.TrimSpace(string(text)) {
				t.Errorf("%s of %s is\n%s", tag, name, got)
			}
		}
	}
	requires := output(t, "rpm", "-qp", "--requires", rpm(t, "pwb-agent"))
	if !regexp.MustCompile(`(?m)^libc\.so\.6\(GLIBC_2\.[0-9]+\)\(64bit\)$`).MatchString(requires) || !strings.Contains(requires, "systemd\n") {
		t.Errorf("pwb-agent requires\n%s", requires)
	}
}
