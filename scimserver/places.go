package scimserver

import (
	"context"
	"errors"
	"time"
)

// places bounds how much of something expensive is done at once: its capacity
// is the number of places.
type places chan struct{}

// placeTime is how long somebody waits for a place: well below what clients and
// the connection's own deadlines wait for an answer.
const placeTime = 10 * time.Second

// errNoPlace: the server has too much to do.
var errNoPlace = errors.New("the server has too much of this to do; try again")

// take waits for a place. It fails with errNoPlace, or with what ended ctx.
func (p places) take(ctx context.Context) (release func(), err error) {
	select {
	case p <- struct{}{}:
		return func() { <-p }, nil
	default:
	}
	defer spent(ctx, phasePlace, time.Now())
	timeout := time.NewTimer(placeTime)
	defer timeout.Stop()
	select {
	case p <- struct{}{}:
		return func() { <-p }, nil
	case <-timeout.C:
		return nil, errNoPlace
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// bodyBudget is how many bytes of requests are worked on at once, decoding and
// all: some thousand everyday ones, or a few of the largest.
const bodyBudget = 64 << 20
