package syncer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFactsAreSentOnceAndNotAgainWhileNothingChanges(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	c := newClient(t, newWeb(t, o).URL, nil)
	n.mustOnce(c)
	checkReports(t, o, adaAndBob)
	before := listing(t, n.cfg.StateDir, filepath.Dir(n.sink.path))
	for range 3 {
		n.mustOnce(c)
	}
	checkReports(t, o, adaAndBob)
	if after := listing(t, n.cfg.StateDir, filepath.Dir(n.sink.path)); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%v\n%v", before, after)
	}
	o.set(account(9)) // no news of the node
	n.mustOnce(c)
	checkReports(t, o, adaAndBob)
	fi, err := os.Stat(filepath.Join(n.cfg.StateDir, reportFile))
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
}

func TestChangedFactsAreSentAgain(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	n.mustOnce(o)
	l.set([]uint32{1001}, []string{"bob"}, nil)
	n.mustOnce(o)
	n.cfg.Version = "1.3.0"
	n.mustOnce(o)
	l.set(nil, nil, nil)
	n.mustOnce(o)
	n.mustOnce(o)
	checkReports(t, o, adaAndBob,
		Facts{Version: "1.2.3", IDs: []uint32{1001}, Names: []string{"bob"}},
		Facts{Version: "1.3.0", IDs: []uint32{1001}, Names: []string{"bob"}},
		Facts{Version: "1.3.0", IDs: []uint32{}, Names: []string{}})
	if b, err := json.Marshal(o.reports()[3]); string(b) != `{"version":"1.3.0","ids":[],"names":[]}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestTheOrderOfLocalFilesIsNoNews(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	n.mustOnce(o)
	l.set([]uint32{1000, 1001, 1000}, []string{"ada", "bob", "ada"}, nil)
	n.mustOnce(o)
	checkReports(t, o, adaAndBob)
}

func TestANewEpochIsToldTheFactsAnew(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.restore("after")
	n.mustOnce(o)
	n.mustOnce(o)
	checkReports(t, o, adaAndBob, adaAndBob)
}

// restore makes o another life of the same store, with the rows that it has.
func (o *origin) restore(epoch string) {
	o.mu.Lock()
	clear(o.past)
	o.pos.Epoch = epoch
	o.mu.Unlock()
	o.change(func() {})
}

func TestAServerThatFailsGetsTheReportWithTheNextPassAndNothingElseIsOtherwise(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"500": answers(500), "503": answers(503), "401": answers(401), "302": answers(302), "413": answers(413), "410": answers(410),
	} {
		t.Run(name, func(t *testing.T) {
			n, _ := newReporter(t)
			silent := newNode(t)
			for _, each := range []*node{n, silent} {
				each.cfg.Fuse = Fuse{Count: 1}
			}
			var logged bytes.Buffer
			n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
			o := town()
			o.refuseWith(fail)
			c := newClient(t, newWeb(t, o).URL, nil)
			for i, step := range []func(){
				func() {},
				func() { o.set(account(9)) },
				func() { o.drop(account(1).Key(), account(2).Key()) }, // too much for the fuse
			} {
				step()
				res, err := n.once(c)
				want, wantErr := silent.once(c)
				res.mark, want.mark = "", "" // of different files
				res.Took, want.Took = 0, 0
				if !reflect.DeepEqual(res, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) || errors.Is(err, ErrFuse) != errors.Is(wantErr, ErrFuse) {
					t.Errorf("pass %d: %+v, %v\nwithout reports: %+v, %v", i, res, err, want, wantErr)
				}
				mirror, rendered := n.bytes()
				if m, r := silent.bytes(); m != mirror || r != rendered {
					t.Errorf("pass %d: other files than without reports", i)
				}
				if got := len(o.reports()); got != i+1 {
					t.Errorf("pass %d: %d reports", i, got)
				}
			}
			if got := logged.String(); strings.Count(got, notReported) != 3 || !strings.Contains(got, "POST http") {
				t.Errorf("log %s", got)
			}
			o.refuseWith(nil)
			for range 2 {
				_, err := n.once(c)
				if !errors.Is(err, ErrFuse) {
					t.Errorf("error %v", err)
				}
			}
			stopped := adaAndBob
			stopped.Result = "the fuse holds change 4 back: of 6 accounts 2 would be removed, 0 locked, 0 renumbered"
			checkReports(t, o, adaAndBob, adaAndBob, stopped, stopped)
		})
	}
}

func TestAnOlderServerIsNotAskedAgainUntilTheFactsChangeOrTheAgentStartsAnew(t *testing.T) {
	for _, code := range []int{404, 405} {
		n, l := newReporter(t)
		var logged bytes.Buffer
		n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
		o := town()
		o.refuseWith(answers(code))
		c := newClient(t, newWeb(t, o).URL, nil)
		s := n.syncer(c)
		once := func(count int) {
			t.Helper()
			for range 3 {
				if _, err := s.Once(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if got := len(o.reports()); got != count {
				t.Errorf("%d: %d reports, want %d", code, got, count)
			}
		}
		once(1)
		l.set([]uint32{5000}, nil, nil)
		once(2)
		s = n.syncer(c)
		once(3)
		o.restore("new") // a restored server may be a newer one
		once(4)
		if got := logged.String(); strings.Contains(got, "level=WARN") {
			t.Errorf("log %s", got)
		}
		s = n.syncer(c)
		o.refuseWith(nil)
		once(5)
	}
}

func TestWhatCannotBeReadOfTheLocalFilesIsNotReportedAndTriedAgain(t *testing.T) {
	n, l := newReporter(t)
	var logged bytes.Buffer
	n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	o := town()
	l.set(nil, nil, errors.New("input/output error on passwd"))
	n.mustOnce(o)
	n.checkInStep(o)
	if got := logged.String(); len(o.reports()) != 0 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "input/output error") {
		t.Errorf("reports %v, log %s", o.reports(), got)
	}
	l.set(adaAndBob.IDs, adaAndBob.Names, nil)
	n.mustOnce(o)
	checkReports(t, o, adaAndBob)
}

func TestAReportStaysWithinItsBounds(t *testing.T) {
	n, l := newReporter(t)
	var logged bytes.Buffer
	n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	o := town()
	long := strings.Repeat("n", maxFactName)
	l.set([]uint32{0, 999, 65534, 65535, 1<<32 - 1, 1<<32 - 2},
		[]string{"", long, long + "n", "bad \xff", "\x00\"é<"}, nil)
	n.mustOnce(newClient(t, newWeb(t, o).URL, nil))
	checkReports(t, o, Facts{Version: "1.2.3", IDs: []uint32{1<<32 - 2}, Names: []string{"\x00\"é<", long}})

	var ids []uint32
	var names []string
	for i := range 20_000 {
		ids = append(ids, uint32(120_000-i))
		names = append(names, fmt.Sprintf("n%06d", 20_000-i))
	}
	l.set(ids, names, nil)
	given := slices.Clone(ids)
	n.mustOnce(o)
	got := o.reports()[1]
	if len(got.IDs) != maxFacts || len(got.Names) != maxFacts || !slices.IsSorted(got.IDs) || !slices.IsSorted(got.Names) ||
		got.IDs[0] != 100_001 || got.Names[0] != "n000001" {
		t.Errorf("%d ids from %d, %d names from %q", len(got.IDs), got.IDs[0], len(got.Names), got.Names[0])
	}
	if !strings.Contains(logged.String(), `"left out"=20000`) {
		t.Errorf("log %s", logged.String())
	}
	if !slices.Equal(ids, given) {
		t.Error("what Local returned was changed")
	}
	n.mustOnce(o)
	if len(o.reports()) != 2 {
		t.Error("the same was reported again")
	}
}

func TestADryRunReportsNothing(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	n.cfg.DryRun = true
	if _, err := n.once(o); !errors.Is(err, ErrPending) {
		t.Errorf("error %v", err)
	}
	n.cfg.DryRun = false
	n.mustOnce(o)
	l.set(nil, nil, nil)
	o.drop(account(1).Key())
	o.restore("after")
	n.cfg.DryRun = true
	before, reads := tree(t, n.cfg.StateDir), l.reads()
	if _, err := n.once(o); !errors.Is(err, ErrPending) {
		t.Errorf("error %v", err)
	}
	checkReports(t, o, adaAndBob)
	if after := tree(t, n.cfg.StateDir); !slices.Equal(before, after) || l.reads() != reads {
		t.Errorf("something was written or read:\n%v\n%v", before, after)
	}
}

func TestWithoutLocalFilesOrAnInformerNothingIsReportedOrKept(t *testing.T) {
	n, _ := newReporter(t)
	deaf := newNode(t)
	o := town()
	for range 2 {
		n.mustOnce(struct{ Source }{o})
		deaf.mustOnce(o)
		o.drop(account(1).Key())
		o.restore("after")
	}
	checkReports(t, o)
	for _, each := range []*node{n, deaf} {
		if _, err := os.Stat(filepath.Join(each.cfg.StateDir, reportFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("report.json: %v", err)
		}
	}
}

func TestAPassThatDidNotReachTheServerReportsNothing(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	o.setFault(func(string) (io.ReadCloser, error, bool) { return nil, errors.New("server on fire"), true })
	if _, err := n.once(o); err == nil {
		t.Error("reached")
	}
	if l.reads() != 0 || len(o.reports()) != 0 {
		t.Errorf("%d reads, reports %v", l.reads(), o.reports())
	}
}

func TestAGarbledReportFileIsBegunAnew(t *testing.T) {
	for name, content := range map[string]string{
		"nothing": "", "no JSON": "{{{", "a wrong type": `{"former":"many"}`, "too much": strings.Repeat(" ", maxReportFile+1),
	} {
		n, _ := newReporter(t)
		o := town()
		n.mustOnce(o)
		must(os.WriteFile(filepath.Join(n.cfg.StateDir, reportFile), []byte(content), 0o600))
		for range 2 {
			n.mustOnce(o)
		}
		if got := len(o.reports()); got != 2 {
			t.Errorf("%s: %d reports", name, got)
		}
		n.reports()
	}
}

func TestAReportThatCannotBeRecordedIsLoggedAndSentAgain(t *testing.T) {
	n, _ := newReporter(t)
	var logged bytes.Buffer
	n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	o := town()
	must(os.MkdirAll(filepath.Join(n.cfg.StateDir, reportFile, "x"), 0o700))
	for range 2 {
		n.mustOnce(o)
		n.checkInStep(o)
	}
	if got := logged.String(); len(o.reports()) != 2 || !strings.Contains(got, "record what is reported") {
		t.Errorf("%d reports, log %s", len(o.reports()), got)
	}
}

// A report holds no lock while it waits: another pass is not kept waiting.
func TestAHangingReportKeepsNoOtherPassWaiting(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	hangs := make(chan struct{})
	o.refuseWith(func(ctx context.Context) error {
		close(hangs)
		<-ctx.Done()
		return ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	s := n.syncer(o)
	go func() { _, err := s.Once(ctx); ended <- err }()
	<-hangs
	other := &node{t: t, cfg: Config{StateDir: n.cfg.StateDir, Fuse: n.cfg.Fuse, LockWait: 1}, sink: n.sink}
	o.set(account(9))
	other.mustOnce(o)
	other.checkInStep(o)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("error %v", err) // the pass had done its work
	}
	o.refuseWith(nil)
	n.mustOnce(o)
	checkReports(t, o, adaAndBob, adaAndBob)
}

func TestAReportIsSentAlthoughTheFilesCouldNotBeWritten(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.sink.fail(nil, errors.New("disk full"))
	if _, err := n.once(o); err == nil {
		t.Error("no error")
	}
	failed := adaAndBob
	failed.Result = "write the files at change 2: disk full"
	checkReports(t, o, failed)
	n.sink.fail(nil, nil)
	n.mustOnce(o)
	n.mustOnce(o)
	checkReports(t, o, failed, adaAndBob)
}

func TestTheServerIsToldHowManyRowsANodeRefuses(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	must(writeState(n.cfg.StateDir, State{QuarantinedCount: 7, LastError: strings.Repeat("é", 200)}))
	facts, _, err := n.syncer(o).facts()
	if err != nil || facts.Quarantined != 7 || len(facts.Result) > maxResult || !strings.HasSuffix(facts.Result, "é…") {
		t.Errorf("facts %+v, %v", facts, err)
	}
	b, err := json.Marshal(facts)
	if err != nil || !strings.Contains(string(b), `"quarantined":7,"result":"`) {
		t.Errorf("%s, %v", b, err)
	}
}
