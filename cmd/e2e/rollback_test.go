package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// active sets whether a user may log in.
func (r *rig) active(t testing.TB, id string, is bool) {
	t.Helper()
	body := map[string]any{"Operations": []any{map[string]any{"op": "replace", "value": map[string]any{"active": is}}}}
	if _, err := r.scim.Want(t.Context(), http.StatusOK, http.MethodPatch, "/Users/"+id, body); err != nil {
		t.Fatal(err)
	}
}

// both runs any command of the agent and returns its status and all it printed.
func (r *rig) both(t testing.TB, sub string, args ...string) (int, string) {
	t.Helper()
	cmd := r.agent.Command(t.Context(), sub, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func TestRollbackPutsFilesBackAndPinsThemUntilTheyAreReleased(t *testing.T) {
	t.Parallel()
	r, ids := policyRig(t)
	r.sync(t, 0)
	first := contents(t, r.agent.Dir)
	r.active(t, ids[0], false)
	r.sync(t, 0)
	second := contents(t, r.agent.Dir)
	r.server.Stop() // nothing up to the release needs it

	status, out := r.run(t, "rollback", "--list")
	if status != 0 || strings.Count(out, "\n") != 3 || !strings.Contains(strings.Split(out, "\n")[2], "in place") {
		t.Errorf("status %d\n%s", status, out)
	}
	status, out = r.run(t, "rollback", "1", "--dry-run")
	if status != 2 || !strings.Contains(out, "1 can log in again: ada") || !strings.Contains(out, "-ada:x:") || strings.Contains(out, "$6$") {
		t.Errorf("status %d\n%s", status, out)
	}
	// Whoever was locked comes back only if that is said.
	status, out = r.both(t, "rollback")
	if status != 1 || !strings.Contains(out, "--yes") || !maps.Equal(contents(t, r.agent.Dir), second) {
		t.Errorf("status %d\n%s", status, out)
	}
	if status, out = r.both(t, "rollback", "--yes"); status != 0 || !maps.Equal(contents(t, r.agent.Dir), first) {
		t.Fatalf("status %d\n%s", status, out)
	}
	if status, out := r.run(t, "status"); status != 4 || !strings.Contains(out, "rollback --release") || !strings.Contains(out, "to generation 1") {
		t.Errorf("status %d\n%s", status, out)
	}
	r.sync(t, 1) // the server is away
	if !maps.Equal(contents(t, r.agent.Dir), first) {
		t.Error("the files changed")
	}

	r.start(t, "store", strings.TrimPrefix(r.server.URL, "http://"))
	for range 3 {
		if out := r.sync(t, 4); !strings.Contains(out, "STILL LET IN 1") {
			t.Errorf("sync says\n%s", out)
		}
		if !maps.Equal(contents(t, r.agent.Dir), first) {
			t.Error("the files changed")
		}
	}
	if status, out := r.run(t, "status"); status != 4 || !strings.Contains(out, "STILL LET IN 1") {
		t.Errorf("status %d\n%s", status, out)
	}
	status, out = r.run(t, "status", "--json")
	var told struct {
		Pin  struct{ Generation int64 }
		Held struct{ Locked int }
	}
	if err := json.Unmarshal([]byte(out), &told); err != nil || status != 4 || told.Pin.Generation != 1 || told.Held.Locked != 1 {
		t.Errorf("status %d, %v:\n%s", status, err, out)
	}
	if status, out := r.both(t, "plan"); status != 2 || !strings.Contains(out, "+ada:<no password, locked") || !strings.Contains(out, "pinned to generation 1") {
		t.Errorf("plan: status %d\n%s", status, out)
	}
	status, out = r.run(t, "rollback", "--list", "--json")
	var list []struct {
		Number          int64
		InPlace, Pinned bool
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(out, "in_place", "inplace")), &list); err != nil || status != 0 || len(list) != 2 || !list[0].InPlace || !list[0].Pinned || list[1].Pinned {
		t.Errorf("status %d, %v:\n%s", status, err, out)
	}
	// An edited file becomes that of the generation again.
	passwd := filepath.Join(r.agent.Dir, "passwd")
	if err := os.WriteFile(passwd, []byte("eve:x:1000:1000::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 4)
	if !maps.Equal(contents(t, r.agent.Dir), first) {
		t.Error("the edited file is not mended")
	}
	// Forward again: nobody gets in by that.
	if status, out := r.both(t, "rollback", "2"); status != 0 || !maps.Equal(contents(t, r.agent.Dir), second) {
		t.Errorf("status %d\n%s", status, out)
	}
	r.sync(t, 0) // pinned, but to what the server says
	if status, out := r.both(t, "rollback", "--release"); status != 0 || !maps.Equal(contents(t, r.agent.Dir), second) {
		t.Errorf("status %d\n%s", status, out)
	}
	if status, out := r.run(t, "status"); status != 0 {
		t.Errorf("status %d\n%s", status, out)
	}
	if status, out := r.both(t, "rollback", "--release"); status != 1 || !strings.Contains(out, "not pinned") {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestReleaseWithoutAServerRendersWhatWasPulled(t *testing.T) {
	t.Parallel()
	r, ids := policyRig(t)
	r.sync(t, 0)
	r.active(t, ids[1], false)
	r.sync(t, 0)
	second := contents(t, r.agent.Dir)
	if status, out := r.both(t, "rollback", "--yes"); status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	r.server.Stop()
	if status, out := r.both(t, "rollback", "--release"); status != 0 || !maps.Equal(contents(t, r.agent.Dir), second) {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestRollbackBesideAnAgentThatStays(t *testing.T) {
	t.Parallel()
	r, ids := policyRig(t)
	watch := r.follow(t)
	if err := watch.Until(within(t), "passwd", lineBegins("carol:")); err != nil {
		t.Fatal(err)
	}
	first := contents(t, r.agent.Dir)
	r.active(t, ids[2], false)
	if err := watch.Until(within(t), "shadow", lineBegins("carol:!")); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0) // waits for the pass that wrote it
	_, out := r.run(t, "rollback", "--list", "--json")
	var list []struct{ Number int64 }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) < 2 {
		t.Fatalf("%v:\n%s", err, out)
	}
	if status, out := r.both(t, "rollback", fmt.Sprint(list[len(list)-2].Number), "--yes"); status != 0 || !maps.Equal(contents(t, r.agent.Dir), first) {
		t.Fatalf("status %d\n%s", status, out)
	}
	// The agent takes what comes and renders none of it.
	if _, err := r.scim.Create(t.Context(), "/Users", user("dora")); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 4)
	if !maps.Equal(contents(t, r.agent.Dir), first) {
		t.Error("the files changed")
	}
	if status, out := r.both(t, "rollback", "--release"); status != 0 || !strings.Contains(r.names(t), "dora") {
		t.Errorf("status %d\n%s", status, out)
	}
	if _, err := r.scim.Create(t.Context(), "/Users", user("emil")); err != nil {
		t.Fatal(err)
	}
	if err := watch.Until(within(t), "passwd", lineBegins("emil:")); err != nil {
		t.Fatal(err)
	}
}

func TestRollbackRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	r, _ := policyRig(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "no rendering before"},
		{[]string{"1"}, "generation 1 is not kept"},
		{[]string{"x"}, "no generation"},
		{[]string{"1", "--list"}, "not with --list"},
		{[]string{"--release"}, "not pinned"},
		{[]string{"--list", "--release"}, "none of the others can be"},
	} {
		if status, out := r.both(t, "rollback", c.args...); status != 1 || !strings.Contains(out, c.says) {
			t.Errorf("rollback %v: status %d\n%s", c.args, status, out)
		}
	}
	if status, out := r.run(t, "rollback", "--list", "--json"); status != 0 || out != "[]\n" {
		t.Errorf("status %d\n%s", status, out)
	}
	r.sync(t, 0)
	r.sync(t, 0, "--deny-users", "ada", "--keep-generations", "1")
	stored, err := filepath.Glob(filepath.Join(r.agent.StateDir, "generations", "*"))
	if err != nil || len(stored) == 0 {
		t.Fatal(err, stored)
	}
	before := contents(t, r.agent.Dir)
	for _, path := range stored {
		if err := os.WriteFile(path, []byte("root::0:0::/:/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, out := r.both(t, "rollback", "--yes"); status != 1 || !strings.Contains(out, "damaged") || !maps.Equal(contents(t, r.agent.Dir), before) {
		t.Errorf("status %d\n%s", status, out)
	}
	if _, err := os.Stat(filepath.Join(r.agent.StateDir, "pin.json")); err == nil {
		t.Error("the node is pinned")
	}
}

// TestRollbackKilledAtAnyStepEndsPinnedOrNotAtAll kills the real command at its
// nth call of what makes a change durable or visible.
func TestRollbackKilledAtAnyStepEndsPinnedOrNotAtAll(t *testing.T) {
	t.Parallel()
	need(t, "strace", "cp")
	r, ids := policyRig(t)
	r.sync(t, 0)
	first := contents(t, r.agent.Dir)
	r.active(t, ids[0], false)
	r.sync(t, 0)
	second := contents(t, r.agent.Dir)
	base := r.agent
	kills, pinned := 0, 0
	for _, call := range []string{"mkdirat", "renameat", "renameat2", "fsync"} {
		for n, alive := 1, 0; alive < 3 && n < 100; n++ {
			r.agent = copyNode(t, base, fmt.Sprintf("%s-%d", call, n))
			where := fmt.Sprintf("killed at %s number %d", call, n)
			killed := killedAt(t, r, call, n, "rollback", "1", "--yes", "--log-level", "error")
			if killed {
				kills++
			} else {
				alive++ // strace counts for each thread, so the next n may kill again
			}
			now := contents(t, r.agent.Dir)
			for name := range first {
				if now[name] != first[name] && now[name] != second[name] {
					t.Errorf("%s: %s is neither the old file nor the new one", where, name)
				}
			}
			status, want := 0, second
			if _, err := os.Stat(filepath.Join(r.agent.StateDir, "pin.json")); err == nil {
				if killed {
					pinned++
				}
				status, want = 4, first
			} else if !maps.Equal(now, second) {
				t.Errorf("%s: a file changed before there was a pin", where)
			}
			r.sync(t, status)
			if !maps.Equal(contents(t, r.agent.Dir), want) {
				t.Errorf("%s: the next pass does not finish it", where)
			}
			if extra := strangers(t, r.agent.Dir); len(extra) > 0 {
				t.Errorf("%s: %v stay behind", where, extra)
			}
			// Whatever happened, both generations are there.
			for generation, want := range []map[string]string{first, second} {
				if status, out := r.both(t, "rollback", fmt.Sprint(generation+1), "--yes"); status != 0 || !maps.Equal(contents(t, r.agent.Dir), want) {
					t.Errorf("%s: generation %d: status %d\n%s", where, generation+1, status, out)
				}
			}
			os.RemoveAll(filepath.Dir(r.agent.Dir))
		}
	}
	if pinned == 0 || pinned == kills {
		t.Errorf("%d rollbacks were killed, %d of them behind the pin: strace does not do its part", kills, pinned)
	}
	t.Logf("%d rollbacks were killed, %d of them behind the pin", kills, pinned)
}
