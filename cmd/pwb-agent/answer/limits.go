package answer

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The most connections at once: in all, of all but root, and of one of these. So
// nobody can keep root's away, nor those of others alone.
const (
	maxConns      = 256
	maxConnsOther = 192
	maxConnsUID   = 64
)

// How often one uid that is not root's may ask, a second and at once.
const (
	rateUID  = 100
	burstUID = 200
	// maxUIDs is how many uids are remembered; those that asked nothing for a while
	// are forgotten first.
	maxUIDs = 1024
)

// limits bounds who is served.
type limits struct {
	mu    sync.Mutex
	all   int
	other int
	conns map[uint32]int
	rates map[uint32]*rate.Limiter
	busy  sync.WaitGroup
}

func newLimits() limits { return limits{conns: map[uint32]int{}, rates: map[uint32]*rate.Limiter{}} }

// enter takes a place for a connection, which leave gives back.
func (l *limits) enter(uid uint32, now time.Time) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxConns {
		return nil, false
	}
	other := 0
	if uid != 0 {
		if other = 1; l.other >= maxConnsOther || l.conns[uid] >= maxConnsUID || !l.rate(uid, now).AllowN(now, 1) {
			return nil, false
		}
	}
	l.all++
	l.other += other
	l.conns[uid]++
	l.busy.Add(1)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		l.other -= other
		if l.conns[uid]--; l.conns[uid] == 0 {
			delete(l.conns, uid)
		}
		l.busy.Done()
	}, true
}

func (l *limits) rate(uid uint32, now time.Time) *rate.Limiter {
	r := l.rates[uid]
	if r != nil {
		return r
	}
	if len(l.rates) >= maxUIDs {
		for uid, r := range l.rates {
			if r.TokensAt(now) >= burstUID {
				delete(l.rates, uid)
			}
		}
		if len(l.rates) >= maxUIDs { // all are busy: nobody has that many
			clear(l.rates)
		}
	}
	r = rate.NewLimiter(rateUID, burstUID)
	l.rates[uid] = r
	return r
}

// wait returns when all have left.
func (l *limits) wait() { l.busy.Wait() }

// passes has all who miss something at about the same time share a pass.
type passes struct {
	mu   sync.Mutex
	last *pass
}

type pass struct {
	began time.Time
	done  chan struct{} // closed when it is over
	err   error
}

// join waits for a pass that began within missFor, or after the call. Who gives up
// leaves it to the others.
func (p *passes) join(ctx context.Context, refresh func(context.Context) error) error {
	p.mu.Lock()
	mine := p.last
	if mine == nil || time.Since(mine.began) >= missFor {
		mine = &pass{began: time.Now(), done: make(chan struct{})}
		p.last = mine
		go func() {
			defer close(mine.done)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxPass)
			defer cancel()
			mine.err = refresh(ctx)
		}()
	}
	p.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
