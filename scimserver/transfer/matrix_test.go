package transfer

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMatrixIsAsItWas(t *testing.T) {
	owners := ledger{"ada": {1000, 1000}, "carol": {1009, 1009}, "devs": {0, 3000}, "eve": {1500, 1500}}
	matrices := map[string]interface{ WriteMatrix(io.Writer) error }{
		"clean.golden": plan(t, owners, "", user("zoe", 2000)+user("ada", 1000)),
		"accounts.golden": plan(t, owners, "renumber dave 1000\nrenumber kim new",
			"# node 1\n"+user("ada", 1000)+user("bob", 1001)+user("carol", 1002)+user("devs", 1003)+user("frank", 1006),
			user("bob", 1005)+user("dave", 1004)+userIn("ivan", 1007, 1006)+"kim:x:1008:1008::/srv/people/kim:/bin/sh\n",
			user("bob", 1001)+userIn("judy", 1010, 1500)+user("kim", 1011)+user("mallory-with-a-long-name", 1006)),
		"groups.golden": planGroups(t, owners, "renumber qa 1500",
			"devs:x:3001:ada,bob\nqa:x:3002:\nada:x:1000:\n",
			"qa:x:3002:ada\nlab:x:3003:\n", "lab:x:3004:ada\neve:x:1501:ada\n"),
	}
	for name, m := range matrices {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := m.WriteMatrix(&got); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nnot\n%s", got.Bytes(), want)
			}
			_, rest, _ := strings.Cut(got.String(), "\n\n#")
			for line := range strings.Lines(got.String()) {
				if utf8.RuneCountInString(line) > 101 {
					t.Errorf("a row has more than 100 columns: %s", line)
				}
			}
			// What follows the table but for the counts is a file of decisions.
			if at := strings.LastIndex(rest, "\n\n"); at >= 0 {
				decided := "#" + rest[:at]
				if all, err := ParseDecisions(strings.NewReader(decided)); err != nil || name != "clean.golden" && len(all) == 0 {
					t.Errorf("%d decisions, %v", len(all), err)
				}
			}
		})
	}
}

func TestWriteMatrixFailsWithItsWriter(t *testing.T) {
	r, w := io.Pipe()
	_ = r.CloseWithError(errLedger)
	if err := (Plan{}).WriteMatrix(w); !errors.Is(err, errLedger) {
		t.Errorf("error %v", err)
	}
}
