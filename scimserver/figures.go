package scimserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"pwb/roster"
)

// Figures are how the server stands, for who watches it: counts, times and names
// that administrators gave, of nodes and of tokens.
type Figures struct {
	At       time.Time
	Position roster.Position
	// Users and Groups are those of SCIM. Accounts are those of the roster, which has
	// also those that were imported and that no provider knows yet, and those of
	// deleted users that are still resolvable; Locked of them cannot log in.
	Users, Groups, Accounts, Locked int
	// Nodes are those that follow the server, by name.
	Nodes []NodeRecord
	// Tokens are all, oldest first, without what proves them.
	Tokens []Token
	Fuse   FuseStatus
	// Waiting counts the long polls that this process holds.
	Waiting int64
}

// LastProvider is when an identity provider came last; zero if none ever did.
func (f Figures) LastProvider() (last time.Time) {
	for _, t := range f.Tokens {
		if t.Scope == ScopeSCIM && t.Used.After(last) {
			last = t.Used
		}
	}
	return last
}

// Figures reads them in one view, and of nodes and tokens what this process knows
// and has not written down yet. Who asks again pays for what changed since.
func (o *Operator) Figures(ctx context.Context) (f Figures, err error) {
	f.At, f.Waiting = o.moment(), o.waiting.Load()
	err = o.store.View(ctx, func(v View) error {
		if f.Position, err = v.Position(); err != nil {
			return err
		}
		for kind, n := range map[Kind]*int{KindUser: &f.Users, KindGroup: &f.Groups} {
			if *n, err = v.Find(kind, Query{}, func(Resource) error { return nil }); err != nil {
				return err
			}
		}
		if f.Accounts, f.Locked, err = o.tally.count(v, f.Position); err != nil {
			return err
		}
		if f.Fuse, err = o.fuseStatus(v, true, 0); err != nil {
			return err
		}
		if f.Tokens, err = v.Tokens(); err != nil {
			return err
		}
		f.Nodes, err = o.figuresOfNodes(v, f.Position)
		return err
	})
	if err != nil {
		return Figures{}, fmt.Errorf("read how the server stands: %w", err)
	}
	used := o.tokens.lastUses()
	for i := range f.Tokens {
		t := &f.Tokens[i]
		t.Hash = [len(t.Hash)]byte{}
		if last := used[t.ID]; last.After(t.Used) {
			t.Used = last
		}
	}
	return f, nil
}

func (o *Operator) figuresOfNodes(v View, at roster.Position) (all []NodeRecord, err error) {
	seen := map[string]Sighting{}
	o.fleet.positions(func(n Sighting) { seen[n.Name] = n })
	err = v.Sightings(func(n Sighting) error {
		// Reports are in the store alone, the newest sightings here.
		if s, ok := seen[n.Name]; ok {
			n.Version, n.Epoch, n.Position = s.Version, s.Epoch, s.Position
			if s.Seen.After(n.Seen) {
				n.Seen = s.Seen
			}
		}
		all = append(all, o.nodeRecord(n, at))
		return nil
	})
	return all, err
}

// FuseHeld and Pinned say of a node that its files were held back, by its fuse
// or by an administrator.
func (r NodeRecord) FuseHeld() bool { return strings.HasPrefix(r.Result, roster.ResultFuse) }

// Pinned: see FuseHeld.
func (r NodeRecord) Pinned() bool { return strings.HasPrefix(r.Result, roster.ResultPinned) }

// Failed reports whether the node's last pass failed.
func (r NodeRecord) Failed() bool { return r.Result != "" && !r.FuseHeld() && !r.Pinned() }

// Fleet sums nodes up.
type Fleet struct {
	Online  int `json:"online"`
	Offline int `json:"offline"`
	// Converged nodes show the newest change. Of the others, Lagging are online.
	Converged int `json:"converged"`
	Lagging   int `json:"lagging"`
	// FuseHeld, Pinned and Failed count nodes by how their last pass ended.
	FuseHeld int `json:"fuseHeld"`
	Pinned   int `json:"pinned"`
	Failed   int `json:"failed"`
	// Quarantined counts entries, of all nodes together.
	Quarantined int `json:"quarantined"`
}

// Summary sums nodes up.
func Summary(nodes []NodeRecord) (f Fleet) {
	for _, n := range nodes {
		shows := n.Lag != nil && *n.Lag == 0
		for _, c := range []struct {
			counts bool
			n      *int
		}{
			{n.Online, &f.Online},
			{!n.Online, &f.Offline},
			{shows, &f.Converged},
			{n.Online && !shows, &f.Lagging},
			{n.FuseHeld(), &f.FuseHeld},
			{n.Pinned(), &f.Pinned},
			{n.Failed(), &f.Failed},
		} {
			if c.counts {
				*c.n++
			}
		}
		f.Quarantined += n.Quarantined
	}
	return f
}

// tally counts accounts, and those that are locked. It reads all once, and from then on
// what changed: its memory grows with those who are locked alone.
type tally struct {
	mu       sync.Mutex
	at       roster.Position
	accounts int
	locked   map[string]struct{} // keys of rows; nil: not read yet
}

// maxTallied is the most changes that are followed; beyond, all is read anew.
const maxTallied = 20_000

func (t *tally) count(v View, at roster.Position) (accounts, locked int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.locked != nil && t.at == at {
		return t.accounts, len(t.locked), nil
	}
	err = ErrUnknownPosition
	if t.locked != nil && at.Seq-t.at.Seq <= maxTallied {
		err = v.Changes(t.at, t.hear)
	}
	if errors.Is(err, ErrUnknownPosition) {
		t.locked = map[string]struct{}{}
		err = v.Snapshot(t.hear)
	}
	if err == nil || errors.Is(err, errLastAccount) {
		t.accounts, err = v.Accounts()
	}
	if err != nil {
		t.locked = nil
		return 0, 0, fmt.Errorf("count accounts: %w", err)
	}
	t.at = at
	return t.accounts, len(t.locked), nil
}

// errLastAccount ends an iteration by key, in which accounts come first.
var errLastAccount = errors.New("no account comes after this")

func (t *tally) hear(c roster.Change) error {
	if !strings.HasPrefix(c.Key, "a/") {
		return errLastAccount
	}
	if c.Line != nil {
		row, err := c.Row()
		if err != nil {
			return err
		}
		if row.Account.Locked {
			t.locked[strings.Clone(c.Key)] = struct{}{}
			return nil
		}
	}
	delete(t.locked, c.Key)
	return nil
}
