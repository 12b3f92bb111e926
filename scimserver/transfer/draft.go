package transfer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// draft is a plan being made: the lines of a table after the decisions, by name.
type draft struct {
	table *table
	// gone is why lines are passed over that the table does not pass over, and
	// back are those that it does and a decision brings back.
	gone map[*record]string
	back map[*record]bool

	subjects map[string]*subject
	names    []string // those of subjects, ascending
	clashes  []Clash
	notes    []Note
}

// subject is a name and the lines that are to become its account or group.
type subject struct {
	name  string
	lines []*record
	// wanted is the number that each line is to have, its own or a decision's;
	// 0 is a new one. Once a line is taken, all want the same.
	wanted []uint32
	counts *record // whose home and so on count
	taken  *Decision
	// renumbered are the decisions on wanted, private the one on the group.
	renumbered []*Decision
	private    *Decision

	// What the ledger has under the name: nothing, a number, or (foreign) a
	// group where this is an account and the other way round.
	owned            bool
	ownedID          uint32
	foreign, already bool
	clashes          bool
}

// id is the number of a subject that has just one.
func (s *subject) id() uint32 { return s.wanted[0] }

// settled reports whether all lines are to have the same number.
func (s *subject) settled() bool { return len(slices.Compact(slices.Clone(s.wanted))) == 1 }

func (s *subject) nodes() []string {
	var all []string
	for _, r := range s.lines {
		all = append(all, r.node)
	}
	return all
}

// newDraft applies the decisions. gone are lines that are passed over for other
// reasons than the table's.
func newDraft(t *table, gone map[*record]string, decisions []Decision) (*draft, error) {
	d := &draft{table: t, gone: gone, back: map[*record]bool{}, subjects: map[string]*subject{}}
	byVerb := map[Verb][]*Decision{}
	for i := range decisions {
		dec := decisions[i]
		if err := dec.check(); err != nil {
			return nil, dec.fault("cannot be done: %w", err)
		}
		byVerb[dec.Verb] = append(byVerb[dec.Verb], &dec)
	}
	for _, dec := range byVerb[TakeIt] {
		if r := t.first[nodeName{dec.Node, dec.Name}]; r != nil && r.service && gone[r] == "" {
			d.back[r] = true
		}
	}
	for _, r := range t.records {
		if d.why(r) != "" {
			continue
		}
		s := d.subjects[r.name]
		if s == nil {
			s = &subject{name: r.name}
			d.subjects[r.name] = s
		}
		s.lines = append(s.lines, r)
		s.wanted = append(s.wanted, r.id)
	}
	for _, step := range []struct {
		verb Verb
		do   func(*Decision) error
	}{{SkipIt, d.skip}, {TakeIt, d.take}, {Renumber, d.renumber}, {Private, d.makePrivate}} {
		for _, dec := range byVerb[step.verb] {
			if err := step.do(dec); err != nil {
				return nil, err
			}
		}
		delete(byVerb, step.verb)
	}
	for _, rest := range byVerb {
		return nil, rest[0].fault("is none: use skip, take, renumber or private")
	}
	for _, s := range d.subjects {
		if s.taken != nil {
			i := slices.Index(s.lines, s.counts)
			for j := range s.wanted {
				s.wanted[j] = s.wanted[i]
			}
		} else {
			s.counts = s.lines[0]
		}
	}
	d.names = slices.Sorted(maps.Keys(d.subjects))
	return d, nil
}

// why is why a line is passed over, or "".
func (d *draft) why(r *record) string {
	if why := d.gone[r]; why != "" {
		return why
	}
	if d.back[r] {
		return ""
	}
	return r.passed
}

// find returns the subject that a decision is about. Without one the decision
// is idle, and the error says what became of the lines.
func (d *draft) find(dec *Decision) (*subject, error) {
	s := d.subjects[dec.Name]
	if s != nil && (dec.Node == "" || slices.Contains(s.nodes(), dec.Node)) {
		return s, nil
	}
	for _, r := range d.table.records {
		if r.name == dec.Name && (dec.Node == "" || r.node == dec.Node) {
			return nil, dec.idle("line %d of %s on %s is passed over: %s", r.line, r.file, r.node, d.why(r))
		}
	}
	if dec.Node != "" {
		return nil, dec.idle("%s has no %s %s", dec.Node, d.table.one, dec.Name)
	}
	return nil, dec.idle("no node has %s %s", d.table.one, dec.Name)
}

func (d *draft) skip(dec *Decision) error {
	s, err := d.find(dec)
	if err != nil {
		return err
	}
	for i := len(s.lines) - 1; i >= 0; i-- {
		if dec.Node == "" || s.lines[i].node == dec.Node {
			d.gone[s.lines[i]] = "left out by the decision " + dec.place()
			s.lines = slices.Delete(s.lines, i, i+1)
			s.wanted = slices.Delete(s.wanted, i, i+1)
		}
	}
	if len(s.lines) == 0 {
		delete(d.subjects, s.name)
	}
	return nil
}

func (d *draft) take(dec *Decision) error {
	s, err := d.find(dec)
	if err != nil {
		return err
	}
	if s.taken != nil {
		return dec.fault("contradicts %s: keep one of them", s.taken.place())
	}
	counts := s.lines[slices.Index(s.nodes(), dec.Node)]
	differs := d.back[counts]
	for _, r := range s.lines {
		differs = differs || r.id != counts.id || r.gid != counts.gid || r.home != counts.home || r.shell != counts.shell || r.gecos != counts.gecos
	}
	if !differs {
		return dec.idle("all nodes that have %s agree on it", s.name)
	}
	s.taken, s.counts = dec, counts
	return nil
}

func (d *draft) renumber(dec *Decision) error {
	s, err := d.find(dec)
	if err != nil {
		return err
	}
	if dec.Number != 0 {
		if err := d.table.rules.number(d.table.what, dec.Number); err != nil {
			return dec.fault("cannot be done: %w: choose another number, or new", err)
		}
	}
	if s.taken != nil && dec.Node != "" && dec.Node != s.taken.Node {
		return dec.idle("by %s the number of %s counts", s.taken.place(), s.taken.Node)
	}
	for _, other := range s.renumbered {
		if other.Node == dec.Node || other.Node == "" || dec.Node == "" {
			return dec.fault("contradicts %s: keep one of them", other.place())
		}
	}
	changed := false
	for i, r := range s.lines {
		if dec.Node == "" || r.node == dec.Node {
			changed = changed || s.wanted[i] != dec.Number
			s.wanted[i] = dec.Number
		}
	}
	if !changed {
		return dec.idle("it has that %s already", d.table.what)
	}
	s.renumbered = append(s.renumbered, dec)
	return nil
}

func (d *draft) makePrivate(dec *Decision) error {
	if d.table.what != "uid" {
		return dec.fault("is not for groups: take it out")
	}
	s, err := d.find(dec)
	if err != nil {
		return err
	}
	counts := s.lines[0]
	if s.taken != nil {
		counts = s.counts
	}
	if s.private != nil || counts.gid == 0 || counts.gid == counts.id {
		return dec.idle("%s gets a group of its own as it is", s.name)
	}
	s.private = dec
	return nil
}

// note takes down what an administrator should know of the subjects that are
// imported or there already.
func (d *draft) note(subjects []*subject) {
	for _, s := range subjects {
		for _, r := range s.lines {
			for _, text := range r.notes {
				d.notes = append(d.notes, Note{Node: r.node, Name: r.name, Text: text})
			}
		}
		for _, f := range []struct {
			what string
			of   func(*record) string
		}{
			{"home", func(r *record) string { return r.home }},
			{"shell", func(r *record) string { return r.shell }},
			{"gecos", func(r *record) string { return r.gecos }},
			{"gid", func(r *record) string { return fmt.Sprint(r.nodeGID) }},
		} {
			d.noteOf(s, f.what, f.of)
		}
	}
}

// noteOf notes in which values of a field the nodes differ from the one that
// counts. A private group's gid follows the uid and is no news.
func (d *draft) noteOf(s *subject, what string, of func(*record) string) {
	nodes := map[string][]string{}
	for _, r := range s.lines {
		own := what == "gid" && r.nodeGID == r.id && s.counts.nodeGID == s.counts.id
		if v := of(r); v != of(s.counts) && !own {
			nodes[v] = append(nodes[v], r.node)
		}
	}
	for _, v := range slices.Sorted(maps.Keys(nodes)) {
		text := fmt.Sprintf("its %s differs on %s; that of %s counts", what, list(nodes[v]), s.counts.node)
		if what != "gecos" {
			text = fmt.Sprintf("its %s is %s on %s; that of %s counts, %s", what, v, list(nodes[v]), s.counts.node, of(s.counts))
		}
		d.notes = append(d.notes, Note{Name: s.name, Text: text})
	}
}

// list writes up to five names and how many more there are.
func list(names []string) string {
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}
