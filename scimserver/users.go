package scimserver

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// createUser is POST /Users (RFC 7644 §3.3).
func (o *operation) createUser(body map[string]any) (outcome, error) {
	user, err := scim.User.Normalize(body)
	if err != nil {
		return outcome{}, err
	}
	hash, err := o.takePassword(o.ctx, user)
	if err != nil {
		return outcome{}, err
	}
	user["active"] = active(user)
	wish, err := accountWish(nil, user, hash)
	if err != nil {
		return outcome{}, err
	}
	return o.insertUser(user, wish)
}

// insertUser stores a new user with the account that is wished for.
func (o *operation) insertUser(user scim.Resource, wish ledger.Wish) (outcome, error) {
	action, made := "user.create", attributeChanges(nil, user)
	out, err := o.insert(user, func(v View) (string, error) {
		known, err := o.ledger.Recognize(v, wish)
		if known != "" {
			action = "user.return"
		}
		return known, err
	}, func(tx Tx, id string) (Event, error) {
		c, err := o.ledger.OpenAccount(tx, id, wish)
		return accountEvent(action, made, c), err
	})
	out.alone = true
	return out, err
}

// replaceUser is PUT /Users/{id} (RFC 7644 §3.5.1). What decides about access
// needs to be said to change: without active a user stays locked or unlocked,
// without password the hash stays. SSH keys stay if the extension is not there at
// all; whoever speaks of it and names none takes the last one away.
func (o *operation) replaceUser(body map[string]any) (outcome, error) {
	user, err := scim.User.Normalize(body)
	if err != nil {
		return outcome{}, err
	}
	hash, err := o.takePassword(o.ctx, user)
	if err != nil {
		return outcome{}, err
	}
	return o.changeUser(hash, func(old scim.Resource) (scim.Resource, error) {
		keepSilent(body, old, user, scim.WorkbenchURN, "admin")
		keepSilent(body, old, user, scim.PosixUserURN, "endDate")
		if !knows(body, scim.PosixUserURN) {
			keepSilent(body, old, user, scim.PosixUserURN, keysName)
		}
		return user, nil
	})
}

// keepSilent keeps an attribute of an extension that decides about access and
// that the body does not speak of.
func keepSilent(body map[string]any, old, user scim.Resource, urn, name string) {
	was, ok := extension(old, urn)[name]
	if !ok || speaksOf(body, urn, name) {
		return
	}
	kept := maps.Clone(extension(user, urn))
	if kept == nil {
		kept = map[string]any{}
	}
	kept[name] = was
	user[urn] = kept
}

// knows reports whether the body of a PUT has anything of the extension, be it null.
func knows(body map[string]any, urn string) bool {
	for key := range body {
		if key = scim.Fold(key); key == scim.Fold(urn) || strings.HasPrefix(key, scim.Fold(urn+":")) {
			return true
		}
	}
	return false
}

// speaksOf reports whether the body of a PUT has the extension's attribute, be it
// null.
func speaksOf(body map[string]any, urn, name string) bool {
	for key, value := range body {
		key = scim.Fold(key)
		if key == scim.Fold(urn+":"+name) {
			return true
		}
		attrs, _ := value.(map[string]any)
		for attr := range attrs {
			if key == scim.Fold(urn) && scim.Fold(attr) == scim.Fold(name) {
				return true
			}
		}
	}
	return false
}

// patchUser is PATCH /Users/{id} (RFC 7644 §3.5.2).
func (o *operation) patchUser(body map[string]any) (outcome, error) {
	ops, err := scim.ParsePatch(body)
	if err != nil {
		return outcome{}, err
	}
	hash := ""
	if mentions(body, "password") {
		if hash, err = o.patchedPassword(ops); err != nil {
			return outcome{}, err
		}
	}
	return o.changeUser(hash, func(old scim.Resource) (scim.Resource, error) {
		user, _, err := scim.User.Patch(old, ops, nil)
		delete(user, "password")
		return user, err
	})
}

// patchedPassword hashes the password that the operations set. They are tried
// on the user as it is now, outside the writer; what they make of the password
// does not depend on the user.
func (o *operation) patchedPassword(ops []scim.Op) (hash string, err error) {
	var user scim.Resource
	err = o.store.View(o.ctx, func(v View) error {
		r, err := o.stored(v)
		if err != nil {
			return err
		}
		old, err := attributes(r)
		if err != nil {
			return err
		}
		user, _, err = scim.User.Patch(old, ops, nil)
		return err
	})
	if err != nil {
		return "", err
	}
	return o.takePassword(o.ctx, user)
}

// changeUser stores what edit makes of the user, with a new hash if there is one.
// Of a user who is locked by that and cannot be stored as wished, since a name or
// number is another's or cannot be, the lock alone is stored: whoever leaves is
// shut out, and the answer shows what the user is.
func (o *operation) changeUser(hash string, edit func(old scim.Resource) (scim.Resource, error)) (outcome, error) {
	locks := false
	out, err := o.storeUser(hash, func(old scim.Resource) (scim.Resource, error) {
		user, err := edit(old)
		_, says := user["active"]
		locks = err == nil && says && !active(user)
		return user, err
	})
	var refusal *scim.Error
	if !locks || !errors.As(err, &refusal) || refusal.Status != http.StatusBadRequest && refusal.Status != http.StatusConflict {
		return out, err
	}
	o.log.WarnContext(o.ctx, "a user is locked, and what else was wanted is not to be had", "subject", o.id, "reason", refusal.Detail)
	return o.storeUser("", func(old scim.Resource) (scim.Resource, error) {
		user := maps.Clone(old)
		user["active"] = false
		return user, nil
	})
}

func (o *operation) storeUser(hash string, edit func(old scim.Resource) (scim.Resource, error)) (outcome, error) {
	return o.change(func(tx Tx, old scim.Resource) (scim.Resource, bool, error) {
		user, err := edit(old)
		if err != nil {
			return nil, false, err
		}
		if _, says := user["active"]; !says {
			user["active"] = active(old)
		}
		late, err := o.keysAreLate(tx, old)
		return user, hash != "" || late, err
	}, func(tx Tx, old, user scim.Resource) (Event, error) {
		was, _ := accountWish(nil, old, "") // what an older version stored may be no wish
		wish, err := accountWish(old, user, hash)
		if err != nil {
			return Event{}, err
		}
		c, err := o.ledger.UpdateAccount(tx, o.id, was, wish)
		if err == nil && o.provider { // who speaks of the user has it from now on
			err = o.ledger.SetClaimed(tx, o.id, false)
		}
		return accountEvent("user.update", attributeChanges(old, user), c), err
	})
}

// keysAreLate reports whether the user has SSH keys that the account lacks: an older
// version stored them and did not honour them.
func (o *operation) keysAreLate(tx Tx, old scim.Resource) (bool, error) {
	if extension(old, scim.PosixUserURN)[keysName] == nil {
		return false, nil
	}
	wish, _ := accountWish(old, old, "")
	a, err := accountNow(tx, o.id)
	return err == nil && !slices.Equal(a.Keys, wish.Keys), err
}

// deleteUser is DELETE /Users/{id} (RFC 7644 §3.6): the SCIM resource goes and
// its userName is free again, the account stays, locked.
func (o *operation) deleteUser() (outcome, error) {
	return o.erase(func(tx Tx, r Resource) (Event, error) {
		var groups []string
		err := tx.Memberships(o.id, func(g Ref) error {
			groups = append(groups, g.ID)
			return nil
		})
		for _, id := range groups {
			err = cmp.Or(err, o.leaveGroup(tx, id))
		}
		if err != nil {
			return Event{}, fmt.Errorf("memberships of user %s: %w", o.id, err)
		}
		c, err := o.ledger.CloseAccount(tx, o.id, r.Name, r.ExternalID)
		return accountEvent("user.delete", changes{"userName": {r.Name, nil}}, c), err
	})
}

// leaveGroup takes the user out of a group, which has another version then.
func (o *operation) leaveGroup(tx Tx, groupID string) error {
	g, err := tx.Resource(KindGroup, groupID)
	if err != nil {
		return err
	}
	g.Version++
	g.Modified = o.moment()
	return cmp.Or(tx.Replace(g), tx.DropRow(roster.MemberKey(groupID, o.id)))
}

// mentions reports whether word stands in a key or a text anywhere in v.
func mentions(v any, word string) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.Contains(scim.Fold(key), word) || mentions(value, word) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if mentions(value, word) {
				return true
			}
		}
	case string:
		return strings.Contains(scim.Fold(v), word)
	}
	return false
}

// active is whether the user may log in; it is so unless the provider says no.
func active(user scim.Resource) bool {
	on, given := user["active"].(bool)
	return on || !given
}

// gecos is the user's full name, or failing all else the userName.
func gecos(user scim.Resource) string {
	str := func(v any) string { s, _ := v.(string); return s }
	name, _ := user["name"].(map[string]any)
	for _, s := range []string{
		str(user["displayName"]),
		str(name["formatted"]),
		strings.TrimSpace(str(name["givenName"]) + " " + str(name["familyName"])),
		str(user["userName"]),
	} {
		if clean := roster.CleanGecos(s); clean != "" {
			return clean
		}
	}
	return ""
}
