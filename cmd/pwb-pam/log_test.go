package main

import (
	"errors"
	"log/slog"
	"log/syslog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestASystemsLogThatTakesNothingKeepsNobodyWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w, err := syslog.Dial("unixgram", path, syslog.LOG_AUTHPRIV, "pwb-pam")
	if err != nil {
		t.Fatal(err)
	}
	h := newSyslogHandler(w)
	// Nobody reads: a few hundred datagrams fill any queue.
	for n := 0; ; n++ {
		err := h.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelInfo, strings.Repeat("x", 4096), 0))
		if errors.Is(err, errLogStuck) {
			break
		}
		if err != nil || n > 100_000 {
			t.Fatalf("after %d lines: %v", n, err)
		}
	}
	if err := h.WithAttrs(nil).Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelError, "one more", 0)); !errors.Is(err, errLogStuck) {
		t.Errorf("it is tried again: %v", err)
	}
}
