package main

import (
	"errors"
	"path/filepath"

	"pwb/altfiles"
	"pwb/cmd/pwb-agent/answer"
	"pwb/roster"
	"pwb/syncer"
)

// open makes the syncer of an agent that stays, and opens its desk for the NSS
// module, which is closed with closeDesk. An agent without one keeps the files all
// the same.
func (a *agent) open(m *manager) (s *syncer.Syncer, closeDesk func(), err error) {
	var desk *answer.Desk
	meter, err := a.meter()
	if err != nil {
		return nil, nil, err
	}
	a.how.Observe = func(e syncer.Event) {
		m.observe(e)
		if meter != nil {
			meter.Heard(e)
		}
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
	hide := a.showMetrics(meter)
	if a.cfg.RunDir == "" || a.cfg.Root != "" { // in an image nobody asks
		return s, hide, nil
	}
	desk, err = answer.Open(answer.Config{
		Dir:     a.cfg.RunDir,
		Lookup:  a.lookup,
		Refresh: s.Refresh,
		Settled: func(err error) bool { return errors.Is(err, syncer.ErrFuse) || errors.Is(err, syncer.ErrPinned) },
		Wait:    a.cfg.Wait,
		Index:   filepath.Join(a.cfg.StateDir, altfiles.RosterIndex),
		Log:     a.log,
	})
	if err != nil {
		a.log.Warn("the NSS module cannot ask this agent; the files are kept all the same", "error", err)
		return s, hide, nil
	}
	return s, func() { hide(); desk.Close() }, nil
}

// lookup opens what answers: the lookup index, or the files where there is none, or
// none that can be read.
func (a *agent) lookup() (answer.Lookup, func() error, error) {
	if a.cfg.index() {
		x, err := altfiles.OpenIndex(filepath.Join(a.cfg.StateDir, altfiles.RosterIndex))
		if err == nil {
			return indexes{x, filepath.Join(a.cfg.StateDir, altfiles.ShadowIndex)}, x.Close, nil
		}
		a.log.Debug("lookups read the files from their beginning, since the index cannot be read", "error", err)
	}
	files := answer.NewFiles(a.cfg.Dir, suffixOf(altfiles.Layout(a.cfg.Layout)))
	return files, func() error { return nil }, nil
}

// indexes are the two lookup indexes. That of shadow is opened for who asks it.
type indexes struct {
	*altfiles.Index
	shadow string
}

func (x indexes) Shadow(name string) (s roster.Shadow, found bool, err error) {
	i, err := altfiles.OpenIndex(x.shadow)
	if err != nil {
		return s, false, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	return i.Shadow(name)
}

// suffixOf is what the names of a layout's files end with.
func suffixOf(l altfiles.Layout) string {
	if l == altfiles.LayoutNsscache {
		return ".cache"
	}
	return ""
}
