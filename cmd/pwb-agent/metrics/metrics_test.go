package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pwb/syncer"
)

func newMetrics(t *testing.T) (m *Metrics, dir string, log *bytes.Buffer) {
	t.Helper()
	dir, log = t.TempDir(), &bytes.Buffer{}
	return again(t, dir, log), dir, log
}

func again(t *testing.T, dir string, log *bytes.Buffer) *Metrics {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	m, err := New(Config{
		StateDir: dir, File: in("pwb.prom"), Passwd: in("passwd"), Group: in("group"), Shadow: in("shadow"),
		Version: `1.0"\` + "\n", Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func shows(t *testing.T, dir string, lines ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pwb.prom"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains("\n"+string(text), "\n"+line+"\n") {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
}

func TestPassesAreCountedByResult(t *testing.T) {
	m, dir, _ := newMetrics(t)
	reached := syncer.Result{Reached: true}
	for _, e := range []syncer.Event{
		{Result: syncer.Result{}}, // of the mirror, before the server is asked
		{Result: reached},
		{Result: syncer.Result{Reached: true, Wrote: true, Took: time.Second}},
		{Result: reached, Err: &syncer.FuseError{}},
		{Result: reached, Err: fmt.Errorf("held: %w", syncer.ErrPinned)},
		{Result: reached, Err: errors.New("disk full")},
		{Err: errors.New("no route")},
	} {
		e.Time = time.Unix(1000, 0)
		m.Heard(e)
	}
	for _, result := range results {
		shows(t, dir, fmt.Sprintf(`pwb_agent_passes_total{result="%s"} 1`, result))
	}
	shows(t, dir, "pwb_agent_server_reachable 0", "pwb_agent_last_write_duration_seconds 1", "pwb_agent_last_success_timestamp_seconds 1000", "pwb_agent_state_readable 1")
}

func TestEntriesOfTheFilesAreCounted(t *testing.T) {
	m, dir, _ := newMetrics(t)
	write(t, filepath.Join(dir, "passwd"), "# made by\nada:x:1000:1000::/home/ada:/bin/bash\nbob:x:1001:1001::/:/bin/sh\n")
	write(t, filepath.Join(dir, "group"), "ada:x:1000:\n")
	write(t, filepath.Join(dir, "shadow"), "ada:!$6$x:1::::::\nbob:$6$!x:1::::::\n")
	m.Flush()
	shows(t, dir, "pwb_agent_passwd_entries 2", "pwb_agent_group_entries 1", "pwb_agent_locked_entries 1")
	write(t, filepath.Join(dir, "shadow"), "ada:!:1::::::\nbob:!!:1::::::\ncy:*:1::::::\n")
	m.Flush()
	shows(t, dir, "pwb_agent_locked_entries 2")
}

func TestWhatCannotBeReadBeginsAnewAndIsTold(t *testing.T) {
	m, dir, log := newMetrics(t)
	m.Heard(syncer.Event{Result: syncer.Result{Reached: true}})
	again(t, dir, log).Heard(syncer.Event{Result: syncer.Result{Reached: true}})
	shows(t, dir, `pwb_agent_passes_total{result="unchanged"} 2`)
	write(t, filepath.Join(dir, memoryFile), "{")
	write(t, filepath.Join(dir, "state.json"), "{")
	again(t, dir, log).Heard(syncer.Event{Result: syncer.Result{Reached: true}})
	shows(t, dir, `pwb_agent_passes_total{result="unchanged"} 1`, "pwb_agent_state_readable 0")
	if !strings.Contains(log.String(), "metrics begin anew") {
		t.Errorf("the log says %s", log)
	}
}
