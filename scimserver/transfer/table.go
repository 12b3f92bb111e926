package transfer

import (
	"cmp"
	"slices"
)

// record is a line of a node's passwd or group file.
type record struct {
	node, file string
	line       int
	// name is empty, and id 0, where the line has none.
	name string
	id   uint32

	// Of an account. gid is what is imported, 0 for a group of its own;
	// nodeGID is what the node has.
	gid, nodeGID       uint32
	gecos, home, shell string
	// Of a group.
	members []string

	// passed is why the line is passed over, or "". Only for a service account
	// can a decision bring it back.
	passed  string
	service bool
	// notes are for the case that the line is imported.
	notes []string
}

// table is what the files of one kind hold: a record for every line that is not
// blank, in the order of the sources.
type table struct {
	what    string // "uid" or "gid", the number that is meant
	one     string // "account" or "group"
	rules   Rules
	records []*record
	// first holds, of every node and name, the record that a lookup finds.
	first map[nodeName]*record
}

type nodeName struct{ node, name string }

// add puts in a record. Of doubled names of a node the first counts, as in a
// lookup.
func (t *table) add(r *record) {
	t.records = append(t.records, r)
	if r.name == "" {
		return
	}
	key := nodeName{r.node, r.name}
	if _, ok := t.first[key]; ok {
		r.passed, r.service = "an earlier line has the same name, and that one counts", false
		return
	}
	t.first[key] = r
}

func (r *record) note(text string) { r.notes = append(r.notes, text) }

// skipped lists the lines that are passed over for reason(r) != "".
func (t *table) skipped(reason func(*record) string) []Skip {
	var all []Skip
	for _, r := range t.records {
		if why := reason(r); why != "" {
			all = append(all, Skip{Node: r.node, File: r.file, Line: r.line, Name: r.name, Reason: why})
		}
	}
	return all
}

func (r *record) why() string { return r.passed }

func sortNotes(notes []Note) {
	slices.SortStableFunc(notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node))
	})
}
