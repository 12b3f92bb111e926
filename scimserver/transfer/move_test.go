package transfer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func briefMoves(all []Move) string {
	var b []string
	for _, m := range all {
		s := fmt.Sprintf("%s %s %d->%d", m.Node, m.Name, m.From, m.To)
		if len(m.Shared) > 0 {
			s += " beside " + strings.Join(m.Shared, ",")
		}
		b = append(b, s)
	}
	return strings.Join(b, "; ")
}

func TestMoves(t *testing.T) {
	for _, c := range []struct {
		sentence string
		owners   ledger
		decided  string
		files    []string
		moves    string
		note     string
	}{
		{"nodes that agree have none", nil, "", []string{user("ada", 1000), user("ada", 1000)}, "", ""},
		{"the node that does not count moves", nil, "take bob node1", []string{user("bob", 1001), user("bob", 1005)}, "node2 bob 1005->1001", ""},
		{"a new number moves all nodes", nil, "renumber bob new", []string{user("bob", 1001), user("bob", 1001)}, "node1 bob 1001->0; node2 bob 1001->0", ""},
		{"what is there already moves too", ledger{"bob": {1009, 1009}}, "renumber bob 1009", []string{user("bob", 1001)}, "node1 bob 1001->1009", ""},
		{"who leaves a number moves before who comes to it", nil, "take ada node1\ntake bob node1",
			[]string{user("ada", 1002) + user("bob", 1003), user("ada", 1001) + user("bob", 1002)}, "node2 bob 1002->1003; node2 ada 1001->1002", ""},
		{"also if it leaves for a new one", nil, "take ada node1\nrenumber bob new",
			[]string{user("ada", 1002), user("ada", 1001) + user("bob", 1002)}, "node2 bob 1002->0; node2 ada 1001->1002", ""},
		{"two that change places go over a free number", nil, "take ada node1\ntake bob node1",
			[]string{user("ada", 1001) + user("bob", 1002), user("ada", 1002) + user("bob", 1001)},
			"node2 ada 1002->2147483646; node2 bob 1001->1002; node2 ada 2147483646->1001", ""},
		{"the free number is free", nil, "take ada node1\ntake bob node1",
			[]string{user("ada", 1001) + user("bob", 1002) + user("eve", 2147483646), user("ada", 1002) + user("bob", 1001)},
			"node2 ada 1002->2147483645; node2 bob 1001->1002; node2 ada 2147483645->1001", ""},
		{"a number with two names is told", nil, "renumber bob 5000", []string{user("ada", 1000) + user("bob", 1000)}, "node1 bob 1000->5000 beside ada", ""},
		{"files do not become those of one who stays", nil, "take ada node1\nskip bob", []string{user("ada", 1001), user("ada", 1005) + user("bob", 1001)},
			"", "its files stay with uid 1005, for 1001 is that of bob there"},
		{"and who waits for them stays too", nil, "take ada node1\ntake eve node1\nskip bob",
			[]string{user("ada", 1001) + user("eve", 1005), user("ada", 1005) + user("bob", 1001) + user("eve", 1006)},
			"", "its files stay with uid 1006, for 1005 is that of ada there"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := plan(t, c.owners, c.decided, c.files...)
			if got := briefMoves(p.Moves); got != c.moves {
				t.Errorf("moves %s\nnot %s", got, c.moves)
			}
			if got := texts(p.Notes); !strings.Contains(got, c.note) {
				t.Errorf("notes %s", got)
			}
			if len(p.Clashes) != 0 {
				t.Errorf("clashes %s", briefClashes(p.Clashes))
			}
		})
	}
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		sentence string
		move     Move
		final    uint32
		want     []string
	}{
		{"the home comes first, then the rest",
			Move{Name: "bob", From: 1005, To: 1001, Home: "/home/bob"}, 0, []string{
				"find /home/bob -xdev -uid 1005 -exec chown --no-dereference --from=1005 1001 {} +",
				"find / -xdev -uid 1005 -exec chown --no-dereference --from=1005 1001 {} +",
				"# the same over every other file system that has files of bob",
			}},
		{"a new number is that of the ledger", Move{Name: "bob", From: 1005, Home: "/home/bob"}, 7000, []string{
			"find /home/bob -xdev -uid 1005 -exec chown --no-dereference --from=1005 7000 {} +",
			"find / -xdev -uid 1005 -exec chown --no-dereference --from=1005 7000 {} +",
			"# the same over every other file system that has files of bob",
		}},
		{"before that there is nothing to do", Move{Name: "bob", From: 1005}, 0, []string{"# the new uid of bob is known after the import"}},
		{"a number that is known is not replaced", Move{Name: "devs", Group: true, From: 2000, To: 3000}, 7000, []string{
			"find / -xdev -gid 2000 -exec chown --no-dereference --from=:2000 :3000 {} +",
			"# the same over every other file system that has files of devs",
		}},
		{"where the number has two names only the home is certain",
			Move{Name: "bob", From: 1000, To: 5000, Home: "/home/bob", Shared: []string{"ada", "eve"}}, 0, []string{
				"find /home/bob -xdev -uid 1000 -exec chown --no-dereference --from=1000 5000 {} +",
				"# uid 1000 is also that of ada, eve here: look for what lies elsewhere, and whose it is, with: find / -xdev -uid 1000",
			}},
		{"a strange home is one word", Move{Name: "bob", From: 1, To: 2, Home: "/home/it's $(x) {};"}, 0, []string{
			`find '/home/it'\''s $(x) {};' -xdev -uid 1 -exec chown --no-dereference --from=1 2 {} +`,
			"find / -xdev -uid 1 -exec chown --no-dereference --from=1 2 {} +",
			"# the same over every other file system that has files of bob",
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := c.move.Commands(c.final); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("%s", strings.Join(got, "\n"))
			}
		})
	}
}

// TestCommandsChangeOwners runs the commands, but for that over /, on files of
// its own.
func TestCommandsChangeOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: nobody else may give files away")
	}
	home := filepath.Join(t.TempDir(), "it's $(a) home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, owner := range map[string][2]int{"mine": {71005, 71005}, "other's": {71006, 71005}} {
		if err := os.WriteFile(filepath.Join(home, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(home, name), owner[0], owner[1]); err != nil {
			t.Skip("files cannot be given away here: ", err)
		}
	}
	if err := os.Symlink("other's", filepath.Join(home, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(filepath.Join(home, "link"), 71005, 0); err != nil {
		t.Fatal(err)
	}
	for _, group := range []bool{false, true} {
		line := Move{Name: "bob", From: 71005, To: 71001, Home: home, Group: group}.Commands(0)[0]
		if out, err := exec.Command("/bin/sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	out, err := exec.Command("find", home, "-type", "f", "-printf", "%f %U:%G\n", "-o", "-type", "l", "-printf", "%f %U\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mine 71001:71001\n", "other's 71006:71001\n", "link 71001\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
}
