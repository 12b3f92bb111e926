package main

import (
	"testing"
	"time"
)

func TestAuditCommand(t *testing.T) {
	s := newTranscript(t, "audit")
	s.run("token create provider --scope scim")
	s.run("user add ada@acme.example --display-name 'Ada Lovelace'")
	s.run("group add Compilers")
	s.run("user lock ada")
	s.both("audit")
	s.both("audit --user ada")
	s.run("audit --user compilers")
	s.run("audit --last 1")
	s.run("audit --since 1h --last 2")
	s.run("audit --since 7d --until 2001-02-03")
	s.run("audit --until '2001-02-03 04:05' --json")
	s.run("audit --user nobody-here")
	s.run("audit --since yesterday")
	s.run("audit --until -3h")
	s.run("audit --last 0")
}

func TestTimesAreReadAsMomentsAndAges(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		"2026-03-01 10:30":          time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC),
		"2026-03-01T10:30:05+02:00": time.Date(2026, 3, 1, 8, 30, 5, 0, time.UTC),
		"90m":                       now.Add(-90 * time.Minute),
		"7d":                        now.Add(-7 * 24 * time.Hour),
	} {
		got, err := parseTimeOrAge("since", text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
}
