package syncer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
)

func TestAFirstPassTakesASnapshotAndTheNextOnesDeltas(t *testing.T) {
	n, o := newNode(t), town()
	res := n.mustOnce(o)
	if !res.Wrote || !res.Pulled || !res.Reached || res.Snapshot == "" || res.Position != o.position() {
		t.Errorf("first pass: %+v", res)
	}
	n.checkInStep(o)
	o.set(account(6), locked(2))
	o.drop(roster.AccountKey(accountID(3)), roster.MemberKey("gr-001", accountID(3)))
	res = n.mustOnce(o)
	if !res.Wrote || !res.Pulled || res.Snapshot != "" || res.Effect.Removed != 1 || res.Effect.Locked != 1 {
		t.Errorf("second pass: %+v", res)
	}
	n.checkInStep(o)
	if st := n.state(); st.Snapshots != 1 || st.Deltas != 1 || st.Heals != 0 || st.LastError != "" {
		t.Errorf("state: %+v", st)
	}
	if want := []string{"snapshot", "changes"}; !slices.Equal(o.asks(), want) {
		t.Errorf("asked %v, want %v", o.asks(), want)
	}
	if last := o.rendered[len(o.rendered)-1]; last != o.position() {
		t.Errorf("the server was told %v", last)
	}
}

func TestAPassThatFindsNothingWritesNothing(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	before := listing(t, n.cfg.StateDir, filepath.Dir(n.sink.path))
	res := n.mustOnce(o)
	if res.Wrote || res.Pulled || !res.Reached {
		t.Errorf("result: %+v", res)
	}
	if after := listing(t, n.cfg.StateDir, filepath.Dir(n.sink.path)); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%v\n%v", before, after)
	}
}

// listing names files with what changes when they are written or replaced.
func listing(t *testing.T, dirs ...string) (list []string) {
	t.Helper()
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			if e.IsDir() {
				continue
			}
			list = append(list, e.Name()+" "+fi.ModTime().String()+" "+inode(fi))
		}
	}
	return list
}

func TestARenderedFileThatSomeoneDeletedComesBackWithoutAChange(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	must(os.Remove(n.sink.path))
	if res := n.mustOnce(o); !res.Wrote || res.Pulled {
		t.Errorf("result: %+v", res)
	}
	n.checkInStep(o)
}

func TestADryRunWritesNothingAtAll(t *testing.T) {
	for _, test := range []struct {
		name  string
		setup func(*node, *origin)
		want  []error
		diff  bool
	}{
		{"on a new node", func(*node, *origin) {}, []error{ErrPending}, true},
		{"with a change at the server", func(n *node, o *origin) { n.mustOnce(o); o.set(account(9)) }, []error{ErrPending}, true},
		{"with a server that asks for a snapshot", func(n *node, o *origin) {
			n.mustOnce(o)
			clear(o.past)
			o.set(account(9))
		}, []error{ErrPending}, true},
		{"with nothing to do", func(n *node, o *origin) { n.mustOnce(o) }, nil, false},
		{"with a damaged mirror and nothing to do", func(n *node, o *origin) { n.mustOnce(o); garble(n, 300) }, nil, false},
		{"with a damaged mirror and a change", func(n *node, o *origin) { n.mustOnce(o); garble(n, 300); o.set(account(9)) }, []error{ErrPending}, true},
		{"with a mass change", func(n *node, o *origin) {
			n.mustOnce(o)
			n.cfg.Fuse = Fuse{}
			o.drop(roster.AccountKey(accountID(1)))
		}, []error{ErrPending, ErrFuse}, true},
		{"with a server that fails", func(n *node, o *origin) {
			n.mustOnce(o)
			o.setFault(func(string) (io.ReadCloser, error, bool) { return nil, fs.ErrPermission, true })
		}, []error{fs.ErrPermission}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, o := newNode(t), town()
			test.setup(n, o)
			var diff bytes.Buffer
			n.cfg.DryRun, n.cfg.Diff = true, &diff
			root := filepath.Dir(n.sink.path)
			before := tree(t, root)
			_, err := n.once(o)
			if len(test.want) == 0 && err != nil {
				t.Errorf("error %v", err)
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
			if after := tree(t, root); !slices.Equal(before, after) {
				t.Errorf("something was written:\n%v\n%v", before, after)
			}
			if (diff.Len() > 0) != test.diff {
				t.Errorf("difference shown: %q", diff.String())
			}
			if err := n.syncer(o).Run(t.Context()); err == nil {
				t.Error("Run made a dry run")
			}
		})
	}
}

func tree(t *testing.T, root string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			list = append(list, path+" "+fi.ModTime().String()+" "+inode(fi))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestASinkThatFailsLeavesTheMirrorAheadAndIsAskedAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		fail func(*files, error)
	}{
		{"while it plans", func(f *files, err error) { f.fail(err, nil) }},
		{"while it commits", func(f *files, err error) { f.fail(nil, err) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, o := newNode(t), town()
			n.mustOnce(o)
			was := o.position()
			_, rendered := n.bytes()
			o.set(account(8))
			boom := errors.New("no space for files")
			test.fail(n.sink, boom)
			res, err := n.once(o)
			if !errors.Is(err, boom) || res.Position != o.position() || res.Wrote {
				t.Errorf("%+v, %v", res, err)
			}
			if _, now := n.bytes(); now != rendered {
				t.Error("the rendered file changed")
			}
			if st := n.state(); *st.Rendered != was || !strings.Contains(st.LastError, "no space for files") {
				t.Errorf("state: %+v", st)
			}
			test.fail(n.sink, nil)
			n.mustOnce(o)
			n.checkInStep(o)
			if st := n.state(); st.LastError != "" {
				t.Errorf("state: %+v", st)
			}
		})
	}
}

func TestASinkThatStopsReadingProvesNothing(t *testing.T) {
	n, o := newNode(t), town()
	n.sink.lazy = true
	if _, err := n.once(o); err == nil || !strings.Contains(err.Error(), "to its end") {
		t.Errorf("error %v", err)
	}
	if _, rendered := n.bytes(); rendered != "absent" {
		t.Error("files were written from an unproven roster")
	}
}

func TestARowThatThisVersionCannotReadIsQuarantinedAlone(t *testing.T) {
	n, o := newNode(t), town()
	var logged bytes.Buffer
	n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	o.change(func() { o.put("a/id-future", []byte(`["a/id-future",{"name":"x","uid":"ten","hash":"$6$TopSecret"}]`)) })
	res := n.mustOnce(o)
	n.checkInStep(o)
	if len(res.Effect.Quarantined) != 1 || res.Effect.Quarantined[0].Key != "a/id-future" {
		t.Errorf("quarantined: %+v", res.Effect.Quarantined)
	}
	if st := n.state(); st.QuarantinedCount != 1 || len(st.Quarantined) != 1 {
		t.Errorf("state: %+v", st)
	}
	if got := logged.String(); strings.Count(got, "refuses a row") != 1 || strings.Contains(got, "TopSecret") {
		t.Errorf("log: %s", got)
	}
	n.mustOnce(o)
	if got := logged.String(); strings.Count(got, "refuses a row") != 1 {
		t.Errorf("the same quarantine was reported twice: %s", got)
	}
	o.drop("a/id-future")
	n.mustOnce(o)
	if got := logged.String(); !strings.Contains(got, "no longer refused") {
		t.Errorf("the end of the quarantine was not reported: %s", got)
	}
}

func TestANewEpochLeadsToASnapshot(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	other := newOrigin("village")
	other.set(account(1), account(2), account(3), account(4), account(5))
	res := n.mustOnce(other)
	if res.Snapshot != ErrResync.Error() {
		t.Errorf("result: %+v", res)
	}
	n.checkInStep(other)
	if st := n.state(); st.Snapshots != 2 || st.Heals != 0 {
		t.Errorf("state: %+v", st)
	}
}

func TestAServerThatNeverKnowsPositionsCostsNoRewriting(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	o.setFault(func(kind string) (io.ReadCloser, error, bool) { return nil, ErrResync, kind == "changes" })
	var before []string
	for i := range MaxResyncs + 3 {
		if i == MaxResyncs {
			before = listing(t, n.cfg.StateDir) // until here the state counted
		}
		if res := n.mustOnce(o); res.Pulled || res.Wrote || !res.Resync || n.state().Resyncs != min(i+1, MaxResyncs) {
			t.Errorf("pass %d: result %+v, state %+v", i, res, n.state())
		}
	}
	if after := listing(t, n.cfg.StateDir); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%v\n%v", before, after)
	}
	o.setFault(nil)
	if res := n.mustOnce(o); res.Resync || n.state().Resyncs != 0 {
		t.Errorf("after the server had mended: result %+v, state %+v", res, n.state())
	}
}

func TestACancelledPassWritesNothing(t *testing.T) {
	n, o := newNode(t), town()
	ctx, cancel := context.WithCancel(t.Context())
	o.setFault(func(string) (io.ReadCloser, error, bool) { cancel(); return nil, nil, false })
	_, err := n.syncer(o).Once(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, rendered := n.bytes(); rendered != "absent" {
		t.Error("files were written after the end")
	}
	if st := n.state(); st.LastError != "" {
		t.Errorf("a wanted end is recorded as failure: %+v", st)
	}
}

func TestObserveHearsOfEachPass(t *testing.T) {
	n, o := newNode(t), town()
	var heard []Event
	n.cfg.Observe = func(e Event) { heard = append(heard, e) }
	n.mustOnce(o)
	if len(heard) != 1 || heard[0].Err != nil || !heard[0].Result.Wrote {
		t.Errorf("heard %+v", heard)
	}
}

func TestNewRefusesSettingsThatMakeNoSense(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no state directory":          {},
		"a negative fuse":             {StateDir: "x", Fuse: Fuse{Count: -1}},
		"a fuse above all":            {StateDir: "x", Fuse: Fuse{Percent: 101}},
		"a negative change":           {StateDir: "x", AcceptChange: -1},
		"a negative wait":             {StateDir: "x", Wait: -1},
		"backoff bounds that crossed": {StateDir: "x", MinBackoff: 2, MaxBackoff: 1},
	} {
		if _, err := New(cfg, town(), &files{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Config{StateDir: "x"}, nil, nil); err == nil {
		t.Error("no source: accepted")
	}
}
