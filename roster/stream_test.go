package roster_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"pwb/roster"
)

// write makes a stream of the changes.
func write(from *roster.Position, to roster.Position, changes ...roster.Change) ([]byte, error) {
	var b bytes.Buffer
	w, err := roster.NewWriter(&b, from, to)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if err := w.Write(c); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

// read reads a stream to its end, copying what the reader reuses.
func read(r io.Reader) (h roster.Header, changes []roster.Change, err error) {
	sr, err := roster.NewReader(r)
	if err != nil {
		return h, nil, err
	}
	for {
		c, err := sr.Next()
		if err == io.EOF {
			return sr.Header(), changes, nil
		}
		if err != nil {
			return sr.Header(), changes, err
		}
		c.Line = bytes.Clone(c.Line)
		changes = append(changes, c)
	}
}

// someChanges draws changes in the order of their keys.
func someChanges(gone bool) *rapid.Generator[[]roster.Change] {
	return rapid.Custom(func(t *rapid.T) []roster.Change {
		all := map[string]roster.Change{}
		for _, r := range rapid.SliceOfN(row(), 0, 12).Draw(t, "rows") {
			c := roster.Change{Key: r.Key(), Line: r.Line()}
			if gone && rapid.Bool().Draw(t, "gone") {
				c.Line = nil
			}
			all[c.Key] = c
		}
		var out []roster.Change
		for _, key := range slices.Sorted(maps.Keys(all)) {
			out = append(out, all[key])
		}
		return out
	})
}

func TestStreamsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		to := position().Draw(t, "to")
		var from *roster.Position
		if rapid.Bool().Draw(t, "delta") {
			p := roster.Position{Epoch: to.Epoch, Seq: rapid.Int64Range(0, to.Seq).Draw(t, "from"), Sum: sum().Draw(t, "from sum")}
			from = &p
		}
		changes := someChanges(from != nil).Draw(t, "changes")
		stream, err := write(from, to, changes...)
		if err != nil {
			t.Fatal(err)
		}
		h, back, err := read(iotest.OneByteReader(bytes.NewReader(stream)))
		if err != nil {
			t.Fatal(err)
		}
		if h.To != to || (h.From == nil) != (from == nil) || from != nil && *h.From != *from {
			t.Fatalf("header %+v, want from %v to %v", h, from, to)
		}
		if !slices.EqualFunc(changes, back, func(a, b roster.Change) bool {
			return a.Key == b.Key && bytes.Equal(a.Line, b.Line) && (a.Line == nil) == (b.Line == nil)
		}) {
			t.Fatalf("%d changes came back as %d others", len(changes), len(back))
		}
	})
}

var (
	from = roster.Position{Epoch: "e", Seq: 3, Sum: roster.Sum{1}}
	to   = roster.Position{Epoch: "e", Seq: 7, Sum: roster.Sum{2}}
	ada  = roster.Row{Account: &roster.Account{ID: "u1", Name: "ada", UID: 1000, GID: 1000, Home: "/home/ada", Shell: "/bin/sh"}}
	eng  = roster.Row{Group: &roster.Group{ID: "g1", Name: "eng", GID: 1001}}
)

func present(r roster.Row) roster.Change { return roster.Change{Key: r.Key(), Line: r.Line()} }

func TestAStreamThatIsCutAnywhereIsNotTaken(t *testing.T) {
	for _, from := range []*roster.Position{nil, &from} {
		changes := []roster.Change{present(ada), present(eng)}
		if from != nil {
			changes = append(changes, roster.Change{Key: roster.MemberKey("g1", "u1")})
		}
		stream, err := write(from, to, changes...)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(stream) {
			if _, _, err := read(bytes.NewReader(stream[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut after byte %d of %d: %v", n, len(stream), err)
			}
		}
		if _, got, err := read(bytes.NewReader(stream)); err != nil || len(got) != len(changes) {
			t.Errorf("the whole stream has %d changes, %v", len(got), err)
		}
	}
}

func TestAStreamFromWhichAnyLineIsMissingIsNotTaken(t *testing.T) {
	stream, err := write(nil, to, present(ada), present(eng))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(stream, []byte("\n"))
	for i := range len(lines) - 1 {
		cut := bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)
		if _, _, err := read(bytes.NewReader(cut)); err == nil {
			t.Errorf("the stream was taken without line %d", i)
		}
	}
}

func TestStreamsThatAreRefused(t *testing.T) {
	const (
		head  = `{"pwb":1,"to":{"epoch":"e","seq":7,"sum":"` + zeroSum + `"}}` + "\n"
		delta = `{"pwb":1,"from":{"epoch":"e","seq":3,"sum":"` + zeroSum + `"},"to":{"epoch":"e","seq":7,"sum":"` + zeroSum + `"}}` + "\n"
		tail  = `{"end":{"epoch":"e","seq":7,"sum":"` + zeroSum + `"},"rows":%d}` + "\n"
	)
	end := func(n int) string { return fmt.Sprintf(tail, n) }
	for _, c := range []struct{ sentence, stream, why string }{
		{"nothing at all", "", "unexpected EOF"},
		{"an HTML page", "<!DOCTYPE html>\n<p>Sign in\n", "header"},
		{"an empty object", "{}\n", "version 0"},
		{"a later version", strings.Replace(head, `"pwb":1`, `"pwb":2`, 1) + end(0), "version 2"},
		{"no epoch", strings.Replace(head, `"epoch":"e"`, `"epoch":""`, 1), "epoch"},
		{"an epoch that is no id", strings.Replace(head, `"epoch":"e"`, `"epoch":"e/e"`, 1), "epoch"},
		{"a negative number", strings.Replace(head, `"seq":7`, `"seq":-7`, 1), "no way forward"},
		{"a delta from another epoch", strings.Replace(delta, `"epoch":"e"`, `"epoch":"f"`, 1), "no way forward"},
		{"a delta that leads back", strings.Replace(delta, `"seq":3`, `"seq":8`, 1), "no way forward"},
		{"no digest in the header", `{"pwb":1,"to":{"epoch":"e","seq":7,"sum":""}}` + "\n", "digest"},
		{"a trailer without a position", head + `{"rows":0}` + "\n", "no position"},
		{"a trailer of another position", head + strings.Replace(end(0), `"seq":7`, `"seq":8`, 1), "says position"},
		{"a trailer of another digest", head + strings.Replace(end(0), `"sum":"0`, `"sum":"1`, 1), "says position"},
		{"a trailer that counts too many", head + end(1), "counts 1 rows, 0 came"},
		{"a trailer that counts too few", head + `["a/u1",{}]` + "\n" + end(0), "counts 0 rows, 1 came"},
		{"a trailer that is not JSON", head + "{end\n", "trailer"},
		{"something after the trailer", head + end(0) + "x", "after the stream's trailer"},
		{"a second stream after the first", head + end(0) + head + end(0), "after the stream's trailer"},
		{"keys that descend", head + `["a/u2",{}]` + "\n" + `["a/u1",{}]` + "\n" + end(2), "does not come after"},
		{"a key that comes twice", head + `["a/u1",{}]` + "\n" + `["a/u1",{}]` + "\n" + end(2), "does not come after"},
		{"a row that is gone from a snapshot", head + `["a/u1",null]` + "\n" + end(1), "snapshot cannot say"},
		{"an empty line", head + "\n" + end(0), "does not begin with a key"},
		{"a line that is no change", head + `["x"]` + "\n" + end(1), "stream after row"},
		{"a line over the limit", head + `["a/u1",{"name":"` + strings.Repeat("x", roster.MaxLine) + `"}]` + "\n" + end(1), "more than 65536 bytes"},
		{"a line that never ends", head + strings.Repeat("x", roster.MaxLine+1), "more than 65536 bytes"},
	} {
		t.Run(c.sentence+" is refused", func(t *testing.T) {
			_, _, err := read(strings.NewReader(c.stream))
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("error %v does not say %q", err, c.why)
			}
		})
	}
	if _, _, err := read(strings.NewReader(delta + `["a/u1",null]` + "\n" + end(1))); err != nil {
		t.Errorf("a row that is gone from a delta: %v", err)
	}
}

func TestTheLongestLineAWriterTakesAReaderTakes(t *testing.T) {
	long := roster.Row{Account: &roster.Account{ID: "u1"}}
	long.Account.Gecos = strings.Repeat("x", roster.MaxLine-1-len(long.Line())-len(`"gecos":"",`))
	if n := len(long.Line()); n != roster.MaxLine-1 {
		t.Fatalf("the line has %d bytes", n)
	}
	stream, err := write(nil, to, present(long))
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := read(bytes.NewReader(stream)); err != nil || len(got) != 1 || !bytes.Equal(got[0].Line, long.Line()) {
		t.Errorf("read %d changes, %v", len(got), err)
	}
	long.Account.Gecos += "x"
	if _, err := write(nil, to, present(long)); err == nil {
		t.Error("the writer takes a line that no reader takes")
	}
}

func TestWriterRefusesKeysOutOfOrder(t *testing.T) {
	for sentence, changes := range map[string][]roster.Change{
		"descending":  {present(eng), present(ada)},
		"twice":       {present(ada), present(ada)},
		"without key": {{}},
	} {
		if _, err := write(nil, to, changes...); err == nil {
			t.Errorf("%s: taken", sentence)
		}
	}
}

func TestStreamsPassOnTheErrorsBelowThem(t *testing.T) {
	broken := errors.New("broken pipe")
	stream, err := write(&from, to, present(ada), roster.Change{Key: "g/g1"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(stream) {
		w := &failAfter{n: n, err: broken}
		sw, err := roster.NewWriter(w, &from, to)
		if err == nil {
			err = errors.Join(sw.Write(present(ada)), sw.Write(roster.Change{Key: "g/g1"}), sw.Close())
		}
		if !errors.Is(err, broken) {
			t.Fatalf("writer failed after %d bytes, error %v", n, err)
		}
		_, _, err = read(io.MultiReader(bytes.NewReader(stream[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Fatalf("reader failed after %d bytes, error %v", n, err)
		}
	}
	// Even what fails after the trailer is not a whole stream.
	if _, _, err := read(io.MultiReader(bytes.NewReader(stream), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("failure after the trailer: %v", err)
	}
}

type failAfter struct {
	n   int
	err error
}

func (f *failAfter) Write(p []byte) (int, error) {
	if len(p) > f.n {
		n := f.n
		f.n = 0
		return n, f.err
	}
	f.n -= len(p)
	return len(p), nil
}

func TestNextAfterTheEndIsStillTheEnd(t *testing.T) {
	stream, err := write(nil, to)
	if err != nil {
		t.Fatal(err)
	}
	r, err := roster.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("Next at the end: %v", err)
		}
	}
}

func TestALongStreamIsReadHoweverItComes(t *testing.T) {
	var changes []roster.Change
	for i := range 2000 {
		a := *ada.Account
		a.ID = fmt.Sprintf("u%05d", i)
		a.Gecos = strings.Repeat("x", i%300)
		changes = append(changes, present(roster.Row{Account: &a}))
	}
	stream, err := write(nil, to, changes...)
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b roster.Change) bool { return a.Key == b.Key && bytes.Equal(a.Line, b.Line) }
	for name, r := range map[string]io.Reader{
		"at once":        bytes.NewReader(stream),
		"byte by byte":   iotest.OneByteReader(bytes.NewReader(stream)),
		"half by half":   iotest.HalfReader(bytes.NewReader(stream)),
		"end with bytes": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		if _, got, err := read(r); err != nil || !slices.EqualFunc(got, changes, same) {
			t.Errorf("%s: %d changes, %v", name, len(got), err)
		}
	}
}
