package scimserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// FuseConfig bounds what providers may take within a window: users whom they
// lock, deactivate or delete. Both bounds must be exceeded; with a 0 in any of
// the three there is no fuse.
type FuseConfig struct {
	Window  time.Duration
	Count   int
	Percent int // of the users that there were
}

func (c FuseConfig) check() error {
	switch {
	case c.Window < 0 || c.Window > 31*24*time.Hour:
		return fmt.Errorf("fuse-window is %v, which is not from 0 to 744h", c.Window)
	case c.Count < 0:
		return fmt.Errorf("fuse-count is %d, which is below 0", c.Count)
	case c.Percent < 0 || c.Percent > 100:
		return fmt.Errorf("fuse-percent is %d, which is not from 0 to 100", c.Percent)
	}
	return nil
}

func (c FuseConfig) enabled() bool { return c.Window > 0 && c.Count > 0 && c.Percent > 0 }

// FuseStatus is what there is to know about the fuse.
type FuseStatus struct {
	Enabled bool `json:"enabled"`
	// Open: the next request of a provider that takes access is refused.
	Open bool `json:"open"`
	// Lost counts the users who lost something within the window, Users those
	// that there were at its beginning, Limit how many of them may.
	Lost  int `json:"lost"`
	Users int `json:"users"`
	Limit int `json:"limit"`
	// Window is how far back losses count, in seconds.
	Window int `json:"window"`
	// Released is until when an administrator has released the fuse.
	Released *time.Time `json:"released,omitempty"`
}

// fuseRetry is when a provider is asked to try again. Most try on for days.
const fuseRetry = 5 * time.Minute

// errFuse refuses a request, whole.
type errFuse struct{ FuseStatus }

func (e *errFuse) Error() string {
	return fmt.Sprintf("the fuse of this server is open: providers have locked or deleted %d of %d users within %v, and %d may be. "+
		"Nothing of this request was done. If that is meant, an administrator runs pwb-server fuse release on the server and the request is tried again; "+
		"pwb-server user lock locks a single user at once", e.Lost, e.Users, time.Duration(e.Window)*time.Second, e.Limit)
}

// userCount remembers how many users there were before the losses: counting 100,000 for each of as many
// requests would hold up all that write.
type userCount struct {
	mu    sync.Mutex
	at    time.Time
	count int
}

const userCountLife = 30 * time.Second

func (c *userCount) get(v View, now time.Time, deleted int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && now.Sub(c.at) < userCountLife && !now.Before(c.at) {
		return c.count, nil
	}
	n, err := v.Find(KindUser, Query{}, func(Resource) error { return nil })
	if err == nil {
		n += deleted
		c.at, c.count = now, n
	}
	return n, err
}

// fuseStatus counts what was lost, in a view or in the update that would add to
// it: gone counts the users that it has deleted and not recorded yet. Unless all
// is wanted, users are not counted while few have lost anything.
func (s *Server) fuseStatus(v View, all bool, gone int) (st FuseStatus, err error) {
	cfg, now := s.cfg.Fuse, s.moment()
	st = FuseStatus{Enabled: cfg.enabled(), Window: int(cfg.Window.Seconds()), Limit: cfg.Count}
	if !st.Enabled {
		return st, nil
	}
	released, err := v.FuseReleased()
	if err != nil {
		return st, err
	}
	if released.After(now.Add(maxRelease)) {
		released = time.Time{} // the clock was set back since: that was not meant for as long
	}
	since := now.Add(-cfg.Window)
	if released.After(since) {
		since = released // what was meant does not count later
	}
	if released.After(now) {
		st.Released = &released
	}
	var deleted int
	if st.Lost, deleted, err = v.Losses(since, now.Add(cfg.Window)); err != nil || st.Lost < cfg.Count && !all {
		return st, err
	}
	if st.Users, err = s.users.get(v, now, deleted+gone); err != nil {
		return st, err
	}
	st.Limit = max(cfg.Count, st.Users*cfg.Percent/100)
	st.Open = st.Released == nil && st.Lost >= st.Limit
	return st, nil
}

// checkFuse fails with errFuse when the event, which is about to be recorded in
// tx, takes more than providers may. The update that it is part of then changes
// nothing.
func (s *Server) checkFuse(tx Tx, e Event) error {
	if e.Loss == LossNone {
		return nil
	}
	gone := 0
	if e.Loss == LossDeleted {
		gone = 1
	}
	st, err := s.fuseStatus(tx, false, gone)
	if err != nil {
		return fmt.Errorf("look at the fuse: %w", err)
	}
	if st.Open {
		return &errFuse{st}
	}
	return nil
}

// lossOf is what a change of an account takes from a user, whatever the request
// was: a creation may take over an account that is there.
func lossOf(action string, c ledger.Change) Loss {
	switch {
	case action == "user.delete":
		return LossDeleted
	case c.Before.ID != "" && !c.Before.Locked && c.After.Locked:
		return LossLocked
	}
	return LossNone
}

// tellFuse logs the first refusal of a series.
func (s *Server) tellFuse(ctx context.Context, e *errFuse) {
	if now := s.now(); now.Sub(s.fuseTold.take(now)) > fuseRetry {
		s.log.ErrorContext(ctx, "the fuse is open: requests that lock or delete users are refused until an administrator releases it, or the window has passed",
			"lost", e.Lost, "users", e.Users, "limit", e.Limit, "next", "pwb-server fuse status")
	}
}

// lastTime is when something was last done.
type lastTime struct {
	mu sync.Mutex
	at time.Time
}

func (l *lastTime) take(now time.Time) (before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.at = l.at, now
	return before
}

// admitBulk decides about all operations of a bulk request before the first:
// either it begins, and then no operation of it is refused, or nothing is done.
func (c *call) admitBulk(ops []*bulkOp) error {
	losses := 0
	for _, op := range ops {
		if op.mayTake() {
			losses++
		}
	}
	if losses == 0 || !c.cfg.Fuse.enabled() {
		return nil
	}
	return c.store.View(c.r.Context(), func(v View) error {
		st, err := c.fuseStatus(v, true, 0)
		if err != nil {
			return fmt.Errorf("look at the fuse: %w", err)
		}
		if st.Released == nil && (st.Open || st.Lost+losses > st.Limit) {
			return &errFuse{st}
		}
		return nil
	})
}

// mayTake reports whether an operation could take access from a user. Whether it
// does is known only when it is done: what does not clearly leave active and
// endDate alone counts.
func (op *bulkOp) mayTake() bool {
	collection, _, _ := strings.Cut(strings.Trim(op.path, "/"), "/")
	switch {
	case !strings.EqualFold(collection, "users"):
		return false
	case op.method == "DELETE":
		return true
	}
	return takes(op.data)
}

// takes looks for an active that is not plainly true, and for an endDate,
// wherever they stand: as attributes, or as the path of a patch.
func takes(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			name := scim.Fold(key)
			switch {
			case strings.HasSuffix(name, "enddate"):
				return true
			case strings.HasSuffix(name, "active") && !plainlyTrue(value):
				return true
			case name == "path":
				path, _ := value.(string)
				path = scim.Fold(path)
				if strings.Contains(path, "enddate") {
					return true
				}
				if strings.Contains(path, "active") && !plainlyTrue(operand(v)) {
					return true
				}
			}
			if takes(value) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if takes(value) {
				return true
			}
		}
	}
	return false
}

// operand is the value of a patch operation.
func operand(op map[string]any) any {
	for key, value := range op {
		if scim.Fold(key) == "value" {
			return value
		}
	}
	return nil
}

func plainlyTrue(v any) bool {
	s, _ := v.(string)
	return v == true || scim.Fold(s) == "true"
}

// maxRelease is the longest that a fuse is released for.
const maxRelease = 31 * 24 * time.Hour

// Fuse says how the fuse stands.
func (o *Operator) Fuse(ctx context.Context) (st FuseStatus, err error) {
	err = o.store.View(ctx, func(v View) error {
		st, err = o.fuseStatus(v, true, 0)
		return err
	})
	return st, err
}

// ReleaseFuse lets providers take as much as they ask for, for a while. What they
// have taken until its end does not count later.
func (o *Operator) ReleaseFuse(ctx context.Context, life time.Duration) (FuseStatus, error) {
	if life <= 0 || life > maxRelease {
		return FuseStatus{}, fmt.Errorf("--for %v is not from 1s to 744h", life)
	}
	if !o.cfg.Fuse.enabled() {
		return FuseStatus{}, errors.New("there is no fuse to release: fuse-window, fuse-count or fuse-percent is 0")
	}
	until := o.moment().Add(life)
	err := o.update(ctx, func(tx Tx) (Event, error) {
		c := changes{"released": {nil, until.Format(time.RFC3339)}}
		return Event{Action: "fuse.release", Changes: c.encode()}, tx.ReleaseFuse(until)
	})
	if err != nil {
		return FuseStatus{}, err
	}
	return o.Fuse(ctx)
}
