package scimserver

import (
	"errors"
	"fmt"
	"net/http"

	"pwb/roster"
	"pwb/scimserver/scim"
)

// createGroup is POST /Groups (RFC 7644 §3.3).
func (c *call) createGroup() error {
	group, ids, err := c.groupBody()
	if err != nil {
		return err
	}
	r, err := c.newResource(group)
	if err != nil {
		return err
	}
	err = c.store.Update(c.r.Context(), func(tx Tx) error {
		if err := c.insert(tx, r, group); err != nil {
			return err
		}
		if err := c.openGroup(tx, r.ID, groupName(group)); err != nil {
			return err
		}
		_, err := (&members{tx, r.ID}).Add(ids)
		return err
	})
	if err != nil {
		return err
	}
	return c.respondNow(http.StatusCreated, r)
}

// replaceGroup is PUT /Groups/{id} (RFC 7644 §3.5.1). A body without members
// empties the group, as the RFC has it for every attribute that is left out.
func (c *call) replaceGroup() error {
	group, ids, err := c.groupBody()
	if err != nil {
		return err
	}
	r, err := c.changeGroup(func(m *members, _ scim.Resource) (scim.Resource, bool, error) {
		changed, err := m.Replace(ids)
		return group, changed, err
	})
	if err != nil {
		return err
	}
	return c.respondNow(http.StatusOK, r)
}

// patchGroup is PATCH /Groups/{id} (RFC 7644 §3.5.2). It answers 204, since the
// resource with all its members would be long, unless attributes are asked for.
func (c *call) patchGroup() error {
	ops, _, err := c.patchBody()
	if err != nil {
		return err
	}
	r, err := c.changeGroup(func(m *members, old scim.Resource) (scim.Resource, bool, error) {
		return scim.Group.Patch(old, ops, m)
	})
	if err != nil {
		return err
	}
	if q := c.r.URL.Query(); param(q, "attributes") != "" || param(q, "excludedAttributes") != "" {
		return c.respondNow(http.StatusOK, r)
	}
	c.w.Header().Set("ETag", etag(r))
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// changeGroup stores what edit makes of the group and its members.
func (c *call) changeGroup(edit func(m *members, old scim.Resource) (group scim.Resource, changed bool, err error)) (Resource, error) {
	return c.change(func(tx Tx, old scim.Resource) (scim.Resource, bool, error) {
		return edit(&members{tx, c.id}, old)
	}, func(tx Tx, group scim.Resource) error { return c.updateGroup(tx, c.id, groupName(group)) })
}

// deleteGroup is DELETE /Groups/{id} (RFC 7644 §3.6). The gid is never given to
// another group.
func (c *call) deleteGroup() error {
	err := c.store.Update(c.r.Context(), func(tx Tx) error {
		if _, err := c.matched(tx); err != nil {
			return err
		}
		if _, err := (&members{tx, c.id}).Replace(nil); err != nil {
			return err
		}
		if err := tx.DropRow(roster.GroupKey(c.id)); err != nil {
			return err
		}
		return tx.Delete(KindGroup, c.id)
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// groupBody reads a whole group and its members.
func (c *call) groupBody() (group scim.Resource, ids []string, err error) {
	in, err := c.body()
	if err != nil {
		return nil, nil, err
	}
	if group, err = scim.Group.Normalize(in); err != nil {
		return nil, nil, err
	}
	ids, _, err = scim.GroupMembers(in)
	return group, ids, err
}

func groupName(group scim.Resource) string {
	name, _ := group["displayName"].(string)
	return name
}

// members edits the members of one group within an update: the membership and
// its row of the roster together. It is the scim.Members of PATCH.
type members struct {
	tx    Tx
	group string
}

// Add refuses ids that are no user's: what is not known is never rendered, and
// the provider should know.
func (m *members) Add(ids []string) (changed bool, err error) {
	for _, id := range ids {
		added, err := m.tx.AddMember(m.group, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return false, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "members: no user has the id %.100q here", id)
		case err != nil:
			return false, fmt.Errorf("add %s to group %s: %w", id, m.group, err)
		case !added:
			continue
		}
		changed = true
		if err := m.tx.PutRow(roster.Row{Member: &roster.Member{GroupID: m.group, AccountID: id}}); err != nil {
			return false, err
		}
	}
	return changed, nil
}

// Remove passes over ids that are not members.
func (m *members) Remove(ids []string) (changed bool, err error) {
	for _, id := range ids {
		removed, err := m.tx.RemoveMember(m.group, id)
		if err != nil {
			return false, fmt.Errorf("remove %s from group %s: %w", id, m.group, err)
		}
		if !removed {
			continue
		}
		changed = true
		if err := m.tx.DropRow(roster.MemberKey(m.group, id)); err != nil {
			return false, err
		}
	}
	return changed, nil
}

// Replace touches those alone that are in one of the two sets.
func (m *members) Replace(ids []string) (changed bool, err error) {
	want := make(map[string]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	removed, err := m.removeIf(func(r Ref) bool { return !want[r.ID] })
	if err != nil {
		return false, err
	}
	added, err := m.Add(ids)
	return removed || added, err
}

// RemoveMatching holds every member against match.
func (m *members) RemoveMatching(match func(map[string]any) bool) (changed bool, err error) {
	return m.removeIf(func(r Ref) bool {
		return match(map[string]any{"value": r.ID, "display": r.Display, "type": scim.User.Name})
	})
}

func (m *members) removeIf(match func(Ref) bool) (changed bool, err error) {
	var gone []string
	err = m.tx.Members(m.group, func(r Ref) error {
		if match(r) {
			gone = append(gone, r.ID)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("members of group %s: %w", m.group, err)
	}
	return m.Remove(gone)
}
