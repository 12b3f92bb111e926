package syncer

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

// Whatever happens at the server, on the way and to the mirror: a pass that
// succeeds leaves the node with the server's roster, one that fails leaves
// everything as it was, and the mirror's rows always add up to its sum.
func TestANodeHoldsTheServersRosterOrWhatItHeldBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "syncer-")
		must(err)
		defer os.RemoveAll(dir)
		sink := &files{path: filepath.Join(dir, "rendered")}
		o := newOrigin("e0")
		s, err := New(Config{StateDir: filepath.Join(dir, "state"), Fuse: Fuse{Count: 1000}}, o, sink)
		must(err)
		mirror := filepath.Join(dir, "state", mirrorFile)
		read := func(path string) []byte { b, _ := os.ReadFile(path); return b }

		people := rapid.IntRange(0, 12)
		epochs := 0
		t.Repeat(map[string]func(*rapid.T){
			"the server changes rows": func(t *rapid.T) {
				o.change(func() {
					for range rapid.IntRange(1, 6).Draw(t, "rows") {
						a, g := people.Draw(t, "account"), people.Draw(t, "group")%3
						row := rapid.SampledFrom([]roster.Row{account(a), locked(a), group(g), member(g, a)}).Draw(t, "row")
						if rapid.Bool().Draw(t, "gone") {
							o.put(row.Key(), nil)
						} else {
							o.put(row.Key(), row.Line())
						}
					}
				})
			},
			"the server forgets old positions": func(*rapid.T) {
				clear(o.past)
				o.past[o.pos] = maps.Clone(o.rows)
			},
			"the server is restored": func(*rapid.T) {
				epochs++
				o.pos.Epoch = "e" + string(rune('0'+epochs%10))
				clear(o.past)
				o.change(func() {})
			},
			"the mirror is damaged": func(t *rapid.T) {
				if b := read(mirror); len(b) > 0 {
					at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
					if rapid.Bool().Draw(t, "cut") {
						b = b[:at]
					} else {
						b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
					}
					must(os.WriteFile(mirror, b, 0o600))
				}
			},
			"answers are damaged": func(t *rapid.T) {
				m, r := read(mirror), read(sink.path)
				at, cut := rapid.IntRange(0, 1<<16).Draw(t, "at"), rapid.Bool().Draw(t, "cut")
				o.fault = func(kind string) (io.ReadCloser, error, bool) {
					b := o.snapshot()
					if kind == "changes" {
						pos, _ := mirrorPosition(filepath.Dir(mirror))
						if o.past[pos] == nil || pos == o.pos {
							return nil, nil, false
						}
						b = o.delta(pos)
					}
					if b = bytes.Clone(b); cut {
						b = b[:at%len(b)]
					} else {
						b[at%len(b)] ^= 1
					}
					return io.NopCloser(bytes.NewReader(b)), nil, true
				}
				_, err := s.Once(t.Context())
				o.fault = nil
				if err == nil { // nothing was asked for that could be damaged
					return
				}
				if !bytes.Equal(m, read(mirror)) || !bytes.Equal(r, read(sink.path)) {
					t.Fatalf("a failed pass changed files: %v", err)
				}
			},
			"a pass": func(t *rapid.T) {
				res, err := s.Once(t.Context())
				m, r := read(mirror), read(sink.path)
				// Not byte for byte: damage such as "TO" for "to" does none.
				rows, proven := collect(m)
				want, _ := collect(o.snapshot())
				if !proven || !maps.Equal(rows, want) || res.Position != o.pos {
					t.Fatalf("the mirror is not the server's roster: %v\n%s", err, m)
				}
				if errors.Is(err, ErrFuse) {
					if len(accounts(o)) > 0 || len(r) == 0 {
						t.Fatal(err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				plan, err := sink.Plan(func(yield func(roster.Row, error) bool) {
					for _, k := range slices.Sorted(maps.Keys(o.rows)) {
						row, err := roster.Change{Key: k, Line: o.rows[k]}.Row()
						if !yield(row, err) {
							return
						}
					}
				})
				must(err)
				if plan.Changed() {
					t.Fatal("the rendered file is not the server's roster")
				}
			},
		})
	})
}

func accounts(o *origin) (keys []string) {
	for k := range o.rows {
		if k[0] == 'a' {
			keys = append(keys, k)
		}
	}
	return keys
}
