package roster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pwb/roster"
)

// FuzzReader: what a reader takes, written again, is read as the same; and no
// cut of it is taken.
func FuzzReader(f *testing.F) {
	for _, s := range []struct {
		from    *roster.Position
		changes []roster.Change
	}{
		{nil, nil},
		{nil, []roster.Change{present(ada), present(eng)}},
		{&from, []roster.Change{{Key: "a/u1"}, present(eng), {Key: "m/g1/u1"}}},
	} {
		stream, err := write(s.from, to, s.changes...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stream)
		f.Add(stream[:len(stream)-1])
		f.Add(append(bytes.Clone(stream), '\n'))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		h, changes, err := read(bytes.NewReader(stream))
		if err != nil {
			return
		}
		again, err := write(h.From, h.To, changes...)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		h2, changes2, err := read(bytes.NewReader(again))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !reflect.DeepEqual(h, h2) || !reflect.DeepEqual(changes, changes2) {
			t.Fatalf("read %v %v, then %v %v", h, changes, h2, changes2)
		}
		for _, n := range []int{len(stream) - 1, len(stream) / 2, 0} {
			if _, _, err := read(bytes.NewReader(stream[:n])); err == nil {
				t.Fatalf("a stream cut after %d of %d bytes was taken", n, len(stream))
			}
		}
	})
}

// FuzzParseChange: a change keeps its line as it came, and a row that it yields
// has a line of its own that yields the same row.
func FuzzParseChange(f *testing.F) {
	for _, line := range [][]byte{ada.Line(), eng.Line(), []byte(`["m/g1/u1",{}]`), roster.GoneLine("a/u1"), []byte(`["a/u1",{"x":1}]`), []byte(`["a/u1",{"aliases":["ada","b"]}]`), []byte(`["a/u1",{"aliases":[]}]`), []byte(`["a/",null]`)} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		c, err := roster.ParseChange(line)
		if err != nil {
			return
		}
		if !bytes.Equal(line, before) {
			t.Fatal("the line was written to")
		}
		if c.Line == nil {
			if !bytes.Equal(roster.GoneLine(c.Key), line) {
				t.Fatalf("%q is read as gone, which is written %q", line, roster.GoneLine(c.Key))
			}
			return
		}
		if !bytes.Equal(c.Line, line) {
			t.Fatalf("%q became %q", line, c.Line)
		}
		r, err := c.Row()
		if err != nil {
			return
		}
		if r.Key() != c.Key {
			t.Fatalf("key %q became %q", c.Key, r.Key())
		}
		own := r.Line()
		c2, err := roster.ParseChange(own)
		if err != nil {
			t.Fatal(err)
		}
		if r2, err := c2.Row(); err != nil || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%q became %q, %v", own, r2.Line(), err)
		}
	})
}

// FuzzDecoder: the value of a row is decoded as encoding/json decodes it, by a
// decoder that was used before too, and fails when that fails.
func FuzzDecoder(f *testing.F) {
	for _, line := range [][]byte{
		ada.Line(), eng.Line(), []byte(`["m/g1/u1",{}]`), []byte(`["m/g1/u1",{"x":1}]`), []byte(`["m/g1/u1",{]`),
		[]byte(`["a/u1",{"name":"b","uid":4294967295,"gid":0,"gecos":"","home":"/h","shell":"/s","hash":"$6$a","locked":true,"expire":-1,"aliases":["b","c"],"keys":["d"]}]`), []byte(`["a/u1",{"keys":[]}]`), []byte(`["a/u1",{"keys":["a"],"keys":null}]`),
		[]byte(`["a/u1",{"uid":4294967296}]`), []byte(`["a/u1",{"uid":01}]`), []byte(`["a/u1",{"uid":1e3}]`), []byte(`["a/u1",{"uid":null,"name":null}]`),
		[]byte(`["a/u1",{"name":"\u00e9","gecos":"é","home":"\"","shell":"a\\"}]`), []byte("[\"a/u1\",{\"name\":\"\xff\x7f\"}]"),
		[]byte(`["a/u1",{"NAME":"b","name":"c","Name":"d"}]`), []byte(`["a/u1",{"aliases":["b"],"aliases":[]}]`), []byte(`["a/u1",{"aliases":["b"],"aliases":["c"]}]`),
		[]byte(`["a/u1",{"locked":false,"locked":true,"expire":9223372036854775807}]`), []byte(`["a/u1",{"name":"b",}]`), []byte(`["a/u1",{"name":"b"}}]`),
		[]byte(`["g/g1",{"name":"b","gid":7,"x":[1,{}]}]`), []byte(`["g/g1",{"name":"b" ,"gid":7}]`), []byte(`["g/g1",{"gid":}]`), []byte(`["g/g1",{"gid":7}x]`),
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := roster.ParseChange(line)
		if err != nil || c.Line == nil {
			return
		}
		value := line[len(`["`)+len(c.Key)+len(`",`) : len(line)-1]
		var want roster.Row
		var into any
		switch parts := strings.Split(c.Key, "/"); c.Key[0] {
		case 'a':
			want.Account = &roster.Account{ID: parts[1]}
			into = want.Account
		case 'g':
			want.Group = &roster.Group{ID: parts[1]}
			into = want.Group
		default:
			want.Member = &roster.Member{GroupID: parts[1], AccountID: parts[2]}
			into = &struct{}{}
		}
		wrong := json.Unmarshal(value, into)
		if wrong == nil && (len(value) == 0 || value[0] != '{') {
			wrong = errors.New("no object")
		}
		if a := want.Account; a != nil && len(a.Keys) == 0 {
			a.Keys = nil
		}
		if a := want.Account; a != nil && len(a.Aliases) == 0 {
			a.Aliases = nil
		}
		var used roster.Decoder
		for _, before := range []string{`["a/x",{"name":"x","uid":1,"gid":2,"gecos":"x","home":"x","shell":"x","hash":"x","locked":true,"expire":3,"aliases":["x"],"keys":["x"]}]`, `["g/x",{"name":"x","gid":1}]`} {
			b, err := roster.ParseChange([]byte(before))
			if err == nil {
				_, err = used.Row(b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, row := range map[string]func() (roster.Row, error){"alone": c.Row, "by a used decoder": func() (roster.Row, error) { return used.Row(c) }} {
			got, err := row()
			if (err != nil) != (wrong != nil) {
				t.Fatalf("%s: %q fails with %v, in encoding/json with %v", name, line, err, wrong)
			}
			if err == nil && !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %q is %s, in encoding/json %s", name, line, got.Line(), want.Line())
			}
		}
	})
}

// FuzzParsePosition: what is taken has one spelling that is read as the same.
func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{to.String(), "e/0/" + zeroSum, "e/+1/" + zeroSum, "//", "a/b/c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := roster.ParsePosition(text)
		if err != nil {
			if len(err.Error()) > 4*len(text)+1000 {
				t.Fatalf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		if back, err := roster.ParsePosition(p.String()); err != nil || back != p {
			t.Fatalf("%q is %v, and that %v, %v", text, p, back, err)
		}
		if p.Seq < 0 || roster.CheckID(p.Epoch) != nil {
			t.Fatalf("%q is %v", text, p)
		}
	})
}

// FuzzLines: a line that is taken and whose fields pass CheckField is written
// as one line that is read as the same; made names and gecos fit into it.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"ada:x:1000:1000:Ada:/home/ada:/bin/sh", "eng:x:1001:ada,bob", "ada:!$6$x:::::::", "ada:*::::::1:", "Jürgen@x", "a\nb:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		one := func(line []byte) string {
			text, ok := strings.CutSuffix(string(line), "\n")
			if !ok {
				t.Fatalf("%q is no line", line)
			}
			return text
		}
		if p, err := roster.ParsePasswd(s); err == nil {
			if back, err := roster.ParsePasswd(one(p.Append(nil))); err != nil || back != p {
				t.Fatalf("passwd: %+v became %+v, %v", p, back, err)
			}
		}
		if g, err := roster.ParseGroup(s); err == nil {
			if back, err := roster.ParseGroup(one(g.Append(nil))); err != nil || !reflect.DeepEqual(back, g) {
				t.Fatalf("group: %+v became %+v, %v", g, back, err)
			}
		}
		if h, err := roster.ParseShadow(s); err == nil {
			if back, err := roster.ParseShadow(one(h.Append(nil))); err != nil || back != h {
				t.Fatalf("shadow: %+v became %+v, %v", h, back, err)
			}
		}
		if roster.CheckField(s) == nil && (!utf8.ValidString(s) || strings.ContainsAny(s, ":\n\r\x00")) {
			t.Fatalf("CheckField takes %q", s)
		}
		p := roster.Passwd{Name: roster.UserName(s), Password: "x", UID: 1000, GID: 1000, Gecos: roster.CleanGecos(s), Home: "/home/" + roster.UserName(s), Shell: "/bin/sh"}
		line := p.Append(nil)
		if strings.Count(string(line), "\n") != 1 || strings.Count(string(line), ":") != 6 {
			t.Fatalf("%q makes the line %q", s, line)
		}
		if err := roster.CheckName(p.Name); err != nil {
			t.Fatal(err)
		}
	})
}
