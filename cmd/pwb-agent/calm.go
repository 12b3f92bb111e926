package main

import (
	"context"
	"time"
)

// editPause is how long a configuration is left alone after somebody wrote to it.
// Editors that save in place leave an empty file for a moment, and others none: by
// that, settings would be taken back that nobody wants to lose.
const editPause = 500 * time.Millisecond

// calm passes edits on once none has come for a pause, many as one. Everything ends
// with ctx.
func calm(ctx context.Context, edits <-chan struct{}, pause time.Duration) <-chan struct{} {
	over := make(chan struct{}, 1)
	go func() {
		var rested <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-edits:
				rested = time.After(pause)
			case <-rested:
				rested = nil
				select {
				case over <- struct{}{}:
				default:
				}
			}
		}
	}()
	return over
}
