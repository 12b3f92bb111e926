// Package doctor runs checks of a node or of a server, each bounded in time, and shows
// what they found: what is wrong, why it matters, and the command that mends it. Checks
// change nothing.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// State is how a check ended.
type State string

// The states. Skipped is of what could not be looked at, not of what is not used here:
// that is OK.
const (
	OK      State = "ok"
	Warning State = "warn"
	Failure State = "fail"
	Skipped State = "skipped"
)

// Bounds of a check and of all together.
const (
	CheckTime = 3 * time.Second
	TotalTime = 15 * time.Second
)

// Finding is what a check has to say. Names of checks are stable: monitoring may rely
// on them.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	// What was found, on one line; of a check that was skipped, why.
	What string `json:"what"`
	// Why it matters.
	Why string `json:"why,omitempty"`
	// Mend is a command for sh(1) that mends it, as it is; empty where a command cannot:
	// then Advice says what to do.
	Mend   string `json:"mend,omitempty"`
	Advice string `json:"advice,omitempty"`
}

// Check is one look at something.
type Check struct {
	Name string
	// Look tells the report what it finds. It keeps to its context, and is given up when
	// it does not.
	Look func(ctx context.Context, r *Report)
}

// Report takes what a check finds. One that is told nothing is OK.
type Report struct {
	check string
	mu    sync.Mutex // over the rest
	found []Finding
	over  bool
}

func (r *Report) add(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		f.Check = r.check
		r.found = append(r.found, f)
	}
}

// OK says that all is well.
func (r *Report) OK(format string, args ...any) {
	r.add(Finding{State: OK, What: fmt.Sprintf(format, args...)})
}

// Skip says why nothing could be seen.
func (r *Report) Skip(format string, args ...any) {
	r.add(Finding{State: Skipped, What: fmt.Sprintf(format, args...)})
}

// Problem is what Warn and Fail are told.
type Problem struct {
	What, Why string
	// Mend is a command as a person may type it, and Advice what to do where no command
	// mends it, or to know before it.
	Mend, Advice string
}

// Warn says that something is not well, though everybody can work.
func (r *Report) Warn(p Problem) { r.problem(Warning, p) }

// Fail says that something does not work, or is open to others.
func (r *Report) Fail(p Problem) { r.problem(Failure, p) }

func (r *Report) problem(s State, p Problem) {
	r.add(Finding{State: s, What: p.What, Why: p.Why, Mend: p.Mend, Advice: p.Advice})
}

// end is what was found; what the check says later is not heard.
func (r *Report) end(late string) []Finding {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if late != "" {
		r.found = append(r.found, Finding{Check: r.check, State: Skipped, What: late})
	}
	if len(r.found) == 0 {
		r.found = []Finding{{Check: r.check, State: OK}}
	}
	return r.found
}

// atOnce is how many checks run at a time.
const atOnce = 4

// Run runs checks, some at a time, and returns what they found in their order. It takes
// TotalTime at most.
func Run(ctx context.Context, checks []Check) []Finding {
	return run(ctx, checks, CheckTime, TotalTime)
}

func run(ctx context.Context, checks []Check, each, total time.Duration) (all []Finding) {
	ctx, cancel := context.WithTimeout(ctx, total)
	defer cancel()
	found := make([][]Finding, len(checks))
	places := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i, c := range checks {
		running.Go(func() {
			r := &Report{check: c.Name}
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			case <-ctx.Done():
				found[i] = r.end(fmt.Sprintf("there was no time left: all checks together took more than %v", total))
				return
			}
			found[i] = c.run(ctx, r, each)
		})
	}
	running.Wait()
	for _, f := range found {
		all = append(all, f...)
	}
	return all
}

// run looks, and gives up on a look that does not end: a dead file system holds
// whoever touches it.
func (c *Check) run(ctx context.Context, r *Report, limit time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Look(ctx, r)
	}()
	select {
	case <-ended:
		return r.end("")
	case <-ctx.Done():
	}
	// Who keeps to the context says better what took so long.
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
		return r.end("")
	case <-timer.C:
		return r.end(fmt.Sprintf("it took more than %v: look at what it reads by hand", limit))
	}
}

// grace is how much longer a look may take to say that its time is over.
const grace = 200 * time.Millisecond
