package e2e

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// project is where the documentation lies, seen from here.
const project = "../.."

// page reads a page, named from the project's directory.
func page(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(project, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pages are the README and all below docs, by their name from the project's directory.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"README.md": page(t, "README.md")}
	err := fs.WalkDir(os.DirFS(project), "docs", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".md") {
			all[name] = page(t, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// walk is a page's blocks that are marked "sh walk", as one script.
func walk(text string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile("(?sm)^```sh walk\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		b.WriteString(m[1])
	}
	return b.String()
}

// onAMachine runs a script of documentation as root of a machine of its own: private
// namespaces, and above /etc, /usr, /var and others a layer that goes with them. An
// sshd listens there, and whoever is asked for a password gives answer. The directory
// it starts in has bin, with the programs.
func onAMachine(t *testing.T, answer, script string) {
	t.Helper()
	need(t, "unshare", "mount", "python3", "curl", "ssh", "sshd", "ssh-keygen", "pam-auth-update")
	if libs, _ := filepath.Glob("/usr/lib/libnss_extrausers.so.2"); len(libs) == 0 {
		missing(t, "libnss-extrausers is needed", fs.ErrNotExist)
	}
	if err := buildModule(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, text := range map[string]string{"answer": "#!/bin/sh\necho '" + answer + "'\n", "script": "set -euo pipefail\ncd " + dir + "\n" + script} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(string(bin), filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	prelude, err := filepath.Abs("testdata/docs/machine.sh")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // far above what any takes
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"bash", prelude, filepath.Join(dir, "script"))
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
		"SSH_ASKPASS=" + filepath.Join(dir, "answer"), "SSH_ASKPASS_REQUIRE=force"}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77:
		missing(t, "overlay file systems in a mount namespace are needed", err)
	case err != nil:
		t.Fatalf("the page's commands fail: %v\n%s", err, out)
	}
}

// TestDocsTutorialRunsAsWritten runs its blocks as one script, up to a login by ssh and
// back to a machine without pwb.
func TestDocsTutorialRunsAsWritten(t *testing.T) {
	t.Parallel()
	script := walk(page(t, "docs/tutorial.md"))
	for _, want := range []string{"pwb-agent setup\n", "ssh -o", "setup --undo"} {
		if !strings.Contains(script, want) {
			t.Fatalf("the tutorial does not run %q", want)
		}
	}
	onAMachine(t, "Difference-Engine-1", script)
}
