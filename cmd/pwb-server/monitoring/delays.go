package monitoring

import (
	"sort"
	"sync"
	"time"
)

// maxCommits is how many commits are remembered, oldest forgotten first: a busy
// hour of a large provider. Of what is older it is known that it is.
const maxCommits = 1 << 14

// delays remember when the feed moved where, to tell how long a change was on its
// way to a node.
type delays struct {
	mu    sync.Mutex
	begun bool
	first int64 // the position before the oldest commit there ever was here
	at    []moved
	next  int // where the next goes, when all places are taken
}

type moved struct {
	seq  int64
	when time.Time
}

// committed notes that the feed stands at seq.
func (d *delays) committed(seq int64, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.at) < maxCommits {
		d.at = append(d.at, moved{seq, now})
		return
	}
	d.at[d.next] = moved{seq, now}
	d.next = (d.next + 1) % maxCommits
}

// begin notes where the feed stands without a commit: what came before was not seen.
func (d *delays) begin(seq int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.begun {
		d.begun, d.first = true, seq
	}
}

// of is how long ago the oldest change was committed that a node shows now and did
// not show before: at least, where that is forgotten by now. ok is false for one
// that was committed before the server began.
func (d *delays) of(was, is int64, now time.Time) (delay time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.begun || was < d.first || len(d.at) == 0 {
		return 0, false
	}
	ordered := func(i int) moved { return d.at[(d.next+i)%len(d.at)] }
	i := sort.Search(len(d.at), func(i int) bool { return ordered(i).seq > was })
	if i == len(d.at) || is <= was {
		return 0, false
	}
	return max(0, now.Sub(ordered(i).when)), true
}
