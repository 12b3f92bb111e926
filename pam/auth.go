package pam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// MaxPassword is the most bytes a password may have: crypt(3)'s own limit, and
// pam_exec(8)'s PAM_MAX_RESP_SIZE.
const MaxPassword = 511

// ReadPassword reads what "expose_authtok" of pam_exec(8) writes: the password and a
// NUL, or the end. It fails for one that is empty or longer than MaxPassword.
func ReadPassword(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxPassword+2))
	if err != nil {
		return nil, fmt.Errorf("read the password from standard input: %w", err)
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	switch {
	case len(b) == 0:
		return nil, errors.New("the password is empty; pam_exec(8) passes none on without expose_authtok")
	case len(b) > MaxPassword:
		return nil, fmt.Errorf("the password has more than %d bytes", MaxPassword)
	}
	return b, nil
}

// Throttle bounds how often passwords are guessed.
type Throttle interface {
	// Begin counts an attempt for name, from host where that is known, before it is
	// decided, so that many at once are no way round. It fails with a *Refusal when
	// there were too many, and with another error where nobody can count. An attempt
	// that went well is taken back with forgive.
	Begin(name, host string) (forgive func() error, err error)
}

// uncounted is the delay before each attempt that nobody can count.
const uncounted = 2 * time.Second

// Verifier verifies passwords.
type Verifier struct {
	node     *Node
	decoy    hash
	throttle Throttle
	// wait is for what stands in for the throttle.
	wait func(context.Context, time.Duration) error
}

// NewVerifier makes one. The decoy is a setting of crypt(5) without salt, such as
// "$6$rounds=100000$": method and cost of a hash that is computed where there is none
// to compare with, so that nobody learns from the time whether an account exists.
func NewVerifier(n *Node, decoy string, throttle Throttle) (*Verifier, error) {
	h, err := decoyHash(decoy)
	if err != nil {
		return nil, err
	}
	return &Verifier{n, h, throttle, func(ctx context.Context, d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}, nil
}

// Authenticate verifies a password of name, from the host that PAM_RHOST names,
// empty if none. It fails with a *Refusal that says nothing to whoever tries, for the
// wrong password as for an unknown, locked or passwordless account, all of which cost
// the same, and with another error where nobody can tell.
func (v *Verifier) Authenticate(ctx context.Context, name, host string, password []byte) error {
	forgive, err := v.throttle.Begin(name, host)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return err
	case err != nil:
		v.node.Log.Error("attempts are not counted, but delayed", "error", err)
		forgive = func() error { return nil }
		if err := v.wait(ctx, uncounted); err != nil {
			return err
		}
	}
	stored, why, err := v.stored(name)
	if err != nil { // which costs the same, too
		_, _ = v.decoy.matches(password)
		return err
	}
	match, err := stored.matches(password)
	switch {
	case why != "":
		return &Refusal{Why: why}
	case err != nil:
		return fmt.Errorf("verify the password of %s: %w", name, err)
	case !match:
		return &Refusal{Why: "wrong password"}
	}
	if err := forgive(); err != nil {
		v.node.Log.Warn("an attempt that went well counts as one that failed", "user", name, "error", err)
	}
	return nil
}

// stored is the hash to compare with; with why, it is one that lets nobody in.
func (v *Verifier) stored(name string) (h hash, why string, err error) {
	p, ours, err := v.node.find(name)
	switch {
	case err != nil:
		return h, "", err
	case !ours:
		return v.decoy, "no account of pwb-agent's", nil
	case p.Password != "x":
		return v.decoy, "the account has no shadow entry", nil
	}
	s, err := v.node.shadow(name)
	if err != nil {
		return h, "", err
	}
	text := strings.TrimLeft(s.Password, "!")
	if text != s.Password || s.Expire == expiredLocked {
		why = "the account is locked"
	}
	h, err = parseHash(text)
	if err == nil {
		return h, why, nil
	}
	if why == "" {
		why = "the account has no password"
		if strings.HasPrefix(text, "$") {
			why = err.Error()
		}
	}
	return v.decoy, why, nil
}
