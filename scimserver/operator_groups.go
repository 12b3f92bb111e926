package scimserver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// GroupRecord is what there is to know about a group.
type GroupRecord struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	DisplayName string   `json:"displayName,omitempty"`
	GID         uint32   `json:"gid"`
	State       string   `json:"state"`
	Count       int      `json:"memberCount"`
	Members     []string `json:"members,omitempty"`
}

// Groups calls yield for all groups that are no account's own, without the names
// of their members.
func (o *Operator) Groups(ctx context.Context, yield func(GroupRecord) error) error {
	return o.store.View(ctx, func(v View) error {
		counts := map[string]int{}
		err := v.RowsUnder("m/", func(c roster.Change) error {
			group, _, _ := strings.Cut(strings.TrimPrefix(c.Key, "m/"), "/")
			counts[group]++
			return nil
		})
		if err != nil {
			return err
		}
		return v.RowsUnder("g/", func(c roster.Change) error {
			row, err := c.Row()
			if err != nil {
				return err
			}
			if own, err := ledger.Has(v, roster.AccountKey(row.Group.ID)); err != nil || own {
				return err
			}
			g, err := o.groupRecord(v, *row.Group)
			if err != nil {
				return err
			}
			g.Count = counts[g.ID]
			return yield(g)
		})
	})
}

func (o *Operator) groupRecord(v View, row roster.Group) (GroupRecord, error) {
	g := GroupRecord{ID: row.ID, Name: row.Name, GID: row.GID, State: StateActive}
	r, err := v.Resource(KindGroup, row.ID)
	switch {
	case err == nil:
		g.DisplayName = r.Name
		if attrs, err := attributes(r); err == nil {
			g.DisplayName = cmp.Or(text(attrs["displayName"]), r.Name)
		}
	case !errors.Is(err, ErrNotFound):
		return g, err
	case row.ID == ledger.AdminGroupID:
		g.State = "administrators"
	default:
		g.State = StateImported
	}
	return g, nil
}

// Group returns one group with its members' names.
func (o *Operator) Group(ctx context.Context, key string) (g GroupRecord, err error) {
	err = o.store.View(ctx, func(v View) error {
		id, err := o.findGroup(v, key)
		if err != nil {
			return err
		}
		g, err = o.showGroup(v, id)
		return err
	})
	return g, err
}

func (o *Operator) showGroup(v View, id string) (g GroupRecord, err error) {
	row, err := v.Row(roster.GroupKey(id))
	if err != nil {
		return g, err
	}
	if g, err = o.groupRecord(v, *row.Group); err != nil {
		return g, err
	}
	prefix := roster.MemberKey(id, "")
	var ids []string
	err = v.RowsUnder(prefix, func(c roster.Change) error {
		ids = append(ids, strings.TrimPrefix(c.Key, prefix))
		return nil
	})
	for _, account := range ids {
		a, err := accountNow(v, account)
		if errors.Is(err, ErrNotFound) {
			continue // ids check tells
		}
		if err != nil {
			return g, err
		}
		g.Members = append(g.Members, a.Name)
	}
	g.Count = len(g.Members)
	slices.Sort(g.Members)
	return g, err
}

// AddGroup makes a group as POST /Groups would of that body.
func (o *Operator) AddGroup(ctx context.Context, body map[string]any) (g GroupRecord, err error) {
	out, err := o.operation(ctx, collections["groups"], "").createGroup(body)
	if err != nil {
		return g, told(err)
	}
	return o.Group(ctx, out.resource.ID)
}

// SetGID gives a group another gid, 0 the next free one. What the provider said
// of it is forgotten.
func (o *Operator) SetGID(ctx context.Context, key string, gid uint32) (c ledger.GroupChange, err error) {
	err = o.update(ctx, func(tx Tx) (e Event, err error) {
		id, err := o.findGroup(tx, key)
		if err != nil {
			return e, err
		}
		if c, err = o.ledger.SetGID(tx, id, gid); err != nil || c.Before == c.After {
			return e, err
		}
		return groupEvent("group.set-gid", changes{}, c), forgetNumbers(tx, KindGroup, id, o.moment(), map[string]string{scim.PosixGroupURN: "posixGroupId"})
	})
	return c, err
}
