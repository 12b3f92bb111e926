package roster_test

import (
	"testing"

	"pwb/roster"
)

func TestProtected(t *testing.T) {
	for _, c := range []struct {
		sentence, name string
		protected      bool
	}{
		{"root is protected", "root", true},
		{"a group that gives root's rights is protected", "docker", true},
		{"an administrator's group of either family is protected", "wheel", true},
		{"a service account is protected, installed or not", "postgres", true},
		{"whatever begins like systemd's own is protected", "systemd-anything", true},
		{"our own accounts are protected", "pwb-agent", true},
		{"a person's name is free", "ada", false},
		{"a name that begins like a protected one is free", "rooted", false},
		{"what lacks the dash of systemd's kin is free", "systemdx", false},
		{"what is no name is not protected, but refused elsewhere", "", false},
		{"names are compared as they are", "Root", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := roster.Protected(c.name); got != c.protected {
				t.Errorf("Protected(%q) = %v", c.name, got)
			}
		})
	}
}
