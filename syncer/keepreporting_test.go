package syncer

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRunReportsAtItsStartAndLooksAtLocalFilesWhenAPollEnds(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	run(t, n, remade(o), func(r *running) {
		checkReports(t, o, adaAndBob)
		pass(time.Hour)
		checkReports(t, o, adaAndBob)
		// A pass, then polls of 30 s, each tenth minute a pass instead.
		if reads := l.reads(); reads > 125 || reads < 115 {
			t.Errorf("the local files were read %d times in an hour", reads)
		}
		l.set([]uint32{1000}, adaAndBob.Names, nil)
		pass(30 * time.Second)
		checkReports(t, o, adaAndBob, Facts{Version: "1.2.3", IDs: []uint32{1000}, Names: []string{"ada", "bob"}})
	})
}

func TestRunRetriesAFailedReportOnceAMinuteAtMost(t *testing.T) {
	n, _ := newReporter(t)
	n.cfg.Wait = 7 * time.Second
	o := town()
	o.refuseWith(answers(500))
	run(t, n, remade(o), func(r *running) {
		pass(time.Hour)
		got := o.reports()
		if len(got) > 60 || len(got) < 45 {
			t.Errorf("%d reports in an hour", len(got))
		}
		for i, at := range o.toldAt[1:] {
			if gap := at.Sub(o.toldAt[i]); gap < time.Minute {
				t.Errorf("a report came %v after another", gap)
			}
		}
		if got := strings.Count(r.log.String(), notReported); got != 1 {
			t.Errorf("the same failure was logged %d times", got)
		}
		for _, e := range r.events {
			if e.Err != nil {
				t.Errorf("event %+v", e)
			}
		}
		if st := r.state(); st.LastError != "" {
			t.Errorf("state %+v", st)
		}
		o.refuseWith(nil)
		pass(2 * time.Minute)
		if kept := r.reports(); kept.Epoch != "town" {
			t.Errorf("kept %+v", kept)
		}
	})
}

func TestRunLeavesReportsForAsLongAsTheServerAsks(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	o.refuseWith(func(context.Context) error { return &StatusError{Code: 429, RetryAfter: 3 * time.Minute} })
	run(t, n, remade(o), func(*running) {
		pass(10 * time.Minute)
		if got := len(o.reports()); got < 3 || got > 4 {
			t.Errorf("%d reports in ten minutes", got)
		}
	})
}

func TestRunDoesNotAskAnOlderServerAgain(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	o.refuseWith(func(context.Context) error { return ErrNotTaken })
	run(t, n, remade(o), func(*running) {
		pass(time.Hour)
		checkReports(t, o, adaAndBob)
		l.set(nil, nil, nil)
		pass(time.Hour)
		if got := len(o.reports()); got != 2 {
			t.Errorf("%d reports", got)
		}
	})
}

// And Run ends at once although a report hangs, which run checks.
func TestAHangingReportDelaysNoRenderAndNoEnd(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	o.refuseWith(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	run(t, n, remade(o), func(r *running) {
		began := time.Now()
		for i := range 3 {
			o.set(account(10 + i))
			pass(0)
			r.checkInStep(o)
		}
		if took := time.Since(began); took != 0 || len(o.reports()) != 1 {
			t.Errorf("it took %v, %d reports", took, len(o.reports()))
		}
		pass(time.Hour)
		if got := strings.Count(r.log.String(), "WARN"); got != 0 {
			t.Errorf("log %s", r.log)
		}
	})
	if kept := n.reports(); kept.Epoch != "" {
		t.Errorf("kept %+v", kept)
	}
}

func TestRunReportsFormerRowsThatAnEarlierProcessLeft(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.drop(account(1).Key())
	o.restore("backup")
	o.refuseWith(answers(500))
	n.mustOnce(o)
	o.refuseWith(nil)
	run(t, n, remade(o), func(*running) { checkFormer(t, o, formerAccount(1)) })
	if kept := n.reports(); kept.Former != nil {
		t.Errorf("kept %+v", kept)
	}
}

func TestWhileTheServerIsAwayNothingIsReported(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	n.mustOnce(o)
	reads := l.reads()
	o.setFault(func(string) (io.ReadCloser, error, bool) { return nil, errors.New("server on fire"), true })
	run(t, n, remade(o), func(*running) {
		l.set(nil, nil, nil)
		pass(time.Hour)
		if l.reads() != reads {
			t.Errorf("%d reads", l.reads()-reads)
		}
		o.setFault(nil)
		pass(2 * time.Minute)
		if got := len(o.reports()); got != 2 {
			t.Errorf("%d reports", got)
		}
	})
}

func TestReportsOfManySyncersAtOnceEndWell(t *testing.T) {
	n, _ := newReporter(t)
	n.cfg.Local = func() ([]uint32, []string, error) { return []uint32{1000}, nil, nil }
	o := town()
	n.mustOnce(o)
	o.drop(account(1).Key())
	o.restore("backup")
	s := n.syncer(o)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := s.Once(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if kept := n.reports(); kept.Former != nil || kept.Epoch != "backup" {
		t.Errorf("kept %+v", kept)
	}
	if !slices.ContainsFunc(o.reports(), func(f Facts) bool { return slices.Equal(f.Former, []Former{formerAccount(1)}) }) {
		t.Errorf("reported %+v", o.reports())
	}
}
