package main

import (
	"fmt"
	"io"
	"strings"

	"pwb/scimserver/transfer"
)

// report is what an import came to, or would.
type report struct {
	Kind     string  `json:"kind"`
	DryRun   bool    `json:"dryRun"`
	Clashes  []clash `json:"clashes"`
	Imported []entry `json:"imported"`
	// Planned are those that would be imported, where nothing was.
	Planned []entry `json:"planned,omitempty"`
	// Already are the names of those that were there as they are.
	Already []string `json:"already"`
	Skipped []skip   `json:"skipped"`
	Notes   []note   `json:"notes"`
	// Unknown are the members of groups that are no accounts.
	Unknown []string `json:"unknownMembers,omitempty"`
	Moves   []move   `json:"moves"`

	// plan is nil for what has none.
	plan interface{ WriteMatrix(io.Writer) error }
}

type (
	clash struct {
		Kind    transfer.Kind `json:"kind"`
		Name    string        `json:"name,omitempty"`
		Number  uint32        `json:"number,omitempty"`
		Title   string        `json:"title"`
		Need    string        `json:"need"`
		Entries []clashEntry  `json:"entries"`
		Propose []string      `json:"propose"`
	}
	clashEntry struct {
		// Node is empty for what the ledger has.
		Node    string `json:"node,omitempty"`
		Name    string `json:"name"`
		UID     uint32 `json:"uid,omitempty"`
		GID     uint32 `json:"gid,omitempty"`
		Wanted  uint32 `json:"wanted,omitempty"`
		Home    string `json:"home,omitempty"`
		Members int    `json:"members,omitempty"`
	}
	entry struct {
		Name string `json:"name"`
		UID  uint32 `json:"uid,omitempty"`
		GID  uint32 `json:"gid,omitempty"`
	}
	skip struct {
		Node   string `json:"node"`
		File   string `json:"file"`
		Line   int    `json:"line"`
		Name   string `json:"name,omitempty"`
		Reason string `json:"reason"`

		text string
	}
	note struct {
		Node string `json:"node,omitempty"`
		Name string `json:"name"`
		Text string `json:"text"`

		text string
	}
	move struct {
		Node     string   `json:"node"`
		Name     string   `json:"name"`
		What     string   `json:"what"` // uid or gid
		From     uint32   `json:"from"`
		To       uint32   `json:"to,omitempty"` // none while it is not known
		Commands []string `json:"commands"`
	}
)

func clashesOf(clashes []transfer.Clash) []clash {
	all := []clash{}
	for _, c := range clashes {
		one := clash{Kind: c.Kind, Name: c.Name, Number: c.Number, Title: c.Title, Need: c.Need, Propose: []string{}}
		for _, e := range c.Entries {
			one.Entries = append(one.Entries, clashEntry(e))
		}
		for _, d := range c.Propose {
			one.Propose = append(one.Propose, d.String())
		}
		all = append(all, one)
	}
	return all
}

func skipsOf(skips []transfer.Skip) []skip {
	all := []skip{}
	for _, s := range skips {
		all = append(all, skip{s.Node, s.File, s.Line, s.Name, s.Reason, s.String()})
	}
	return all
}

func notesOf(notes []transfer.Note) []note {
	all := []note{}
	for _, n := range notes {
		all = append(all, note{n.Node, n.Name, n.Text, n.String()})
	}
	return all
}

// movesOf are the moves with the numbers that were given by name.
func movesOf(moves []transfer.Move, final map[string]uint32) []move {
	all := []move{}
	for _, m := range moves {
		one := move{Node: m.Node, Name: m.Name, What: "uid", From: m.From, To: m.To, Commands: m.Commands(final[m.Name])}
		if m.Group {
			one.What = "gid"
		}
		if m.To == 0 {
			one.To = final[m.Name]
		}
		all = append(all, one)
	}
	return all
}

// stops reports whether nothing is to be imported.
func (r report) stops() bool { return r.DryRun || len(r.Clashes) > 0 }

// showReport prints the report, and fails when there are clashes.
func (j *job) showReport(r report) error {
	var clashes error
	if n := len(r.Clashes); n > 0 {
		clashes = fmt.Errorf("nothing was imported: %s to settle with --decisions FILE", plural(n, "clash is", "clashes are"))
	}
	if j.out.json {
		r.Already = orEmpty(r.Already)
		if r.Clashes == nil {
			r.Clashes = []clash{}
		}
		if err := j.out.object(r); err != nil {
			return err
		}
		return clashes
	}
	if r.plan != nil && r.stops() {
		if err := r.plan.WriteMatrix(j.out.w); err != nil {
			return err
		}
	}
	switch what := map[string][2]string{"passwd": {"account", "accounts"}, "shadow": {"password", "passwords"}, "group": {"group", "groups"}}[r.Kind]; {
	case r.plan == nil && r.DryRun:
		j.out.say("%s would be imported, unless it is there already or a provider's", plural(len(r.Planned), what[0], what[1]))
	case !r.stops() && r.plan == nil:
		j.out.say("imported %s; %d as they were, or a provider's", plural(len(r.Imported), what[0], what[1]), len(r.Already))
	case !r.stops():
		j.out.say("imported %s; %d there already", plural(len(r.Imported), what[0], what[1]), len(r.Already))
	}
	j.showSkipped(r.Skipped)
	if len(r.Notes) > 0 {
		j.out.say("\nnotes:")
		for _, n := range r.Notes {
			j.out.say("  %s", shown(n.text))
		}
	}
	if len(r.Unknown) > 0 {
		j.out.say("\nmembers of groups that are no accounts, left out: %s", strings.Join(r.Unknown, " "))
	}
	if len(r.Moves) > 0 && clashes == nil {
		j.showMoves(r.Moves)
	}
	return clashes
}

// showSkipped prints what was passed over. Private groups, one for each account,
// are counted.
func (j *job) showSkipped(skips []skip) {
	if len(skips) > 0 {
		j.out.say("\npassed over:")
	}
	private := 0
	for _, s := range skips {
		if s.Reason == "it is the private group of the account "+s.Name {
			private++
			continue
		}
		j.out.say("  %s", shown(s.text))
	}
	if private > 0 {
		j.out.say("  %s of accounts", plural(private, "private group", "private groups"))
	}
}

// showMoves prints the commands that give files to the numbers that count.
func (j *job) showMoves(moves []move) {
	j.out.say("\nOn each node, as root and in this order, to give the files to the new numbers:")
	node := ""
	for _, m := range moves {
		if m.Node != node {
			node = m.Node
			j.out.say("\n# %s", node)
		}
		to := "a new one"
		if m.To != 0 {
			to = number(m.To)
		}
		j.out.say("# %s: %s %d -> %s", m.Name, m.What, m.From, to)
		for _, line := range m.Commands {
			j.out.say("%s", line)
		}
	}
}
