package transfer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func planGroups(t testing.TB, owners Owners, decided string, files ...string) GroupPlan {
	t.Helper()
	g, err := ReadGroup(sources(files...), rules)
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Plan(owners, func(name string) bool { return len(name) == 3 }, decisions(t, decided))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func briefGroups(all []Group) string {
	var b []string
	for _, g := range all {
		b = append(b, fmt.Sprintf("%s:%d:%s@%s", g.Name, g.GID, strings.Join(g.Members, ","), strings.Join(g.Nodes, ",")))
	}
	return strings.Join(b, " ")
}

func TestReadGroupPassesOver(t *testing.T) {
	for _, c := range []struct{ sentence, line, reason string }{
		{"a group is imported", "devs:x:3000:ada", ""},
		{"a comment is none", "#devs:x:3000:", "comment"},
		{"a plus is for nss_compat", "+:::", "nss_compat"},
		{"three fields are too few", "devs:x:3000", "3 fields, not 4"},
		{"a gid must be a number", "devs:x:SECRET:", "its gid is no number"},
		{"the system's own are never imported", "users:x:100:ada", "below 1000"},
		{"nobody's is never imported", "devs:x:65534:", "nobody's"},
		{"protected names are never imported", "docker:x:3000:", "protected"},
		{"a name must be one", "Devs:x:3000:", "must begin"},
		{"a hash is not shown", "$1$SECRET:x:3000:", "(not shown)"},
		{"the first of doubled lines counts", "devs:x:3000:\ndevs:x:3000:ada", "an earlier line"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			g, err := ReadGroup(sources(c.line), rules)
			if err != nil {
				t.Fatal(err)
			}
			if got := texts(g.Skipped); (c.reason == "") != (got == "") || !strings.Contains(got, c.reason) || strings.Contains(got, "SECRET") {
				t.Errorf("%q, not %q", got, c.reason)
			}
		})
	}
	t.Run("a line may be a megabyte long and no longer", func(t *testing.T) {
		long := "devs:x:3000:" + strings.Repeat("a", maxGroupLine-12)
		if _, err := ReadGroup(sources(long), rules); err != nil {
			t.Error(err)
		}
		if _, err := ReadGroup(sources(long+"a"), rules); err == nil {
			t.Error("taken")
		}
	})
}

func TestGroupsPlan(t *testing.T) {
	owners := ledger{"ada": {1000, 1000}, "bob": {1001, 2000}, "ops": {0, 3500}}
	for _, c := range []struct {
		sentence              string
		decided               string
		files                 []string
		imports, already      string
		clashes, moves, notes string
		skipped               string
	}{
		{sentence: "members of all nodes are united", files: []string{"devs:x:3000:eve,ada,eve", "devs:x:3000:ada,"},
			imports: "devs:3000:ada,eve@node1,node2", notes: "devs: members on some of its nodes, now on all, are eve\n"},
		{sentence: "who has no account is left out", files: []string{"devs:x:3000:ada,stranger,$1$SECRET"},
			imports: "devs:3000:ada@node1", notes: "devs: 1 of its members have no names that can be here: left out\ndevs: no accounts, so left out, are its members stranger\n"},
		{sentence: "many strangers are counted", files: []string{"devs:x:3000:m1,m2,m3,m4,m5,m6,m7"},
			imports: "devs:3000:@node1", notes: "devs: no accounts, so left out, are its members m1, m2, m3, m4, m5 and 2 more\n"},
		{sentence: "a password is noted and not shown", files: []string{"devs:$1$SECRET:3000:"},
			imports: "devs:3000:@node1", notes: "node1: devs: it has a password, which is not imported\n"},
		{sentence: "what the ledger has is already there", files: []string{"ops:x:3500:ada"}, already: "ops:3500:ada@node1"},
		{sentence: "a private group is passed over", files: []string{"ada:x:1000:"}, skipped: "it is the private group of the account ada"},
		{sentence: "so it is if the account's gid is not its uid", files: []string{"bob:x:2000:"}, skipped: "it is the private group of the account bob"},
		{sentence: "members of a private group are left out", files: []string{"ada:x:1000:ada,eve"}, skipped: "private group",
			notes: "node1: ada: it is the private group of the account, which has no members: 1 are left out\n"},
		{sentence: "a private group moves to the gid that counts", files: []string{"ada:x:1005:ada"}, skipped: "private group", moves: "node1 ada 1005->1000"},
		{sentence: "but not to a gid that is not private", files: []string{"bob:x:1005:"}, skipped: "private group",
			notes: "node1: bob: the account has another primary group than its own gid 1005 there, so files of that group stay as they are: look at them on the node\n"},
		{sentence: "a group of others with an account's name clashes", files: []string{"ada:x:1005:eve"}, clashes: "other ada: skip ada"},
		{sentence: "skip settles it", decided: "skip ada", files: []string{"ada:x:1005:eve"}, skipped: "left out by"},

		{sentence: "a name with two gids clashes", files: []string{"devs:x:3000:", "devs:x:3001:"},
			clashes: "name devs: take devs node1, take devs node2, skip devs@node1, skip devs@node2, skip devs"},
		{sentence: "take settles it, and files move", decided: "take devs node1", files: []string{"devs:x:3000:", "devs:x:3001:ada"},
			imports: "devs:3000:ada@node1,node2", moves: "node2 devs 3001->3000", notes: "devs: members on some of its nodes, now on all, are ada\n"},
		{sentence: "another gid in the ledger clashes", files: []string{"ops:x:3000:"}, clashes: "name ops: renumber ops 3500, skip ops"},
		{sentence: "the ledger's gid settles it", decided: "renumber ops 3500", files: []string{"ops:x:3000:"},
			already: "ops:3500:@node1", moves: "node1 ops 3000->3500"},
		{sentence: "a gid with two names clashes", files: []string{"devs:x:3000:", "qa:x:3000:"},
			clashes: "number 3000: renumber devs new, skip devs, renumber qa new, skip qa"},
		{sentence: "a new gid settles it", decided: "renumber qa new", files: []string{"devs:x:3000:", "qa:x:3000:"},
			imports: "devs:3000:@node1 qa:0:@node2", moves: "node2 qa 3000->0"},
		{sentence: "a gid of a private group clashes", files: []string{"devs:x:1000:"}, clashes: "number 1000: renumber devs new, skip devs"},
		{sentence: "a private group leaves a gid before a group comes to it", decided: "take devs node1", files: []string{"devs:x:3000:", "ada:x:3000:\ndevs:x:3001:"},
			imports: "devs:3000:@node1,node2", skipped: "private group", moves: "node2 ada 3000->1000; node2 devs 3001->3000"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := planGroups(t, owners, c.decided, c.files...)
			for _, f := range []struct{ what, got, want string }{
				{"imports", briefGroups(p.Import), c.imports},
				{"already", briefGroups(p.Already), c.already},
				{"clashes", briefClashes(p.Clashes), c.clashes},
				{"moves", briefMoves(p.Moves), c.moves},
				{"notes", texts(p.Notes), c.notes},
			} {
				if f.got != f.want {
					t.Errorf("%s %q\nnot %q", f.what, f.got, f.want)
				}
			}
			if got := texts(p.Skipped); (c.skipped == "") != (got == "") || !strings.Contains(got, c.skipped) {
				t.Errorf("skipped %q", got)
			}
		})
	}
}

func TestGroupsPlanFails(t *testing.T) {
	g, err := ReadGroup(sources("devs:x:3000:"), rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"gid", "name"} {
		if _, err := g.Plan(brokenLedger{ledger{}, at}, everybody, nil); !errors.Is(err, errLedger) {
			t.Errorf("%s: error %v", at, err)
		}
	}
	for decided, says := range map[string]string{
		"private devs": "is not for groups",
		"skip eve":     "no node has group eve",
	} {
		if _, err := g.Plan(ledger{}, everybody, decisions(t, decided)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v", decided, err)
		}
	}
}
