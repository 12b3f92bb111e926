package transfer

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

var (
	drawName   = rapid.SampledFrom([]string{"ada", "bob", "eve", "devs", "root", "Zoe"})
	drawNumber = rapid.SampledFrom([]uint32{0, 100, 1000, 1001, 1002, 1003, 65534})
)

func drawLedger(t *rapid.T) ledger {
	owners := ledger{}
	for range rapid.IntRange(0, 4).Draw(t, "owners") {
		name, n := drawName.Draw(t, "owner"), rapid.Uint32Range(1000, 1004).Draw(t, "owned")
		uid := n
		if rapid.Bool().Draw(t, "group") {
			uid = 0
		}
		if u, _ := owners.UID(n); u != "" {
			continue
		}
		if g, _ := owners.GID(n); g == "" {
			owners[name] = struct{ uid, gid uint32 }{uid, n}
		}
	}
	return owners
}

// Who follows what is proposed, always for the first clash, ends without a
// clash, and then everything that is imported is somebody's own.
func TestWhatIsProposedSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owners := drawLedger(t)
		var passwd, group []string
		for range rapid.IntRange(1, 3).Draw(t, "nodes") {
			var p, g strings.Builder
			for range rapid.IntRange(0, 5).Draw(t, "users") {
				shell := rapid.SampledFrom([]string{"/bin/sh", "/bin/sh", "/bin/sh", "/bin/false", "sh"}).Draw(t, "shell")
				fmt.Fprintf(&p, "%s:x:%d:%d::/home/x:%s\n", drawName.Draw(t, "name"), drawNumber.Draw(t, "uid"), drawNumber.Draw(t, "gid"), shell)
			}
			for range rapid.IntRange(0, 5).Draw(t, "groups") {
				fmt.Fprintf(&g, "%s:x:%d:%s\n", drawName.Draw(t, "name"), drawNumber.Draw(t, "gid"), drawName.Draw(t, "member"))
			}
			passwd, group = append(passwd, p.String()), append(group, g.String())
		}
		a, err := ReadPasswd(sources(passwd...), rules)
		if err != nil {
			t.Fatal(err)
		}
		settle(t, func(decided []Decision) ([]Clash, error) {
			p, err := a.Plan(owners, decided)
			if err == nil {
				checkPlan(t, p, owners)
			}
			return p.Clashes, err
		})
		g, err := ReadGroup(sources(group...), rules)
		if err != nil {
			t.Fatal(err)
		}
		settle(t, func(decided []Decision) ([]Clash, error) {
			p, err := g.Plan(owners, everybody, decided)
			if err == nil {
				checkGroupPlan(t, p, owners)
			}
			return p.Clashes, err
		})
	})
}

func settle(t *rapid.T, plan func([]Decision) ([]Clash, error)) {
	var decided []Decision
	for range 40 {
		clashes, err := plan(decided)
		if err != nil {
			t.Fatalf("%v: %v", decided, err)
		}
		if len(clashes) == 0 {
			return
		}
		next := rapid.SampledFrom(clashes[0].Propose).Draw(t, "decision")
		if next.Verb == SkipIt && next.Node == "" {
			// What was decided about it before has to go.
			decided = slices.DeleteFunc(decided, func(d Decision) bool { return d.Name == next.Name })
		}
		decided = append(decided, next)
	}
	t.Fatalf("there is no end to %v", decided)
}

// checkPlan holds for any plan, also with clashes.
func checkPlan(t rapid.TB, p Plan, owners ledger) {
	names, uids := map[string]bool{}, map[uint32]bool{}
	for _, a := range slices.Concat(p.Import, p.Already) {
		if names[a.Name] || a.UID != 0 && uids[a.UID] {
			t.Fatalf("%+v is there twice", a)
		}
		names[a.Name], uids[a.UID] = true, true
	}
	for _, a := range p.Import {
		if _, taken := owners[a.Name]; taken {
			t.Fatalf("the name of %+v is taken", a)
		}
		if owner, _ := owners.UID(a.UID); a.UID != 0 && owner != "" {
			t.Fatalf("the uid of %+v is %s's", a, owner)
		}
		if owner, _ := owners.GID(a.GID); a.GID != 0 && owner != "" && (a.GID == a.UID || owners[owner].uid != 0) {
			t.Fatalf("the gid of %+v is %s's", a, owner)
		}
		if a.GID != 0 && a.GID != a.UID && uids[a.GID] && slices.ContainsFunc(p.Import, func(b Account) bool { return b.GID == b.UID && b.UID == a.GID }) {
			t.Fatalf("the gid of %+v is another's own", a)
		}
		checkAccount(t, a)
	}
	checkMoves(t, p.Moves)
	if err := p.WriteMatrix(io.Discard); err != nil {
		t.Fatal(err)
	}
}

func checkAccount(t rapid.TB, a Account) {
	if err := roster.CheckName(a.Name); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint32{a.UID, a.GID} {
		if err := roster.CheckNumber(n); n != 0 && err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{a.Gecos, a.Home, a.Shell} {
		if err := roster.CheckField(f); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.Nodes) == 0 || !strings.HasPrefix(a.Home, "/") || !strings.HasPrefix(a.Shell, "/") {
		t.Fatalf("%+v", a)
	}
}

func checkGroupPlan(t rapid.TB, p GroupPlan, owners ledger) {
	names, gids := map[string]bool{}, map[uint32]bool{}
	for _, g := range slices.Concat(p.Import, p.Already) {
		if names[g.Name] || g.GID != 0 && gids[g.GID] {
			t.Fatalf("%+v is there twice", g)
		}
		names[g.Name], gids[g.GID] = true, true
		for _, name := range append(slices.Clone(g.Members), g.Name) {
			if err := roster.CheckName(name); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.IsSorted(g.Members) || len(slices.Compact(slices.Clone(g.Members))) != len(g.Members) {
			t.Fatalf("members %v", g.Members)
		}
		if err := roster.CheckNumber(g.GID); g.GID != 0 && err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range p.Import {
		if _, taken := owners[g.Name]; taken {
			t.Fatalf("the name of %+v is taken", g)
		}
		if owner, _ := owners.GID(g.GID); g.GID != 0 && owner != "" {
			t.Fatalf("the gid of %+v is %s's", g, owner)
		}
	}
	checkMoves(t, p.Moves)
	if err := p.WriteMatrix(io.Discard); err != nil {
		t.Fatal(err)
	}
}

// checkMoves makes the moves on files that have their first number for an
// owner: in the end each has that of its own move.
func checkMoves(t rapid.TB, moves []Move) {
	type file struct{ node, name string }
	now, want := map[file]uint32{}, map[file]uint32{}
	shared := map[file]bool{}
	for i, m := range moves {
		f := file{m.Node, m.Name}
		if _, ok := now[f]; !ok {
			now[f] = m.From
			shared[f] = len(m.Shared) > 0
		}
		// A number that the ledger chooses is one of its own.
		want[f] = m.To
		if m.To == 0 {
			want[f] = uint32(3000000 + i)
		}
	}
	for i, m := range moves {
		to := m.To
		if to == 0 {
			to = uint32(3000000 + i)
		}
		for f := range now {
			own := f == file{m.Node, m.Name}
			if f.node == m.Node && now[f] == m.From && (own || len(m.Shared) == 0) {
				now[f] = to
			}
		}
		for _, line := range m.Commands(to) {
			if strings.ContainsAny(line, "\n\r") {
				t.Fatalf("%q is not one line", line)
			}
		}
	}
	for _, f := range slices.Collect(maps.Keys(now)) {
		if now[f] != want[f] && !shared[f] {
			t.Fatalf("files of %v end with %d, not %d: %+v", f, now[f], want[f], moves)
		}
	}
}
