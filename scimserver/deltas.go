package scimserver

import (
	"bytes"
	"context"
	"sync"

	"github.com/klauspost/compress/gzip"

	"pwb/roster"
)

// deltas shares what agents wait for: after a commit nearly all of them want the
// changes after one position, which are then read once.
type deltas struct {
	mu sync.Mutex
	// moved is closed when what is known is no longer the newest.
	moved <-chan struct{}
	known map[roster.Position]*delta // by where they begin
}

// maxDeltas is how many deltas are kept: agents that lag have positions of
// their own, which nobody shares.
const maxDeltas = 16

// delta is the changes after a position until another.
type delta struct {
	// moved is closed when there are more changes than these.
	moved <-chan struct{}

	once sync.Once // whoever wants it first reads it
	to   roster.Position
	body []byte // the stream, made once for all who want it
	err  error

	zip    sync.Once // whoever wants it compressed first does it
	zipped []byte
}

// compressed is the body as gzip.
func (d *delta) compressed() []byte {
	d.zip.Do(func() {
		var b bytes.Buffer
		z := gzippers.Get().(*gzip.Writer)
		defer gzippers.Put(z)
		z.Reset(&b)
		_, _ = z.Write(d.body) // into memory
		_ = z.Close()
		d.zipped = b.Bytes()
	})
	return d.zipped
}

// deltaAfter returns the delta that leads from a position to the newest. A
// commit of another process may be missed for as long as the store takes to
// notice it, unless fresh says that the store itself is to be asked.
func (s *Server) deltaAfter(ctx context.Context, at roster.Position, fresh bool) (*delta, error) {
	if fresh {
		d := &delta{moved: s.store.Moved()}
		d.to, d.body, d.err = s.readDelta(ctx, at)
		return d, d.err
	}
	d := s.deltas.find(at, s.store)
	// What others wait for, too, does not end with this request.
	d.once.Do(func() { d.to, d.body, d.err = s.readDelta(context.WithoutCancel(ctx), at) })
	if d.err != nil {
		s.deltas.forget(at, d)
	}
	return d, d.err
}

// forget lets the next who asks look again.
func (c *deltas) forget(at roster.Position, d *delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[at] == d {
		delete(c.known, at)
	}
}

func (c *deltas) find(at roster.Position, store Store) *delta {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.moved:
		c.known = nil
	default:
	}
	if c.known == nil {
		// Taken before the store is read, so that no change falls between.
		c.moved, c.known = store.Moved(), map[roster.Position]*delta{}
	}
	d := c.known[at]
	if d == nil {
		d = &delta{moved: c.moved}
		if len(c.known) < maxDeltas {
			c.known[at] = d
		}
	}
	return d
}
