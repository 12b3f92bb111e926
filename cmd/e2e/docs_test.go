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

// hookPage has the hook that a test calls.
const hookPage = "docs/how-to/hooks.md"

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

// walk is a page's blocks that are marked "sh walk", as one script. Where a page says
// "|| test $? = 2", the command must end with 2, and not well.
func walk(text string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile("(?sm)^```sh walk\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		b.WriteString(m[1])
	}
	return regexp.MustCompile(`(?m)^(.*) \|\| test \$\? = (\d)$`).ReplaceAllString(b.String(), "$1 && exit 1 || test $$? = $2")
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
		"TMPDIR=" + dir, "SSH_ASKPASS=" + filepath.Join(dir, "answer"), "SSH_ASKPASS_REQUIRE=force"}
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

// TestDocsHowTosRunAsWritten runs the blocks of each page that has any, each on a
// machine of its own with a server and a node.
func TestDocsHowTosRunAsWritten(t *testing.T) {
	t.Parallel()
	fleet, err := os.ReadFile("testdata/docs/fleet.sh")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for name, text := range pages(t) {
		script := walk(text)
		if script == "" || !strings.HasPrefix(name, "docs/how-to/") {
			continue
		}
		ran++
		t.Run(strings.TrimSuffix(filepath.Base(name), ".md"), func(t *testing.T) {
			t.Parallel()
			onAMachine(t, "Difference-Engine-1", string(fleet)+script)
		})
	}
	if ran < 8 {
		t.Errorf("%d pages have commands that run", ran)
	}
}

// TestDocsSayWhichCommandsRun: a block of shell commands is run by a test, or says why
// it cannot be.
func TestDocsSayWhichCommandsRun(t *testing.T) {
	t.Parallel()
	blocks := 0
	for name, text := range pages(t) {
		open := false
		for i, line := range strings.Split(text, "\n") {
			info, ok := strings.CutPrefix(line, "```")
			if !ok {
				continue
			}
			if open = !open; !open {
				continue
			}
			blocks++
			lang, mark, _ := strings.Cut(info, " ")
			switch {
			case lang == "bash" || lang == "shell" || lang == "console":
				t.Errorf("%s:%d: a block of commands is called sh here", name, i+1)
			case lang != "sh", mark == "hook" && name == hookPage:
			case mark == "walk" && (name == "README.md" || name == "docs/tutorial.md" || strings.HasPrefix(name, "docs/how-to/")):
			case strings.HasPrefix(mark, "example (") && len(mark) > len("example (because)") && strings.HasSuffix(mark, ")"):
			default:
				t.Errorf("%s:%d: nobody runs this block: mark it sh walk, or sh example (and why it cannot be run)", name, i+1)
			}
		}
		if open {
			t.Errorf("%s has a block without an end", name)
		}
	}
	if blocks < 60 {
		t.Errorf("the pages have %d blocks", blocks)
	}
}

// TestDocsLinksLeadSomewhere follows each link between files of the project.
func TestDocsLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fence := regexp.MustCompile("(?sm)^```.*?^```")
	headings := func(text string) map[string]bool {
		found := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			found[anchor(m[1])] = true
		}
		return found
	}
	followed := 0
	linked := map[string]bool{}
	for name, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			file, section, _ := strings.Cut(m[1], "#")
			to := name
			if file != "" {
				to = filepath.Join(filepath.Dir(name), file)
			}
			linked[to] = true
			data, err := os.ReadFile(filepath.Join(project, to))
			switch {
			case err != nil:
				t.Errorf("%s links to %s: %v", name, m[1], err)
			case section != "" && !headings(string(data))[section]:
				t.Errorf("%s links to %s, and there is no such heading", name, m[1])
			}
		}
	}
	if followed < 60 {
		t.Errorf("the pages have %d links", followed)
	}
	for name := range pages(t) {
		if name != "README.md" && !linked[name] {
			t.Errorf("no page links to %s", name)
		}
	}
}

// TestDocsGiveTheSourceOfEachClaim holds the numbers in brackets of a page against its
// list of sources, in both directions.
func TestDocsGiveTheSourceOfEachClaim(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"docs/comparison.md", "docs/how-to/migrate-from-workbench.md"} {
		claims, sources, ok := strings.Cut(page(t, name), "\n## Sources\n")
		if !ok {
			t.Fatalf("%s has no sources", name)
		}
		listed, cited := map[string]bool{}, map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^(\d+)\. \S`).FindAllStringSubmatch(sources, -1) {
			listed[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`\[(\d+)\]`).FindAllStringSubmatch(claims, -1) {
			if cited[m[1]] = true; !listed[m[1]] {
				t.Errorf("%s cites [%s], which is not among its sources", name, m[1])
			}
		}
		for n := range listed {
			if !cited[n] {
				t.Errorf("%s has the source %s, which nothing cites", name, n)
			}
		}
		if len(listed) < 3 {
			t.Errorf("%s has %d sources", name, len(listed))
		}
	}
}
