package signin

import (
	"strconv"
	"testing"
	"time"
)

func TestAnAttemptThatCameBackIsKnownForAsLongAsItLives(t *testing.T) {
	t.Parallel()
	var s spent
	now := time.Now()
	for minute := range 60 {
		if !s.first(strconv.Itoa(minute), now) {
			t.Fatalf("attempt %d is taken for another", minute)
		}
		for back := range int(attemptLife / time.Minute) {
			if earlier := minute - back; earlier >= 0 && s.first(strconv.Itoa(earlier), now) {
				t.Errorf("in minute %d, that of minute %d counts again", minute, earlier)
			}
		}
		now = now.Add(time.Minute)
	}
}

func TestAFloodOfAttemptsIsNotRememberedWithoutEnd(t *testing.T) {
	t.Parallel()
	var s spent
	now := time.Now()
	for i := range 5 * maxSpent {
		if state := strconv.Itoa(i); !s.first(state, now) || s.first(state, now) {
			t.Fatalf("attempt %d does not count once", i)
		}
	}
	if n := len(s.now) + len(s.before); n > 2*maxSpent {
		t.Errorf("%d are remembered", n)
	}
	if s.first(strconv.Itoa(4*maxSpent+1), now) {
		t.Error("one of the last counts again")
	}
}
