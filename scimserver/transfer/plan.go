package transfer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Plan is what an import of accounts comes to. Nothing of it is to be imported
// while there are Clashes; Import leaves out what clashes.
type Plan struct {
	// Import is sorted by uid. Those whose uid the ledger chooses come last,
	// lest they be given one that another of the plan is to have.
	Import []Account
	// Already are accounts that the ledger has, with that uid.
	Already []Account
	Skipped []Skip
	Notes   []Note
	Clashes []Clash
	// Moves are of uids, in the order in which they must be made on each node.
	// Those of gids come with the groups.
	Moves []Move
}

// Plan compares the accounts with each other and with what the ledger has. It
// fails when the ledger does, and when a decision cannot be done, contradicts
// another or settles nothing.
func (a *Accounts) Plan(owners Owners, decisions []Decision) (Plan, error) {
	d, err := newDraft(&a.table, map[*record]string{}, decisions)
	if err != nil {
		return Plan{}, err
	}
	if err := d.ask(owners); err != nil {
		return Plan{}, err
	}
	d.nameClashes()
	if err := d.numberClashes(owners.UID); err != nil {
		return Plan{}, err
	}
	if err := d.groupClashes(owners); err != nil {
		return Plan{}, err
	}
	d.sortClashes()

	p := Plan{Skipped: a.table.skipped(d.why), Clashes: d.clashes}
	importing, already := d.good()
	for _, s := range importing {
		p.Import = append(p.Import, s.account())
	}
	for _, s := range already {
		p.Already = append(p.Already, s.account())
	}
	both := slices.Concat(importing, already)
	d.note(both)
	p.Moves = d.moves(d.targets(both))
	sortNotes(d.notes)
	p.Notes = d.notes
	return p, nil
}

// good returns the subjects that can be imported and those that are there
// already, each by number, new ones last.
func (d *draft) good() (importing, already []*subject) {
	for _, name := range d.names {
		switch s := d.subjects[name]; {
		case s.already:
			already = append(already, s)
		case !s.clashes:
			importing = append(importing, s)
		}
	}
	for _, all := range [][]*subject{importing, already} {
		// id 0 becomes the greatest number there is.
		slices.SortStableFunc(all, func(a, b *subject) int { return cmp.Compare(a.id()-1, b.id()-1) })
	}
	return importing, already
}

func (s *subject) account() Account {
	c := s.counts
	return Account{Name: s.name, UID: s.id(), GID: s.gid(), Gecos: c.gecos, Home: c.home, Shell: c.shell, Nodes: s.nodes()}
}

// gid is the primary group of a settled subject: a group of its own follows the
// uid.
func (s *subject) gid() uint32 {
	switch {
	case s.private != nil:
		return 0
	case s.counts.gid == s.counts.id:
		return s.id()
	}
	return s.counts.gid
}

// ownGID is the gid of a settled subject's own group: 0 when it has none or is
// to have a new one.
func (s *subject) ownGID() uint32 {
	if gid := s.gid(); gid != 0 && gid != s.id() {
		return 0
	}
	return s.id()
}

// groupClashes finds the gids that are an account's own group and the primary
// group of another, or that the ledger has for somebody else. Accounts that
// share a primary group do not clash: what it is, the import of groups says.
func (d *draft) groupClashes(owners Owners) error {
	type claim struct{ own, shared []*subject }
	claims := map[uint32]*claim{}
	at := func(gid uint32) *claim {
		if claims[gid] == nil {
			claims[gid] = &claim{}
		}
		return claims[gid]
	}
	for _, name := range d.names {
		s := d.subjects[name]
		if s.already || s.foreign || !s.settled() {
			continue
		}
		if gid := s.ownGID(); gid != 0 {
			at(gid).own = append(at(gid).own, s)
		} else if gid := s.gid(); gid != 0 {
			at(gid).shared = append(at(gid).shared, s)
		}
	}
	for _, gid := range slices.Sorted(maps.Keys(claims)) {
		owner, account, uidToo, err := groupOwner(owners, gid)
		if err != nil {
			return err
		}
		c := claims[gid]
		var parties []*subject
		if len(c.own) > 0 && len(c.shared) > 0 {
			parties = slices.Concat(c.shared, c.own)
		} else if account {
			parties = c.shared
		}
		if owner != "" && !uidToo && len(c.own) > 0 {
			parties = slices.Concat(c.shared, c.own)
		}
		if len(parties) == 0 {
			continue
		}
		clash := Clash{
			Kind: GroupClash, Number: gid,
			Title: fmt.Sprintf("gid %d is one account's own group and another's primary one", gid),
			Need:  "for the group's owner, or for everybody else with it, one of",
		}
		if owner != "" {
			clash.Title, clash.Need = fmt.Sprintf("gid %d is %s's already", gid, owner), "for every name, one of"
			clash.Entries = append(clash.Entries, Entry{Name: owner, GID: gid, Wanted: gid})
		}
		for _, s := range parties {
			s.clashes = true
			clash.Entries = append(clash.Entries, d.entries(s, func(uint32) bool { return true })...)
			if slices.Contains(c.shared, s) {
				clash.Propose = append(clash.Propose, Decision{Verb: Private, Name: s.name}, Decision{Verb: SkipIt, Name: s.name})
			} else {
				clash.Propose = append(clash.Propose, proposeOther(s, s.id())...)
			}
		}
		d.clashes = append(d.clashes, clash)
	}
	return nil
}

// groupOwner asks who owns a gid, whether that is an account, and whether the
// same has the number as its uid: then that clashes by itself.
func groupOwner(owners Owners, gid uint32) (owner string, account, uidToo bool, err error) {
	owner, err = owners.GID(gid)
	if err != nil {
		return "", false, false, fmt.Errorf("asking the ledger who owns gid %d: %w", gid, err)
	}
	if owner == "" {
		return "", false, false, nil
	}
	uid, _, _, err := owners.Name(owner)
	if err != nil {
		return "", false, false, fmt.Errorf("asking the ledger who owns the name %s: %w", owner, err)
	}
	return owner, uid != 0, uid == gid, nil
}
