package scimserver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AddToken makes a token and returns its text, which is shown this once. A zero
// life means that it never expires.
func (o *Operator) AddToken(ctx context.Context, name string, scope Scope, life time.Duration) (Token, string, error) {
	uses := 0
	if scope == ScopeEnroll {
		uses = 1
	}
	return o.addToken(ctx, name, scope, life, uses)
}

func (o *Operator) addToken(ctx context.Context, name string, scope Scope, life time.Duration, uses int) (Token, string, error) {
	t, text, err := NewToken(name, scope, o.moment(), life)
	if err != nil {
		return t, "", err
	}
	t.Uses = uses
	err = o.update(ctx, func(tx Tx) (Event, error) { return tokenEvent("token.create", t), tx.PutToken(t) })
	if errors.Is(err, ErrTaken) {
		err = fmt.Errorf("a token with the name %q is there already: revoke it first, or choose another name", name)
	}
	return t, text, err
}

func tokenEvent(action string, t Token) Event {
	c := changes{"scope": {nil, string(t.Scope)}, "id": {nil, t.ID}}
	if action == "token.revoke" {
		c = changes{"scope": {string(t.Scope), nil}, "id": {t.ID, nil}}
	}
	return Event{Action: action, Name: t.Name, Changes: c.encode()}
}

// Tokens returns all tokens, oldest first.
func (o *Operator) Tokens(ctx context.Context) (all []Token, err error) {
	err = o.store.View(ctx, func(v View) error {
		all, err = v.Tokens()
		return err
	})
	return all, err
}

// RevokeToken revokes the token of that name.
func (o *Operator) RevokeToken(ctx context.Context, name string) error {
	return o.update(ctx, func(tx Tx) (e Event, err error) {
		all, err := tx.Tokens()
		if err != nil {
			return e, err
		}
		for _, t := range all {
			if t.Name == name {
				return tokenEvent("token.revoke", t), tx.DeleteToken(name)
			}
		}
		return e, fmt.Errorf("no token has the name %q: pwb-server token list shows those there are", name)
	})
}

// replaceToken puts a token in the place of the one with its name, if there is one.
func (o *Operator) replaceToken(ctx context.Context, t Token) error {
	return o.update(ctx, func(tx Tx) (e Event, err error) {
		if err := tx.DeleteToken(t.Name); err != nil && !errors.Is(err, ErrNotFound) {
			return e, err
		}
		err = tx.PutToken(t)
		if errors.Is(err, ErrTaken) {
			err = errors.New("the token is there already, under another name")
		}
		return tokenEvent("token.create", t), err
	})
}
