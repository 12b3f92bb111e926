package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pwb/cmd/harness"
)

// BenchmarkPropagation measures the time from the answer 201 to the user's line
// in passwd, with an agent that stays and 10,000 users there.
func BenchmarkPropagation(b *testing.B) {
	r := newRig(b)
	r.populate(b, 10_000)
	r.sync(b, 0)
	watch, err := harness.NewWatch(r.agent.Dir)
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Close()
	agent := r.agent.Command(context.Background(), "run", "--log-level", "error")
	if err := agent.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = agent.Cancel()
		_ = agent.Wait()
	}()
	var times []time.Duration
	n := 0
	create := func() {
		n++
		name := fmt.Sprintf("late%d", n)
		if _, err := r.scim.Create(context.Background(), "/Users", user(name)); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		if err := watch.Until(context.Background(), "passwd", harness.Has("\n"+name+":")); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(answered))
	}
	create() // the agent has begun
	times = times[:0]
	for b.Loop() {
		for range 100 { // or p99 would be the one that came out worst
			create()
		}
	}
	reportTimes(b, times)
}
