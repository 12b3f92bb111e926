package syncer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pwb/roster"
)

func TestAGarbledStateIsBegunAnew(t *testing.T) {
	for name, content := range map[string]string{
		"nothing": "", "no JSON": "{{{", "a list": "[]", "a wrong type": `{"snapshots":"many"}`,
		"too much": strings.Repeat(" ", maxState+1),
	} {
		t.Run(name, func(t *testing.T) {
			n, o := newNode(t), town()
			n.mustOnce(o)
			path := filepath.Join(n.cfg.StateDir, stateFile)
			must(os.WriteFile(path, []byte(content), 0o600))
			if _, err := ReadState(n.cfg.StateDir); err == nil {
				t.Error("it was read")
			}
			var logged bytes.Buffer
			n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
			n.mustOnce(o)
			n.checkInStep(o)
			if !strings.Contains(logged.String(), "begun anew") {
				t.Errorf("log %q", logged.String())
			}
		})
	}
}

func TestStatesComeBackAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	var st State
	st.setError(errors.New("bad \xff text" + strings.Repeat("é", 2000)))
	st.setStopped(&FuseError{Position: roster.Position{Epoch: "e", Seq: 4}, Effect: roster.Effect{Before: 9, Removed: 9}})
	st.setQuarantined([]roster.Quarantine{{Key: "a/x", Name: "\xfe\xfe:", Reason: "odd"}})
	must(writeState(dir, st))
	got, err := ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !got.same(st) {
		t.Errorf("wrote %+v, read %+v", st, got)
	}
	got.Stopped.Since = got.Stopped.Since.Add(time.Hour)
	got.LastErrorSince = time.Time{}
	if !got.same(st) {
		t.Error("a time makes a difference")
	}
	many := make([]roster.Quarantine, maxListed+5)
	for i := range many {
		many[i].Key = fmt.Sprintf("a/%d", i)
	}
	st.setQuarantined(many)
	if len(st.Quarantined) != maxListed || st.QuarantinedCount != maxListed+5 {
		t.Errorf("lists %d of %d", len(st.Quarantined), st.QuarantinedCount)
	}
}

func TestAStateThatCannotBeWrittenIsReported(t *testing.T) {
	n, o := newNode(t), town()
	must(os.MkdirAll(filepath.Join(n.cfg.StateDir, stateFile, "x"), 0o700))
	res, err := n.once(o)
	if err == nil || !strings.Contains(err.Error(), "record the state") || !res.Wrote {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAStateDirectoryThatOthersCanWriteToIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"writable by the group", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) }, "chmod 0700"},
		{"writable by all", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o707)) }, "chmod 0700"},
		{"a file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "not a directory"},
		{"somebody else's", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 12345, 0)) }, "belongs to uid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, o := newNode(t), town()
			if err := test.make(n.cfg.StateDir); err != nil {
				t.Skipf("cannot set this up here: %v", err)
			}
			for _, dry := range []bool{false, true} {
				n.cfg.DryRun = dry
				if _, err := n.once(o); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("dry %v: error %v", dry, err)
				}
			}
			n.cfg.DryRun = false
			if err := n.syncer(o).Run(t.Context()); err == nil {
				t.Error("Run accepts it")
			}
		})
	}
}

func TestAStateDirectoryIsCreatedWithItsParents(t *testing.T) {
	n, o := newNode(t), town()
	n.cfg.StateDir = filepath.Join(n.cfg.StateDir, "deep", "down")
	n.mustOnce(o)
	n.checkInStep(o)
}

func TestTwoPassesKeepApart(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	synctest.Test(t, func(t *testing.T) {
		unlock, err := lock(t.Context(), n.cfg.StateDir, 0)
		if err != nil {
			t.Fatal(err)
		}
		s := n.syncer(o)
		began := time.Now()
		if _, err := s.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "another pass") {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(began); waited != s.cfg.LockWait {
			t.Errorf("waited %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Once(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		time.AfterFunc(time.Second, unlock)
		if _, err := s.Once(t.Context()); err != nil {
			t.Errorf("after the other had finished: %v", err)
		}
	})
}

func TestWhatAKilledPassLeftIsSweptAway(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	for _, name := range []string{".mirror123", ".state.json9", ".report.json7", ".mirror", ".mirrorx", "mine"} {
		must(os.WriteFile(filepath.Join(n.cfg.StateDir, name), nil, 0o600))
	}
	n.mustOnce(o)
	entries, err := os.ReadDir(n.cfg.StateDir)
	must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != ".mirror .mirrorx lock mine mirror state.json" {
		t.Errorf("left: %s", got)
	}
}
