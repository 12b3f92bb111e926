package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"pwb/cmd/settings"
)

var update = flag.Bool("update", false, "write the table of keys into the README")

func TestREADMEHasEveryKey(t *testing.T) {
	const file = "../../README.md"
	cmd := runCommand()
	begin, end := "<!-- keys of pwb-agent -->\n", "<!-- end of keys -->\n"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no section between %q and %q", file, begin, end)
	}
	want := settings.Table(cmd.Flags())
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("the table of keys in %s is not that of the flags; go test ./cmd/pwb-agent -update writes it:\n%s", file, want)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
