package altfiles

import (
	"fmt"
	"slices"
	"strings"

	"pwb/roster"
)

// Gate tells of single entries whether a node would refuse to render them, whatever
// else is in the roster: for answers to lookups that come from somewhere else than
// the rendered files.
type Gate struct {
	policy Policy
	rules  *rules
	local  *local
}

// NewGate reads the node's own files and checks the policy. It fails when either
// cannot be.
func NewGate(p Policy, passwdFile, groupFile string) (*Gate, error) {
	rules, err := p.rules()
	if err != nil {
		return nil, err
	}
	local, err := readLocal(passwdFile, groupFile)
	return &Gate{p, rules, local}, err
}

// Account reports why an account is refused, as the line of passwd says it. Its
// shell need not be one of the policy's: a line does not say what it was made of.
func (g *Gate) Account(p roster.Passwd) error {
	policy := g.policy
	policy.Shells = append(slices.Clone(policy.Shells), p.Shell)
	rules, err := policy.rules()
	if err != nil {
		return err
	}
	if p.Password != "x" && p.Password != "*" {
		return fmt.Errorf("password field (not shown) of %q is neither x nor *", p.Name)
	}
	a := roster.Account{Name: p.Name, UID: p.UID, GID: p.GID, Gecos: p.Gecos, Home: p.Home, Shell: p.Shell}
	if err := rules.checkAccount(&a); err != nil {
		return err
	}
	if err := g.local.checkAccount(&a); err != nil {
		return err
	}
	if other, ok := g.local.gids[a.GID]; ok { // no roster's, then
		return fmt.Errorf("primary group %d of %q is the group %q in %s", a.GID, a.Name, other, g.local.groupFile)
	}
	return nil
}

// Group reports why a group is refused.
func (g *Gate) Group(name string, gid uint32) error {
	if err := g.Name(name); err != nil {
		return err
	}
	if err := g.GID(gid); err != nil {
		return err
	}
	return g.local.checkGroup(name, gid)
}

// GID reports why no group of that number is rendered.
func (g *Gate) GID(gid uint32) error {
	if err := g.rules.checkNumber("gid", gid); err != nil {
		return err
	}
	return g.local.checkGroup("", gid) // which is nobody's name
}

// Name reports why no account or group of that name is rendered, the node's own
// files apart.
func (g *Gate) Name(name string) error {
	return g.rules.checkName(name)
}

// Member reports why nobody of that name is a member of a rendered group: he is not
// rendered, or the node's own.
func (g *Gate) Member(name string) error {
	if err := g.Name(name); err != nil {
		return err
	}
	if uid, ok := g.local.users[name]; ok {
		return fmt.Errorf("%s has an account %q, with uid %d", g.local.passwdFile, name, uid)
	}
	return nil
}

// Shadow reports why a line of shadow is refused. The error quotes no hash.
func (g *Gate) Shadow(s roster.Shadow) error {
	if err := g.Member(s.Name); err != nil {
		return err
	}
	why := hashFault(strings.TrimPrefix(s.Password, "!"))
	if s.Password == "" {
		why = "is empty: everybody could log in"
	}
	if why != "" {
		return fmt.Errorf("password hash (not shown) of %q %s", s.Name, why)
	}
	if s.Expire < 0 || s.Expire > maxExpire {
		return fmt.Errorf("expiry day %d of %q is not from 0 (never) to %d", s.Expire, s.Name, maxExpire)
	}
	return nil
}
