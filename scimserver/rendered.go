package scimserver

import (
	"context"
	"time"

	"pwb/roster"
)

// maxRegisterWait bounds what a person sits before a page.
const maxRegisterWait = 30 * time.Second

// Rendering is how far a position has come.
type Rendering struct {
	// Shown of Nodes nodes show it, of those that follow the server at once.
	Shown int `json:"shown"`
	Nodes int `json:"nodes"`
}

// All reports whether every node that follows shows it, and there is one.
func (r Rendering) All() bool { return r.Nodes > 0 && r.Shown == r.Nodes }

// Rendered waits until the nodes that follow the server at once show what the
// registration came to, for Config.RegisterWait at most. Nodes that synchronise
// now and then are not waited for, nor those that lagged already: one that is
// pinned or broken makes nobody wait. Nor does who comes while many wait: to count
// nodes keeps the nodes' own requests waiting.
func (s *Server) Rendered(ctx context.Context, reg Registration) Rendering {
	count := func() (Rendering, <-chan struct{}, int) {
		return s.fleet.rendering(reg.before, reg.Position, s.moment(), s.cfg.MaxWait)
	}
	r, stirred, known := count()
	if s.cfg.RegisterWait == 0 {
		return r
	}
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		return r
	}
	timeout := time.NewTimer(s.cfg.RegisterWait)
	defer timeout.Stop()
	for ; r.Shown < r.Nodes; r, stirred, known = count() {
		select {
		case <-stirred:
			// Many nodes come at once: they are counted together.
			select {
			case <-time.After(renderedTogether + time.Duration(known)*renderedEach):
			case <-ctx.Done():
			}
		case <-timeout.C:
			return r
		case <-s.ending.Done():
			return r
		case <-ctx.Done():
			return r
		}
	}
	return r
}

const (
	// renderedTogether is for how long moves of nodes are gathered, and renderedEach
	// how much longer for each node: many times what it takes to count it.
	renderedTogether = 10 * time.Millisecond
	renderedEach     = 5 * time.Microsecond
	// maxWatchers is how many registrations wait for nodes at once.
	maxWatchers = 32
	// renderTime is what a node may take between two requests that wait.
	renderTime = 10 * time.Second
)

// rendering counts the nodes that follow at once and those of them that show a
// position, and returns what is closed when that may have changed, and how many nodes
// it had to look at.
func (f *fleet) rendering(before, at roster.Position, now time.Time, wait time.Duration) (r Rendering, stirred <-chan struct{}, known int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.known {
		if n.follows.IsZero() || now.Sub(n.follows) > wait+renderTime {
			continue
		}
		has := n.Epoch == at.Epoch && n.Position >= at.Seq
		lags := n.Epoch != before.Epoch || n.Position < before.Seq
		if lags && !has && now.Sub(n.came) > renderTime {
			continue
		}
		r.Nodes++
		if has {
			r.Shown++
		}
	}
	if f.stirred == nil {
		f.stirred = make(chan struct{})
	}
	return r, f.stirred, len(f.known)
}
