package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

var update = flag.Bool("update", false, "write the golden files")

// transcript runs commands as an administrator would, in a directory of its own,
// and writes down what they print.
type transcript struct {
	t      *testing.T
	golden string
	dir    string
	out    bytes.Buffer
}

// The configuration of every transcript: what the machine has does not count.
const testConfig = `
data-dir: store
local-passwd-file: host-passwd
local-group-file: host-group
local-nss: false
password-hash-rounds: 1000
insecure-http: true
`

// newTranscript prepares the directory. The golden file is compared when the
// test ends.
func newTranscript(t *testing.T, name string) *transcript {
	t.Helper()
	golden, err := filepath.Abs(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	s := &transcript{t: t, golden: golden, dir: t.TempDir()}
	t.Chdir(s.dir)
	t.Setenv("SUDO_USER", "root-ada")
	s.file("server.yaml", testConfig, 0o600)
	s.file("host-passwd", "root:x:0:0:root:/root:/bin/bash\nlocal:x:1000:1000:Local:/home/local:/bin/bash\nservice:x:1200:1200::/srv/service:/usr/sbin/nologin\n", 0o644)
	s.file("host-group", "root:x:0:\nlocal:x:1000:\n", 0o644)
	t.Cleanup(func() {
		if !t.Failed() {
			s.compare()
		}
	})
	return s
}

func (s *transcript) file(name, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask
		s.t.Fatal(err)
	}
}

// run runs a command and returns what it printed on standard output. In text, what
// has blanks is in single quotes.
func (s *transcript) run(line string) string {
	s.t.Helper()
	args := words(line)
	fmt.Fprintf(&s.out, "$ pwb-server %s\n", line)
	var stdout, stderr bytes.Buffer
	if len(args) != 1 || args[0] != "--help" {
		args = append(args, "--config", "server.yaml")
	}
	status := run(s.t.Context(), args, &stdout, &stderr)
	s.out.Write(stdout.Bytes())
	for l := range strings.Lines(stderr.String()) {
		s.out.WriteString("2> " + l)
	}
	if status != 0 {
		fmt.Fprintf(&s.out, "status %d\n", status)
	}
	s.out.WriteByte('\n')
	if status != 0 && strings.Count(stderr.String(), "pwb-server: ") != 1 {
		s.t.Errorf("%s: standard error has not one line of what went wrong: %q", line, &stderr)
	}
	return stdout.String()
}

// both runs a command that may be repeated, in text and as JSON.
func (s *transcript) both(line string) {
	s.t.Helper()
	s.run(line)
	s.run(line + " --json")
}

// withStore opens the store, for what no command does.
func (s *transcript) withStore(fn func(store scimserver.Store)) {
	s.t.Helper()
	store, err := sqlite.Open(s.t.Context(), "store")
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	fn(store)
}

// asProvider sets attributes of a resource as a provider does.
func (s *transcript) asProvider(path, name string, values map[string]any) {
	s.t.Helper()
	s.withStore(func(store scimserver.Store) {
		t, secret, err := scimserver.NewToken("a provider of the test's", scimserver.ScopeSCIM, time.Now(), time.Hour)
		if err != nil {
			s.t.Fatal(err)
		}
		kind := map[string]scimserver.Kind{"/Users": scimserver.KindUser, "/Groups": scimserver.KindGroup}[path]
		id := ""
		err = store.Update(s.t.Context(), func(tx scimserver.Tx) error {
			_, err := tx.Find(kind, scimserver.Query{Name: name, Limit: 1}, func(r scimserver.Resource) error { id = r.ID; return nil })
			return errors.Join(err, tx.PutToken(t))
		})
		if err != nil {
			s.t.Fatal(err)
		}
		server, err := scimserver.New(scimserver.Config{Store: store})
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := json.Marshal(map[string]any{"Operations": []any{map[string]any{"op": "replace", "value": values}}})
		if err != nil {
			s.t.Fatal(err)
		}
		req := httptest.NewRequest("PATCH", "/scim/v2"+path+"/"+id, bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("Content-Type", "application/scim+json")
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, req)
		if answer.Code/100 != 2 {
			s.t.Fatalf("PATCH %s/%s answered %d: %s", path, id, answer.Code, answer.Body)
		}
		if err := store.Update(s.t.Context(), func(tx scimserver.Tx) error { return tx.DeleteToken(t.Name) }); err != nil {
			s.t.Fatal(err)
		}
	})
	s.remark("the provider sets attributes of " + name)
}

// signIn has somebody sign in at an OpenID provider.
func (s *transcript) signIn(issuer, sub, username string) {
	s.t.Helper()
	s.withStore(func(store scimserver.Store) {
		server, err := scimserver.New(scimserver.Config{Store: store})
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := server.Register(s.t.Context(), scimserver.Claims{Issuer: issuer, Subject: sub, Username: username}, nil); err != nil {
			s.t.Fatal(err)
		}
	})
	s.remark(username + " signs in at " + issuer)
}

// remark writes a line into the transcript.
func (s *transcript) remark(text string) { fmt.Fprintf(&s.out, "# %s\n\n", text) }

func words(line string) (all []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

var scrubbed = regexp.MustCompile(strings.Join([]string{
	`(?P<SECRET>pwb_[A-Za-z0-9+/]{8}_[A-Za-z0-9_-]{43})`,
	`(?P<PREFIX>pwb_[A-Za-z0-9+/]{8}_…)`,
	`(?P<ID>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`,
	`(?P<SUM>\b[0-9a-f]{64}\b)`,
	`(?P<TIME>\b2[0-9]{3}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?Z?)?)?\b)`,
	`(?P<TOKENID>"id":(?:\[(?:null,)?)?"[A-Za-z0-9+/]{8}"(?:,null)?\]?)`,
	`(?P<RANDOM>\.backup\.[0-9]+)`,
	`(?P<BYTES>[0-9]+ bytes|"(?:bytes|free)":[0-9]+)`,
}, "|"))

// scrub replaces what is new in every run: ids are numbered as they appear.
func (s *transcript) scrub() string {
	ids := map[string]string{}
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(s.out.String(), s.dir, "DIR")) {
		if !strings.HasPrefix(line, "$ ") {
			line = scrubLine(line, ids)
		}
		b.WriteString(line)
	}
	return b.String()
}

func scrubLine(line string, ids map[string]string) string {
	kinds := scrubbed.SubexpNames()
	return scrubbed.ReplaceAllStringFunc(line, func(s string) string {
		for i, part := range scrubbed.FindStringSubmatch(s) {
			if i == 0 || part == "" {
				continue
			}
			if kinds[i] != "ID" {
				return kinds[i]
			}
			if ids[s] == "" {
				ids[s] = fmt.Sprintf("ID%d", len(ids)+1)
			}
			return ids[s]
		}
		return s
	})
}

func (s *transcript) compare() {
	s.t.Helper()
	got := s.scrub()
	for _, secret := range []string{"$6$", "$y$", "$5$"} {
		if strings.Contains(got, secret) {
			s.t.Errorf("a password hash is printed: %s", got)
		}
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(s.golden), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(s.golden, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(s.golden)
	if err != nil {
		s.t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	command := ""
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := "(no line)", "(no line)"
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if strings.HasPrefix(w, "$ ") {
			command = w
		}
		if g != w {
			s.t.Fatalf("%s:%d, in %s\ngot  %s\nwant %s\n(go test ./cmd/pwb-server -update writes the golden files)", s.golden, i+1, command, g, w)
		}
	}
}
