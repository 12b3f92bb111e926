package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pwb/altfiles"
	"pwb/roster"
	"pwb/syncer"
)

var update = flag.Bool("update", false, "write the golden files anew")

// explained is a node that got the roster of altfiles' tests, and rendered it
// without a policy.
type explained struct{ dir, local string }

func newExplained(t *testing.T) explained {
	t.Helper()
	n := explained{t.TempDir(), "../../altfiles/testdata/"}
	data, err := os.ReadFile(n.local + "roster.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	pos := roster.Position{Epoch: "e", Seq: 41}
	for line := range bytes.Lines(data) {
		pos.Sum.Add(bytes.TrimSpace(line))
	}
	var mirror bytes.Buffer
	w, err := roster.NewWriter(&mirror, nil, pos)
	for line := range bytes.Lines(data) {
		c, bad := roster.ParseChange(bytes.TrimSpace(line))
		err = errors.Join(err, bad, w.Write(c))
	}
	err = errors.Join(err, w.Close(), os.Mkdir(n.dir+"/state", 0o700), os.Mkdir(n.dir+"/files", 0o755),
		os.WriteFile(n.dir+"/state/mirror", mirror.Bytes(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	r, err := altfiles.New(altfiles.Config{Dir: n.dir + "/files", StateDir: n.dir + "/state", PasswdFile: n.local + "etc/passwd", GroupFile: n.local + "etc/group"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := syncer.OpenMirror(n.dir + "/state")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p, err := r.Plan(m.Rows())
	if err == nil {
		err = p.Commit(roster.Position{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// explain runs the command and returns its status and standard output.
func (n explained) explain(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"explain", "--dir", n.dir + "/files", "--state-dir", n.dir + "/state",
		"--local-passwd-file", n.local + "etc/passwd", "--local-group-file", n.local + "etc/group"}, args...)
	code := run(t.Context(), args, &out, io.MultiWriter(&errs))
	if strings.Contains(out.String()+errs.String(), "SECRET") {
		t.Errorf("%v tells a hash", args)
	}
	text := out.String()
	if code != exitCurrent {
		text += errs.String()
	}
	local, err := filepath.Abs(n.local)
	if err != nil {
		t.Fatal(err)
	}
	return code, strings.NewReplacer(local+"/etc", "/etc", n.dir, "").Replace(text)
}

func TestExplanationsAreTheGoldenOnes(t *testing.T) {
	n := newExplained(t)
	policy := []string{"--deny-users", "carol*,no.such", "--allow-groups", "eng,staff-*,docker", "--deny-groups", "staff-ops", "--max-id", "3006",
		"--shell-map", "*=/bin/bash", "--home-pattern", "/srv/home/%H", "--merge-members", "docker=eng", "--protect-names", "grace", "--render-groups", "used"}
	for name, c := range map[string]struct {
		args   []string
		policy bool
		code   int
	}{
		"rendered":           {[]string{"ada"}, false, exitCurrent},
		"rendered-policy":    {[]string{"ada"}, true, exitCurrent},
		"locked-policy":      {[]string{"ivan2"}, true, exitCurrent},
		"uid-alias-policy":   {[]string{"2019"}, true, exitCurrent},
		"alias":              {[]string{"heidi"}, false, exitCurrent},
		"denied-user":        {[]string{"carol.d-1"}, true, exitCurrent},
		"protected-policy":   {[]string{"grace"}, true, exitCurrent},
		"primary-policy":     {[]string{"dave"}, true, exitCurrent},
		"local-clash":        {[]string{"deploy"}, false, exitCurrent},
		"group-and-accounts": {[]string{"eng"}, true, exitCurrent},
		"group-unused":       {[]string{"empty"}, true, exitCurrent},
		"group-refused":      {[]string{"docker"}, true, exitCurrent},
		"unknown-local":      {[]string{"indented"}, false, exitFailed},
		"unknown":            {[]string{"mallory"}, false, exitFailed},
		"json":               {[]string{"bob", "--json"}, true, exitCurrent},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if c.policy {
				args = append(args, policy...)
			}
			code, got := n.explain(t, args...)
			if code != c.code {
				t.Errorf("status %d, not %d", code, c.code)
			}
			path := filepath.Join("testdata", "explain-"+name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("%s differs, %v (run with -update if that is meant):\n%s", path, err, got)
			}
		})
	}
}

func TestExplainSaysWhyNoNextPassComes(t *testing.T) {
	n := newExplained(t)
	for _, c := range []struct{ file, text, want string }{
		{"state.json", `{"stopped":{"position":{"epoch":"e","seq":41}}}`, "The fuse holds change 41 back"},
		{"pin.json", `{"generation":7}`, "pinned to generation 7: no pass"},
	} {
		if err := os.WriteFile(n.dir+"/state/"+c.file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out := n.explain(t, "ada"); code != exitCurrent || !strings.Contains(out, c.want) {
			t.Errorf("%s: status %d:\n%s", c.file, code, out)
		}
	}
}

func TestExplainSaysWhatIsWrongWithAMirror(t *testing.T) {
	n := newExplained(t)
	mirror := n.dir + "/state/mirror"
	data, err := os.ReadFile(mirror)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mirror, bytes.Replace(data, []byte("/home/ada"), []byte("/home/adb"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := n.explain(t, "ada"); code != exitFailed || !strings.Contains(out, "the mirror is damaged") {
		t.Errorf("status %d:\n%s", code, out)
	}
	if err := os.Remove(mirror); err != nil {
		t.Fatal(err)
	}
	if code, out := n.explain(t, "ada"); code != exitFailed || !strings.Contains(out, "run pwb-agent sync first") {
		t.Errorf("status %d:\n%s", code, out)
	}
}
