package main

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pwb/pam"
)

// lines is what a system's log would get.
type lines []string

func (l *lines) Err(s string) error     { *l = append(*l, "err "+s); return nil }
func (l *lines) Warning(s string) error { *l = append(*l, "warning "+s); return nil }
func (l *lines) Info(s string) error    { *l = append(*l, "info "+s); return nil }

func TestWhatWasDecidedIsOneLineOfTheSystemsLog(t *testing.T) {
	var got lines
	log := slog.New(newSyslogHandler(&got))
	said := map[string]string{"PAM_USER": "ada", "PAM_SERVICE": "sshd", "PAM_RHOST": "192.0.2.1\nroot logged in"}
	logged(log, "account", said, nil)
	logged(log, "account", said, &pam.Refusal{Say: "for her alone", Why: "the account is locked"})
	said["PAM_USER"], said["PAM_RHOST"] = "c0rrect-horse!", strings.Repeat("x", 1<<20)
	logged(log, "auth", said, errors.New("input/output error"))
	log.With("uid", 1500).Info("made a home")
	if len(got) != 3 || got[2] != "info msg=\"made a home\" uid=1500\n" || len(got[1]) > 2000 || !strings.HasPrefix(got[1], "err ") {
		t.Fatalf("%q", got)
	}
	if want := `warning msg=refused phase=account user=ada service=sshd host="192.0.2.1\nroot logged in" why="the account is locked"` + "\n"; got[0] != want {
		t.Errorf("%q", got[0])
	}
	if slices.ContainsFunc(got, func(s string) bool {
		return strings.Count(s, "\n") != 1 || strings.Contains(s, "for her alone") || strings.Contains(s, "horse")
	}) {
		t.Errorf("%q", got)
	}
}
