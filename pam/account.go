package pam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pwb/roster"
)

// Account decides whether who has proven to be name may log in now, and lets pass whom
// the agent does not know, or with onlyOurs refuses them. It fails with a *Refusal for an account that is locked, expired or gone, and with another error,
// which refuses too, where that cannot be told of an account that is the agent's.
// Whatever the agent does, it decides from the files after Patience.
func (n *Node) Account(ctx context.Context, name string, onlyOurs bool) error {
	p, ours, err := n.find(name)
	switch {
	case err != nil:
		return err
	case !ours && onlyOurs:
		return &Refusal{Why: "no account of pwb-agent's"}
	case !ours:
		return nil
	}
	if n.freshen(ctx, name) {
		if p, ours, err = n.find(name); err != nil {
			return err
		}
		if !ours {
			return refuse("the account is no longer on this node", "The account %s is no longer on this machine. Please ask your administrator.", name)
		}
	}
	return n.judge(p)
}

// freshen asks the agent if the snapshot is old, and reports whether it did.
func (n *Node) freshen(ctx context.Context, name string) bool {
	// Who is not root decides nothing but for a program of his own.
	if n.Agent == nil || !n.Privileged || n.Agent.Fresh(n.MaxAge) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, n.Patience)
	defer cancel()
	if err := n.Agent.Current(ctx, name); err != nil {
		n.Log.Info("the files as they are decide, since the agent made no pass", "user", name, "error", err)
	}
	return true
}

// expiredLocked is the day on which locked accounts have expired; see roster.Account.
const expiredLocked = 1

func (n *Node) judge(p roster.Passwd) error {
	// Without shadow, or without the right to read it, the shell alone tells.
	if p.Password != "x" || !n.Privileged {
		if p.Shell == n.NologinShell {
			return locked(p.Name)
		}
		return nil
	}
	s, err := n.shadow(p.Name)
	if err != nil {
		return err
	}
	today := n.Now().Unix() / int64((24 * time.Hour).Seconds())
	switch {
	case s.Expire == expiredLocked:
		return locked(p.Name)
	case s.Expire != 0 && today >= s.Expire: // as pam_unix(8) has it
		day := time.Unix(s.Expire*int64((24*time.Hour).Seconds()), 0).UTC().Format(time.DateOnly)
		return refuse("the account expired on "+day, "The account %s expired on %s. Please ask your administrator.", p.Name, day)
	}
	return nil
}

func locked(name string) error {
	return refuse("the account is locked", "The account %s is locked. Please ask your administrator.", name)
}

var errNoShadow = errors.New("passwd has the account and shadow does not; run pwb-agent sync --check")

// shadow is the line of an account whose passwd line says that there is one.
func (n *Node) shadow(name string) (roster.Shadow, error) {
	s, ok, err := n.Lookup.Shadow(name)
	if err == nil && !ok {
		err = errNoShadow
	}
	if err != nil {
		return s, fmt.Errorf("look the shadow entry of %s up: %w", name, err)
	}
	return s, nil
}

// Departed reports whether an account is locked or has expired, as Account has it.
func (n *Node) Departed(p roster.Passwd) (bool, error) {
	var refusal *Refusal
	err := n.judge(p)
	if errors.As(err, &refusal) {
		return true, nil
	}
	return false, err
}
