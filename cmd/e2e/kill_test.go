package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pwb/cmd/harness"
)

// TestAgentKilledAtAnyStepLeavesWholeFiles lets strace(1) kill the real agent
// with SIGKILL at its nth call of each system call that writes, for every n
// until it gets through.
func TestAgentKilledAtAnyStepLeavesWholeFiles(t *testing.T) {
	t.Parallel()
	need(t, "strace", "cp")
	r := newRig(t)
	r.push(t, 8, 20, "old")
	r.sync(t, 0)
	before := contents(t, r.agent.Dir)
	base := r.agent
	r.push(t, 8, 20, "new")

	// What a pass that is left alone makes of it.
	r.agent = copyNode(t, base, "whole")
	r.sync(t, 0)
	after := contents(t, r.agent.Dir)
	if maps.Equal(before, after) {
		t.Fatal("the change changes nothing")
	}
	kills := 0
	for _, call := range []string{"openat", "write", "fchmod", "fsync", "renameat", "renameat2", "unlinkat"} {
		for n, alive := 1, 0; alive < 3 && n < 200; n++ {
			r.agent = copyNode(t, base, fmt.Sprintf("%s-%d", call, n))
			if !syncKilledAt(t, r, call, n) {
				alive++ // strace counts for each thread, so the next n may kill again
			} else {
				kills++
			}
			now := contents(t, r.agent.Dir)
			for name := range before {
				if now[name] != before[name] && now[name] != after[name] {
					t.Errorf("killed at %s number %d: %s is neither the old file nor the new one", call, n, name)
				}
			}
			// passwd comes last: whoever is in it is in the others.
			if now["passwd"] == after["passwd"] && (now["shadow"] != after["shadow"] || now["group"] != after["group"]) {
				t.Errorf("killed at %s number %d: passwd is ahead of the others", call, n)
			}
			r.sync(t, 0)
			if !maps.Equal(contents(t, r.agent.Dir), after) {
				t.Errorf("killed at %s number %d: the next pass does not mend it", call, n)
			}
			r.status(t, 0, "went well")
			if extra := strangers(t, r.agent.Dir); len(extra) > 0 {
				t.Errorf("killed at %s number %d: %v stay behind", call, n, extra)
			}
			os.RemoveAll(filepath.Dir(r.agent.Dir))
		}
	}
	if kills < 20 {
		t.Errorf("only %d passes were killed: strace does not do its part", kills)
	}
	t.Logf("%d passes were killed", kills)
}

// syncKilledAt reports whether the pass was killed.
func syncKilledAt(t *testing.T, r *rig, call string, n int) bool {
	t.Helper()
	return killedAt(t, r, call, n, "sync", "--log-level", "error")
}

// killedAt reports whether the agent's command was killed at its nth such call.
func killedAt(t *testing.T, r *rig, call string, n int, sub string, flags ...string) bool {
	t.Helper()
	agent := r.agent.Command(t.Context(), sub, flags...)
	args := append([]string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
		"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, n)}, agent.Args...)
	cmd := exec.CommandContext(t.Context(), "strace", args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit):
		// strace ends as its child did.
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && (ws.Signaled() && ws.Signal() == syscall.SIGKILL || ws.ExitStatus() == 128+int(syscall.SIGKILL)) {
			return true
		}
	}
	t.Fatalf("strace: %v\n%s", err, out)
	return false
}

// copyNode copies a node's files and state, inode by inode anew.
func copyNode(t *testing.T, a harness.Agent, name string) harness.Agent {
	t.Helper()
	dir := filepath.Join(filepath.Dir(a.Dir), "nodes", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The manifest knows directories by their paths, so the copy is written
	// for its own.
	for _, from := range []string{a.Dir, a.StateDir} {
		if out, err := exec.Command("cp", "-a", from, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	oldDir := a.Dir
	a.Dir, a.StateDir = filepath.Join(dir, filepath.Base(a.Dir)), filepath.Join(dir, filepath.Base(a.StateDir))
	manifest := filepath.Join(a.StateDir, "manifest.json")
	data, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(strings.ReplaceAll(string(data), oldDir, a.Dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, f := range filesOf(t, dir) {
		all[name] = f.Content
	}
	return all
}

// strangers are the names in a directory that are not of rendered files.
func strangers(t *testing.T, dir string) (extra []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != "passwd" && n != "group" && n != "shadow" {
			extra = append(extra, n)
		}
	}
	return extra
}
