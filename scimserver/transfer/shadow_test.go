package transfer

import (
	"fmt"
	"strings"
	"testing"
)

const (
	sha512 = "$6$salt$SECRETsecretSECRET"
	other  = "$y$j9T$SECRETother"
)

func everybody(string) bool { return true }

func TestReadShadowPasswords(t *testing.T) {
	des, bsdi := "SEcreTSecre./", "_J9..SecrSecretSecr."
	for _, c := range []struct {
		sentence, field, hash string
		locked                bool
		reason                string
	}{
		{"sha512crypt is kept", sha512, sha512, false, ""},
		{"yescrypt is kept", other, other, false, ""},
		{"gost-yescrypt is kept", "$gy$j9T$SECRET", "$gy$j9T$SECRET", false, ""},
		{"scrypt is kept", "$7$CU..../....SECRET$x", "$7$CU..../....SECRET$x", false, ""},
		{"bcrypt is kept", "$2b$12$SECRET", "$2b$12$SECRET", false, ""},
		{"sha256crypt with rounds is kept", "$5$rounds=5000$salt$SECRET", "$5$rounds=5000$salt$SECRET", false, ""},
		{"md5crypt is kept", "$1$salt$SECRET", "$1$salt$SECRET", false, ""},
		{"Solaris' md5 is kept", "$md5,rounds=5000$salt$$SECRET", "$md5,rounds=5000$salt$$SECRET", false, ""},
		{"DES is kept", des, des, false, ""},
		{"BSDi's DES is kept", bsdi, bsdi, false, ""},
		{"a mark before a hash locks it", "!" + sha512, sha512, true, ""},
		{"so do two", "!!" + sha512, sha512, true, ""},
		{"a mark alone is no password", "!", "", false, ""},
		{"nor are two", "!!", "", false, ""},
		{"nor is an asterisk", "*", "", false, ""},
		{"nor are both", "!*", "", false, ""},
		{"nor is an x", "x", "", false, ""},
		{"an empty field is a login without password", "", "", false, "a login without one"},
		{"a blank is none of crypt's", "$6$a SECRET", "", false, "does not have"},
		{"an asterisk within is none of crypt's", "$6$a*SECRET", "", false, "does not have"},
		{"a mark within is none of crypt's", "$6$a!SECRET", "", false, "does not have"},
		{"a backslash is none of crypt's", `$6$a\SECRET`, "", false, "does not have"},
		{"a byte over 127 is none of crypt's", "$6$a\xffSECRET", "", false, "does not have"},
		{"a word is none of the forms", "SECRET", "", false, "none of the forms"},
		{"fourteen characters are none of the forms", des + "x", "", false, "none of the forms"},
		{"a strange character is not DES", "SEcreTSecret,", "", false, "none of the forms"},
		{"a method alone is none of the forms", "$6$", "", false, "none of the forms"},
		{"a capital method is none of the forms", "$SECRET$x", "", false, "none of the forms"},
		{"512 bytes are kept", "$6$" + strings.Repeat("S", 509), "$6$" + strings.Repeat("S", 509), false, ""},
		{"513 bytes are too many", "$6$" + strings.Repeat("S", 510), "", false, "513 bytes, 512 at most"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			h, err := ReadShadow(sources("ada:"+c.field+":19000:0:99999:7:::\n"), everybody)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := h.ByName["ada"]
			if ok != (c.reason == "") || got.Hash != c.hash || got.Locked != c.locked {
				t.Errorf("%v, hash %q", h.ByName, got.Hash)
			}
			said := texts(h.Skipped)
			if (c.reason == "") != (said == "") || !strings.Contains(said, c.reason) || strings.Contains(said, "SECRET") {
				t.Errorf("skipped %q, not %q", said, c.reason)
			}
			if shown := fmt.Sprintf("%v %+v %#v %s", got, h, h.ByName, got); strings.Contains(strings.ToLower(shown), "secre") {
				t.Errorf("printed as %s", shown)
			}
		})
	}
}

func TestReadShadowUnitesNodes(t *testing.T) {
	line := func(hash string, changed any, expire string) string {
		return fmt.Sprintf("ada:%s:%v:::::%s:\n", hash, changed, expire)
	}
	for _, c := range []struct {
		sentence string
		files    []string
		want     Hash
		notes    string
	}{
		{"the same twice is one", []string{line(sha512, 1, ""), line(sha512, 2, "")}, Hash{"ada", "node1", sha512, false, 0}, ""},
		{"the password that changed last counts", []string{line(sha512, 1, ""), line(other, 2, "")}, Hash{"ada", "node2", other, false, 0},
			"ada: it has other passwords on node1: that of node2 counts, which changed last\n"},
		{"of the same day the first counts", []string{line(sha512, 2, ""), line(other, 2, "")}, Hash{"ada", "node1", sha512, false, 0},
			"ada: it has other passwords on node2: that of node1 counts, which changed last\n"},
		{"an unknown day is the oldest", []string{line(sha512, "", ""), line(other, 1, "")}, Hash{"ada", "node2", other, false, 0},
			"ada: it has other passwords on node1: that of node2 counts, which changed last\n"},
		{"a password counts before none", []string{line("*", 9, ""), line(sha512, 1, "")}, Hash{"ada", "node2", sha512, false, 0},
			"ada: it has no password on node1: that of node2 counts\n"},
		{"one lock locks the same password", []string{line(sha512, 1, ""), line("!"+sha512, 1, "")}, Hash{"ada", "node1", sha512, true, 0},
			"ada: its password is locked on node2 alone: the one that counts is locked\n"},
		{"a lock of an older password does not", []string{line("!"+sha512, 1, ""), line(other, 2, "")}, Hash{"ada", "node2", other, false, 0},
			"ada: it has other passwords on node1: that of node2 counts, which changed last\nada: its password is locked on node1 alone: the one that counts is not locked\n"},
		{"the expiry is kept", []string{line(sha512, 1, "20000")}, Hash{"ada", "node1", sha512, false, 20000}, ""},
		{"also without a password", []string{line("!", 1, "20000")}, Hash{"ada", "node1", "", false, 20000}, ""},
		{"another expiry is noted", []string{line(sha512, 1, "20000"), line(sha512, 1, "")}, Hash{"ada", "node1", sha512, false, 20000},
			"ada: it expires on another day on node2: that of node1 counts\n"},
		{"a negative expiry is none", []string{line(sha512, 1, "-1")}, Hash{"ada", "node1", sha512, false, 0},
			"node1: ada: its expiry is negative or after the year 9999: it never expires\n"},
		{"a password that must change is noted", []string{line(sha512, 0, "")}, Hash{"ada", "node1", sha512, false, 0},
			"node1: ada: its password had to be changed at the next login, which is not imported\n"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			h, err := ReadShadow(sources(c.files...), everybody)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.ByName["ada"]; got != c.want {
				t.Errorf("%v, not %v", got, c.want)
			}
			if got := texts(h.Notes); got != c.notes {
				t.Errorf("notes %q\nnot %q", got, c.notes)
			}
		})
	}
}

func TestReadShadowPassesOver(t *testing.T) {
	for _, c := range []struct{ sentence, line, reason string }{
		{"a comment", "# " + sha512, "node1, f1:1: it is a comment\n"},
		{"a line of nss_compat", "+ada:" + sha512 + ":::::::", "node1, f1:1: it is a line of nss_compat, for the entries of another service\n"},
		{"a malformed line", "ada:" + sha512, "node1, f1:1: it has 2 fields, not 9\n"},
		{"a hash in place of the name", sha512 + "::::::::", "node1, f1:1: its name (not shown) is no name here\n"},
		{"a hash in place of the expiry", "ada:*::::::" + sha512 + ":", "node1, f1:1: ada: its expiry is no day\n"},
		{"who is no account here", "root:" + sha512 + ":::::::", "node1, f1:1: root: there is no such account\n"},
		{"the second of two lines", "ada:*:::::::\nada:" + sha512 + ":::::::", "node1, f1:2: ada: an earlier line has the same name, and that one counts\n"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			h, err := ReadShadow(sources(c.line), func(name string) bool { return name == "ada" })
			if err != nil {
				t.Fatal(err)
			}
			if got := texts(h.Skipped); got != c.reason {
				t.Errorf("skipped %q, not %q", got, c.reason)
			}
			if h.ByName["ada"].Hash != "" || len(h.ByName) > 1 {
				t.Errorf("read %v", h)
			}
		})
	}
}
