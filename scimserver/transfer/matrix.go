package transfer

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteMatrix writes a table of the clashes, a row a clash and node, then the
// decisions that would settle them, as a file of decisions has them, and the
// counts. Rows fit 100 columns unless names or homes are long.
func (p Plan) WriteMatrix(w io.Writer) error {
	counts := fmt.Sprintf("accounts: import %d, there already %d, lines passed over %d, notes %d, clashes %d, moves %d",
		len(p.Import), len(p.Already), len(p.Skipped), len(p.Notes), len(p.Clashes), len(p.Moves))
	row := func(e Entry) []string {
		return []string{e.Name, wanted(e.UID, e), number(e.GID), or(e.Home, "-")}
	}
	return writeMatrix(w, []string{"CLASH", "NODE", "NAME", "UID", "GID", "HOME"}, p.Clashes, row, counts)
}

// WriteMatrix is as for Plan, with the number of members in place of the home.
func (p GroupPlan) WriteMatrix(w io.Writer) error {
	counts := fmt.Sprintf("groups: import %d, there already %d, lines passed over %d, notes %d, clashes %d, moves %d",
		len(p.Import), len(p.Already), len(p.Skipped), len(p.Notes), len(p.Clashes), len(p.Moves))
	row := func(e Entry) []string {
		members := "-"
		if e.Node != "" {
			members = strconv.Itoa(e.Members)
		}
		return []string{e.Name, wanted(e.GID, e), members}
	}
	return writeMatrix(w, []string{"CLASH", "NODE", "NAME", "GID", "MEMBERS"}, p.Clashes, row, counts)
}

const advice = `
# Decisions that settle them. With @NODE one is for that node, without it for all.
# One person on all nodes: take the number of a node. Two people: skip one's node.
`

func writeMatrix(w io.Writer, head []string, clashes []Clash, row func(Entry) []string, counts string) error {
	var b strings.Builder
	if len(clashes) == 0 {
		b.WriteString("no clashes\n")
	} else {
		writeTable(&b, head, clashes, row)
		b.WriteString(advice)
		for i, c := range clashes {
			fmt.Fprintf(&b, "\n# %d: %s;\n# %s:\n", i+1, c.Title, c.Need)
			for _, d := range c.Propose {
				b.WriteString(d.String() + "\n")
			}
		}
	}
	b.WriteString("\n" + counts + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTable(b *strings.Builder, head []string, clashes []Clash, row func(Entry) []string) {
	rows := [][]string{head}
	for i, c := range clashes {
		rows = append(rows, nil) // between two clashes
		for _, e := range c.Entries {
			rows = append(rows, append([]string{strconv.Itoa(i + 1), or(e.Node, "(ledger)")}, row(e)...))
		}
	}
	widths := make([]int, len(head))
	for _, cells := range rows {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, cells := range rows {
		if i == 1 {
			continue // no gap below the head
		}
		var line strings.Builder
		for j, cell := range cells {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// wanted is the node's number and, where a decision gives it another, that too.
func wanted(own uint32, e Entry) string {
	if e.Node != "" && e.Wanted != own {
		return number(own) + "->" + numberText(e.Wanted)
	}
	return number(own)
}

func number(n uint32) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(n), 10)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
