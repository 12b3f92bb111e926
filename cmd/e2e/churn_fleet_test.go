package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"pwb/roster"
)

// fleet meddles with the agents: their networks, their processes and their
// files. What it does is the seed's; when it happens in an agent's life is not.
type fleet struct {
	*life
	rng *rand.Rand
	// until is at which operation an agent's weather clears, 0 when it is fair;
	// wakes on which day it comes back, 0 when it is awake; stale whether it has
	// the node token of before.
	until, wakes map[*churnAgent]int
	stale        map[*churnAgent]bool
	kinds        map[string]int
}

func newFleet(l *life) *fleet {
	return &fleet{life: l, rng: rand.New(rand.NewPCG(l.seed, 2)), until: map[*churnAgent]int{}, wakes: map[*churnAgent]int{}, stale: map[*churnAgent]bool{}, kinds: map[string]int{}}
}

func (f *fleet) any() *churnAgent { return f.agents[f.rng.IntN(len(f.agents))] }

// meddle does what happens to the fleet beside an operation.
func (f *fleet) meddle(op, day int) {
	for _, a := range f.agents { // in their order, so that the seed decides
		if f.until[a] != 0 && f.until[a] <= op {
			delete(f.until, a)
			a.link.set(weather{kind: fair})
		}
		// The administrator of a cautious node looks into it, now and then.
		if seq := a.stopped.Load(); seq != 0 && f.wakes[a] == 0 && op%20 == a.n%20 {
			f.kinds["fuse accepted"]++
			a.start(seq)
		}
	}
	f.any().peek()
	f.cron()
	f.turn()
	switch f.rng.IntN(10) {
	case 0, 1:
		f.storm(op)
	case 2:
		f.restart()
	case 3, 4:
		f.spoil()
	case 5:
		f.sleep(day)
	case 6:
		if a := f.any(); f.wakes[a] == 0 {
			f.kinds["ended in a pass"]++
			a.trip.Store(1 + f.rng.Int64N(1200))
		}
	}
}

// turn lets an agent ask the server if it waits for that.
func (f *fleet) turn() {
	a := f.any()
	select {
	case a.turns <- struct{}{}:
	default:
	}
}

// cron starts a pass of an agent that is no daemon, unless one is under way.
func (f *fleet) cron() {
	a := f.any()
	if !a.daemon && f.wakes[a] == 0 && !a.running() {
		a.start(0)
	}
}

// storm spoils a link for a while.
func (f *fleet) storm(op int) {
	a := f.any()
	w := weather{
		kind:  []string{refusing, hole, cutting, cutting, slow}[f.rng.IntN(5)],
		cut:   f.rng.IntN(1 << (6 + f.rng.IntN(9))),
		delay: time.Duration(f.rng.IntN(50)) * time.Millisecond,
	}
	f.kinds[w.kind]++
	f.until[a] = op + 5 + f.rng.IntN(150)
	a.link.set(w)
}

// restart ends an agent wherever it is and, if it is a daemon, begins anew.
func (f *fleet) restart() {
	a := f.any()
	if f.wakes[a] != 0 {
		return
	}
	f.kinds["restart"]++
	a.stop()
	if a.daemon {
		a.start(0)
	}
}

// sleep switches an agent off for up to ten days.
func (f *fleet) sleep(day int) {
	a := f.any()
	if f.wakes[a] == 0 {
		f.kinds["sleep"]++
		f.wakes[a] = day + 1 + f.rng.IntN(10)
		a.stop()
	}
}

func (f *fleet) spoil() {
	a := f.any()
	f.kinds[a.spoil(f.rng.IntN(10), f.rng.IntN(3))]++
}

// dawn wakes those whose time has come, and daemons that ended.
func (f *fleet) dawn(day int) {
	for _, a := range f.agents {
		if f.wakes[a] != 0 && f.wakes[a] <= day {
			delete(f.wakes, a)
		}
		if a.daemon && f.wakes[a] == 0 && !a.running() {
			a.start(0)
		}
	}
}

// rotate gives half of the fleet another token; the others still have the old
// one, which is about to be revoked, until the day after.
func (f *fleet) rotate() {
	for _, a := range f.agents {
		f.stale[a] = f.rng.IntN(2) == 0
		if !f.stale[a] {
			f.give(a)
		}
	}
}

func (f *fleet) give(a *churnAgent) {
	delete(f.stale, a)
	next := a.tokenFile + ".next"
	err := os.WriteFile(next, []byte(f.nodeToken), 0o600)
	if err == nil {
		err = os.Rename(next, a.tokenFile)
	}
	if err != nil {
		f.fatal("%v: %v", a, err)
	}
}

// heal ends all that keeps agents from the server.
func (f *fleet) heal() {
	for _, a := range f.agents {
		if f.stale[a] {
			f.give(a)
		}
		a.trip.Store(0)
		a.link.set(weather{kind: fair})
	}
	close(f.free)
	f.until, f.wakes = map[*churnAgent]int{}, map[*churnAgent]int{}
	f.dawn(0)
}

// converge returns when every agent's files show the position.
func (f *fleet) converge(at roster.Position) {
	late := time.NewTimer(5 * time.Minute)
	defer late.Stop()
	var daemons, others []*churnAgent
	for _, a := range f.agents {
		if a.daemon {
			daemons = append(daemons, a)
		} else {
			others = append(others, a)
		}
	}
	// Cron's agents pass again and again, a few at a time.
	gone := make(chan struct{})
	lines := slices.Collect(slices.Chunk(others, max(1, (len(others)+3)/4)))
	var crons sync.WaitGroup
	for _, some := range lines {
		crons.Go(func() {
			for _, a := range some {
				for !a.settled(at) {
					select {
					case <-gone:
						return
					default:
					}
					f.pass(a, gone)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { crons.Wait(); close(done) }()
	defer func() { close(gone); <-done }()
	for _, a := range daemons {
		for !a.settled(at) {
			if seq := a.stopped.Load(); seq == at.Seq {
				a.stopped.Store(0)
				a.start(seq)
			}
			select {
			case <-a.news:
			case <-late.C:
				f.fatal("%v does not come to %v: %s", a, at, a.standing())
			}
		}
	}
	select {
	case <-done:
	case <-late.C:
		for _, a := range others {
			if !a.settled(at) {
				f.fail("%v does not come to %v: %s", a, at, a.standing())
			}
		}
		f.fatal("agents that make single passes do not converge")
	}
}

// pass makes one pass of an agent of cron's, and waits as long as it has to be
// away after one that failed.
func (f *fleet) pass(a *churnAgent, gone <-chan struct{}) {
	a.start(a.stopped.Load())
	select {
	case <-a.ended:
	case <-gone:
		a.stop()
		return
	}
	pace := time.NewTimer(20 * time.Millisecond)
	defer pace.Stop()
	select {
	case <-pace.C:
	case <-gone:
	}
}

func (f *fleet) String() string { return fmt.Sprint(f.kinds) }
