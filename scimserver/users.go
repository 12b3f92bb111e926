package scimserver

import (
	"bytes"
	"fmt"
	"net/http"

	"pwb/roster"
	"pwb/scimserver/scim"
)

// createUser is POST /Users (RFC 7644 §3.3).
func (c *call) createUser() error {
	user, err := c.userBody()
	if err != nil {
		return err
	}
	hash, err := c.takePassword(c.r.Context(), user)
	if err != nil {
		return err
	}
	user["active"] = active(user)
	r, err := c.newResource(user)
	if err != nil {
		return err
	}
	err = c.store.Update(c.r.Context(), func(tx Tx) error {
		if err := c.insert(tx, r, user); err != nil {
			return err
		}
		return c.openAccount(tx, r.ID, user, hash)
	})
	if err != nil {
		return err
	}
	return c.respondNow(http.StatusCreated, r)
}

// replaceUser is PUT /Users/{id} (RFC 7644 §3.5.1). What decides about access
// needs to be said to change: without active a user stays locked or unlocked,
// without password the hash stays.
func (c *call) replaceUser() error {
	user, err := c.userBody()
	if err != nil {
		return err
	}
	hash, err := c.takePassword(c.r.Context(), user)
	if err != nil {
		return err
	}
	_, says := user["active"]
	return c.changeUser(hash, func(old scim.Resource) (scim.Resource, error) {
		if !says {
			user["active"] = active(old)
		}
		return user, nil
	})
}

// patchUser is PATCH /Users/{id} (RFC 7644 §3.5.2).
func (c *call) patchUser() error {
	ops, password, err := c.patchBody()
	if err != nil {
		return err
	}
	hash := ""
	if password {
		if hash, err = c.patchedPassword(ops); err != nil {
			return err
		}
	}
	return c.changeUser(hash, func(old scim.Resource) (scim.Resource, error) {
		user, _, err := scim.User.Patch(old, ops, nil)
		if err != nil {
			return nil, err
		}
		delete(user, "password")
		if _, says := user["active"]; !says {
			user["active"] = active(old)
		}
		return user, nil
	})
}

// patchedPassword hashes the password that the operations set. They are tried
// on the user as it is now, outside the writer; what they make of the password
// does not depend on the user.
func (c *call) patchedPassword(ops []scim.Op) (hash string, err error) {
	var user scim.Resource
	err = c.store.View(c.r.Context(), func(v View) error {
		r, err := c.stored(v)
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
	return c.takePassword(c.r.Context(), user)
}

// changeUser stores what edit makes of the user, with a new hash if there is
// one, and answers with it.
func (c *call) changeUser(hash string, edit func(old scim.Resource) (scim.Resource, error)) error {
	r, err := c.change(func(tx Tx, old scim.Resource) (scim.Resource, bool, error) {
		user, err := edit(old)
		return user, hash != "", err
	}, func(tx Tx, user scim.Resource) error { return c.updateAccount(tx, c.id, user, hash) })
	if err != nil {
		return err
	}
	return c.respondNow(http.StatusOK, r)
}

// deleteUser is DELETE /Users/{id} (RFC 7644 §3.6): the SCIM resource goes and
// its userName is free again, the account stays, locked.
func (c *call) deleteUser() error {
	err := c.store.Update(c.r.Context(), func(tx Tx) error {
		if _, err := c.matched(tx); err != nil {
			return err
		}
		err := tx.Memberships(c.id, func(g Ref) error { return tx.DropRow(roster.MemberKey(g.ID, c.id)) })
		if err != nil {
			return fmt.Errorf("memberships of user %s: %w", c.id, err)
		}
		if err := c.closeAccount(tx, c.id); err != nil {
			return err
		}
		return tx.Delete(KindUser, c.id)
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// userBody reads a whole user.
func (c *call) userBody() (scim.Resource, error) {
	in, err := c.body()
	if err != nil {
		return nil, err
	}
	return scim.User.Normalize(in)
}

// patchBody reads a PATCH, and whether it speaks of a password.
func (c *call) patchBody() (ops []scim.Op, password bool, err error) {
	in, err := c.body()
	if err != nil {
		return nil, false, err
	}
	ops, err = scim.ParsePatch(in)
	return ops, mentions(in, "password"), err
}

// mentions reports whether word stands in a key or a path anywhere in v.
func mentions(v any, word string) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if scim.Fold(key) == word || mentions(value, word) {
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
		return bytes.Contains([]byte(scim.Fold(v)), []byte(word))
	}
	return false
}
