package setup

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var bothSources = Sources{Files: "extrausers", FilesShadow: true, Module: true, Order: OrderFilesFirst}

func TestEditNsswitchAddsSourcesWhereTheyAreAsked(t *testing.T) {
	index, module := bothSources, bothSources
	index.Order = OrderIndexFirst
	module.Files = ""
	noShadow := Sources{Files: "altfiles", Module: true}
	for _, c := range []struct {
		name        string
		sources     Sources
		before, now string
	}{
		{"Debian's own line", bothSources, "passwd:         files systemd\n", "passwd:         files extrausers systemd pwb\n"},
		{"the index first", index, "passwd:         files systemd\n", "passwd:         files pwb systemd\n"},
		{"the module alone", module, "group: files systemd\n", "group: files systemd pwb\n"},
		{"a module without a shadow map", noShadow, "passwd: files\nshadow: files # local\n", "passwd: files altfiles pwb\nshadow: files pwb # local\n"},
		{"before sssd, which asks others", bothSources, "passwd: files sss systemd\n", "passwd: files extrausers pwb sss systemd\n"},
		{"sssd before the node's own files stays", bothSources, "passwd: sss files systemd\n", "passwd: sss files extrausers systemd pwb\n"},
		{"compat is the node's own files", bothSources, "passwd_compat: nis\npasswd: compat\n", "passwd_compat: nis\npasswd: compat extrausers pwb\n"},
		{"an action of files that ends moves behind ours", bothSources, "passwd: files [NOTFOUND=return] sss\n", "passwd: files extrausers pwb [NOTFOUND=return] sss\n"},
		{"an action of others that ends stays theirs", bothSources, "passwd: files systemd [!UNAVAIL=return] sss\n", "passwd: files extrausers pwb systemd [!UNAVAIL=return] sss\n"},
		{"an action that does not end is no bar", bothSources, "group: files [SUCCESS=merge] systemd\n", "group: files [SUCCESS=merge] extrausers systemd pwb\n"},
		{"a negated action that goes on is no bar", bothSources, "passwd: files [!NOTFOUND=return] systemd\n", "passwd: files [!NOTFOUND=return] extrausers systemd pwb\n"},
		{"several actions, in any case", bothSources, "passwd: files [ success=return ] [notfound=RETURN]\n", "passwd: files extrausers pwb [ success=return ] [notfound=RETURN]\n"},
		{"an initgroups line would lose our groups", bothSources, "initgroups: files\n", "initgroups: files [SUCCESS=continue] extrausers [SUCCESS=continue] pwb\n"},
		{"an initgroups line with actions of its own", bothSources, "initgroups: files [SUCCESS=continue] sss\n", "initgroups: files [SUCCESS=continue] extrausers [SUCCESS=continue] pwb [SUCCESS=continue] sss\n"},
		{"what is there stays where it is", bothSources, "passwd: pwb files extrausers\n", "passwd: pwb files extrausers\n"},
		{"comments and other lines stay", bothSources, "# passwd: files\n\nhosts: files dns\npasswd:files#x\n", "# passwd: files\n\nhosts: files dns\npasswd:files extrausers pwb#x\n"},
		{"a last line without a newline", bothSources, "passwd: files\ngroup: files\nshadow: files", "passwd: files extrausers pwb\ngroup: files extrausers pwb\nshadow: files extrausers pwb"},
		{"CRLF and broken lines stay", bothSources, "passwd [files]\r\ngroup: [NOTFOUND=return] files\n", "passwd [files]\r\ngroup: [NOTFOUND=return] files\n"},
		{"an empty line gets sources", module, "passwd:\n", "passwd: pwb\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := EditNsswitch(c.before, c.sources)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(got, c.now) {
				t.Errorf("%q becomes %q, not %q", c.before, got, c.now)
			}
			again, err := EditNsswitch(got, c.sources)
			if err != nil || again != got {
				t.Errorf("a second time it becomes %q (%v)", again, err)
			}
		})
	}
}

func TestEditNsswitchAddsTheLinesThatAreMissing(t *testing.T) {
	got, err := EditNsswitch("passwd: files\nhosts: files", bothSources)
	want := "passwd: files extrausers pwb\ngroup:          files extrausers pwb\nshadow:         files extrausers pwb\nhosts: files"
	if err != nil || got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	got, err = EditNsswitch("hosts: files", Sources{Module: true})
	want = "hosts: files\npasswd:         files pwb\ngroup:          files pwb\nshadow:         files pwb\n"
	if err != nil || got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func TestEditNsswitchRefusesWhatItCannotKeepTheMeaningOf(t *testing.T) {
	_, err := EditNsswitch("group: files [SUCCESS=merge NOTFOUND=return] sss\n", bothSources)
	if err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("the error is %v", err)
	}
}

func FuzzNsswitchKeepsEveryByte(f *testing.F) {
	for _, s := range []string{"passwd: files [NOTFOUND=return] sss # x\n", "group:\tfiles[SUCCESS=merge]\t[!UNAVAIL=return]systemd", "x: ]\n[\n", "shadow:files\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := unparseNsswitch(parseNsswitch(text)); got != text {
			t.Fatalf("%q becomes %q", text, got)
		}
		once, err := EditNsswitch(text, bothSources)
		if err != nil {
			return
		}
		if twice, err := EditNsswitch(once, bothSources); err != nil || twice != once {
			t.Fatalf("%q becomes %q, then %q (%v)", text, once, twice, err)
		}
	})
}

// TestOursAreAskedAndOthersKeepTheirOrder: in every line that can be edited nothing
// before our sources ends a lookup of somebody unknown, and without ours the line has
// the sources that it had.
func TestOursAreAskedAndOthersKeepTheirOrder(t *testing.T) {
	source := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"files", "compat", "systemd", "sss", "ldap", "db", "nis"}).Draw(t, "source") +
			rapid.SampledFrom([]string{"", "", " [NOTFOUND=return]", " [!UNAVAIL=return]", " [SUCCESS=merge]", "[UNAVAIL=return]"}).Draw(t, "action")
	})
	rapid.Check(t, func(t *rapid.T) {
		database := rapid.SampledFrom([]string{"passwd", "group", "shadow", "initgroups"}).Draw(t, "database")
		before := database + ": " + strings.Join(rapid.SliceOfN(source, 1, 5).Draw(t, "sources"), " ") + "\n"
		s := bothSources
		s.Order = rapid.SampledFrom([]Order{OrderFilesFirst, OrderIndexFirst}).Draw(t, "order")
		text, err := EditNsswitch(before, s)
		if err != nil {
			return
		}
		was, is := parseNsswitch(before)[0].sources, parseNsswitch(text)
		var line nssLine
		for _, l := range is {
			if l.database == database {
				line = l
			}
		}
		var others []string
		open := true
		for _, x := range line.sources {
			if x.name == "pwb" || x.name == "extrausers" {
				if !open {
					t.Fatalf("%q: %s is not asked", text, x.name)
				}
			} else {
				others = append(others, x.name)
			}
			open = open && !ends(x.action, "NOTFOUND")
		}
		for i, x := range was {
			if i >= len(others) || others[i] != x.name {
				t.Fatalf("%q becomes %q", before, text)
			}
		}
	})
}
