package signin

import (
	"sync"
	"time"
)

// maxSpent is how many attempts that came back are remembered for certain. Who floods
// has older ones forgotten; their codes and ID tokens count once all the same.
const maxSpent = 50_000

// spent remembers the states of attempts that came back, for attemptLife and at most
// twice as long.
type spent struct {
	mu          sync.Mutex
	now, before map[string]struct{}
	turned      time.Time
}

// first reports whether a state comes back for the first time.
func (s *spent) first(state string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || now.Sub(s.turned) >= attemptLife || len(s.now) >= maxSpent {
		s.now, s.before, s.turned = map[string]struct{}{}, s.now, now
	}
	_, again := s.now[state]
	_, earlier := s.before[state]
	if again || earlier {
		return false
	}
	s.now[state] = struct{}{}
	return true
}
