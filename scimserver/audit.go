package scimserver

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// changes is what an event changed: attribute to what it was and what it is.
// Attributes of the account have "account." before them, those of a group
// "group.".
type changes map[string][2]any

// maxShown is the most bytes of a value that the audit log repeats.
const maxShown = 512

// attributeChanges compares a resource's attributes by their outermost names.
func attributeChanges(before, after scim.Resource) changes {
	c := changes{}
	names := maps.Clone(before)
	if names == nil {
		names = scim.Resource{}
	}
	maps.Copy(names, after)
	for name := range names {
		if name != "schemas" && !reflect.DeepEqual(before[name], after[name]) {
			c[name] = [2]any{shown(before[name]), shown(after[name])}
		}
	}
	return c
}

// shown is a value, or how long it is when it is long.
func shown(v any) any {
	if v == nil {
		return nil
	}
	if s, ok := v.(string); ok && len(s) <= maxShown {
		return v
	}
	data, err := json.Marshal(v)
	if err != nil || len(data) > maxShown {
		return fmt.Sprintf("(%d bytes)", len(data))
	}
	return json.RawMessage(data)
}

// account adds what became of the account. Of a password it says that it changed.
func (c changes) account(ch ledger.Change) {
	a, b := ch.Before, ch.After
	c.add("account.name", a.Name, b.Name)
	c.add("account.uid", a.UID, b.UID)
	c.add("account.gid", a.GID, b.GID)
	c.add("account.home", a.Home, b.Home)
	c.add("account.shell", a.Shell, b.Shell)
	c.add("account.locked", a.Locked, b.Locked)
	c.add("account.expire", a.Expire, b.Expire)
	c.add("account.aliases", strings.Join(a.Aliases, " "), strings.Join(b.Aliases, " "))
	c.add("account.keys", fingerprints(a.Keys), fingerprints(b.Keys))
	if a.Hash != b.Hash {
		c["account.password"] = [2]any{set(a.Hash), set(b.Hash)}
	}
}

// fingerprints are those of SSH keys, with commas between them.
func fingerprints(keys []string) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = roster.KeyFingerprint(key)
	}
	return strings.Join(all, ", ")
}

func set(hash string) string {
	if hash == "" {
		return "none"
	}
	return "set"
}

func (c changes) group(ch ledger.GroupChange) {
	c.add("group.name", ch.Before.Name, ch.After.Name)
	c.add("group.gid", ch.Before.GID, ch.After.GID)
}

func (c changes) add(name string, before, after any) {
	if before != after {
		zero := func(v any) any {
			if reflect.ValueOf(v).IsZero() {
				return nil
			}
			return v
		}
		c[name] = [2]any{zero(before), zero(after)}
	}
}

// maxMembersShown is how many members' ids an event repeats.
const maxMembersShown = 50

// members adds who came into a group and who left it.
func (c changes) members(added, removed []string) {
	for _, m := range []struct {
		name string
		ids  []string
	}{{"members.added", added}, {"members.removed", removed}} {
		if n := len(m.ids); n > 0 {
			var list any = m.ids
			if n > maxMembersShown {
				list = append(slices.Clone(m.ids[:maxMembersShown]), fmt.Sprintf("(%d more)", n-maxMembersShown))
			}
			c[m.name] = [2]any{nil, list}
		}
	}
}

// accountEvent is the event of a change of a user.
func accountEvent(action string, c changes, ch ledger.Change) Event {
	c.account(ch)
	a := ch.After
	return Event{Action: action, Subject: a.ID, Name: a.Name, UID: a.UID, GID: a.GID, Changes: c.encode(), Loss: lossOf(action, ch)}
}

// groupEvent is the event of a change of a group, which may be gone.
func groupEvent(action string, c changes, ch ledger.GroupChange) Event {
	c.group(ch)
	g := ch.After
	if g.ID == "" {
		g = ch.Before
	}
	return Event{Action: action, Subject: g.ID, Name: g.Name, GID: g.GID, Changes: c.encode()}
}

func (c changes) encode() []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, numbers, booleans and what was decoded from JSON
	}
	return data
}

// record puts an event into the audit log, where it stays if the update does.
func record(tx Tx, e *Event, actor string, now time.Time) error {
	e.Actor, e.At = actor, now
	if err := tx.Record(*e); err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// deeds runs fn in the store for what no provider asks for: the events that fn
// reports become part of the audit log under actor's name, none of them counts
// for the fuse, and the log hears of them when they are committed.
func (s *Server) deeds(ctx context.Context, actor string, fn func(tx Tx, did func(Event) error) error) error {
	var events []Event
	err := s.store.Update(ctx, func(tx Tx) error {
		events = nil
		return fn(tx, func(e Event) error {
			e.Loss = LossNone
			if err := record(tx, &e, actor, s.moment()); err != nil {
				return err
			}
			events = append(events, e)
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, e := range events {
		s.logEvent(ctx, e)
	}
	return nil
}

// logEvent tells the log, too, what was committed.
func (s *Server) logEvent(ctx context.Context, e Event) {
	if e.Action == "" {
		return
	}
	s.log.InfoContext(ctx, "audit", "action", e.Action, "actor", e.Actor, "subject", e.Subject, "name", e.Name, "uid", e.UID, "gid", e.GID, "changes", string(e.Changes))
}

// RestoreEvent is the event of an account that a restore made another, brought
// or took; of two accounts without an ID it is that of the restore itself.
func RestoreEvent(before, after roster.Account, actor string, now time.Time) Event {
	e := Event{Action: "store.restore", Changes: []byte("{}")}
	switch {
	case after.ID != "":
		e = accountEvent("user.restore", changes{}, ledger.Change{Before: before, After: after})
	case before.ID != "":
		e = accountEvent("user.forgotten", changes{}, ledger.Change{Before: before})
		e.Subject, e.Name, e.UID, e.GID = before.ID, before.Name, before.UID, before.GID
	}
	e.Loss = LossNone // no provider took it
	e.Actor, e.At = actor, now.UTC().Truncate(time.Millisecond)
	return e
}

// History is a subject's name and numbers from a moment on.
type History struct {
	From    time.Time `json:"from"`
	Subject string    `json:"subject"`
	Kind    string    `json:"kind"` // user or group
	Name    string    `json:"name"`
	UID     uint32    `json:"uid,omitempty"`
	GID     uint32    `json:"gid,omitempty"`
	Action  string    `json:"action"`
	Actor   string    `json:"actor"`
}

// historyOf is when a subject's name, numbers or standing changed, oldest first.
func historyOf(v View, subject string) (all []History, err error) {
	err = v.Events(EventQuery{Subject: subject}, func(e Event) error {
		var c map[string]json.RawMessage
		if err := json.Unmarshal(e.Changes, &c); err != nil {
			return fmt.Errorf("event %d: %w", e.Seq, err)
		}
		told := false
		for _, name := range []string{"account.name", "account.uid", "account.gid", "account.locked", "group.name", "group.gid"} {
			_, has := c[name]
			told = told || has
		}
		kind, _, _ := strings.Cut(e.Action, ".")
		if told || strings.HasSuffix(e.Action, ".delete") || strings.HasSuffix(e.Action, ".buried") || strings.HasSuffix(e.Action, ".forgotten") {
			all = append(all, History{From: e.At, Subject: subject, Kind: cmp.Or(kind, "user"), Name: e.Name, UID: e.UID, GID: e.GID, Action: e.Action, Actor: e.Actor})
		}
		return nil
	})
	return all, err
}

// accountNow is an account's present row, for events that change no row of it.
func accountNow(v View, id string) (roster.Account, error) {
	row, err := v.Row(roster.AccountKey(id))
	if err != nil {
		return roster.Account{}, fmt.Errorf("account of user %s: %w", id, err)
	}
	return *row.Account, nil
}
