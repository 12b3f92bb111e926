package syncer

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"pwb/roster"
)

// FuzzMerge: whatever mirror and delta are, merging them does not panic, and
// what it accepts from a mirror that is whole adds up, ascends, and is the
// mirror with the delta's rows over it.
func FuzzMerge(f *testing.F) {
	o := town()
	from := o.position()
	before := o.snapshot()
	o.set(account(6), locked(1))
	o.drop(group(1).Key(), member(1, 3).Key())
	delta := o.delta(from)
	f.Add(before, delta)
	f.Add(o.snapshot(), delta)
	f.Add(before, before)
	f.Add([]byte("{}\n"), []byte{})
	f.Add(before[:len(before)-9], delta)
	f.Add(before, delta[:len(delta)/2])
	f.Add(before, swapRows(delta))
	f.Fuzz(func(t *testing.T, mirror, delta []byte) {
		old, err := roster.NewReader(bytes.NewReader(mirror))
		if err != nil {
			return
		}
		d, err := roster.NewReader(wire{bytes.NewReader(delta)})
		if err != nil {
			return
		}
		var sum roster.Sum
		got := map[string]string{}
		last := ""
		for c, err := range merged(old, d) {
			if err != nil {
				if errors.Is(err, ErrMirror) == errors.Is(err, errUnfit) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("whose fault is %v?", err)
				}
				return
			}
			if c.Key <= last {
				t.Fatalf("%s after %s", c.Key, last)
			}
			last = c.Key
			sum.Add(c.Line)
			got[c.Key] = string(c.Line)
		}
		rows, proven := collect(mirror)
		if !proven {
			return // then proving the merged mirror fails, which is a test elsewhere
		}
		if sum != d.Header().To.Sum {
			t.Fatalf("accepted rows that add up to %v, not to %v", sum, d.Header().To.Sum)
		}
		d, err = roster.NewReader(bytes.NewReader(delta))
		must(err)
		for {
			c, err := d.Next()
			if err != nil {
				break
			}
			delete(rows, c.Key)
			if c.Line != nil {
				rows[c.Key] = string(c.Line)
			}
		}
		if !maps.Equal(rows, got) {
			t.Fatalf("merged %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(rows)))
		}
	})
}

// FuzzMergeRows: of streams that are well formed, with rows of any content, the
// right sum is accepted and gives the right roster, and no other sum is.
func FuzzMergeRows(f *testing.F) {
	lines := func(changes ...[]byte) []byte { return bytes.Join(changes, []byte("\n")) }
	f.Add(lines(account(1).Line(), account(2).Line(), group(1).Line()), lines(locked(1).Line(), roster.GoneLine(account(2).Key())), byte(0))
	f.Add(lines(account(1).Line()), lines(account(1).Line(), account(3).Line()), byte(1))
	f.Add([]byte{}, lines(roster.GoneLine(account(2).Key())), byte(0))
	f.Fuzz(func(t *testing.T, mirror, delta []byte, wrong byte) {
		before, news := parse(mirror), parse(delta)
		maps.DeleteFunc(before, func(_ string, line []byte) bool { return line == nil })
		after := maps.Clone(before)
		for k, line := range news {
			delete(after, k)
			if line != nil {
				after[k] = line
			}
		}
		from, to := roster.Position{Epoch: "e", Seq: 1}, roster.Position{Epoch: "e", Seq: 2}
		for _, line := range before {
			from.Sum.Add(line)
		}
		for _, line := range after {
			to.Sum.Add(line)
		}
		to.Sum[31] ^= wrong
		old, err := roster.NewReader(bytes.NewReader(write(nil, from, before)))
		must(err)
		d, err := roster.NewReader(bytes.NewReader(write(&from, to, news)))
		must(err)
		got := map[string][]byte{}
		for c, err := range merged(old, d) {
			if err != nil {
				if wrong == 0 || !errors.Is(err, errUnfit) {
					t.Fatal(err)
				}
				return
			}
			got[c.Key] = bytes.Clone(c.Line)
		}
		if wrong != 0 {
			t.Fatal("a wrong sum was accepted")
		}
		if !maps.EqualFunc(got, after, bytes.Equal) {
			t.Fatalf("merged %q, want %q", got, after)
		}
	})
}

// parse takes the lines that are changes, by key.
func parse(text []byte) map[string][]byte {
	rows := map[string][]byte{}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if c, err := roster.ParseChange(line); err == nil && len(line) < roster.MaxLine {
			rows[c.Key] = c.Line
		}
	}
	return rows
}

// collect reads a snapshot and reports whether it is proven.
func collect(stream []byte) (rows map[string]string, proven bool) {
	r, err := roster.NewReader(bytes.NewReader(stream))
	if err != nil || r.Header().From != nil {
		return nil, false
	}
	rows = map[string]string{}
	for c, err := range whole(r) {
		if err != nil {
			return nil, false
		}
		rows[c.Key] = string(c.Line)
	}
	return rows, true
}
