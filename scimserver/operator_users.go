package scimserver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// UserRecord is what there is to know about a user.
type UserRecord struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	UserName   string   `json:"userName,omitempty"`
	ExternalID string   `json:"externalId,omitempty"`
	UID        uint32   `json:"uid"`
	GID        uint32   `json:"gid"`
	Gecos      string   `json:"gecos,omitempty"`
	Home       string   `json:"home"`
	Shell      string   `json:"shell"`
	State      string   `json:"state"`
	Locked     bool     `json:"locked"`
	Admin      bool     `json:"admin"`
	Password   bool     `json:"password"`
	Readmit    bool     `json:"readmit,omitempty"`
	Groups     []string `json:"groups,omitempty"`
	// Identities are who the user is at OpenID providers.
	Identities []UserIdentity `json:"identities,omitempty"`
	// Aliases are former names that still work.
	Aliases []ledger.Alias `json:"aliases,omitempty"`
	// Keys are the SSH keys that may log in, each TYPE BASE64.
	Keys []string   `json:"keys,omitempty"`
	End  *time.Time `json:"endDate,omitempty"`
	// Since is when the user came into its state, if that is not active.
	Since   *time.Time `json:"since,omitempty"`
	Created *time.Time `json:"created,omitempty"`
	Changed *time.Time `json:"changed,omitempty"`
}

// The states of users, as administrators see them.
const (
	StateActive   = "active"
	StateInactive = "inactive" // the provider says so
	StateHeld     = "held"     // an administrator says so
	StateEnded    = "ended"    // the end date has come
	StateImported = "imported" // and not yet the provider's
	StateDeparted = "departed" // deleted, the account stays locked
	StateBuried   = "buried"   // only the ledger remembers
)

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// state says why an account is as it is.
func (o *Operator) state(a roster.Account, s ledger.Subject) string {
	switch {
	case s.State == ledger.Buried:
		return StateBuried
	case s.State == ledger.Departed:
		return StateDeparted
	case s.Held:
		return StateHeld
	case !s.Ends().IsZero() && !o.now().Before(s.Ends()):
		return StateEnded
	case s.State == ledger.Imported:
		return StateImported
	case a.Locked:
		return StateInactive
	}
	return StateActive
}

func (o *Operator) userRecord(a roster.Account, s ledger.Subject, r Resource) UserRecord {
	return UserRecord{
		ID: a.ID, Name: a.Name, UserName: cmp.Or(r.Name, s.UserName), ExternalID: cmp.Or(r.ExternalID, s.ExternalID),
		UID: a.UID, GID: a.GID, Gecos: a.Gecos, Home: a.Home, Shell: a.Shell,
		State: o.state(a, s), Locked: a.Locked || s.State == ledger.Buried, Password: a.Hash != "",
		Readmit: s.Readmit, Aliases: s.Aliases, Keys: a.Keys, End: moment(s.Ends()), Since: moment(s.Since),
		Created: moment(r.Created), Changed: moment(r.Modified),
	}
}

// Users calls yield for all users, the buried ones last; without their groups.
func (o *Operator) Users(ctx context.Context, yield func(UserRecord) error) error {
	return o.store.View(ctx, func(v View) error {
		subjects := map[string]ledger.Subject{} // few
		if err := v.Subjects(func(s ledger.Subject) error { subjects[s.ID] = s; return nil }); err != nil {
			return err
		}
		admins := map[string]bool{}
		if err := v.RowsUnder(roster.MemberKey(ledger.AdminGroupID, ""), func(c roster.Change) error {
			admins[strings.TrimPrefix(c.Key, roster.MemberKey(ledger.AdminGroupID, ""))] = true
			return nil
		}); err != nil {
			return err
		}
		err := v.RowsUnder("a/", func(c roster.Change) error {
			row, err := c.Row()
			if err != nil {
				return err
			}
			r, err := v.Resource(KindUser, row.Account.ID)
			switch {
			case errors.Is(err, ErrNotFound):
				r = Resource{}
			case err != nil:
				return err
			}
			u := o.userRecord(*row.Account, subjects[row.Account.ID], r)
			u.Admin = admins[u.ID]
			return yield(u)
		})
		if err != nil {
			return err
		}
		return v.Subjects(func(s ledger.Subject) error {
			if s.State != ledger.Buried || s.Account == nil {
				return nil
			}
			return yield(o.userRecord(*s.Account, s, Resource{}))
		})
	})
}

// User returns one user with all groups.
func (o *Operator) User(ctx context.Context, key string) (u UserRecord, err error) {
	err = o.store.View(ctx, func(v View) error {
		id, err := o.findUser(v, key)
		if err != nil {
			return err
		}
		u, err = o.showUser(v, id)
		return err
	})
	return u, err
}

func (o *Operator) showAccount(v View, id string) (UserRecord, error) {
	s, err := v.Subject(id)
	if err != nil {
		return UserRecord{}, err
	}
	if s.State == ledger.Buried && s.Account != nil {
		return o.userRecord(*s.Account, s, Resource{}), nil
	}
	a, err := accountNow(v, id)
	if err != nil {
		return UserRecord{}, err
	}
	r, err := v.Resource(KindUser, id)
	switch {
	case errors.Is(err, ErrNotFound):
		r = Resource{}
	case err != nil:
		return UserRecord{}, err
	}
	u := o.userRecord(a, s, r)
	// Of those who have no resource the memberships are in the roster alone.
	names := map[string]string{}
	if err := v.RowsUnder("g/", func(c roster.Change) error {
		row, err := c.Row()
		if err == nil {
			names[row.Group.ID] = row.Group.Name
		}
		return err
	}); err != nil {
		return UserRecord{}, err
	}
	for group, name := range names {
		switch _, err := v.Row(roster.MemberKey(group, id)); {
		case err == nil && group == ledger.AdminGroupID:
			u.Admin = true
			u.Groups = append(u.Groups, name)
		case err == nil:
			u.Groups = append(u.Groups, name)
		case !errors.Is(err, ErrNotFound):
			return UserRecord{}, err
		}
	}
	slices.Sort(u.Groups)
	return u, nil
}

// AddUser makes a user as POST /Users would of that body.
func (o *Operator) AddUser(ctx context.Context, body map[string]any) (u UserRecord, err error) {
	out, err := o.operation(ctx, collections["users"], "").createUser(body)
	if err != nil {
		return u, told(err)
	}
	return o.User(ctx, out.resource.ID)
}

// Lock keeps a user locked whatever the provider says, until Unlock.
func (o *Operator) Lock(ctx context.Context, key string) (UserRecord, error) {
	return o.changed(ctx, key, "user.lock", func(tx Tx, id string) (ledger.Change, error) { return o.ledger.Hold(tx, id) })
}

// Unlock ends Lock. Who is locked for another reason too stays so; the record
// says why.
func (o *Operator) Unlock(ctx context.Context, key string) (UserRecord, error) {
	return o.changed(ctx, key, "user.unlock", func(tx Tx, id string) (ledger.Change, error) {
		s, err := tx.Subject(id)
		if err != nil {
			return ledger.Change{}, err
		}
		if s.State == ledger.Departed {
			return ledger.Change{}, fmt.Errorf("user %s was deleted on %s: create the user again at the provider, after pwb-server user readmit if it has no externalId", key, s.Since.Format(time.DateOnly))
		}
		on, err := providerActive(tx, id)
		if err != nil {
			return ledger.Change{}, err
		}
		return o.ledger.Release(tx, id, on)
	})
}

// providerActive is whether the provider lets the user log in; who has none may.
func providerActive(v View, id string) (bool, error) {
	r, err := v.Resource(KindUser, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	}
	attrs, err := attributes(r)
	return active(attrs), err
}

// changed has change do something to a user's account, and returns the user.
func (o *Operator) changed(ctx context.Context, key, action string, change func(tx Tx, id string) (ledger.Change, error)) (UserRecord, error) {
	id := ""
	err := o.update(ctx, func(tx Tx) (e Event, err error) {
		if id, err = o.findUser(tx, key); err != nil {
			return e, err
		}
		known, err := tx.Subject(id)
		if err != nil || known.State == ledger.Buried {
			return e, cmp.Or(err, fmt.Errorf("user %s left, and the retention of the account is over: only the ledger remembers it", key))
		}
		c, err := change(tx, id)
		if err != nil {
			return e, err
		}
		s, err := tx.Subject(id)
		if err != nil || reflect.DeepEqual(s, known) && reflect.DeepEqual(c.Before, c.After) {
			return e, err // nothing changed
		}
		held := changes{}
		held.add("held", known.Held, s.Held)
		return accountEvent(action, held, c), nil
	})
	if err != nil {
		return UserRecord{}, err
	}
	return o.User(ctx, id)
}

// SetAdmin sets the user's admin attribute.
func (o *Operator) SetAdmin(ctx context.Context, key string, admin bool) (u UserRecord, err error) {
	err = o.patch(ctx, key, scim.WorkbenchURN+":admin", admin)
	if err != nil {
		return u, err
	}
	return o.User(ctx, key)
}

// patch sets an attribute of a user as PATCH would.
func (o *Operator) patch(ctx context.Context, key, path string, value any) error {
	id := ""
	err := o.store.View(ctx, func(v View) (err error) {
		if id, err = o.findUser(v, key); err != nil {
			return err
		}
		_, err = v.Resource(KindUser, id)
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("user %s is not the provider's: this is for users that a provider or pwb-server user add made", key)
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = o.operation(ctx, collections["users"], id).patchUser(map[string]any{
		"Operations": []any{map[string]any{"op": "replace", "path": path, "value": value}},
	})
	return told(err)
}

// Delete deletes a user as DELETE would, also one that was imported.
func (o *Operator) Delete(ctx context.Context, key string) (u UserRecord, err error) {
	id, has := "", false
	err = o.store.View(ctx, func(v View) (err error) {
		if id, err = o.findUser(v, key); err != nil {
			return err
		}
		_, err = v.Resource(KindUser, id)
		if has = err == nil; errors.Is(err, ErrNotFound) {
			err = nil
		}
		return err
	})
	switch {
	case err != nil:
		return u, err
	case has:
		_, err = o.operation(ctx, collections["users"], id).deleteUser()
		err = told(err)
	default:
		_, err = o.changed(ctx, id, "user.delete", func(tx Tx, id string) (ledger.Change, error) {
			s, err := tx.Subject(id)
			if err != nil || s.State != ledger.Imported {
				return ledger.Change{}, cmp.Or(err, fmt.Errorf("user %s was deleted on %s already", key, s.Since.Format(time.DateOnly)))
			}
			return o.ledger.CloseAccount(tx, id, "", "")
		})
	}
	if err != nil {
		return u, err
	}
	return o.User(ctx, id)
}

// Readmit says that the next user of the userName is the one who departed;
// an empty userName is the one that this user had.
func (o *Operator) Readmit(ctx context.Context, key, userName string) (u UserRecord, err error) {
	err = o.update(ctx, func(tx Tx) (e Event, err error) {
		id, err := o.findUser(tx, key)
		if err != nil {
			return e, err
		}
		known, err := tx.Subject(id)
		if err != nil {
			return e, err
		}
		if err := o.ledger.Readmit(tx, id, scim.Fold(userName)); err != nil {
			return e, err
		}
		if u, err = o.showUser(tx, id); err != nil || known.Readmit && known.UserName == u.UserName {
			return e, err
		}
		c := changes{"readmit": {nil, u.UserName}}
		return Event{Action: "user.readmit", Subject: id, Name: u.Name, UID: u.UID, GID: u.GID, Changes: c.encode()}, nil
	})
	return u, err
}

// Renumber gives a user another uid, 0 the next free one, and a gid that follows
// unless gid says otherwise. What the provider said of the two is forgotten.
func (o *Operator) Renumber(ctx context.Context, key string, uid, gid uint32) (c ledger.Change, err error) {
	_, err = o.changed(ctx, key, "user.renumber", func(tx Tx, id string) (ledger.Change, error) {
		if c, err = o.ledger.Renumber(tx, id, uid, gid); err != nil || reflect.DeepEqual(c.Before, c.After) {
			return c, err
		}
		return c, forgetNumbers(tx, KindUser, id, o.moment(), map[string]string{scim.WorkbenchURN: "posixUserId", scim.PosixUserURN: "posixGroupId"})
	})
	return c, err
}

// forgetNumbers removes what a provider said of numbers from a resource: it is
// not so any more.
func forgetNumbers(tx Tx, kind Kind, id string, now time.Time, names map[string]string) error {
	r, err := tx.Resource(kind, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	attrs, err := attributes(r)
	if err != nil {
		return err
	}
	changed := false
	for urn, name := range names {
		x := extension(attrs, urn)
		if _, ok := x[name]; ok {
			changed = true
			if delete(x, name); len(x) == 0 {
				delete(attrs, urn)
			}
		}
	}
	if !changed {
		return nil
	}
	if r.Doc, err = json.Marshal(attrs); err != nil {
		return err
	}
	r.Version++
	r.Modified = now
	return tx.Replace(r)
}
