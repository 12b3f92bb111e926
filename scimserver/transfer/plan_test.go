package transfer

import (
	"errors"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	has := func(name string, uid, gid uint32) ledger { return ledger{name: {uid, gid}} }
	none := ledger{}
	for _, c := range []struct {
		sentence string
		owners   ledger
		files    []string
		decided  string
		imports  string
		clashes  string
	}{
		{"the same account on two nodes is one", none, []string{user("ada", 1000), user("ada", 1000)}, "",
			"ada:1000:1000:/home/ada@node1,node2", ""},
		{"another home is no clash, and the first source's counts", none, []string{user("ada", 1000), "ada:x:1000:1000::/srv/ada:/bin/sh"}, "",
			"ada:1000:1000:/home/ada@node1,node2", ""},
		{"take says whose home counts", none, []string{user("ada", 1000), "ada:x:1000:1000::/srv/ada:/bin/sh"}, "take ada node2",
			"ada:1000:1000:/srv/ada@node1,node2", ""},
		{"take brings a service account in", none, []string{"app:x:1000:1000::/srv/app:/bin/false"}, "take app node1",
			"app:1000:1000:/srv/app@node1", ""},
		{"a service account on one node does not hinder the other's", none, []string{"app:x:1001:1001::/srv/app:/bin/false", user("app", 1000)}, "",
			"app:1000:1000:/home/app@node2", ""},
		{"what the ledger has is already there", has("ada", 1000, 1000), []string{user("ada", 1000)}, "", "", ""},

		{"a name with two uids clashes", none, []string{user("bob", 1001), user("bob", 1005)}, "", "",
			"name bob: take bob node1, take bob node2, skip bob@node1, skip bob@node2, skip bob"},
		{"of three nodes that which differs can be left out", none, []string{user("bob", 1001), user("bob", 1001), user("bob", 1005)}, "", "",
			"name bob: take bob node1, take bob node3, skip bob@node3, skip bob"},
		{"take settles it", none, []string{user("bob", 1001), user("bob", 1005)}, "take bob node2",
			"bob:1005:1005:/home/bob@node1,node2", ""},
		{"skip on a node settles it", none, []string{user("bob", 1001), user("bob", 1005)}, "skip bob@node2",
			"bob:1001:1001:/home/bob@node1", ""},
		{"skip settles it", none, []string{user("bob", 1001), user("bob", 1005)}, "skip bob", "", ""},
		{"a number for all settles it", none, []string{user("bob", 1001), user("bob", 1005)}, "renumber bob 5000",
			"bob:5000:5000:/home/bob@node1,node2", ""},
		{"the other's number settles it", none, []string{user("bob", 1001), user("bob", 1005)}, "renumber bob@node2 1001",
			"bob:1001:1001:/home/bob@node1,node2", ""},
		{"what is taken can be renumbered", none, []string{user("bob", 1001), "bob:x:1005:1005::/srv/bob:/bin/sh"}, "renumber bob@node2 new\ntake bob node2",
			"bob:0:0:/srv/bob@node1,node2", ""},
		{"a name with another uid in the ledger clashes", has("bob", 1009, 1009), []string{user("bob", 1001)}, "", "",
			"name bob: renumber bob 1009, skip bob"},
		{"the ledger's number settles it", has("bob", 1009, 1009), []string{user("bob", 1001), user("bob", 1002)}, "renumber bob 1009", "", ""},
		{"a new number does not", has("bob", 1009, 1009), []string{user("bob", 1001)}, "renumber bob new", "",
			"name bob: skip bob"},
		{"a name that is a group's clashes", has("devs", 0, 3000), []string{user("devs", 1001)}, "", "", "other devs: skip devs"},

		{"a uid with two names clashes", none, []string{user("ada", 1000), user("bob", 1000)}, "", "",
			"number 1000: renumber ada new, skip ada, renumber bob new, skip bob"},
		{"so it does on one node", none, []string{user("ada", 1000) + user("bob", 1000)}, "", "",
			"number 1000: renumber ada new, skip ada, renumber bob new, skip bob"},
		{"a new number settles it, and comes last", none, []string{user("ada", 1000), user("bob", 1000)}, "renumber ada new",
			"bob:1000:1000:/home/bob@node2 ada:0:0:/home/ada@node1", ""},
		{"a number of one's own settles it", none, []string{user("ada", 1000), user("bob", 1000)}, "renumber bob 5001",
			"ada:1000:1000:/home/ada@node1 bob:5001:5001:/home/bob@node2", ""},
		{"a number that is not free does not", none, []string{user("ada", 1000), user("bob", 1000) + user("eve", 1002)}, "renumber bob 1002",
			"ada:1000:1000:/home/ada@node1", "number 1002: skip bob, renumber eve new, skip eve"},
		{"the node is named where the name has several uids", none, []string{user("ada", 1000) + user("bob", 1001), user("bob", 1000)}, "", "",
			"name bob: take bob node1, take bob node2, skip bob@node1, skip bob@node2, skip bob; " +
				"number 1000: renumber ada new, skip ada, renumber bob@node2 new, skip bob@node2"},
		{"what settles a name may settle a number", none, []string{user("ada", 1000) + user("bob", 1001), user("bob", 1000)}, "take bob node1",
			"ada:1000:1000:/home/ada@node1 bob:1001:1001:/home/bob@node1,node2", ""},
		{"a uid of another in the ledger clashes", has("eve", 1000, 1000), []string{user("ada", 1000)}, "", "",
			"number 1000: renumber ada new, skip ada"},
		{"also of one that is on a node too", has("eve", 1000, 1000), []string{user("ada", 1000), user("eve", 1000)}, "", "",
			"number 1000: renumber ada new, skip ada"},

		{"a primary group that is another's own clashes", none, []string{user("ada", 1000) + userIn("bob", 1001, 1000)}, "", "",
			"group 1000: private bob, skip bob, renumber ada new, skip ada"},
		{"a group of one's own settles it", none, []string{user("ada", 1000) + userIn("bob", 1001, 1000)}, "private bob",
			"ada:1000:1000:/home/ada@node1 bob:1001:0:/home/bob@node1", ""},
		{"another number of the owner settles it", none, []string{user("ada", 1000) + userIn("bob", 1001, 1000)}, "renumber ada 5000",
			"bob:1001:1000:/home/bob@node1 ada:5000:5000:/home/ada@node1", ""},
		{"a primary group that several have does not clash", none, []string{userIn("ada", 1000, 2000) + userIn("bob", 1001, 2000)}, "",
			"ada:1000:2000:/home/ada@node1 bob:1001:2000:/home/bob@node1", ""},
		{"nor does a group of the ledger's", has("devs", 0, 2000), []string{userIn("ada", 1000, 2000)}, "",
			"ada:1000:2000:/home/ada@node1", ""},
		{"an own group of the ledger's does", has("eve", 2000, 2000), []string{userIn("ada", 1000, 2000)}, "", "",
			"group 2000: private ada, skip ada"},
		{"an own group with the number of a group does", has("devs", 0, 1000), []string{user("ada", 1000)}, "", "",
			"group 1000: renumber ada new, skip ada"},
		{"also if the number is what it is to get", has("devs", 0, 1000), []string{userIn("ada", 1000, 100)}, "", "",
			"group 1000: renumber ada new, skip ada"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := plan(t, c.owners, c.decided, c.files...)
			if got := brief(p.Import); got != c.imports {
				t.Errorf("imports %s\nnot %s", got, c.imports)
			}
			if got := briefClashes(p.Clashes); got != c.clashes {
				t.Errorf("clashes %s\nnot %s", got, c.clashes)
			}
		})
	}
}

func TestWhatTheLedgerHasIsAlreadyThere(t *testing.T) {
	owners := ledger{"eve": {1000, 1000}, "bob": {1009, 1009}}
	for _, c := range []struct{ sentence, decided, lines, already string }{
		{"with the same name and uid", "", user("eve", 1000), "eve:1000:1000:/home/eve@node1"},
		{"whatever its group", "", userIn("eve", 1000, 2000), "eve:1000:2000:/home/eve@node1"},
		{"beside another of the same uid, which clashes", "", user("ada", 1000) + user("eve", 1000), "eve:1000:1000:/home/eve@node1"},
		{"once a decision gives it that uid", "renumber bob 1009", user("bob", 1001), "bob:1009:1009:/home/bob@node1"},
		{"but not with another uid", "", user("bob", 1001), ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := plan(t, owners, c.decided, c.lines)
			if got := brief(p.Already); got != c.already || len(p.Import) != 0 {
				t.Errorf("already there %s, not %s; imports %s", got, c.already, brief(p.Import))
			}
		})
	}
}

func TestPlanNotes(t *testing.T) {
	for _, c := range []struct {
		sentence, decided string
		files             []string
		notes             string
	}{
		{"what differs is noted with the nodes", "", []string{user("ada", 1000), "ada:x:1000:1000:Countess:/srv/ada:/bin/sh", "ada:x:1000:100:ada:/srv/ada:/bin/bash"},
			"ada: its home is /srv/ada on node2, node3; that of node1 counts, /home/ada\n" +
				"ada: its shell is /bin/sh on node2; that of node1 counts, /bin/bash\n" +
				"ada: its gecos differs on node2; that of node1 counts\n" +
				"ada: its gid is 100 on node3; that of node1 counts, 1000\n" +
				"node3: ada: it gets a group of its own instead of its primary one: gid: id 100 is below 1000, where the system's own accounts lie\n"},
		{"a gid that goes with the uid is no news", "take ada node1", []string{user("ada", 1000), user("ada", 1001)}, ""},
		{"an account that stays on a node comes first there", "", []string{user("ada", 1000), "ada:x:1000:1000::/home/ada:/bin/false"},
			"node2: ada: the node keeps its own ada (line 1 is passed over), which comes first there\n"},
		{"an account that stays with another's number keeps it away", "skip bob", []string{user("ada", 1000), user("bob", 1000)},
			"node2: ada: the node keeps its own bob with uid 1000, which is to be ada's: one of them needs another number, or the node refuses ada\n"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := texts(plan(t, ledger{}, c.decided, c.files...).Notes); got != c.notes {
				t.Errorf("notes\n%s\nnot\n%s", got, c.notes)
			}
		})
	}
}

func TestSkippedSaysWhichDecision(t *testing.T) {
	p := plan(t, ledger{}, "\nskip ada", "# x\n"+user("ada", 1000))
	if got := texts(p.Skipped); got != "node1, f1:1: it is a comment\nnode1, f1:2: ada: left out by the decision `skip ada` (line 2)\n" {
		t.Errorf("skipped %q", got)
	}
}

func TestDecisionsThatCannotBe(t *testing.T) {
	two := []string{user("bob", 1001) + user("ada", 1000), user("bob", 1005) + user("ada", 1000), "app:x:1100:1100::/srv/app:/bin/false\nsys:x:999:999::/srv/s:/bin/sh\n"}
	for _, c := range []struct{ sentence, decided, says string }{
		{"nobody of that name", "skip eve", "line 1: `skip eve` settles nothing: no node has account eve: take it out or correct it"},
		{"not on that node", "skip bob@node3", "node3 has no account bob"},
		{"a node that is none", "take bob node9", "node9 has no account bob"},
		{"passed over for good", "take sys node3", "line 2 of f3 on node3 is passed over: uid: id 999"},
		{"passed over already", "skip app", "settles nothing: line 1 of f3 on node3 is passed over: its shell"},
		{"take where all agree", "take ada node1", "all nodes that have ada agree on it"},
		{"take where one is left", "skip bob@node2\ntake bob node1", "all nodes that have bob agree on it"},
		{"take of what is skipped", "take bob node1\nskip bob", "line 1: `take bob node1` settles nothing: line 1 of f1 on node1 is passed over: left out by the decision `skip bob` (line 2)"},
		{"two takes", "take bob node1\ntake bob node2", "line 2: `take bob node2` contradicts `take bob node1` (line 1)"},
		{"two renumbers", "renumber bob 5000\nrenumber bob@node1 new", "contradicts"},
		{"two skips", "skip bob\nskip bob", "line 2: `skip bob` settles nothing"},
		{"a number that it has", "renumber ada 1000", "it has that uid already"},
		{"a number of a node that does not count", "take bob node1\nrenumber bob@node2 5000", "the number of node1 counts"},
		{"a number that is great can be", "renumber ada 2000000", ""},
		{"a group of its own that it has", "private ada", "gets a group of its own as it is"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			_, err := accounts(t, two...).Plan(ledger{}, decisions(t, c.decided))
			if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, not %q", err, c.says)
			}
		})
	}
	t.Run("a number below the administrator's floor", func(t *testing.T) {
		a, err := ReadPasswd(sources(user("ada", 3000)), Rules{Floor: 2000, Protected: rules.Protected})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Plan(ledger{}, decisions(t, "renumber ada 1500")); err == nil || !strings.Contains(err.Error(), "below 2000") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("decisions that were not parsed are checked too", func(t *testing.T) {
		for _, d := range []Decision{{}, {Verb: "burn", Name: "ada"}, {Verb: TakeIt, Name: "ada"}, {Verb: Renumber, Name: "ada", Number: 7}, {Verb: SkipIt, Name: "a\nb"}} {
			if _, err := accounts(t, two...).Plan(ledger{}, []Decision{d}); err == nil {
				t.Errorf("%#v is taken", d)
			}
		}
	})
}

func TestPlanTwiceIsTheSame(t *testing.T) {
	a := accounts(t, user("bob", 1001)+"app:x:1100:1100::/srv/app:/bin/false\n", user("bob", 1005))
	first, err := a.Plan(ledger{}, decisions(t, "skip bob\ntake app node1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := brief(first.Import); got != "app:1100:1100:/srv/app@node1" {
		t.Errorf("imports %s", got)
	}
	second, err := a.Plan(ledger{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Import) != 0 || len(second.Clashes) != 1 || len(second.Skipped) != 1 {
		t.Errorf("the first plan's decisions are in the second: %+v", second)
	}
}

func TestPlanFailsWithTheLedger(t *testing.T) {
	for _, at := range []string{"uid", "gid", "name"} {
		if _, err := accounts(t, user("ada", 1000)).Plan(brokenLedger{ledger{}, at}, nil); !errors.Is(err, errLedger) || !strings.Contains(err.Error(), "asking the ledger") {
			t.Errorf("%s: error %v", at, err)
		}
	}
}
