package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pwb/roster"
)

// Finding is something that is not as it must be.
type Finding struct {
	// Subject is the id of the user or group that it is about.
	Subject string `json:"subject"`
	// Problem says what is wrong, Advice what to do.
	Problem string `json:"problem"`
	Advice  string `json:"advice"`
}

// Check holds the roster against the ledger: every name and number that is in
// use is owned by its subject, and nobody shares one. It reads everything.
func Check(v View) ([]Finding, error) {
	c := checker{uids: map[uint32]string{}, gids: map[uint32]string{}, names: map[string]string{}, accounts: map[string]bool{}, groups: map[string]bool{}}
	type possession struct {
		kind byte
		id   uint32
		name string
	}
	owners := map[possession]string{}
	err := v.Possessions("", func(p Possession) error {
		switch {
		case p.UID != 0:
			owners[possession{'u', p.UID, ""}] = p.Entry.Subject
		case p.GID != 0:
			owners[possession{'g', p.GID, ""}] = p.Entry.Subject
		default:
			owners[possession{'n', 0, p.Name}] = p.Entry.Subject
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	owned := func(subject, what string, p possession) {
		if owner := owners[p]; owner != subject {
			c.find(subject, fmt.Sprintf("%s is in use, and in the ledger it is %s", what, orNobody(owner)), "restore a backup from before this; until then keep the account locked")
		}
	}
	err = v.Snapshot(func(change roster.Change) error {
		row, err := change.Row()
		if err != nil {
			c.find(change.Key, "the row cannot be read", "restore a backup from before this")
			return nil
		}
		switch {
		case row.Account != nil:
			a := row.Account
			c.accounts[a.ID] = true
			c.once(c.names, a.Name, a.ID, "name")
			owned(a.ID, "name "+a.Name, possession{'n', 0, a.Name})
			for _, name := range a.Aliases {
				c.once(c.names, name, a.ID, "name")
				owned(a.ID, "name "+name, possession{'n', 0, name})
			}
			c.number(c.uids, a.UID, a.ID, "uid")
			owned(a.ID, fmt.Sprintf("uid %d", a.UID), possession{'u', a.UID, ""})
			if a.PrivateGroup() {
				c.number(c.gids, a.GID, a.ID, "gid")
				owned(a.ID, fmt.Sprintf("gid %d", a.GID), possession{'g', a.GID, ""})
			} else {
				c.primaries = append(c.primaries, primary{a.ID, a.GID})
			}
			if err := roster.CheckHome(a.Home); err != nil {
				c.find(a.ID, fmt.Sprintf("home %v", err), "set homeDirectory at the provider")
			}
			if keys, err := roster.ParseKeys(a.Keys); err != nil || !slices.Equal(keys, a.Keys) {
				c.find(a.ID, "its SSH keys are none that a node takes as they stand", "set sshPublicKeys anew at the provider")
			}
		case row.Group != nil:
			g := row.Group
			c.groups[g.ID] = true
			if !c.accounts[g.ID] { // an account's own group shares its name
				c.once(c.names, g.Name, g.ID, "name")
			}
			owned(g.ID, "name "+g.Name, possession{'n', 0, g.Name})
			c.number(c.gids, g.GID, g.ID, "gid")
			owned(g.ID, fmt.Sprintf("gid %d", g.GID), possession{'g', g.GID, ""})
		default:
			if !c.groups[row.Member.GroupID] || !c.accounts[row.Member.AccountID] {
				c.find(row.Member.GroupID, fmt.Sprintf("account %s is a member, and one of the two is not there", row.Member.AccountID), "push the group's members again from the provider")
			}
		}
		return nil
	})
	for _, p := range c.primaries {
		if c.gids[p.gid] == "" {
			c.find(p.account, fmt.Sprintf("gid %d, its primary group, is no group's", p.gid), "give the account another with pwb-server user renumber --gid")
		}
	}
	err = errors.Join(err, c.subjects(v))
	slices.SortStableFunc(c.found, func(a, b Finding) int { return strings.Compare(a.Subject, b.Subject) })
	return c.found, err
}

type checker struct {
	uids, gids       map[uint32]string
	names            map[string]string
	accounts, groups map[string]bool
	primaries        []primary
	found            []Finding
}

type primary struct {
	account string
	gid     uint32
}

func (c *checker) find(subject, problem, advice string) {
	c.found = append(c.found, Finding{subject, problem, advice})
}

func (c *checker) once(seen map[string]string, name, subject, what string) {
	if other, twice := seen[name]; twice {
		c.find(subject, fmt.Sprintf("%s %s is also that of subject %s", what, name, other), "lock one of the two and rename it at the provider")
		return
	}
	seen[name] = subject
}

func (c *checker) number(seen map[uint32]string, n uint32, subject, what string) {
	if err := CheckGivenID(int64(n)); err != nil {
		if _, reserved := roster.Reserved(n); reserved || n < roster.MinID {
			c.find(subject, fmt.Sprintf("%s %v", what, err), "give it another with pwb-server user renumber or group set-gid")
		}
	}
	if other, twice := seen[n]; twice {
		c.find(subject, fmt.Sprintf("%s %d is also that of subject %s", what, n, other), "lock one of the two, then give it another with pwb-server user renumber")
		return
	}
	seen[n] = subject
}

// subjects looks for what is said of subjects against what they have.
func (c *checker) subjects(v View) error {
	return v.Subjects(func(s Subject) error {
		has := c.accounts[s.ID] || c.groups[s.ID]
		switch {
		case s.State == Buried && c.accounts[s.ID]:
			c.find(s.ID, "it is buried and has an account", "restore a backup from before this")
		case s.State != Buried && !has && s.State != Present:
			c.find(s.ID, "it is said to be imported or departed and has neither account nor group", "restore a backup from before this")
		}
		return nil
	})
}

func orNobody(owner string) string {
	if owner == "" {
		return "nobody's"
	}
	return "that of subject " + owner
}
