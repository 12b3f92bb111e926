package syncer

import (
	"context"
	"errors"
	"sync"

	"pwb/roster"
)

const (
	// batchBytes is about how much goes from one goroutine to another at once,
	// batchesAhead how often before the first has to wait.
	batchBytes   = 64 << 10
	batchesAhead = 4
)

// batch is some changes, and copies of their lines.
type batch struct {
	rows  []roster.Change
	lines []byte
	last  bool  // no other follows,
	err   error // for this reason, nil at the roster's end
}

func (b *batch) add(c roster.Change) {
	if c.Line != nil {
		// Where this moves lines, the old ones stay what they were.
		at := len(b.lines)
		b.lines = append(b.lines, c.Line...)
		c.Line = b.lines[at:len(b.lines):len(b.lines)]
	}
	b.rows = append(b.rows, c)
}

// relay hands a roster from one goroutine, which calls put and in the end finish,
// to another, which ranges once over rows.
type relay struct {
	full, empty chan *batch
	gone        chan struct{} // closed when rows takes no more
	leave       sync.Once
	filling     *batch
}

func newRelay() *relay {
	r := &relay{full: make(chan *batch, batchesAhead), empty: make(chan *batch, batchesAhead+2), gone: make(chan struct{})}
	for range batchesAhead + 2 {
		r.empty <- &batch{}
	}
	return r
}

// put hands a change on. It reports false when nobody takes it.
func (r *relay) put(c roster.Change) bool {
	if r.filling == nil {
		select {
		case r.filling = <-r.empty:
		case <-r.gone:
			return false
		}
		r.filling.rows, r.filling.lines = r.filling.rows[:0], r.filling.lines[:0]
	}
	r.filling.add(c)
	return len(r.filling.lines) < batchBytes || r.send()
}

func (r *relay) send() bool {
	select {
	case r.full <- r.filling:
		r.filling = nil
		return true
	case <-r.gone:
		return false
	}
}

// finish says that no more comes: err is why, nil at the roster's end.
func (r *relay) finish(err error) {
	if r.filling == nil {
		r.filling = &batch{}
	}
	r.filling.last, r.filling.err = true, err
	r.send()
}

// rows yields what is put, and in the end what finish said.
func (r *relay) rows() changes {
	return func(yield func(roster.Change, error) bool) {
		defer r.stop()
		for b := range r.full {
			for _, c := range b.rows {
				if !yield(c, nil) {
					return
				}
			}
			if b.last {
				if b.err != nil {
					yield(roster.Change{}, b.err)
				}
				return
			}
			r.empty <- b
		}
	}
}

// stop says that nobody takes any more.
func (r *relay) stop() { r.leave.Do(func() { close(r.gone) }) }

// ahead yields rows, which another goroutine reads as far ahead as there is room.
// That one has ended when the range over it has.
func ahead(rows changes) changes {
	return func(yield func(roster.Change, error) bool) {
		r := newRelay()
		var reading sync.WaitGroup
		defer reading.Wait()
		defer r.stop()
		reading.Go(func() {
			for c, err := range rows {
				if err != nil {
					r.finish(err)
					return
				}
				if !r.put(c) {
					return
				}
			}
			r.finish(nil)
		})
		r.rows()(yield)
	}
}

// planning is a plan in the making, in a goroutine of its own, with rows that go
// by on their way into the mirror.
type planning struct {
	relay  *relay
	pos    roster.Position
	mark   string        // the Sink's before the plan looked
	done   chan struct{} // closed when the rest is there
	plan   Plan
	effect roster.Effect
	err    error
}

// startPlanning begins a plan with the roster at pos. Either end or, when that
// was told of no error, wait is to be called.
func (s *Syncer) startPlanning(ctx context.Context, pos roster.Position) *planning {
	p := &planning{relay: newRelay(), pos: pos, mark: s.mark(), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer p.relay.stop()
		p.plan, p.effect, p.err = s.plan(ctx, p.relay.rows())
	}()
	return p
}

// tee yields rows, and plans with them.
func (p *planning) tee(rows changes) changes {
	return func(yield func(roster.Change, error) bool) {
		taken := true
		for c, err := range rows {
			if err == nil {
				taken = taken && p.relay.put(c)
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// end says what became of the rows and the mirror: without an error they are
// proven and durable. With one the plan is none.
func (p *planning) end(err error) {
	if err == nil {
		p.relay.finish(nil)
		return
	}
	p.relay.finish(errors.New("the roster came to no good end"))
	<-p.done
}

// wait waits for the plan.
func (p *planning) wait() (Plan, roster.Effect, error) {
	<-p.done
	return p.plan, p.effect, p.err
}
