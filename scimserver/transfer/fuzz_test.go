package transfer

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"pwb/roster"
)

// hasSecret reports whether a word that stands for a hash is in the text.
func hasSecret(all ...any) bool {
	return strings.Contains(fmt.Sprintf("%v %+v", all, all), "SECRET")
}

// hidden reports whether the word stands in the second field of lines alone,
// and nowhere near the names of the fuzzed files.
func hidden(text string) bool {
	for line := range strings.Lines(text) {
		f := strings.Split(line, ":")
		if len(f) > 1 {
			f[1] = ""
		}
		if strings.Contains(strings.Join(f, ":"), "SECRET") {
			return false
		}
	}
	return true
}

func FuzzReadPasswd(f *testing.F) {
	f.Add(user("ada", 1000)+user("bob", 1001), user("ada", 1002)+"app:x:1001:1001::/srv/app:/bin/false\n")
	f.Add("ada:$6$salt$SECRET:1000:1000::/home/ada:/bin/sh", "$6$x:SECRET:1000:1000::/:\n+\n#")
	f.Add("ada:SECRET:1000::/home/ada:/bin/sh", "x:SECRET:y:z:::\r\n\x00")
	f.Fuzz(func(t *testing.T, one, two string) {
		a, err := ReadPasswd(sources(one, two), rules)
		if err != nil {
			if hasSecret(err) {
				t.Fatalf("a hash in the error %v", err)
			}
			return
		}
		owners := ledger{"ada": {1000, 1000}, "devs": {0, 1001}}
		p, err := a.Plan(owners, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkPlan(t, p, owners)
		for _, account := range p.Already {
			checkAccount(t, account)
		}
		if hidden(one+"\n"+two) && hasSecret(p, a.Skipped) {
			t.Fatalf("a hash in %+v", p)
		}
		var lines []string
		for _, m := range p.Moves {
			lines = append(lines, m.Commands(0)...)
		}
		if hidden(one+"\n"+two) && hasSecret(lines) {
			t.Fatalf("a hash in %q", lines)
		}
	})
}

func FuzzReadGroup(f *testing.F) {
	f.Add("devs:x:3000:ada,bob\nada:x:1000:", "devs:x:3001:ada\nada:x:1002:\n")
	f.Add("devs:SECRET:3000:,,ada", "devs:$1$SECRET:x:\n-\n#")
	f.Fuzz(func(t *testing.T, one, two string) {
		g, err := ReadGroup(sources(one, two), rules)
		if err != nil {
			if hasSecret(err) {
				t.Fatalf("a hash in the error %v", err)
			}
			return
		}
		owners := ledger{"ada": {1000, 1000}, "devs": {0, 1001}}
		p, err := g.Plan(owners, everybody, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkGroupPlan(t, p, owners)
		if hidden(one+"\n"+two) && hasSecret(p, g.Skipped) {
			t.Fatalf("a hash in %+v", p)
		}
	})
}

// FuzzReadShadow: a hash is nowhere but in the field for it, and that is one.
func FuzzReadShadow(f *testing.F) {
	f.Add("ada:$6$salt$SECRET:19000:0:99999:7:::\nbob:!!:::::::", "ada:!$y$j9T$SECRET:19001::::::\nbob:SECRET:::::::")
	f.Add("$6$SECRET:::::::::\n:SECRET", "ada:*::::::SECRET:\nada::::::::\n#SECRET\n+SECRET")
	f.Fuzz(func(t *testing.T, one, two string) {
		h, err := ReadShadow(sources(one, two), everybody)
		if err != nil {
			if hasSecret(err) {
				t.Fatalf("a hash in the error %v", err)
			}
			return
		}
		if hasSecret(h, h.ByName, h.Skipped, h.Notes) {
			t.Fatalf("a hash in %v", h)
		}
		for name, hash := range h.ByName {
			if err := roster.CheckName(name); err != nil || name != hash.Name {
				t.Fatalf("%v for %q: %v", hash, name, err)
			}
			if err := roster.CheckField(hash.Hash); err != nil || hash.Hash == "" && hash.Locked || strings.ContainsAny(hash.Hash, " !*:") || len(hash.Hash) > maxHash {
				t.Fatalf("hash %q: %v", hash.Hash, err)
			}
			if hash.Expire < 0 || hash.Expire > maxExpire {
				t.Fatalf("expiry %d", hash.Expire)
			}
		}
	})
}

// FuzzParseDecisions: what is taken is written as it is read, and no plan
// breaks on it.
func FuzzParseDecisions(f *testing.F) {
	f.Add("skip ada\ntake bob node1 # x\nrenumber bob@node2 5001\nrenumber eve new\nprivate bob")
	f.Add("take app node2\nrenumber app new\nskip ada@node1\nrenumber ada 1001")
	a, err := ReadPasswd(sources(user("ada", 1000)+userIn("bob", 1001, 1000)+user("eve", 1003), user("ada", 1001)+user("bob", 1002)+"app:x:1004:1004::/srv/app:/bin/false\n"), rules)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseDecisions(strings.NewReader(text))
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		for i := range all {
			back, err := ParseDecisions(strings.NewReader(strings.Repeat("\n", all[i].Line-1) + all[i].String()))
			if err != nil || !reflect.DeepEqual(back, all[i:i+1]) {
				t.Fatalf("%+v is written %q and read %+v, %v", all[i], all[i], back, err)
			}
		}
		owners := ledger{"eve": {1003, 1003}}
		p, err := a.Plan(owners, all)
		if err != nil {
			return
		}
		checkPlan(t, p, owners)
		if err := p.WriteMatrix(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}
