package scimserver

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"pwb/roster"
	"pwb/scimserver/scim"
)

// createGroup is POST /Groups (RFC 7644 §3.3).
func (o *operation) createGroup(body map[string]any) (outcome, error) {
	group, ids, err := readGroup(body)
	if err != nil {
		return outcome{}, err
	}
	return o.insert(group, func(tx Tx, id string) error {
		if err := o.openGroup(tx, id, groupName(group)); err != nil {
			return err
		}
		_, err := (&members{tx, id}).Add(ids)
		return err
	})
}

// replaceGroup is PUT /Groups/{id} (RFC 7644 §3.5.1). A body without members
// empties the group, as the RFC has it for every attribute that is left out.
func (o *operation) replaceGroup(body map[string]any) (outcome, error) {
	group, ids, err := readGroup(body)
	if err != nil {
		return outcome{}, err
	}
	return o.changeGroup(func(m *members, _ scim.Resource) (scim.Resource, bool, error) {
		changed, err := m.Replace(ids)
		return group, changed, err
	})
}

// patchGroup is PATCH /Groups/{id} (RFC 7644 §3.5.2). The answer needs no body,
// since the resource with all its members would be long; only senders that
// give operations without a path, which read the answer, get it.
func (o *operation) patchGroup(body map[string]any) (outcome, error) {
	ops, err := scim.ParsePatch(body)
	if err != nil {
		return outcome{}, err
	}
	out, err := o.changeGroup(func(m *members, old scim.Resource) (scim.Resource, bool, error) {
		return scim.Group.Patch(old, ops, m)
	})
	out.quiet = true
	for _, op := range ops {
		if op.Path == nil {
			out.quiet = false
		}
	}
	return out, err
}

// changeGroup stores what edit makes of the group and its members.
func (o *operation) changeGroup(edit func(m *members, old scim.Resource) (group scim.Resource, changed bool, err error)) (outcome, error) {
	return o.change(func(tx Tx, old scim.Resource) (scim.Resource, bool, error) {
		return edit(&members{tx, o.id}, old)
	}, func(tx Tx, old, group scim.Resource) error {
		return o.updateGroup(tx, o.id, groupName(old), groupName(group))
	})
}

// deleteGroup is DELETE /Groups/{id} (RFC 7644 §3.6). The gid is never given to
// another group.
func (o *operation) deleteGroup() (outcome, error) {
	return o.erase(func(tx Tx) error {
		if _, err := (&members{tx, o.id}).Replace(nil); err != nil {
			return err
		}
		return tx.DropRow(roster.GroupKey(o.id))
	})
}

// readGroup reads a whole group and its members.
func readGroup(body map[string]any) (group scim.Resource, ids []string, err error) {
	if group, err = scim.Group.Normalize(body); err != nil {
		return nil, nil, err
	}
	ids, _, err = scim.GroupMembers(body)
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
	missing := make(map[string]bool, len(ids)) // of those wanted
	for _, id := range ids {
		missing[id] = true
	}
	removed, err := m.removeIf(func(r Ref) bool {
		wanted := missing[r.ID]
		delete(missing, r.ID)
		return !wanted
	})
	if err != nil {
		return false, err
	}
	added, err := m.Add(slices.Sorted(maps.Keys(missing)))
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
