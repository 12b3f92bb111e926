package transfer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Move says that files on a node must change owner (or group), because the
// number that counts is not the node's.
type Move struct {
	Node, Name string
	// Group says that From and To are gids.
	Group bool
	// From is the node's number, To the one that counts; 0 where the ledger
	// chooses it.
	From, To uint32
	// Home is that on the node; empty for groups.
	Home string
	// Shared are other names of the same number on the node. Whose a file is,
	// only its place can tell then.
	Shared []string
}

// Commands are lines for sh(1), for root on the node: first the home, then the
// file system of /, see find(1) and chown(1). The last line is a comment, and so
// is the one over / where the number has several names.
//
// final is the number that the ledger chose, for a Move whose To is 0. It must be
// one that nobody has on the node.
func (m Move) Commands(final uint32) []string {
	to := m.To
	if to == 0 {
		to = final
	}
	what, owner, number := "uid", "", "-uid"
	if m.Group {
		what, owner, number = "gid", ":", "-gid"
	}
	if to == 0 {
		return []string{fmt.Sprintf("# the new %s of %s is known after the import", what, m.Name)}
	}
	find := func(dir string) string {
		return fmt.Sprintf("find %s -xdev %s %d -exec chown --no-dereference --from=%s%d %s%d {} +", quote(dir), number, m.From, owner, m.From, owner, to)
	}
	var lines []string
	if m.Home != "" {
		lines = append(lines, find(m.Home))
	}
	if len(m.Shared) == 0 {
		return append(lines, find("/"),
			fmt.Sprintf("# the same over every other file system that has files of %s", m.Name))
	}
	return append(lines,
		fmt.Sprintf("# %s %d is also that of %s here: look for what lies elsewhere, and whose it is, with: find / -xdev %s %d", what, m.From, list(m.Shared), number, m.From))
}

// quote makes one word of sh(1) of s.
func quote(s string) string {
	plain := s != ""
	for i := range len(s) {
		c := s[i]
		plain = plain && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/._-+@%,=", c) >= 0)
	}
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// target is a line and the number that counts for it.
type target struct {
	record *record
	to     uint32
}

func (d *draft) targets(subjects []*subject) []target {
	var all []target
	for _, s := range subjects {
		for _, r := range s.lines {
			all = append(all, target{r, s.id()})
		}
	}
	return all
}

type nodeNumber struct {
	node string
	id   uint32
}

// moves says whose files move on which node. Where the number that counts is
// that of a line which stays as it is, nothing can move, and a note says so.
func (d *draft) moves(targets []target) []Move {
	holders := map[nodeNumber][]*record{}
	busy := map[uint32]bool{}
	for _, r := range d.table.records {
		if r.name != "" {
			holders[nodeNumber{r.node, r.id}] = append(holders[nodeNumber{r.node, r.id}], r)
			busy[r.id] = true
		}
	}
	leaving := map[*record]bool{}
	landing := map[*record]bool{} // lines that are of what is imported
	for _, t := range targets {
		landing[t.record] = true
		busy[t.to] = true
		leaving[t.record] = t.record.id != t.to
	}
	d.noteStaying(targets, landing)

	// A move that cannot be made leaves its number taken, which may stop another.
	for stopped := true; stopped; {
		stopped = false
		for _, t := range targets {
			if !leaving[t.record] || t.to == 0 {
				continue
			}
			i := slices.IndexFunc(holders[nodeNumber{t.record.node, t.to}], func(r *record) bool {
				return r.name != t.record.name && !leaving[r]
			})
			if i < 0 {
				continue
			}
			holder := holders[nodeNumber{t.record.node, t.to}][i]
			leaving[t.record], stopped = false, true
			d.notes = append(d.notes, Note{Node: t.record.node, Name: t.record.name, Text: fmt.Sprintf(
				"its files stay with %s %d, for %d is that of %s there: give %s another number on the node, then plan again",
				d.table.what, t.record.id, t.to, holder.name, holder.name)})
		}
	}
	var all []Move
	for _, t := range targets {
		r := t.record
		if !leaving[r] {
			continue
		}
		m := Move{Node: r.node, Name: r.name, Group: d.table.what == "gid", From: r.id, To: t.to, Home: r.home}
		for _, other := range holders[nodeNumber{r.node, r.id}] {
			if other.name != r.name && !slices.Contains(m.Shared, other.name) {
				m.Shared = append(m.Shared, other.name)
			}
		}
		all = append(all, m)
	}
	return d.order(all, busy)
}

// noteStaying notes the lines that stay on their nodes with a name or number of
// what is imported: there they come first, or keep it away.
func (d *draft) noteStaying(targets []target, landing map[*record]bool) {
	names, numbers := map[string]bool{}, map[uint32]string{}
	for _, t := range targets {
		names[t.record.name] = true
		if t.to != 0 {
			numbers[t.to] = t.record.name
		}
	}
	for _, r := range d.table.records {
		if r.name == "" || landing[r] || d.table.first[nodeName{r.node, r.name}] != r {
			continue
		}
		if name, ok := numbers[r.id]; ok && name != r.name {
			d.notes = append(d.notes, Note{Node: r.node, Name: name, Text: fmt.Sprintf(
				"the node keeps its own %s with %s %d, which is to be %s's: one of them needs another number, or the node refuses %s",
				r.name, d.table.what, r.id, name, name)})
		} else if names[r.name] {
			d.notes = append(d.notes, Note{Node: r.node, Name: r.name, Text: fmt.Sprintf(
				"the node keeps its own %s (line %d is passed over), which comes first there", r.name, r.line)})
		}
	}
}

// order puts the moves of a node so that none hands on what another has just
// received. Numbers that go round in a circle take a way over a free one.
func (d *draft) order(moves []Move, busy map[uint32]bool) []Move {
	slices.SortFunc(moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Name, b.Name), cmp.Compare(a.From, b.From))
	})
	spare := uint32(1<<31 - 2) // beyond what systemd and containers use
	var all []Move
	for len(moves) > 0 {
		n := 1
		for n < len(moves) && moves[n].Node == moves[0].Node {
			n++
		}
		node := moves[:n]
		moves = moves[n:]
		from := map[uint32]int{}
		for _, m := range node {
			from[m.From]++
		}
		for len(node) > 0 {
			i := slices.IndexFunc(node, func(m Move) bool { return m.To == 0 || from[m.To] == 0 })
			if i >= 0 {
				from[node[i].From]--
				all = append(all, node[i])
				node = slices.Delete(node, i, i+1)
				continue
			}
			for busy[spare] {
				spare--
			}
			aside := node[0]
			aside.To = spare
			all = append(all, aside)
			from[node[0].From]--
			node[0].From, node[0].Shared = spare, nil
			from[spare]++
			spare--
		}
	}
	return all
}
