package roster_test

import (
	"testing"

	"pwb/roster"
)

func TestLocalEntriesAreReadAsGenerouslyAsTheCLibraryDoes(t *testing.T) {
	for line, want := range map[string]struct {
		name string
		uid  uint32
		has  bool
	}{
		"ada:x:1500:1500:Ada, of: all:/home/ada:/bin/sh\n": {"ada", 1500, true},
		"  ada:x: 1500 ":    {"ada", 1500, true},
		"ada:x":             {"ada", 0, false},
		"ada:x::1500":       {"ada", 0, false},
		"ada:x:-1:5":        {"ada", 0, false},
		"ada:x:4294967296:": {"ada", 0, false},
		"ada:x:15 00":       {"ada", 0, false},
		"ada":               {},
		":x:1500":           {},
		"#ada:x:1500":       {},
		"+ada:x:1500":       {},
		"-:x:1500":          {},
		" \n":               {},
		"":                  {},
	} {
		fields, ok := roster.LocalEntry([]byte(line))
		if ok != (want.name != "") || ok && string(fields[0]) != want.name {
			t.Errorf("%q is %q, %v", line, fields, ok)
			continue
		}
		if uid, has := roster.LocalID(fields, 2); uid != want.uid && has || has != want.has {
			t.Errorf("%q has the uid %d, %v", line, uid, has)
		}
	}
}
