package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBackupAndRestoreCommands(t *testing.T) {
	s := newTranscript(t, "backup")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example --json")
	s.run("user add grace@acme.example --json")
	s.run("group add Compilers --json")
	s.run("backup store.backup")
	s.run("backup second.backup --json")
	s.run("user lock grace --json")
	s.run("user add late@acme.example --json")
	s.run("restore store.backup --yes")
	s.run("user list")
	s.remark("the next number is far from what was given")
	s.run("user add new@acme.example --json")
	s.run("restore store.backup --yes --margin 0 --json")
	s.run("restore store.backup --yes --data-dir another")
	s.run("user list --data-dir another")
	s.run("ids check")
	s.run("audit --last 1")
}

func TestBackupAndRestoreSayWhatIsWrong(t *testing.T) {
	s := newTranscript(t, "backup-wrong")
	s.run("backup store.backup")
	s.run("restore store.backup --yes")
	s.file("text", "no backup at all\n", 0o600)
	s.run("token create provider --scope scim")
	s.run("restore text --yes")
	s.run("backup text")
	s.run("backup absent/store.backup")
	s.run("backup store.backup")
	stdin(t, "yes\n")
	s.run("restore store.backup")
	s.run("restore store/pwb.db --yes")
	s.run("restore store.backup --margin -1 --yes")
	s.run("user list")
}

func TestCommandsWithoutAStoreSaySo(t *testing.T) {
	s := newTranscript(t, "no-store")
	for _, command := range []string{
		"user list", "user show ada", "user add ada", "user lock ada", "user unlock ada", "user set-admin ada true", "user delete ada",
		"user readmit ada", "user renumber ada", "group list", "group show g", "group add g", "group set-gid g", "ids history ada",
		"ids check", "import passwd server.yaml", "import shadow server.yaml", "import group server.yaml", "export", "backup b",
		"audit", "token list", "token revoke okta",
	} {
		s.run(command)
	}
	if _, err := os.Stat("store"); err == nil {
		t.Error("one of the commands made a store")
	}
	s.run("user list --data-dir elsewhere")
	if err := os.Mkdir("open", 0o755); err != nil {
		t.Fatal(err)
	}
	s.file("open/pwb.db", "", 0o600)
	s.run("user list --data-dir open")
}

func TestRestoreAsksAtATerminal(t *testing.T) {
	s := newTranscript(t, "restore-terminal")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example --json")
	s.run("backup store.backup")
	terminal(t, "no\n")
	s.run("restore store.backup")
	terminal(t, "yes\n")
	s.run("restore store.backup")
	terminal(t, "yes\n")
	s.run("token revoke --all")
	terminal(t, "\x04")
	s.run("restore store.backup --data-dir another")
	terminal(t, "secret\n")
	s.run("user add grace@acme.example --password-file -")
}

// terminal gives the commands a terminal as standard input, at which the text
// was typed.
func terminal(t *testing.T, text string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("NOT TESTED HERE: a terminal cannot be had: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := master.WriteString(text); err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = tty
	t.Cleanup(func() {
		os.Stdin = was
		tty.Close()
	})
}

func TestActorIsWhoCalledSudo(t *testing.T) {
	t.Setenv("SUDO_USER", "ada")
	if got := invoker(); got != "ada" {
		t.Errorf("the actor is %q, want ada", got)
	}
	for _, odd := range []string{"", "two\nlines", strings.Repeat("x", 101), "\x1b[2J"} {
		t.Setenv("SUDO_USER", odd)
		if got := invoker(); got == odd || got == "" {
			t.Errorf("the actor is %q for SUDO_USER %q", got, odd)
		}
	}
}
