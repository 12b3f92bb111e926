package scimserver

import (
	"testing"
	"time"
)

func TestWhoIsTurnedAwayComesBackWithinWhatTheOthersTake(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var c crowd
	for range 100 {
		c.took(400 * time.Millisecond)
	}
	// Four at once of 0.4 s each are ten a second: the first hundred come back
	// within twelve seconds, the window grows with those that wait, and never
	// beyond five minutes.
	most, sum := 0, 0
	for i := range 10_000 {
		away := c.turnAway(now)
		if bound := min(minAway+(i+9)/10, maxAway); away < 1 || away > bound {
			t.Fatalf("agent %d comes back after %d s, the bound is %d", i, away, bound)
		}
		most, sum = max(most, away), sum+away
	}
	if mean := sum / 10_000; most < 290 || mean < 100 || mean > 160 {
		t.Errorf("they come back after %d s on average and %d at most", mean, most)
	}
	// Whose time has come waits no longer.
	for _, later := range []time.Duration{150 * time.Second, 301 * time.Second, time.Hour} {
		c.turnAway(now.Add(later))
		if later > maxAway*time.Second && c.turned > 2 {
			t.Errorf("after %v %d still wait", later, c.turned)
		}
	}
}

func TestAfterALongPauseTheWindowIsSmallAgain(t *testing.T) {
	var c crowd
	now := time.Unix(1_800_000_000, 0)
	for range 5000 {
		c.took(time.Second)
		c.turnAway(now)
	}
	for range 100 {
		if now = now.Add(10 * time.Minute); c.turnAway(now) > minAway {
			t.Fatal("the window stays wide")
		}
	}
}

func TestAClockThatIsSetBackKeepsNobodyWaiting(t *testing.T) {
	var c crowd
	now := time.Unix(1_800_000_000, 0)
	for range 5000 {
		c.took(time.Second)
		c.turnAway(now)
	}
	now = now.AddDate(-1, 0, 0)
	if away := c.turnAway(now); away > minAway {
		t.Errorf("after a year back the first comes back after %d s", away)
	}
	for range 100 {
		if now = now.Add(10 * time.Minute); c.turnAway(now) > minAway {
			t.Fatal("the window stays wide")
		}
	}
}
