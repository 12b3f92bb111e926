package altfiles

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
)

func TestAlteredTellsWhatSomebodyElseDid(t *testing.T) {
	rows := []roster.Row{account("u1", "ada", 5001), account("u2", "bob", 5002)}
	grown := append(slices.Clone(rows), account("u3", "carl", 5003))
	for _, c := range []struct {
		name string
		do   func(path string) error // with shadow
		rows []roster.Row            // that come then
		want string                  // of shadow; empty for nothing
	}{
		{"nothing", func(string) error { return nil }, rows, ""},
		{"nothing, but the roster grew", func(string) error { return nil }, grown, ""},
		{"touched, and the roster grew", func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, data, 0o600)
		}, grown, ""},
		{"removed", os.Remove, rows, "is gone"},
		{"removed, and the roster grew", os.Remove, grown, "is gone"},
		{"cut", func(path string) error { return os.Truncate(path, 0) }, rows, "has 0 bytes in place of"},
		{"edited to the same length", func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.Replace(string(data), "bob", "eve", 1)), 0o600)
		}, grown, "holds something else"},
		{"opened to all", func(path string) error { return os.Chmod(path, 0o644) }, rows, "has mode 0644"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRenderer(t, scratch(t))
			commit(t, r, rows)
			if err := c.do(filepath.Join(r.cfg.Dir, shadowName)); err != nil {
				t.Fatal(err)
			}
			p := plan(t, r, c.rows)
			got, err := p.Altered()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("altered: %v", got)
			case c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], filepath.Join(r.cfg.Dir, shadowName)+" "+c.want)):
				t.Errorf("altered: %v, want one that %s", got, c.want)
			}
			if err := p.Commit(roster.Position{}); err != nil {
				t.Fatal(err)
			}
			if got, err := plan(t, r, c.rows).Altered(); err != nil || len(got) > 0 {
				t.Errorf("altered after a commit: %v, %v", got, err)
			}
		})
	}
}

func TestAFirstRenderMeetsNothingAltered(t *testing.T) {
	r := newRenderer(t, scratch(t))
	if err := os.WriteFile(filepath.Join(r.cfg.Dir, passwdName), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := plan(t, r, []roster.Row{account("u1", "ada", 5001)}).Altered()
	if err != nil || len(got) > 0 {
		t.Errorf("altered: %v, %v", got, err)
	}
}
