package transfer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Owners answers what the ledger has: accounts and groups, present ones and
// former ones alike, for nothing in it is ever given to another.
type Owners interface {
	// UID and GID return the name of who owns the number, "" for nobody.
	UID(uid uint32) (name string, err error)
	GID(gid uint32) (name string, err error)
	// Name returns the numbers of who owns the name: uid 0 is a group's, or of
	// what has no account any more. taken is false when nobody owns it.
	Name(name string) (uid, gid uint32, taken bool, err error)
}

// Kind is what a clash is about.
type Kind string

// The kinds.
const (
	// NameClash: one name has several numbers, on nodes or in the ledger.
	NameClash Kind = "name"
	// NumberClash: one uid (or, among groups, gid) has several names.
	NumberClash Kind = "number"
	// GroupClash: the gid of an account's own group belongs to somebody else too.
	GroupClash Kind = "group"
	// OtherClash: the ledger has the name for a group where the nodes have an
	// account, or the other way round.
	OtherClash Kind = "other"
)

// Clash is what keeps a plan from being imported.
type Clash struct {
	Kind Kind
	// Name is set for NameClash and OtherClash, Number for the other two.
	Name   string
	Number uint32
	// Title says what clashes, Need how many of Propose settle it.
	Title, Need string
	// Entries are what clashes: that of the ledger first, then by name, and the
	// nodes in the order of the sources.
	Entries []Entry
	Propose []Decision
}

// Entry is one party to a clash.
type Entry struct {
	// Node is empty for what the ledger has.
	Node, Name string
	// UID and GID are those on the node; UID is 0 for a group.
	UID, GID uint32
	// Wanted is the number that a decision gives it, 0 for a new one; without
	// a decision the node's own.
	Wanted uint32
	Home   string
	// Members is how many a group has.
	Members int
}

// ask finds what the ledger has under the names of the subjects.
func (d *draft) ask(owners Owners) error {
	for _, name := range d.names {
		s := d.subjects[name]
		uid, gid, taken, err := owners.Name(name)
		if err != nil {
			return fmt.Errorf("asking the ledger who owns the name %s: %w", name, err)
		}
		s.owned, s.ownedID, s.foreign = taken, uid, taken && uid == 0
		if d.table.what == "gid" {
			s.ownedID, s.foreign = gid, taken && uid != 0
		}
		s.already = taken && !s.foreign && s.settled() && s.id() != 0 && s.id() == s.ownedID
	}
	return nil
}

// nameClashes finds the names with several numbers and those of another kind.
func (d *draft) nameClashes() {
	for _, name := range d.names {
		s := d.subjects[name]
		c := Clash{Kind: NameClash, Name: name, Need: "one of"}
		switch {
		case s.foreign && d.table.what == "uid":
			c.Kind, c.Title = OtherClash, "the name "+name+" is a group's"
		case s.foreign:
			c.Kind, c.Title = OtherClash, "the name "+name+" is an account's"
		case s.already, !s.owned && s.settled():
			continue
		case s.owned:
			c.Title = "the name " + name + " has another " + d.table.what + " already"
		default:
			c.Title = "the name " + name + " has several " + d.table.what + "s"
		}
		if s.owned {
			c.Entries = append(c.Entries, d.ledgerEntry(name, s.ownedID, s.foreign))
		}
		c.Entries = append(c.Entries, d.entries(s, func(uint32) bool { return true })...)
		if c.Kind == NameClash {
			c.Propose = d.proposeNumber(s)
		}
		c.Propose = append(c.Propose, Decision{Verb: SkipIt, Name: name})
		s.clashes = true
		d.clashes = append(d.clashes, c)
	}
}

func (d *draft) ledgerEntry(name string, id uint32, foreign bool) Entry {
	switch {
	case foreign:
		return Entry{Name: name}
	case d.table.what == "gid":
		return Entry{Name: name, GID: id, Wanted: id}
	}
	return Entry{Name: name, UID: id, Wanted: id}
}

// proposeNumber proposes how a name gets one number: that of the ledger if it
// has one, otherwise that of a node.
func (d *draft) proposeNumber(s *subject) []Decision {
	var all []Decision
	if s.owned {
		if s.ownedID != 0 && len(s.renumbered) == 0 && d.table.rules.number(d.table.what, s.ownedID) == nil {
			all = append(all, Decision{Verb: Renumber, Name: s.name, Number: s.ownedID})
		}
		return all
	}
	lines := map[uint32][]*record{}
	for i, r := range s.lines {
		if lines[s.wanted[i]] == nil {
			all = append(all, Decision{Verb: TakeIt, Name: s.name, Node: r.node})
		}
		lines[s.wanted[i]] = append(lines[s.wanted[i]], r)
	}
	for i, r := range s.lines {
		// Two people: only one of them comes along.
		if len(lines) == 2 && len(lines[s.wanted[i]]) == 1 {
			all = append(all, Decision{Verb: SkipIt, Name: s.name, Node: r.node})
		}
	}
	return all
}

// entries are the lines of a subject that want such a number.
func (d *draft) entries(s *subject, such func(id uint32) bool) []Entry {
	var all []Entry
	for i, r := range s.lines {
		if !such(s.wanted[i]) {
			continue
		}
		e := Entry{Node: r.node, Name: r.name, UID: r.id, GID: r.nodeGID, Wanted: s.wanted[i], Home: r.home}
		if d.table.what == "gid" {
			e.UID, e.GID, e.Members = 0, r.id, len(r.members)
		}
		all = append(all, e)
	}
	return all
}

// numberClashes finds the numbers with several names. owner asks the ledger.
func (d *draft) numberClashes(owner func(uint32) (string, error)) error {
	wanting := map[uint32][]*subject{}
	for _, name := range d.names {
		s := d.subjects[name]
		for i, id := range s.wanted {
			if id != 0 && slices.Index(s.wanted, id) == i {
				wanting[id] = append(wanting[id], s)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(wanting)) {
		all := wanting[id]
		name, err := owner(id)
		if err != nil {
			return fmt.Errorf("asking the ledger who owns %s %d: %w", d.table.what, id, err)
		}
		foreign := name != ""
		for _, s := range all {
			// Who has the number already, or had it under its name before, may
			// have it. In the second case its name clashes.
			if s.already || s.owned && s.name == name {
				foreign = false
			}
		}
		if len(all) == 1 && !foreign {
			continue
		}
		c := Clash{Kind: NumberClash, Number: id, Title: fmt.Sprintf("%s %d has several names", d.table.what, id), Need: "for all names but one, one of"}
		if foreign {
			c.Title, c.Need = fmt.Sprintf("%s %d has another name already", d.table.what, id), "for every name, one of"
			c.Entries = append(c.Entries, d.ledgerEntry(name, id, false))
		}
		for _, s := range all {
			c.Entries = append(c.Entries, d.entries(s, func(wanted uint32) bool { return wanted == id })...)
			if s.already || s.owned && s.name == name {
				c.Need = "for every name without it in the ledger, one of"
				continue
			}
			s.clashes = true
			c.Propose = append(c.Propose, proposeOther(s, id)...)
		}
		d.clashes = append(d.clashes, c)
	}
	return nil
}

// proposeOther proposes how a subject comes to have another number than id. A
// name that is in the ledger already cannot have a new one.
func proposeOther(s *subject, id uint32) []Decision {
	nodes := []string{""}
	if !s.settled() {
		nodes = nil
		for i, r := range s.lines {
			if s.wanted[i] == id {
				nodes = append(nodes, r.node)
			}
		}
	}
	var all []Decision
	for _, node := range nodes {
		if !s.owned && len(s.renumbered) == 0 {
			all = append(all, Decision{Verb: Renumber, Name: s.name, Node: node})
		}
		all = append(all, Decision{Verb: SkipIt, Name: s.name, Node: node})
	}
	return all
}

// sortClashes puts names first: who settles them may find the rest settled.
func (d *draft) sortClashes() {
	rank := []Kind{NameClash, OtherClash, NumberClash, GroupClash}
	slices.SortFunc(d.clashes, func(a, b Clash) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, a.Kind), slices.Index(rank, b.Kind)),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Number, b.Number))
	})
}
