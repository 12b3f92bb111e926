package altfiles

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
)

func sortedLeavers(e roster.Effect) []roster.Leaver {
	return slices.SortedFunc(slices.Values(e.Leavers), func(a, b roster.Leaver) int {
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(a.Name, b.Name))
	})
}

func leaversText(e roster.Effect) string {
	var all []string
	for _, l := range sortedLeavers(e) {
		all = append(all, fmt.Sprintf("%s:%d", l.Name, l.UID))
	}
	return strings.Join(all, " ")
}

func expires(day int64) func(*roster.Account) {
	return func(a *roster.Account) { a.Expire = day }
}

func shell(s string) func(*roster.Account) { return func(a *roster.Account) { a.Shell = s } }

func TestLeaversAreThoseWhoCouldLogInAndCannotAnyMore(t *testing.T) {
	const today = 20000
	type rows = []roster.Row
	bob := account("2", "bob", 2001)
	ada := func(change ...func(*roster.Account)) roster.Row { return account("1", "ada", 2000, change...) }
	adela := func(change ...func(*roster.Account)) roster.Row { return account("1", "adela", 2000, change...) }
	for name, c := range map[string]struct {
		before, after rows
		want          string
	}{
		"nobody":                                {rows{ada(), bob}, rows{ada(), bob}, ""},
		"one is locked":                         {rows{ada(), bob}, rows{ada(locked), bob}, "ada:2000"},
		"one was locked":                        {rows{ada(locked), bob}, rows{ada(locked, shell("/bin/sh")), bob}, ""},
		"one is unlocked":                       {rows{ada(locked), bob}, rows{ada(), bob}, ""},
		"one comes locked":                      {rows{bob}, rows{ada(locked), bob}, ""},
		"one is removed":                        {rows{ada(), bob}, rows{bob}, "ada:2000"},
		"a locked one is removed":               {rows{ada(locked), bob}, rows{bob}, ""},
		"one without a shell is removed":        {rows{ada(shell("/bin/false")), bob}, rows{bob}, ""},
		"all are removed":                       {rows{ada(), bob}, nil, "ada:2000 bob:2001"},
		"one with an alias is removed":          {rows{adela(aliases("ada")), bob}, rows{bob}, "adela:2000"},
		"one gets a shell of no":                {rows{ada(), bob}, rows{ada(shell("/bin/false")), bob}, "ada:2000"},
		"one expires":                           {rows{ada(), bob}, rows{ada(expires(today)), bob}, "ada:2000"},
		"one will expire":                       {rows{ada(), bob}, rows{ada(expires(today + 1)), bob}, ""},
		"one is locked after it expired":        {rows{ada(expires(today - 3)), bob}, rows{ada(locked, expires(today-3)), bob}, "ada:2000"},
		"one is removed after it expired":       {rows{ada(expires(today - 3)), bob}, rows{bob}, "ada:2000"},
		"one expired and changes":               {rows{ada(expires(today - 3)), bob}, rows{ada(expires(today-2), shell("/bin/sh")), bob}, ""},
		"a rename with an alias":                {rows{ada(), bob}, rows{adela(aliases("ada")), bob}, ""},
		"a rename without one":                  {rows{ada(), bob}, rows{adela(), bob}, ""},
		"a rename with a lock":                  {rows{ada(), bob}, rows{adela(aliases("ada"), locked), bob}, "adela:2000"},
		"a rename with a lock and no alias":     {rows{ada(), bob}, rows{adela(locked), bob}, "ada:2000"},
		"a renumbering":                         {rows{ada(), bob}, rows{account("1", "ada", 2009), bob}, ""},
		"a renumbering with a lock":             {rows{ada(), bob}, rows{account("1", "ada", 2009, locked), bob}, "ada:2000"},
		"a name goes to another number":         {rows{adela(aliases("ada"))}, rows{adela(), account("3", "ada", 2003)}, ""},
		"another gets the name of one who goes": {rows{ada(), bob}, rows{account("2", "ada", 2001)}, ""}, // to all appearance a renumbering
		"and keeps the own, locked":             {rows{ada(), bob}, rows{account("2", "ada", 2001, aliases("bob"), locked)}, "ada:2000 ada:2001"},
		"a password that is gone is no lock":    {rows{ada(), bob}, rows{ada(func(a *roster.Account) { a.Hash = "" }), bob}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, shadow := range []bool{true, false} {
				if !shadow && strings.Contains(name, "expire") {
					continue // which shadow alone knows
				}
				r := newRendererWith(t, scratch(t), func(c *Config) { c.Policy.Shadow = shadow })
				r.today = func() int64 { return today }
				commit(t, r, c.before)
				p := plan(t, r, c.after)
				if got := leaversText(p.Effect()); got != c.want {
					t.Errorf("with shadow %v: leavers %q, not %q", shadow, got, c.want)
				}
				if strings.Contains(p.Effect().String(), "ada") {
					t.Errorf("the line %q names somebody", p.Effect())
				}
				if err := p.Commit(roster.Position{}); err != nil {
					t.Fatal(err)
				}
				if out, err := r.Out(p.Effect().Leavers); err != nil || !slices.Equal(out, p.Effect().Leavers) {
					t.Errorf("with shadow %v: of %v %v are out: %v", shadow, p.Effect().Leavers, out, err)
				}
				if p := plan(t, r, c.after); len(p.Effect().Leavers) > 0 {
					t.Errorf("again: leavers %v", p.Effect().Leavers)
				}
			}
		})
	}
}

func TestOutSaysWhoIsNotLetInByTheFilesAsTheyAre(t *testing.T) {
	const today = 20000
	rows := []roster.Row{
		account("1", "ada", 2000), account("2", "bob", 2001, locked), account("3", "carol", 2002, expires(today)),
		account("4", "dave", 2003, shell("/bin/false")), account("5", "eve", 2004, aliases("evil")), account("6", "frank", 2005, aliases("fred"), locked),
	}
	for _, layout := range []Layout{LayoutExtrausers, LayoutNsscache} {
		for _, shadow := range []bool{true, false} {
			dir := scratch(t)
			r := newRendererWith(t, dir, func(c *Config) {
				c.Layout, c.Policy.Shadow = layout, shadow
				c.PasswdFile, c.GroupFile = filepath.Join(dir, "etc-passwd"), filepath.Join(dir, "etc-group")
			})
			r.today = func() int64 { return today }
			if err := os.WriteFile(r.cfg.PasswdFile, []byte("root:x:0:0::/root:/bin/sh\nlocal:!:3000:3000::/:/usr/sbin/nologin\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.cfg.GroupFile, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			commit(t, r, rows)
			for who, out := range map[roster.Leaver]bool{
				{Name: "ada", UID: 2000}:     false,
				{Name: "ada", UID: 9999}:     false, // another has the name
				{Name: "gone", UID: 2000}:    false, // renamed
				{Name: "bob", UID: 2001}:     true,
				{Name: "carol", UID: 2002}:   shadow,
				{Name: "dave", UID: 2003}:    true,
				{Name: "evil", UID: 2004}:    false,
				{Name: "fred", UID: 2005}:    true,
				{Name: "bob", UID: 2004}:     false, // its old number is somebody else's
				{Name: "nobody", UID: 7}:     true,
				{Name: "local", UID: 7}:      false,
				{Name: "former", UID: 3000}:  false, // the node's own has the number
				{Name: "frank", UID: 2005}:   true,
				{Name: "", UID: 4294967295}:  true,
				{Name: "root:x", UID: 12345}: true,
			} {
				got, err := r.Out([]roster.Leaver{who})
				if err != nil || (len(got) == 1) != out {
					t.Errorf("%s, shadow %v: %+v out: %v, %v", layout, shadow, who, got, err)
				}
			}
			all := []roster.Leaver{{Name: "frank", UID: 2005}, {Name: "ada", UID: 2000}, {Name: "bob", UID: 2001}, {Name: "frank", UID: 2005}}
			if got, err := r.Out(all); err != nil || !slices.Equal(got, []roster.Leaver{all[0], all[2], all[3]}) {
				t.Errorf("out are %v, %v", got, err)
			}
		}
	}
}

func TestOutFailsWhereItCannotTell(t *testing.T) {
	for _, name := range []string{passwdName, shadowName} {
		r := newRenderer(t, scratch(t))
		commit(t, r, oldRows)
		who := roster.Leaver{Name: "ada", UID: 2000}
		if got, err := r.Out([]roster.Leaver{who}); err != nil || len(got) > 0 {
			t.Fatalf("out are %v, %v", got, err)
		}
		if err := os.Remove(filepath.Join(r.cfg.Dir, name)); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Out([]roster.Leaver{who}); err == nil || !strings.Contains(err.Error(), filepath.Join(r.cfg.Dir, name)) {
			t.Errorf("without %s: out are %v, %v", name, got, err)
		}
	}
}
