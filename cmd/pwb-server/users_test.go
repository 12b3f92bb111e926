package main

import (
	"os"
	"strings"
	"testing"

	"pwb/scimserver/scim"
)

func TestUserCommands(t *testing.T) {
	s := newTranscript(t, "users")
	s.run("token create provider --scope scim")
	s.both("user list")
	s.run("user add ada@acme.example --display-name 'Ada Lovelace' --external-id okta-1 --admin")
	s.run("user add grace@acme.example --name hopper --uid 5000 --gid 5000 --home /srv/home/grace --shell /bin/sh --json")
	s.file("password", "c0bol-1959\n", 0o600)
	s.run("user add jean@acme.example --password-file password")
	s.both("user list")
	s.both("user list --state inactive")
	for _, key := range []string{"ada", "5000", "jean@acme.example"} {
		s.run("user show " + key)
	}
	s.run("user show ada --json")
	s.both("user lock ada")
	s.run("user list --state held")
	s.both("user unlock ada")
	s.both("user set-admin jean true")
	s.both("user set-admin jean false")
	s.run("user renumber ada")
	s.run("user renumber ada 7000 --json")
	s.run("user renumber ada --gid 7100")
	s.run("user renumber ada 7000")
	s.remark("a group of one's own goes along, one of others does not")
	s.run("user renumber ada --gid 7200")
	s.run("group add Compilers --gid 6000 --json")
	s.run("user renumber hopper --gid 6000")
	s.run("user renumber hopper --gid 6100")
	s.both("user delete jean")
	s.both("user readmit jean")
	s.run("user readmit jean --user-name jean.bartik@acme.example")
	s.run("user list")
	s.run("user list --state departed --json")
}

func TestUnlockSaysWhatElseKeepsAUserLocked(t *testing.T) {
	s := newTranscript(t, "users-unlock")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example")
	s.asProvider("/Users", "ada@acme.example", map[string]any{"active": false})
	s.run("user lock ada")
	s.both("user unlock ada")
	s.asProvider("/Users", "ada@acme.example", map[string]any{"active": true, scim.PosixUserURN: map[string]any{"endDate": "2001-02-03T04:05:06Z"}})
	s.both("user unlock ada")
}

func TestUnbindForgetsWhoAUserIsElsewhere(t *testing.T) {
	s := newTranscript(t, "users-unbind")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example")
	s.run("user unbind ada")
	s.signIn("https://id.example", "00u1", "ada@acme.example")
	s.both("user show ada")
	s.run("user unbind ada")
	s.run("user show ada")
}

func TestUserCommandsSayWhatIsWrong(t *testing.T) {
	s := newTranscript(t, "users-wrong")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example --uid 5000")
	s.remark("names")
	s.run("user show nobody-here")
	s.run("user lock nobody-here --json")
	s.run("user add ada@acme.example")
	s.run("user add ada2@acme.example --name ada")
	s.run("user add ada2@acme.example --name service")
	s.run("user add ada2@acme.example --name 'Bad Name'")
	s.run("user add ada2@acme.example --name wheel")
	s.run("user add root")
	s.run("user add ''")
	s.run("user add ada2@acme.example --name ''")
	s.remark("numbers")
	s.run("user add ada2@acme.example --uid 5000")
	s.run("user add ada2@acme.example --uid 1200")
	s.run("user add ada2@acme.example --uid 999")
	s.run("user add ada2@acme.example --uid 0")
	s.run("user add ada2@acme.example --uid 65000")
	s.run("user add ada2@acme.example --uid 4000000000")
	s.run("user add ada2@acme.example --uid many")
	s.run("user add ada2@acme.example --gid 5000")
	s.run("user renumber ada 1200")
	s.run("user renumber ada 65000")
	s.run("user renumber ada none")
	s.run("user renumber ada --gid 0")
	s.run("user renumber nobody-here")
	s.remark("homes and shells")
	s.run("user add ada2@acme.example --home home/ada2")
	s.run("user add ada2@acme.example --home /")
	s.run("user add ada2@acme.example --shell sh")
	s.remark("passwords")
	s.file("password", "secret\n", 0o644)
	s.run("user add ada2@acme.example --password-file password")
	s.run("user add ada2@acme.example --password-file absent")
	s.file("empty", "\nsecret\n", 0o600)
	s.run("user add ada2@acme.example --password-file empty")
	s.file("long", strings.Repeat("x", 600), 0o600)
	s.run("user add ada2@acme.example --password-file long")
	s.remark("states")
	s.run("user list --state asleep")
	s.run("user set-admin ada maybe")
	s.run("user readmit ada")
	s.run("user delete ada")
	s.run("user delete ada")
	s.run("user unlock ada")
	s.run("user set-admin ada true")
	s.remark("the command line")
	s.run("user lst")
	s.run("user show")
	s.run("user show ada grace")
	s.run("user show ada --no-such-flag")
	s.run("nothing-like-that")
}

func TestPasswordIsReadFromAPipe(t *testing.T) {
	s := newTranscript(t, "users-password")
	s.run("token create provider --scope scim")
	stdin(t, "secret\nand more\n")
	s.run("user add ada@acme.example --password-file -")
	stdin(t, "")
	s.run("user add grace@acme.example --password-file -")
}

// stdin gives the commands a pipe with the text as standard input.
func stdin(t *testing.T, text string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = r
	t.Cleanup(func() {
		os.Stdin = was
		r.Close()
	})
}
