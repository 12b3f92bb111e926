package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/syncer"
)

func TestStatusSaysHowTheFilesStand(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	position := &roster.Position{Epoch: "e1", Seq: 41}
	for _, c := range []struct {
		sentence string
		state    *syncer.State
		status   int
		says     []string
	}{
		{"a new node has rendered nothing", nil, exitFailed, []string{"nothing was rendered yet"}},
		{"a node that is well says so", &syncer.State{Rendered: position, LastPull: at, LastRender: at, Snapshots: 1, Deltas: 7}, exitCurrent,
			[]string{"change 41 of e1", "2026-03-01 12:00:00 UTC", "went well", "1 snapshots", "7 deltas"}},
		{"a failure is told with its beginning", &syncer.State{Rendered: position, LastError: "the server\x1b[31m is away", LastErrorSince: at}, exitFailed,
			[]string{"failed, since 2026-03-01 12:00:00 UTC: the server [31m is away"}},
		{"a hook that failed is told and ends no script", &syncer.State{Rendered: position, LastHookError: "hook x: exit status\n3", LastHookErrorSince: at}, exitCurrent,
			[]string{"something failed, since 2026-03-01 12:00:00 UTC: hook x: exit status 3"}},
		{"the fuse is told with the way out", &syncer.State{Rendered: position, Stopped: &syncer.Stop{Position: roster.Position{Epoch: "e1", Seq: 42}, Since: at, Before: 100, Removed: 60}}, exitFuse,
			[]string{"holds change 42 back", "of 100 accounts it would remove 60", "--accept-change 42"}},
		{"a loop of snapshots is told", &syncer.State{Rendered: position, Resyncs: syncer.MaxResyncs}, exitCurrent,
			[]string{"does not know this node's position, 3 times in a row or more", "servers with different stores"}},
		{"what the policy leaves out is counted", &syncer.State{Rendered: position, LeftOut: 12}, exitCurrent, []string{"12 accounts, as this node's policy says"}},
		{"quarantined entries are listed and end no script", &syncer.State{Rendered: position, QuarantinedCount: 25, Quarantined: []roster.Quarantine{{Key: "a/x", Name: "ro\not", Reason: "name is protected"}}}, exitCurrent,
			[]string{"25", `"ro\not": name is protected`, "and 5 more"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			dir := t.TempDir()
			if c.state != nil {
				data, err := json.Marshal(c.state)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "state.json"), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ask := func(flags ...string) (int, string) {
				var out, errs strings.Builder
				return run(context.Background(), append([]string{"status", "--state-dir", dir}, flags...), &out, &errs), out.String()
			}
			status, out := ask()
			if status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, text := range c.says {
				if !strings.Contains(out, text) {
					t.Errorf("%q is not in\n%s", text, out)
				}
			}
			if strings.ContainsRune(out, 0x1b) {
				t.Errorf("an escape sequence is in %q", out)
			}
			status, out = ask("--json")
			var st syncer.State
			if err := json.Unmarshal([]byte(out), &st); err != nil || status != c.status {
				t.Errorf("--json: status %d, %v: %s", status, err, out)
			}
		})
	}
}
