package syncer

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"pwb/roster"
)

// Former is an account or group as this node knew it in an epoch before.
type Former struct {
	// Key is the row's; the other fields are what the node held.
	Key  string `json:"key"`
	Name string `json:"name"`
	// UID is an account's alone.
	UID uint32 `json:"uid,omitzero"`
	GID uint32 `json:"gid"`
	// Home is an account's, unless no report may hold it.
	Home string `json:"home,omitempty"`
}

// formerOf is what a row gave away: false for memberships, for rows that this
// version cannot read and for names that no report may hold.
func formerOf(c roster.Change) (Former, bool) {
	row, err := c.Row()
	if err != nil {
		return Former{}, false
	}
	f := Former{Key: strings.Clone(c.Key)}
	switch {
	case row.Account != nil:
		f.Name, f.UID, f.GID = row.Account.Name, row.Account.UID, row.Account.GID
		if factName(row.Account.Home) {
			f.Home = row.Account.Home
		}
	case row.Group != nil:
		f.Name, f.GID = row.Group.Name, row.Group.GID
	}
	return f, factName(f.Name)
}

// replaceMirror replaces m by rows, which are the roster at to. If that is of
// another epoch than the mirror on disk, what it lacks is kept for the server
// before the mirror goes: it is nowhere else. Without m, the mirror on disk is
// damaged or absent; the caller holds the lock. When it is to be patient, it fails if
// the disk does not give that mirror.
func (s *Syncer) replaceMirror(ctx context.Context, m *Mirror, patient bool, to roster.Position, rows changes) error {
	if s.reporting() {
		if m == nil {
			var err error
			if m, _, err = openIfAny(s.cfg.StateDir); err != nil {
				return err
			}
			if m != nil {
				defer m.Close()
			}
		}
		if m != nil && m.pos.Epoch != to.Epoch {
			rows = s.savingLost(ctx, m, patient, rows)
		}
	}
	return writeMirror(s.cfg.StateDir, to, rows)
}

// savingLost yields rows and, before it ends well, writes down what m or an
// earlier mirror held and rows do not.
func (s *Syncer) savingLost(ctx context.Context, m *Mirror, patient bool, rows changes) changes {
	return func(yield func(roster.Change, error) bool) {
		known, err := readReports(s.cfg.StateDir)
		if unreadable(err) {
			yield(roster.Change{}, err)
			return
		}
		if err != nil {
			s.log.WarnContext(ctx, "the file of what was reported cannot be used and is begun anew", "error", err)
		}
		l := newLost(m, known.Former)
		for c, err := range rows {
			if err == nil {
				l.held(c)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
		former := l.end()
		if patient && unreadable(l.err) {
			yield(roster.Change{}, damaged(l.err))
			return
		}
		if l.err != nil {
			s.log.WarnContext(ctx, "the mirror of the epoch before is damaged, so that what it held behind the damage cannot be reported", "error", hideContent(l.err))
		}
		if l.left > 0 {
			s.log.WarnContext(ctx, "the server lacks more of what this node held in the epoch before than a report can hold", "left out", l.left, "limit", maxFacts)
		}
		if slices.Equal(former, known.Former) {
			return
		}
		if len(former) > 0 {
			s.log.WarnContext(ctx, "the server's new epoch lacks rows that this node held, or has them with other names or numbers; they will be reported to it", "rows", len(former))
		}
		known.Former = former
		if err := writeReports(s.cfg.StateDir, known); err != nil {
			yield(roster.Change{}, err)
		}
	}
}

// lost finds what an old roster held and a new one does not, while the new one
// goes by in the order of its keys. It needs memory for what it finds.
type lost struct {
	found map[Former]bool
	left  int // found beyond maxFacts
	// earlier has the keys of rows that were lost before: the new roster may
	// hold them again.
	earlier map[string]bool

	old  *roster.Reader
	row  roster.Change // the old roster's next account or group
	done bool          // there is none
	err  error         // why the old roster ended before its end
}

func newLost(m *Mirror, before []Former) *lost {
	l := &lost{found: map[Former]bool{}, earlier: map[string]bool{}}
	for _, f := range before {
		l.found[f] = true
		l.earlier[f.Key] = true
	}
	if l.old, l.err = m.reader(); l.err != nil {
		l.done = true
	}
	l.next()
	return l
}

// next steps to the old roster's next account or group. Where that is damaged it
// ends: a mistaken row would do no harm, being a number that is not given, but
// nothing behind the damage can be read.
func (l *lost) next() {
	if l.done {
		return
	}
	row, err := l.old.Next()
	if err != nil && err != io.EOF {
		l.err = err
	}
	l.row = row
	l.done = err != nil || strings.HasPrefix(row.Key, "m/") // memberships come last
}

// held tells of a row that the new roster has.
func (l *lost) held(c roster.Change) {
	for !l.done && l.row.Key < c.Key {
		l.add(l.row)
		l.next()
	}
	both := !l.done && l.row.Key == c.Key
	if l.earlier[c.Key] || both && !bytes.Equal(l.row.Line, c.Line) {
		is, ok := formerOf(c)
		if was, _ := formerOf(l.row); both && (!ok || was != is) {
			l.add(l.row)
		}
		if ok {
			delete(l.found, is)
		}
	}
	if both {
		l.next()
	}
}

func (l *lost) add(c roster.Change) {
	f, ok := formerOf(c)
	switch {
	case !ok || l.found[f]:
	case len(l.found) >= maxFacts:
		l.left++
	default:
		l.found[f] = true
	}
}

// end is what was lost, in order, once the new roster came to its end.
func (l *lost) end() []Former {
	for !l.done {
		l.add(l.row)
		l.next()
	}
	return slices.SortedFunc(maps.Keys(l.found), func(a, b Former) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID), cmp.Compare(a.GID, b.GID))
	})
}
