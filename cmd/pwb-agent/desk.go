package main

import (
	"errors"
	"path/filepath"

	"pwb/altfiles"
	"pwb/cmd/pwb-agent/answer"
	"pwb/syncer"
)

// open makes the syncer of an agent that stays, and opens its desk for the NSS
// module, which is closed with closeDesk. An agent without one keeps the files all
// the same.
func (a *agent) open(m *manager) (s *syncer.Syncer, closeDesk func(), err error) {
	var desk *answer.Desk
	a.how.Observe = func(e syncer.Event) {
		m.observe(e)
		// An event without either is of the mirror, before the server is asked.
		if desk != nil && (e.Err != nil || e.Result.Reached) {
			desk.Heard(e.Result.Reached, e.Result.Reached && e.Err == nil)
		}
	}
	a.how.Waits = func(does bool) {
		if desk != nil {
			desk.Waits(does)
		}
	}
	if s, err = a.syncer(); err != nil {
		return nil, nil, err
	}
	if a.cfg.RunDir == "" || a.cfg.Root != "" { // in an image nobody asks
		return s, func() {}, nil
	}
	files := answer.NewFiles(a.cfg.Dir, suffixOf(altfiles.Layout(a.cfg.Layout)))
	desk, err = answer.Open(answer.Config{
		Dir:     a.cfg.RunDir,
		Lookup:  func() (answer.Lookup, func() error, error) { return files, func() error { return nil }, nil },
		Refresh: s.Refresh,
		Settled: func(err error) bool { return errors.Is(err, syncer.ErrFuse) || errors.Is(err, syncer.ErrPinned) },
		Wait:    a.cfg.Wait,
		Index:   filepath.Join(a.cfg.StateDir, "roster.idx"),
		Log:     a.log,
	})
	if err != nil {
		a.log.Warn("the NSS module cannot ask this agent; the files are kept all the same", "error", err)
		return s, func() {}, nil
	}
	return s, desk.Close, nil
}

// suffixOf is what the names of a layout's files end with.
func suffixOf(l altfiles.Layout) string {
	if l == altfiles.LayoutNsscache {
		return ".cache"
	}
	return ""
}
