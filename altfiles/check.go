package altfiles

import (
	"fmt"
	"strings"

	"pwb/roster"
)

// The most that a field may hold. crypt(5) hashes have at most 384 bytes; the
// last day is 9999-12-31.
const (
	maxGecos  = 1024
	maxHash   = 384
	maxExpire = 2932896
)

// checkAccount reports why the node refuses an account by what it says of
// itself alone. No error quotes the hash.
func (r *rules) checkAccount(a *roster.Account) error {
	if err := r.checkName(a.Name); err != nil {
		return err
	}
	if err := r.checkNumber("uid", a.UID); err != nil {
		return err
	}
	if err := r.checkNumber("gid", a.GID); err != nil {
		return err
	}
	if err := roster.CheckField(a.Gecos); err != nil {
		return fmt.Errorf("gecos %w", err)
	}
	if len(a.Gecos) > maxGecos {
		return fmt.Errorf("gecos has %d bytes, %d at most", len(a.Gecos), maxGecos)
	}
	if err := roster.CheckHome(a.Home); err != nil {
		return fmt.Errorf("home %w", err)
	}
	// A locked account gets another shell, so that a wrong one does no harm.
	if !a.Locked && !r.shells[a.Shell] {
		return fmt.Errorf("shell %.80q is not among those allowed here: change it, or allow it on this node", a.Shell)
	}
	if why := hashFault(a.Hash); why != "" {
		return fmt.Errorf("password hash (not shown) %s: set the password anew", why)
	}
	if a.Expire < 0 || a.Expire > maxExpire {
		return fmt.Errorf("expiry day %d is not from 0 (never) to %d", a.Expire, maxExpire)
	}
	return nil
}

// checkGroup is checkAccount for a group.
func (r *rules) checkGroup(g *roster.Group) error {
	if err := r.checkName(g.Name); err != nil {
		return err
	}
	return r.checkNumber("gid", g.GID)
}

func (r *rules) checkName(name string) error {
	if err := roster.CheckName(name); err != nil {
		return err
	}
	if r.protected[name] {
		return fmt.Errorf("name %q is protected on this node (protect-names): rename it, or take the name out there", name)
	}
	if r.protects(name) {
		return fmt.Errorf("name %q is protected, it is one of the system's own: rename it, or allow the name on this node", name)
	}
	return nil
}

func (r *rules) protects(name string) bool {
	return r.protected[name] || roster.Protected(name) && !r.allowed[name]
}

func (r *rules) checkNumber(what string, id uint32) error {
	if err := roster.CheckNumber(id); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if id < r.min {
		return fmt.Errorf("%s: id %d is below %d, the least on this node", what, id, r.min)
	}
	if r.max != 0 && id > r.max {
		return fmt.Errorf("%s: id %d is above %d, the greatest on this node", what, id, r.max)
	}
	return nil
}

// hashFault says what is wrong with a password field, and nothing of what it
// holds. Good are an empty one (rendered as "*"), "*", "!" with anything
// printable behind, and the modular formats of crypt(5): $id$….
func hashFault(s string) string {
	const (
		strange = "holds a character that crypt(5) does not have"
		shape   = "has none of the forms of crypt(5)"
	)
	switch {
	case len(s) > maxHash:
		return fmt.Sprintf("has %d bytes, %d at most", len(s), maxHash)
	case s == "", s == "*":
		return ""
	case s[0] == '!':
		for i := range len(s) {
			if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' {
				return strange
			}
		}
		return ""
	case s[0] != '$':
		return shape
	}
	id, rest, ok := strings.Cut(s[1:], "$")
	if !ok || id == "" || rest == "" {
		return shape
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return shape
		}
	}
	for i := range len(rest) {
		if !hashBytes[rest[i]] {
			return strange
		}
	}
	return ""
}

// hashBytes are the characters of a hash: printable ASCII but for what crypt(5)
// leaves out, since it has a meaning in these files.
var hashBytes = func() (set [256]bool) {
	for c := '!' + 1; c < 0x7f; c++ {
		set[c] = !strings.ContainsRune(`:;*\`, c)
	}
	return set
}()
