package roster_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

func TestCheckName(t *testing.T) {
	for _, c := range []struct {
		sentence, name string
		ok             bool
	}{
		{"a single letter is a name", "a", true},
		{"a single underscore is a name", "_", true},
		{"letters, digits, dashes, dots and underscores make a name", "ada.l-2_x", true},
		{"a name may end in a dash", "ada-", true},
		{"thirty-two bytes are allowed", strings.Repeat("a", 32), true},
		{"thirty-three bytes are too many", strings.Repeat("a", 33), false},
		{"nothing is not a name", "", false},
		{"a capital letter is refused", "Ada", false},
		{"a capital letter within is refused", "aDa", false},
		{"a leading digit is refused", "1ada", false},
		{"a leading dash would look like an option", "-ada", false},
		{"a leading dot is refused", ".ada", false},
		{"a trailing dot is refused", "ada.", false},
		{"a dollar sign is refused", "ada$", false},
		{"a colon would begin another field", "ada:x", false},
		{"a newline would begin another line", "ada\nroot", false},
		{"a slash would leave the directory of homes", "a/b", false},
		{"a space is refused", "a b", false},
		{"a letter with an accent is refused", "adä", false},
		{"a NUL is refused", "a\x00", false},
		{"invalid UTF-8 is refused", "a\xff", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if err := roster.CheckName(c.name); (err == nil) != c.ok {
				t.Errorf("CheckName(%q) = %v", c.name, err)
			}
		})
	}
}

func TestUserName(t *testing.T) {
	for _, c := range []struct{ sentence, in, want string }{
		{"a plain name stays", "ada", "ada"},
		{"capitals become small", "Ada", "ada"},
		{"a mail domain goes", "ada.lovelace@corp.example", "ada.lovelace"},
		{"everything after the first at sign goes", "ada@b@c", "ada"},
		{"a Windows domain goes", `CORP\ada`, "ada"},
		{"only what follows the last backslash stays", `CORP\eu\ada`, "ada"},
		{"a backslash after the at sign means nothing", `ada@corp\x`, "ada"},
		{"both domains go", `CORP\ada@corp.example`, "ada"},
		{"an address without a local part has no letters", "@corp.example", "_"},
		{"nothing has no letters", "", "_"},
		{"accents go", "José", "jose"},
		{"combining accents go", "Jose\u0301", "jose"},
		{"umlauts are spelled out", "Jürgen.Groß", "juergen.gross"},
		{"a ligature is spelled out", "Ægir", "aegir"},
		{"a dotted capital I is an i", "İpek", "ipek"},
		{"a run of other characters is one underscore", "ada   (lovelace)", "ada_lovelace"},
		{"other characters at the end leave nothing", "ada!!", "ada"},
		{"a leading digit gets an underscore", "007", "_007"},
		{"a leading dash gets an underscore", "-rf", "_-rf"},
		{"nothing but dashes has no letters", "---", "_"},
		{"a name ends in a letter or digit", "ada.-_", "ada"},
		{"another script has no letters", "山田", "_"},
		{"another script beside Latin is a gap", "山田ada", "ada"},
		{"a long name is cut at 32 bytes", strings.Repeat("x", 40), strings.Repeat("x", 32)},
		{"a cut does not leave a dot at the end", strings.Repeat("x", 31) + ".y", strings.Repeat("x", 31)},
		{"a letter spelled with two is cut in the middle", strings.Repeat("x", 31) + "ß", strings.Repeat("x", 31) + "s"},
		{"the Kelvin sign is a k", "\u212Aelvin", "kelvin"},
		{"a newline is a gap", "ada\nroot:x:0:0", "ada_root_x_0_0"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := roster.UserName(c.in); got != c.want {
				t.Errorf("UserName(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestGroupNameKeepsWhatOnlyUserNamesLose(t *testing.T) {
	for in, want := range map[string]string{
		"R&D @ Berlin":  "r_d_berlin",
		`CORP\Admins`:   "corp_admins",
		"Domain Users":  "domain_users",
		"Équipe «Cœur»": "equipe_coeur",
	} {
		if got := roster.GroupName(in); got != want {
			t.Errorf("GroupName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNumberedName(t *testing.T) {
	for _, c := range []struct {
		sentence, name string
		n              int
		want           string
	}{
		{"the number follows a dash", "ada", 2, "ada-2"},
		{"a long name makes room", strings.Repeat("x", 32), 17, strings.Repeat("x", 29) + "-17"},
		{"a name that just fits stays whole", strings.Repeat("x", 30), 2, strings.Repeat("x", 30) + "-2"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := roster.NumberedName(c.name, c.n); got != c.want {
				t.Errorf("NumberedName(%q, %d) = %q, want %q", c.name, c.n, got, c.want)
			}
		})
	}
}

func TestEveryNameThatIsMadeIsAName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyText().Draw(t, "in")
		for _, made := range []string{roster.UserName(in), roster.GroupName(in)} {
			if err := roster.CheckName(made); err != nil {
				t.Fatalf("of %q: %v", in, err)
			}
			numbered := roster.NumberedName(made, rapid.IntRange(2, 1<<30).Draw(t, "n"))
			if err := roster.CheckName(numbered); err != nil {
				t.Fatalf("numbered, of %q: %v", in, err)
			}
			// A name is its own name: a rename to what one has changes nothing.
			if again := roster.GroupName(made); again != made {
				t.Fatalf("%q makes %q, which makes %q", in, made, again)
			}
		}
	})
}
