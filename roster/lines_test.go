package roster_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"pwb/roster"
)

func TestCheckField(t *testing.T) {
	for _, c := range []struct {
		sentence, field string
		ok              bool
	}{
		{"an empty field is fine", "", true},
		{"letters of any script are fine", "Ada Lovelace, 山田 Ünal", true},
		{"the replacement character itself is fine", "\uFFFD", true},
		{"a colon begins another field", "a:b", false},
		{"a newline begins another line", "a\nb", false},
		{"a carriage return is refused", "a\r", false},
		{"a tab is refused", "a\tb", false},
		{"a NUL ends the line for C programs", "a\x00b", false},
		{"DEL is refused", "a\x7f", false},
		{"a C1 control is refused", "a\u0085", false},
		{"a line separator is refused", "a\u2028b", false},
		{"a paragraph separator is refused", "a\u2029b", false},
		{"a lone byte over 127 is refused", "a\x80", false},
		{"a surrogate is refused", "\xed\xa0\x80", false},
		{"an overlong slash is refused", "\xc0\xaf", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if err := roster.CheckField(c.field); (err == nil) != c.ok {
				t.Errorf("CheckField(%q) = %v", c.field, err)
			}
		})
	}
}

func TestErrorsOfFieldsAreShort(t *testing.T) {
	if err := roster.CheckField(strings.Repeat("x", 1<<20) + ":"); err == nil || len(err.Error()) > 200 {
		t.Errorf("the error is not bounded: %.300v", err)
	}
}

func TestCleanGecos(t *testing.T) {
	for _, c := range []struct{ sentence, in, want string }{
		{"a name stays", "Ada Lovelace", "Ada Lovelace"},
		{"a colon becomes a space", "Ada:Lovelace", "Ada Lovelace"},
		{"a line cannot be smuggled in", "Ada\nroot:x:0:0:::", "Ada root x 0 0"},
		{"spaces are trimmed and joined", "  Ada \t  Lovelace ", "Ada Lovelace"},
		{"invalid bytes become a space", "Ada\xffL", "Ada L"},
		{"nothing but controls leaves nothing", "\x00\x01\n", ""},
		{"256 bytes are kept", strings.Repeat("x", 300), strings.Repeat("x", 256)},
		{"a letter is not cut in two", strings.Repeat("x", 255) + "éé", strings.Repeat("x", 255)},
		{"a cut leaves no space at the end", strings.Repeat("x", 255) + " yy", strings.Repeat("x", 255)},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := roster.CleanGecos(c.in); got != c.want {
				t.Errorf("CleanGecos(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestCleanGecosIsAlwaysAField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyText().Draw(t, "in") + strings.Repeat("é ", rapid.IntRange(0, 100).Draw(t, "tail"))
		got := roster.CleanGecos(in)
		if err := roster.CheckField(got); err != nil {
			t.Fatal(err)
		}
		if len(got) > roster.MaxGecos || !utf8.ValidString(got) || strings.TrimSpace(got) != got {
			t.Fatalf("CleanGecos(%q) = %q", in, got)
		}
		if again := roster.CleanGecos(got); again != got {
			t.Fatalf("cleaning twice makes %q of %q", again, got)
		}
	})
}

func TestLinesAreThoseOfTheManuals(t *testing.T) {
	for _, c := range []struct{ sentence, got, want string }{
		{
			"a passwd line has seven fields",
			string(roster.Passwd{Name: "ada", Password: "x", UID: 1000, GID: 1001, Gecos: "Ada L", Home: "/home/ada", Shell: "/bin/bash"}.Append(nil)),
			"ada:x:1000:1001:Ada L:/home/ada:/bin/bash\n",
		},
		{
			"a group line lists its members",
			string(roster.GroupLine{Name: "eng", Password: "x", GID: 1002, Members: []string{"ada", "bob"}}.Append(nil)),
			"eng:x:1002:ada,bob\n",
		},
		{
			"a group without members ends in a colon",
			string(roster.GroupLine{Name: "eng", GID: 4294967295}.Append(nil)),
			"eng::4294967295:\n",
		},
		{
			"a shadow line has nine fields and no ageing",
			string(roster.Shadow{Name: "ada", Password: "!$6$x"}.Append(nil)),
			"ada:!$6$x:::::::\n",
		},
		{
			"an expiry is the eighth field of shadow",
			string(roster.Shadow{Name: "ada", Password: "*", Expire: 1}.Append(nil)),
			"ada:*::::::1:\n",
		},
		{
			"a line is appended to what is there",
			string(roster.Shadow{Name: "b"}.Append([]byte("a\n"))),
			"a\nb::::::::\n",
		},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		})
	}
}

func TestLinesThatAreRefused(t *testing.T) {
	passwd := func(s string) error { _, err := roster.ParsePasswd(s); return err }
	group := func(s string) error { _, err := roster.ParseGroup(s); return err }
	shadow := func(s string) error { _, err := roster.ParseShadow(s); return err }
	for _, c := range []struct {
		sentence string
		parse    func(string) error
		line     string
	}{
		{"six fields are no passwd line", passwd, "ada:x:1:1::/home/ada"},
		{"eight fields are no passwd line", passwd, "ada:x:1:1::/home/ada:/bin/sh:"},
		{"a passwd line needs a name", passwd, ":x:1:1::/:/bin/sh"},
		{"an empty passwd line is none", passwd, ""},
		{"a NIS inclusion is no passwd line", passwd, "+::::::"},
		{"a negative uid is refused", passwd, "ada:x:-1:1::/:/bin/sh"},
		{"a uid over 32 bits is refused", passwd, "ada:x:4294967296:1::/:/bin/sh"},
		{"a uid with a sign is refused", passwd, "ada:x:+1:1::/:/bin/sh"},
		{"an empty uid would be root's", passwd, "ada:x::1::/:/bin/sh"},
		{"a gid must be a number", passwd, "ada:x:1:one::/:/bin/sh"},
		{"three fields are no group line", group, "eng:x:1"},
		{"five fields are no group line", group, "eng:x:1:a:b"},
		{"a group line needs a name", group, ":x:1:"},
		{"a group's gid must be a number", group, "eng:x:0x10:"},
		{"eight fields are no shadow line", shadow, "ada:*::::::"},
		{"a shadow line needs a name", shadow, ":*:::::::"},
		{"an expiry must be a day", shadow, "ada:*::::::soon:"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if c.parse(c.line) == nil {
				t.Errorf("%q was taken", c.line)
			}
		})
	}
}

func TestErrorsOfShadowLinesHideTheHash(t *testing.T) {
	for _, line := range []string{"ada:$6$secret", "$6$secret", "ada:$6$secret::::::soon:", "ada:$6$secret::::::9:x:y"} {
		if _, err := roster.ParseShadow(line); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseShadow(%q) = %v", line, err)
		}
	}
}

func TestLinesComeBackAsTheyWere(t *testing.T) {
	trim := func(line []byte) string { return strings.TrimSuffix(string(line), "\n") }
	rapid.Check(t, func(t *rapid.T) {
		p := roster.Passwd{
			Name: name().Draw(t, "name"), Password: field().Draw(t, "password"),
			UID: rapid.Uint32().Draw(t, "uid"), GID: rapid.Uint32().Draw(t, "gid"),
			Gecos: field().Draw(t, "gecos"), Home: field().Draw(t, "home"), Shell: field().Draw(t, "shell"),
		}
		if back, err := roster.ParsePasswd(trim(p.Append(nil))); err != nil || back != p {
			t.Fatalf("%+v came back as %+v, %v", p, back, err)
		}
		g := roster.GroupLine{
			Name: p.Name, Password: p.Password, GID: p.GID,
			Members: rapid.SliceOf(name()).Draw(t, "members"),
		}
		if len(g.Members) == 0 {
			g.Members = nil
		}
		if back, err := roster.ParseGroup(trim(g.Append(nil))); err != nil || !reflect.DeepEqual(back, g) {
			t.Fatalf("%+v came back as %+v, %v", g, back, err)
		}
		s := roster.Shadow{Name: p.Name, Password: p.Password, Expire: rapid.Int64().Draw(t, "expire")}
		if back, err := roster.ParseShadow(trim(s.Append(nil))); err != nil || back != s {
			t.Fatalf("%+v came back as %+v, %v", s, back, err)
		}
	})
}
