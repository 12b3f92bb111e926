package scimserver

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// UserIdentity is a user's issuer and sub.
type UserIdentity struct {
	Issuer string    `json:"issuer"`
	Sub    string    `json:"sub"`
	Bound  time.Time `json:"bound"`
}

// showUser is a user with all groups and identities.
func (o *Operator) showUser(v View, id string) (UserRecord, error) {
	u, err := o.showAccount(v, id)
	if err != nil {
		return UserRecord{}, err
	}
	bound, err := v.Identities(id)
	for _, i := range bound {
		u.Identities = append(u.Identities, UserIdentity{i.Issuer, i.Sub, i.Bound})
	}
	return u, err
}

// Unbind has an administrator forget who a user is at OpenID providers, so that
// the next login by the userName decides anew.
func (o *Operator) Unbind(ctx context.Context, key string) (u UserRecord, err error) {
	err = o.update(ctx, func(tx Tx) (e Event, err error) {
		id, err := o.findUser(tx, key)
		if err != nil {
			return e, err
		}
		bound, err := tx.Identities(id)
		if err != nil || len(bound) == 0 {
			return e, cmp.Or(err, fmt.Errorf("user %s never signed in: there is nothing to unbind", key))
		}
		if _, err := tx.Unbind(id); err != nil {
			return e, err
		}
		if u, err = o.showUser(tx, id); err != nil {
			return e, err
		}
		c := changes{}
		for _, i := range bound {
			c["sub at "+i.Issuer] = [2]any{i.Sub, nil}
		}
		return Event{Action: "user.unbind", Subject: id, Name: u.Name, UID: u.UID, GID: u.GID, Changes: c.encode()}, nil
	})
	return u, err
}
