package syncer

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryFaultHasATestThatShowsIt reads the table of faults in DESIGN.md.
func TestEveryFaultHasATestThatShowsIt(t *testing.T) {
	design, err := os.ReadFile("DESIGN.md")
	must(err)
	_, table, _ := strings.Cut(string(design), "\n## Faults\n")
	table, _, _ = strings.Cut(table, "\n## ")
	tests := map[string]bool{}
	for prefix, dir := range map[string]string{"": ".", "altfiles.": "../altfiles", "scimserver.": "../scimserver", "e2e.": "../cmd/e2e"} {
		files, err := filepath.Glob(dir + "/*_test.go")
		must(err)
		for _, file := range files {
			code, err := os.ReadFile(file)
			must(err)
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(string(code), -1) {
				tests[prefix+m[1]] = true
			}
		}
	}
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 3 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| fault |") {
			continue
		}
		rows++
		shown := regexp.MustCompile("`([a-z0-9.]*Test\\w+)`").FindAllStringSubmatch(cells[2], -1)
		if len(shown) == 0 || strings.TrimSpace(cells[1]) == "" {
			t.Errorf("nothing shows what a node does at:%s", cells[0])
		}
		for _, m := range shown {
			if !tests[m[1]] {
				t.Errorf("there is no test %s, to show what a node does at:%s", m[1], cells[0])
			}
		}
	}
	if rows < 20 {
		t.Errorf("the table has %d rows: it is not read as it is written", rows)
	}
}
