package scimserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pwb/roster"
)

// NodeRecord is a node as administrators see it.
type NodeRecord struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Online: it was seen within the time after which nodes are offline.
	Online bool      `json:"online"`
	Seen   time.Time `json:"seen"`
	// Epoch and Position are what its files show, Lag how many changes came
	// since; nil when that is not known or was before a restore.
	Epoch    string `json:"epoch,omitempty"`
	Position int64  `json:"position"`
	Lag      *int64 `json:"lag"`
	// Quarantined counts the rows that it refuses, Result is why its last pass
	// did not end well.
	Quarantined int    `json:"quarantined"`
	Result      string `json:"result,omitempty"`
}

func (o *Operator) nodeRecord(n Sighting, at roster.Position) NodeRecord {
	r := NodeRecord{
		Name: n.Name, Version: n.Version, Seen: n.Seen, Online: o.now().Sub(n.Seen) < o.cfg.NodeOfflineAfter,
		Epoch: n.Epoch, Position: n.Position, Quarantined: n.Quarantined, Result: n.Result,
	}
	if n.Epoch == at.Epoch {
		lag := at.Seq - n.Position
		r.Lag = &lag
	}
	return r
}

// Nodes calls yield for all nodes, by name.
func (o *Operator) Nodes(ctx context.Context, yield func(NodeRecord) error) error {
	return o.store.View(ctx, func(v View) error {
		at, err := v.Position()
		if err != nil {
			return err
		}
		return v.Sightings(func(n Sighting) error { return yield(o.nodeRecord(n, at)) })
	})
}

// ForgetNode forgets a node that is gone, and with it which numbers and names
// were its own.
func (o *Operator) ForgetNode(ctx context.Context, name string) error {
	return o.update(ctx, func(tx Tx) (e Event, err error) {
		var seen time.Time
		if err := tx.Sightings(func(n Sighting) error {
			if n.Name == name {
				seen = n.Seen
			}
			return nil
		}); err != nil {
			return e, err
		}
		if o.now().Sub(seen) < o.cfg.NodeOfflineAfter {
			return e, fmt.Errorf("node %s is online: end its agent first, and forget it when it has been away for %v (node-offline-after)", name, o.cfg.NodeOfflineAfter)
		}
		err = tx.DeleteNode(name)
		if errors.Is(err, ErrNotFound) {
			return e, fmt.Errorf("no node has the name %.100q: pwb-server node list shows those there are", name)
		}
		return Event{Action: "node.forget", Name: name, Changes: []byte("{}")}, err
	})
}

// Revocation is how far the last lock of a user has come.
type Revocation struct {
	Subject string `json:"subject"`
	Name    string `json:"name"`
	// At is when the account was locked, Actor by whom; Epoch and Position are
	// where the feed stood then.
	At       time.Time `json:"at"`
	Actor    string    `json:"actor"`
	Action   string    `json:"action"`
	Epoch    string    `json:"epoch"`
	Position int64     `json:"position"`
	// Rendered are the nodes whose files show the lock, Waiting the others.
	Rendered []NodeRecord `json:"rendered"`
	Waiting  []NodeRecord `json:"waiting"`
}

// Revocation says which nodes have rendered the last lock of a user.
func (o *Operator) Revocation(ctx context.Context, key string) (r Revocation, err error) {
	err = o.store.View(ctx, func(v View) error {
		id, err := o.findUser(v, key)
		if err != nil {
			return err
		}
		u, err := o.showUser(v, id)
		if err != nil {
			return err
		}
		if !u.Locked {
			return fmt.Errorf("user %s is not locked, so that no node has anything to follow: pwb-server user lock %[1]s locks it", u.Name)
		}
		lock, err := lastLock(v, id)
		if err != nil {
			return err
		}
		at, err := v.Position()
		if err != nil {
			return err
		}
		if lock.Epoch == "" {
			// An event of an older version does not know its position, or there is
			// none: a node that is at the present has it in any case.
			lock.Epoch, lock.Position = at.Epoch, at.Seq
		}
		r = Revocation{
			Subject: id, Name: u.Name, At: lock.At, Actor: lock.Actor, Action: lock.Action,
			Epoch: lock.Epoch, Position: lock.Position, Rendered: []NodeRecord{}, Waiting: []NodeRecord{},
		}
		return v.Sightings(func(n Sighting) error {
			// A restore begins another epoch, in which who was locked stays so.
			has := n.Epoch == lock.Epoch && n.Position >= lock.Position || n.Epoch == at.Epoch && lock.Epoch != at.Epoch
			if has {
				r.Rendered = append(r.Rendered, o.nodeRecord(n, at))
			} else {
				r.Waiting = append(r.Waiting, o.nodeRecord(n, at))
			}
			return nil
		})
	})
	return r, err
}

// lastLock is the event with which a user's account was locked last, or went
// with a restore; zero when there is none.
func lastLock(v View, id string) (lock Event, err error) {
	err = v.Events(EventQuery{Subject: id}, func(e Event) error {
		var c map[string][2]any
		if err := json.Unmarshal(e.Changes, &c); err != nil {
			return fmt.Errorf("event %d: %w", e.Seq, err)
		}
		if change, has := c["account.locked"]; has && change[1] == true || e.Action == "user.forgotten" {
			lock = e
		}
		return nil
	})
	return lock, err
}
