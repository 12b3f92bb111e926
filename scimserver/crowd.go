package scimserver

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// maxStreams is how many snapshots are sent at once.
const maxStreams = 4

// crowd spreads the agents that find no place for a snapshot: after a restore all
// of them want one at the same moment, and each that comes too early costs a
// request for nothing. Whoever is turned away is asked to come back at random
// within the time that those take who were turned away before.
type crowd struct {
	mu   sync.Mutex
	last int64 // the second, since 1970, up to which due is swept
	// due counts those who were asked to come back, by the second modulo its
	// length, and turned all of them.
	due    [maxAway + 1]int
	turned int
	mean   time.Duration // that a snapshot takes, of the last few
}

// Bounds of the window, in seconds.
const (
	minAway = 2
	maxAway = 300
)

// took hears how long a snapshot took.
func (c *crowd) took(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mean == 0 {
		c.mean = d
	}
	c.mean += (d - c.mean) / 8
}

// turnAway returns after how many seconds an agent is to come back.
func (c *crowd) turnAway(now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	second := now.Unix()
	if second-c.last > maxAway || second < c.last { // or the clock was set back
		clear(c.due[:])
		c.last, c.turned = second, 0
	}
	for ; c.last < second; c.last++ {
		at := (c.last + 1) % int64(len(c.due))
		c.turned -= c.due[at]
		c.due[at] = 0
	}
	// Nobody knows yet what the first ones take; at the least what a connection does.
	mean := max(c.mean, 10*time.Millisecond)
	window := minAway + int(math.Ceil(float64(c.turned)*mean.Seconds()/maxStreams))
	away := 1 + rand.IntN(min(window, maxAway))
	c.turned++
	c.due[(second+int64(away))%int64(len(c.due))]++
	return away
}

// comeBack is after how many seconds an agent whose wait ends with the server is
// to come back: the others come, too, each with a connection of its own.
func (s *Server) comeBack() int {
	const aSecond = 1000 // connections
	return 1 + rand.IntN(int(min(minAway+s.drained.Load()/aSecond, maxAway)))
}
