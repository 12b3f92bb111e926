package scimserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"pwb/roster"
)

// Sightings of nodes reach the store in batches: one of a node that stands
// elsewhere than before soon, so that commands know it, and all others, which
// say no more than that the node lives, now and then.
const (
	seenSoon  = time.Second
	seenEvery = time.Minute
	// seenBatch is how many are one update: others wait for the writer meanwhile.
	seenBatch = 500
	// maxFleet is the most nodes that are remembered, whatever names they come with.
	maxFleet = 100_000
)

// fleet remembers what requests said of their nodes since it was last written
// down, and where each node stood.
type fleet struct {
	// moved has a value when a node stands elsewhere than before.
	moved chan struct{}

	mu    sync.Mutex
	known map[string]*seenNode
	// stirred is closed when a node stands elsewhere than before; nil while nobody
	// waits for that.
	stirred chan struct{}
	read    bool // known began with what the store holds
	full    bool // maxFleet was reached, and that was logged
}

type seenNode struct {
	Sighting
	// dirty: it is to be written; moved: soon.
	dirty, moved bool
	// follows is when it last asked to be told of a change at once, came when it
	// last stood elsewhere than before.
	follows, came time.Time
}

// see takes note of the node that a request comes from, and returns where it
// stood before and stands now; ok is false when there are too many nodes for that.
func (f *fleet) see(r *http.Request, now time.Time) (was, is Sighting, ok bool) {
	name := nodeName(r)
	if name == "" || !plainText(name) {
		return was, is, true
	}
	version := r.Header.Get("Pwb-Version")
	if len(version) > maxReportName || !plainText(version) {
		version = ""
	}
	// A position that is missing or none is an unknown one: what the node showed
	// before need not be what it shows now.
	at, err := roster.ParsePosition(r.Header.Get("Pwb-Position"))
	if err != nil {
		at = roster.Position{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.known[name]
	if n == nil {
		if len(f.known) >= maxFleet {
			first := !f.full
			f.full = true
			return was, is, !first
		}
		n = &seenNode{moved: true}
		n.Name = name
		f.known[name] = n
	}
	was = n.Sighting
	n.Version, n.Seen, n.dirty = version, now, true
	if wait := r.URL.Query().Get("wait"); wait != "" && wait != "0s" {
		n.follows = now
	}
	if n.Epoch != at.Epoch || n.Position != at.Seq {
		n.Epoch, n.Position, n.moved, n.came = at.Epoch, at.Seq, true, now
		if f.stirred != nil {
			close(f.stirred)
			f.stirred = nil
		}
	}
	if n.moved {
		select {
		case f.moved <- struct{}{}:
		default:
		}
	}
	return was, n.Sighting, true
}

// positions calls yield for the nodes that were seen, as they were last.
func (f *fleet) positions(yield func(Sighting)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.known {
		yield(n.Sighting)
	}
}

// plainText: no control characters, and UTF-8.
func plainText(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// take returns the sightings that are to be written, of nodes that moved alone
// or of all, by name.
func (f *fleet) take(movedAlone bool) (all []Sighting) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.known {
		if n.dirty && (n.moved || !movedAlone) {
			n.dirty, n.moved = false, false
			all = append(all, n.Sighting)
		}
	}
	slices.SortFunc(all, func(a, b Sighting) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// giveBack has sightings written another time.
func (f *fleet) giveBack(all []Sighting) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range all {
		if n := f.known[s.Name]; n != nil {
			n.dirty, n.moved = true, true
		}
	}
}

// readFleet learns once where the nodes stood when they were last seen, so that
// after a start nothing is written that has not changed.
func (s *Server) readFleet(ctx context.Context) error {
	f := &s.fleet
	f.mu.Lock()
	done := f.read
	f.mu.Unlock()
	if done {
		return nil
	}
	var stored []Sighting
	err := s.store.View(ctx, func(v View) error {
		stored = nil
		return v.Sightings(func(n Sighting) error {
			stored = append(stored, n)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read the nodes: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = true
	for _, n := range stored {
		if f.known[n.Name] == nil && len(f.known) < maxFleet {
			f.known[n.Name] = &seenNode{Sighting: n}
		}
	}
	return nil
}

// writeFleet writes down how nodes were seen.
func (s *Server) writeFleet(ctx context.Context, movedAlone bool) error {
	all := s.fleet.take(movedAlone)
	for i := 0; i < len(all); i += seenBatch {
		batch := all[i:min(i+seenBatch, len(all))]
		err := s.store.Update(ctx, func(tx Tx) error {
			for _, n := range batch {
				if err := tx.SeeNode(n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.fleet.giveBack(all[i:])
			return fmt.Errorf("write down how nodes were seen: %w", err)
		}
	}
	return nil
}

// seen takes note of a request's node.
func (s *Server) seen(r *http.Request) {
	was, is, ok := s.fleet.see(r, s.moment())
	if is.Epoch != "" && is.Epoch == was.Epoch && is.Position > was.Position {
		s.meter.Rendered(was.Position, is.Position)
	}
	if !ok {
		s.log.WarnContext(r.Context(), "requests come with more names of nodes than are remembered: node list does not show them all", "remembered", maxFleet)
	}
}
