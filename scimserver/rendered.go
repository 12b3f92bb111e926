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
// pinned or broken makes nobody wait.
func (s *Server) Rendered(ctx context.Context, reg Registration) Rendering {
	timeout := time.NewTimer(s.cfg.RegisterWait)
	defer timeout.Stop()
	for {
		r, stirred := s.fleet.rendering(reg.before, reg.Position, s.moment(), s.cfg.MaxWait)
		if r.Shown == r.Nodes || s.cfg.RegisterWait == 0 {
			return r
		}
		select {
		case <-stirred:
			// Many nodes come at once: they are counted together.
			select {
			case <-time.After(renderedTogether):
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
}

const (
	// renderedTogether is for how long moves of nodes are gathered.
	renderedTogether = 10 * time.Millisecond
	// renderTime is what a node may take between two requests that wait.
	renderTime = 10 * time.Second
)

// rendering counts the nodes that follow at once and those of them that show a
// position, and returns what is closed when that may have changed.
func (f *fleet) rendering(before, at roster.Position, now time.Time, wait time.Duration) (r Rendering, stirred <-chan struct{}) {
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
	return r, f.stirred
}
