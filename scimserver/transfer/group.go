package transfer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"pwb/roster"
)

// Group is a group to import.
type Group struct {
	Name string
	// GID is 0 where a decision lets the ledger choose.
	GID uint32
	// Members are the accounts that are members on any node, ascending.
	Members []string
	// Nodes are those that have the group, in the order of the sources.
	Nodes []string
}

// Groups are what group files hold.
type Groups struct {
	// Skipped lists the lines that hold no group to import, in the order of
	// the sources.
	Skipped []Skip

	table table
}

// GroupPlan is a Plan for groups.
type GroupPlan struct {
	// Import and Already are as in Plan, sorted by gid. The members of those
	// that the ledger has are still to be added to them.
	Import, Already []Group
	Skipped         []Skip
	Notes           []Note
	Clashes         []Clash
	// Moves are also for the private groups of accounts.
	Moves []Move
}

// ReadGroup reads group(5) files, with lines of up to 1 MiB and up to a million
// of them each. It passes lines over as ReadPasswd does.
func ReadGroup(sources []Source, rules Rules) (*Groups, error) {
	rules, err := rules.check()
	if err != nil {
		return nil, err
	}
	t := table{what: "gid", one: "group", rules: rules, first: map[nodeName]*record{}}
	err = eachSourceLine("group", sources, maxGroupLine, func(s Source, n int, line string) {
		t.addGroup(&record{node: s.Node, file: s.File, line: n}, line)
	})
	if err != nil {
		return nil, err
	}
	return &Groups{Skipped: t.skipped((*record).why), table: t}, nil
}

func (t *table) addGroup(r *record, line string) {
	defer t.add(r)
	if r.passed = noLine(line); r.passed != "" {
		return
	}
	g, err := roster.ParseGroup(line)
	if err != nil { // which may quote a hash
		r.passed = malformed(line, 4, "gid")
		return
	}
	r.id = g.GID
	if roster.CheckName(g.Name) == nil {
		r.name = g.Name
	}
	if err := t.rules.name(g.Name); err != nil {
		r.passed = err.Error()
		return
	}
	if err := t.rules.number("gid", g.GID); err != nil {
		r.passed = err.Error()
		return
	}
	r.members = g.Members
	switch g.Password {
	case "", "x", "*", "!":
	default:
		r.note("it has a password, which is not imported")
	}
}

// Plan compares the groups with each other and with what the ledger has; known
// reports whether an account of that name is there, so the accounts have to be
// imported before. Errors are as for Accounts.Plan.
//
// A group with the name of an account is that account's own group and passed
// over, unless it has another gid and other members: then it clashes.
func (g *Groups) Plan(owners Owners, known func(account string) bool, decisions []Decision) (GroupPlan, error) {
	gone, own, err := g.table.ownGroups(owners)
	if err != nil {
		return GroupPlan{}, err
	}
	d, err := newDraft(&g.table, gone, decisions)
	if err != nil {
		return GroupPlan{}, err
	}
	if err := d.ask(owners); err != nil {
		return GroupPlan{}, err
	}
	d.nameClashes()
	if err := d.numberClashes(owners.GID); err != nil {
		return GroupPlan{}, err
	}
	d.sortClashes()

	p := GroupPlan{Skipped: g.table.skipped(d.why), Clashes: d.clashes}
	importing, already := d.good()
	for _, s := range importing {
		p.Import = append(p.Import, d.group(s, known))
	}
	for _, s := range already {
		p.Already = append(p.Already, d.group(s, known))
	}
	both := slices.Concat(importing, already)
	d.note(both)
	var targets []target
	for _, t := range own {
		if t.to != 0 {
			targets = append(targets, t)
			if others := others(t.record); len(others) > 0 {
				d.notes = append(d.notes, Note{Node: t.record.node, Name: t.record.name, Text: fmt.Sprintf(
					"it is the private group of the account, which has no members: %d are left out", len(others))})
			}
			continue
		}
		d.notes = append(d.notes, Note{Node: t.record.node, Name: t.record.name, Text: fmt.Sprintf(
			"the account has another primary group than its own gid %d there, so files of that group stay as they are: look at them on the node", t.record.id)})
	}
	p.Moves = d.moves(append(targets, d.targets(both)...))
	sortNotes(d.notes)
	p.Notes = d.notes
	return p, nil
}

// ownGroups finds the lines that are the private groups of accounts: why each
// is passed over, and, in the order of the lines, the gid that it is to have;
// 0 where the account's gid is no group of its own.
func (t *table) ownGroups(owners Owners) (gone map[*record]string, own []target, err error) {
	gone = map[*record]string{}
	for _, r := range t.records {
		if r.passed != "" {
			continue
		}
		uid, gid, taken, err := owners.Name(r.name)
		if err != nil {
			return nil, nil, fmt.Errorf("asking the ledger who owns the name %s: %w", r.name, err)
		}
		if !taken || uid == 0 || r.id != gid && len(others(r)) > 0 {
			continue
		}
		gone[r] = "it is the private group of the account " + r.name
		to := gid
		if r.id != gid && gid != uid {
			to = 0
		}
		own = append(own, target{r, to})
	}
	return gone, own, nil
}

// others are the members of a group but for the account of its name.
func others(r *record) []string {
	var all []string
	for _, m := range r.members {
		if m != r.name && m != "" {
			all = append(all, m)
		}
	}
	return all
}

// group unites what the nodes say of a group.
func (d *draft) group(s *subject, known func(string) bool) Group {
	g := Group{Name: s.name, GID: s.id(), Nodes: s.nodes()}
	in := map[string]int{} // on how many nodes
	for _, r := range s.lines {
		for _, m := range slices.Compact(slices.Sorted(slices.Values(r.members))) {
			if m != "" {
				in[m]++
			}
		}
	}
	var unknown, some []string
	nameless := 0
	for _, m := range slices.Sorted(maps.Keys(in)) {
		switch {
		case roster.CheckName(m) != nil:
			nameless++
		case !known(m):
			unknown = append(unknown, m)
		default:
			g.Members = append(g.Members, m)
			if in[m] < len(s.lines) {
				some = append(some, m)
			}
		}
	}
	note := func(text string) { d.notes = append(d.notes, Note{Name: s.name, Text: text}) }
	if nameless > 0 {
		note(fmt.Sprintf("%d of its members have no names that can be here: left out", nameless))
	}
	if len(unknown) > 0 {
		note("no accounts, so left out, are its members " + list(unknown))
	}
	if len(some) > 0 {
		note("members on some of its nodes, now on all, are " + list(some))
	}
	slices.SortFunc(g.Members, cmp.Compare[string])
	return g
}
