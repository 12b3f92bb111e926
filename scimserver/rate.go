package scimserver

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"pwb/scimserver/scim"
)

// rates bounds how many SCIM operations a second each token may make, so that
// one provider in a loop does not take the server from the others.
type rates struct {
	limit rate.Limit // 0: no bound
	burst int

	mu      sync.Mutex
	byToken map[string]*rate.Limiter // by the token's id; tokens are few
}

// take counts n operations of a token. When they are too many it returns the
// time after which they would not be.
func (r *rates) take(t Token, now time.Time, n int) (wait time.Duration) {
	if r.limit == 0 {
		return 0
	}
	r.mu.Lock()
	l := r.byToken[t.ID]
	if l == nil {
		l = rate.NewLimiter(r.limit, r.burst)
		r.byToken[t.ID] = l
	}
	r.mu.Unlock()
	// More than the burst could never pass at once: the rest is owed.
	reservation := l.ReserveN(now, min(n, r.burst))
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// spend refuses with 429 (RFC 6585 §4) when the token has used up its rate.
func (c *call) spend(n int) error {
	if q, ok := c.w.(*watched); ok {
		q.operations += n
	}
	wait := c.rates.take(c.token, c.now(), n)
	if wait == 0 {
		return nil
	}
	c.meter.Refused(RefusedRate)
	seconds := int(math.Ceil(wait.Seconds()))
	c.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return scim.Errorf(http.StatusTooManyRequests, "", "this token makes more than %v operations a second; go on in %d s", float64(c.rates.limit), seconds)
}
