package e2e

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestREADMEWalkRunsAsWritten runs the blocks marked "sh walk" as one script.
func TestREADMEWalkRunsAsWritten(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "curl is needed", err)
	}
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	blocks := regexp.MustCompile("(?s)```sh walk\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	if len(blocks) < 4 {
		t.Fatalf("the README has %d blocks to run", len(blocks))
	}
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	script.WriteString("wait\n")
	dir := t.TempDir()
	if err := os.Symlink(string(bin), filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(within(t), "bash", "-c", script.String())
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the README's commands fail: %v\n%s", err, out)
	}
}

// TestDocsHookEndsWhatNoSessionHas calls the block marked "sh hook" for a user
// with a number that nobody else has, and a process.
func TestDocsHookEndsWhatNoSessionHas(t *testing.T) {
	t.Parallel()
	need(t, "pkill", "sleep")
	block := regexp.MustCompile("(?s)```sh hook\n#!/bin/sh\n(.*?)```").FindStringSubmatch(page(t, hookPage))
	if block == nil {
		t.Fatalf("%s has no hook", hookPage)
	}
	const uid = 2147481999
	r := newRig(t)
	r.hook(t, "50-processes", block[1])
	body := user("ada")
	body["urn:rstudio:params:scim:schemas:extension:workbench:1.0:User"] = map[string]any{"posixUserId": uid}
	id, err := r.scim.Create(t.Context(), "/Users", body)
	if err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0)
	job := exec.CommandContext(t.Context(), "sleep", "1000")
	job.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	r.patch(t, id, "active", false)
	if out := r.sync(t, 0); strings.Contains(out, "WARN") {
		t.Errorf("the pass says\n%s", out)
	}
	if err := job.Wait(); err == nil || err.Error() != "signal: killed" || t.Context().Err() != nil {
		t.Errorf("the job ended with %v", err)
	}
	r.patch(t, id, "active", true)
	r.patch(t, id, "displayName", "Lovelace")
	r.sync(t, 0)
	r.patch(t, id, "active", false)
	if out := r.sync(t, 0); strings.Contains(out, "WARN") {
		t.Errorf("where there is no process, the pass says\n%s", out)
	}
}

// TestREADMENamesTargetsThatAreThere holds every `make TARGET` against the Makefile.
func TestREADMENamesTargetsThatAreThere(t *testing.T) {
	t.Parallel()
	targets := regexp.MustCompile("(?m)(?:`|^)make ([a-z]+)").FindAllStringSubmatch(readme(t), -1)
	if len(targets) < 6 {
		t.Fatalf("the README names %d targets", len(targets))
	}
	for _, m := range targets {
		cmd := exec.Command("make", "-n", m[1])
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("make %s: %v\n%s", m[1], err, out)
		}
	}
}

var update = flag.Bool("update", false, "write what pages have of the programs: tables of keys, commands, schemas")

// TestREADMEHasEveryKey holds the tables of keys, which are in the reference, against
// what the programs say.
func TestREADMEHasEveryKey(t *testing.T) {
	for _, program := range programs {
		table, _ := programKeys(t, program)
		holds(t, "docs/reference/configuration.md", "keys of "+program, table)
	}
}

// TestREADMENamesEveryDependency: each has its line that says why.
func TestREADMENamesEveryDependency(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-m", "-f", "{{if not .Indirect}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := readme(t)
	for _, path := range strings.Fields(string(out)) {
		name := path[strings.LastIndexByte(path, '/')+1:]
		if !strings.Contains(text, "`"+path+"`") && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("the README does not say why %s is needed", path)
		}
	}
}

// TestDemoEndsWellAndLeavesNothing runs what make demo runs.
func TestDemoEndsWellAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"pwb-server", "pwb-agent"} {
		if err := os.Link(filepath.Join(string(bin), name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", dir+"/", "pwb/cmd/pwb-demo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	scratch := filepath.Join(dir, "tmp")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(within(t), filepath.Join(dir, "pwb-demo"), "show")
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the demonstration failed: %v\n%s", err, out)
	}
	for _, want := range []string{"linus.torvalds:!*::::::1:", "research:x:", "ms after the answer", "nothing was written"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demonstration does not show %q:\n%s", want, out)
		}
	}
	left, err := os.ReadDir(scratch)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("the demonstration leaves %v behind", left)
	}
	if out := processesOf(t, dir); len(out) > 0 {
		t.Errorf("the demonstration leaves processes behind: %q", out)
	}
}

// processesOf lists the command lines of the running programs that lie in dir.
func processesOf(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		// A process that has ended meanwhile is not left behind.
		if line, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(line), dir) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
