package altfiles

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

// TestEveryGenerationThatIsListedComesBack commits, restores, edits and breaks at
// random.
func TestEveryGenerationThatIsListedComesBack(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		// Each check makes dozens of commits; the command line asks for more.
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
		if err := checks.Value.Set("25"); err != nil {
			t.Fatal(err)
		}
	}
	base := scratch(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
		r, err := New(Config{
			Dir: filepath.Join(dir, "lib"), StateDir: filepath.Join(dir, "state"), KeepGenerations: 3,
			PasswdFile: "testdata/etc/passwd", GroupFile: "testdata/etc/group",
		})
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		bytesOf := func() (all [3]string) {
			for i, name := range []string{shadowName, groupName, passwdName} {
				data, _ := os.ReadFile(filepath.Join(r.cfg.Dir, name))
				all[i] = string(data)
			}
			return all
		}
		// shares says that a generation has a file that is, or was, in place alone: an
		// edit there is the end of it.
		shares := func(number int64) bool {
			m, err := r.manifest()
			if err != nil {
				return false
			}
			for _, now := range []*generation{m.Memory.find(m.Memory.InPlace), m.Memory.Next} {
				for name, c := range m.Memory.find(number).Files {
					if now != nil && now.Files[name] == c {
						return true
					}
				}
			}
			return false
		}
		first, err := r.Plan(each(crowd(1)))
		if err == nil {
			err = first.Commit(at(1))
		}
		if err != nil {
			t.Fatal(err)
		}
		known := map[int64][3]string{}
		draw := rapid.IntRange(1, 5)
		t.Repeat(map[string]func(*rapid.T){
			"a roster is rendered": func(t *rapid.T) {
				p, err := r.Plan(each(crowd(draw.Draw(t, "accounts"))))
				if err == nil {
					err = p.Commit(at(1))
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			"a step fails": func(t *rapid.T) {
				p, err := r.Plan(each(crowd(draw.Draw(t, "accounts"))))
				if err != nil {
					t.Fatal(err)
				}
				breakStep(r, rapid.IntRange(0, 60).Draw(t, "step"), rapid.SampledFrom([]fault{fails, applied}).Draw(t, "fault"))
				_ = p.Commit(at(1))
				r.step = runStep
			},
			"somebody edits a file": func(t *rapid.T) {
				path := filepath.Join(r.cfg.Dir, rapid.SampledFrom([]string{shadowName, groupName, passwdName}).Draw(t, "file"))
				if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
					data[0] = 'U'
					if err := os.WriteFile(path, data, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			},
			"": func(t *rapid.T) {
				all, err := r.Generations()
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range all {
					p, err := r.PlanGeneration(g.Number)
					if errors.As(err, new(*DamagedError)) && shares(g.Number) {
						continue
					}
					if err != nil {
						t.Fatalf("generation %d: %v", g.Number, err)
					}
					var data [3]string
					for i, f := range p.files {
						data[i] = string(f.data)
					}
					if was, ok := known[g.Number]; ok && was != data {
						t.Fatalf("generation %d became\n%q\nfrom\n%q", g.Number, data, was)
					}
					known[g.Number] = data
					if g.InPlace && !p.Changed() && bytesOf() != data {
						t.Fatalf("generation %d is not in place", g.Number)
					}
				}
			},
			"one is put back": func(t *rapid.T) {
				all, err := r.Generations()
				if err != nil || len(all) == 0 {
					return
				}
				g := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
				p, err := r.PlanGeneration(g.Number)
				if errors.As(err, new(*DamagedError)) && shares(g.Number) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Commit(roster.Position{}); err != nil {
					t.Fatal(err)
				}
				if was, ok := known[g.Number]; ok && bytesOf() != was {
					t.Fatalf("generation %d was put back as %q, not %q", g.Number, bytesOf(), was)
				}
			},
		})
	})
}
