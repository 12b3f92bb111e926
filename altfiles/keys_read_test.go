package altfiles

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/roster"
)

// keysFile writes a file of keys, and a passwd file of the node beside it.
func keysFile(tb testing.TB, text string) (path, passwd string) {
	tb.Helper()
	dir := tb.TempDir()
	path, passwd = filepath.Join(dir, KeysFile), filepath.Join(dir, "passwd")
	for file, text := range map[string]string{path: text, passwd: "root:x:0:0::/root:/bin/sh\n \townly:x:1:1::/:\nlocal:x:1000:1000::/:/bin/sh\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return path, passwd
}

// TestEveryNameOfALargeFileIsFoundAndNoOther, with few keys a name and with as many
// as there may be, so that names span blocks and begin at each offset of them.
func TestEveryNameOfALargeFileIsFoundAndNoOther(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for round := range 4 {
		want := map[string][]string{}
		var lines []string
		for n := range 700 {
			name := fmt.Sprintf("u%d", dice.IntN(100000))
			if want[name] != nil {
				continue
			}
			most := 1 + n%3
			if round > 1 && n%40 == 0 {
				most = roster.MaxKeys
			}
			for k := range most {
				want[name] = append(want[name], sshKey(n*100+k))
			}
			slices.Sort(want[name])
			for _, key := range want[name] {
				lines = append(lines, name+" 0 "+key+"\n")
			}
		}
		slices.Sort(lines)
		path, passwd := keysFile(t, strings.Join(lines, ""))
		for n := range 100000 {
			name := fmt.Sprintf("u%d", n)
			if want[name] == nil && n%50 != 0 {
				continue
			}
			got, err := ReadKeys(path, passwd, name, time.Now())
			if err != nil || !slices.Equal(got, want[name]) {
				t.Fatalf("round %d, %s: %d keys in place of %d, %v", round, name, len(got), len(want[name]), err)
			}
		}
		for _, name := range []string{"a", "u", "u-", "zz", "u999999"} {
			if got, err := ReadKeys(path, passwd, name, time.Now()); err != nil || got != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

func TestSmallFilesOfKeysAreRead(t *testing.T) {
	one := "ada 0 " + sshKey(1) + "\n"
	for sentence, c := range map[string]struct {
		text string
		want []string
	}{
		"an empty file":                   {"", nil},
		"a file of one line":              {one, theKeys(1)},
		"a file with others before":       {"aaa 0 " + sshKey(2) + "\n" + one, theKeys(1)},
		"a file with others behind":       {one + "adaa 0 " + sshKey(2) + "\n", theKeys(1)},
		"one of which a key has an end":   {one + "ada 5 " + sshKey(2) + "\n", theKeys(1)},
		"a file of what lies before":      {"aaa 0 " + sshKey(2) + "\n", nil},
		"a file of what lies behind":      {"bob 0 " + sshKey(2) + "\n", nil},
		"a file with what is not for ada": {"aaa what\n" + one, theKeys(1)},
	} {
		path, passwd := keysFile(t, c.text)
		if got, err := ReadKeys(path, passwd, "ada", time.Now()); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", sentence, got, err)
		}
	}
	path, passwd := keysFile(t, one)
	if got, err := ReadKeys(path+"-", passwd, "ada", time.Now()); err != nil || got != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
}

func TestAFileOfKeysIsNotBelieved(t *testing.T) {
	good := "ada 0 " + sshKey(1) + "\n"
	for sentence, text := range map[string]string{
		"options":                  "ada 0 command=\"x\" " + sshKey(1) + "\n",
		"no day":                   "ada " + sshKey(1) + "\n",
		"a comment":                "ada 0 " + sshKey(1) + " c\n",
		"no key":                   "ada 0 ssh-ed25519 AAAA\n",
		"a carriage return":        "ada 0 " + sshKey(1) + "\r\n",
		"an end that is cut off":   good + "ada 0 ssh-ed2",
		"lines out of order":       "bob 0 " + sshKey(1) + "\n" + good,
		"a line that comes twice":  good + good,
		"an endless line":          strings.Repeat("a", 200000),
		"an endless line of a key": "ada 0 " + strings.Repeat("a", 200000) + "\n",
	} {
		path, passwd := keysFile(t, text)
		got, err := ReadKeys(path, passwd, "ada", time.Now())
		// Where the first line is behind ada's, all are.
		if sentence == "lines out of order" && err == nil && got == nil {
			continue
		}
		if err == nil || got != nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %q, %v", sentence, got, err)
		}
	}
	path, passwd := keysFile(t, good)
	steps := []struct {
		sentence string
		do       func() error
	}{
		{"one that others may write to", func() error { return os.Chmod(path, 0o664) }},
		{"one of a node whose passwd cannot be read", func() error { return errors.Join(os.Chmod(path, 0o644), os.Remove(passwd)) }},
		{"a directory", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }},
		{"a symbolic link", func() error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadKeys(path, passwd, "ada", time.Now()); err == nil || got != nil {
			t.Errorf("%s: %q, %v", step.sentence, got, err)
		}
	}
}

func TestAnAccountOfTheNodesOwnHasNoKeysOfTheRoster(t *testing.T) {
	path, passwd := keysFile(t, "ada 0 "+sshKey(1)+"\nlocal 0 "+sshKey(2)+"\nownly 0 "+sshKey(3)+"\n")
	for name, want := range map[string][]string{"ada": theKeys(1), "local": nil, "ownly": nil} {
		if got, err := ReadKeys(path, passwd, name, time.Now()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// FuzzReadKeys: whatever a file holds, a key that is found is one, and stands in it
// behind the name.
func FuzzReadKeys(f *testing.F) {
	f.Add("ada 0 "+sshKey(1)+"\nbob 7 "+sshKey(2)+"\n", "ada")
	f.Add(strings.Repeat("ada 0 "+sshKey(1)+"\n", 3), "ada")
	f.Add("\n \n", "ada")
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 1<<16 {
			return
		}
		var found []keyLine
		err := (&keyReader{strings.NewReader(text), int64(len(text))}).each(name, func(k keyLine) { found = append(found, k) })
		for _, k := range found {
			if plain, err := roster.ParseKey(k.key); err != nil || plain != k.key || k.name != name || !strings.Contains("\n"+text, "\n"+name+" ") || !strings.Contains(text, " "+k.key+"\n") {
				t.Fatalf("%+v is found", k)
			}
		}
		lines := strings.SplitAfter(text, "\n")
		good := slices.IsSorted(lines[:len(lines)-1]) && len(slices.Compact(slices.Clone(lines))) == len(lines) && lines[len(lines)-1] == ""
		for _, line := range lines[:len(lines)-1] {
			_, err := parseKeyLine(strings.TrimSuffix(line, "\n"))
			good = good && err == nil
		}
		if good && (err != nil || len(found) != strings.Count("\n"+text, "\n"+name+" ")) {
			t.Fatalf("%d lines are found of %q in %q, %v", len(found), name, text, err)
		}
	})
}

// BenchmarkReadKeys is a lookup among 100,000 accounts with a key each.
func BenchmarkReadKeys(b *testing.B) {
	var text strings.Builder
	for n := range 100000 {
		fmt.Fprintf(&text, "user%06d 0 %s\n", n, sshKey(n))
	}
	path, passwd := keysFile(b, text.String())
	for what, format := range map[string]string{"hit": "user%06d", "miss": "user%06dx"} {
		b.Run(what, func(b *testing.B) {
			n := 0
			for b.Loop() {
				keys, err := ReadKeys(path, passwd, fmt.Sprintf(format, n*7919%100000), time.Now())
				if err != nil || len(keys) == 0 != (what == "miss") {
					b.Fatal(keys, err)
				}
				n++
			}
		})
	}
}
