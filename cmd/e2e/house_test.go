package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The rules of the house. Imports point one way, so that each room can be read,
// tested and replaced by itself.

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath, Dir, Doc                              string
	GoFiles, Imports, TestImports, XTestImports, Deps []string
	Standard                                          bool
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json", "pwb/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// under reports whether path is root or lies below it.
func under(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func TestImportsPointOneWay(t *testing.T) {
	rooms := []struct {
		room   string
		may    []string // of our own packages
		reason string
	}{
		{"pwb/roster", nil, "the leaf that all share"},
		{"pwb/syncer/credential", nil, "agent and lookups share it"},
		{"pwb/scimserver/scim", nil, "the protocol, pure functions"},
		{"pwb/scimserver/scim/difftest", nil, "its tests alone know the protocol, and what they compare it with is no Go"},
		{"pwb/scimserver/ledger", []string{"pwb/roster"}, "names and numbers know neither protocol nor store"},
		{"pwb/scimserver/transfer", []string{"pwb/roster"}, "it reads files and plans, and somebody else imports"},
		{"pwb/scimserver/sqlite", []string{"pwb/roster", "pwb/scimserver", "pwb/scimserver/ledger"}, "a store knows the interface it fills"},
		{"pwb/scimserver/storetest", []string{"pwb/roster", "pwb/scimserver", "pwb/scimserver/ledger"}, "the suite of every store"},
		{"pwb/scimserver/signin", []string{"pwb/scimserver"}, "it says who signed in, and the server what becomes of that"},
		{"pwb/scimserver", []string{"pwb/roster", "pwb/scimserver/scim", "pwb/scimserver/ledger"}, "the server knows no store and no agent"},
		{"pwb/syncer", []string{"pwb/roster", "pwb/syncer/credential"}, "it meets the server on the wire and the files through its Sink"},
		{"pwb/altfiles", []string{"pwb/roster"}, "it renders whatever roster it is handed"},
		{"pwb/pam", []string{"pwb/roster"}, "it decides from local files"},
	}
	for _, p := range packages(t) {
		if under(p.ImportPath, "pwb/cmd") {
			continue
		}
		i := slices.IndexFunc(rooms, func(r struct {
			room   string
			may    []string
			reason string
		}) bool {
			return r.room == p.ImportPath
		})
		if i < 0 {
			t.Errorf("%s is a room without a rule: say here what it may import, and why", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if under(imported, "pwb") && !slices.Contains(rooms[i].may, imported) {
				t.Errorf("%s imports %s, but %s", p.ImportPath, imported, rooms[i].reason)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for library, rule := range map[string]struct{ room, reason string }{
		"github.com/spf13":              {"pwb/cmd", "flags and configuration end at the entry points"},
		"modernc.org":                   {"pwb/scimserver/sqlite", "one room for each technology"},
		"github.com/go-resty":           {"pwb/syncer", "the agent alone is a client"},
		"github.com/coreos/go-oidc":     {"pwb/scimserver/signin", "one room speaks OpenID Connect"},
		"golang.org/x/oauth2":           {"pwb/scimserver/signin", "one room speaks OpenID Connect"},
		"github.com/GehirnInc":          {"pwb/scimserver pwb/pam", "the server alone makes hashes, and pam alone verifies them"},
		"github.com/go-crypt":           {"pwb/pam", "it alone verifies hashes that the server does not make"},
		"github.com/klauspost":          {"pwb/scimserver", "the feed alone is compressed"},
		"github.com/prometheus":         {"pwb/cmd/pwb-server/monitoring", "one room for each technology; the server knows a Meter"},
		"github.com/google/renameio/v2": {"pwb/syncer", "altfiles has a writer of its own, which keeps more promises"},
	} {
		for _, p := range packages(t) {
			in := func(room string) bool { return under(p.ImportPath, room) }
			for _, imported := range p.Imports {
				if under(imported, library) && !slices.ContainsFunc(strings.Fields(rule.room), in) {
					t.Errorf("%s imports %s, but %s", p.ImportPath, imported, rule.reason)
				}
			}
		}
	}
}

func TestRosterAndScimUseTheStandardLibraryAlone(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != "pwb/roster" && p.ImportPath != "pwb/scimserver/scim" {
			continue
		}
		for _, imported := range p.Imports {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
			for _, io := range []string{"os", "net", "net/http", "path/filepath", "log", "log/slog", "database/sql"} {
				if imported == io && imported != "net/http" {
					t.Errorf("%s imports %s: it does no input and output", p.ImportPath, imported)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no doc comment", p.ImportPath)
		}
		for _, word := range []string{"util", "utils", "common", "helpers", "types", "misc", "base"} {
			if name := filepath.Base(p.ImportPath); name == word {
				t.Errorf("%s: %q says nothing of what is in it", p.ImportPath, word)
			}
			for _, f := range p.GoFiles {
				if f == word+".go" {
					t.Errorf("%s/%s: %q says nothing of what is in it", p.ImportPath, f, word)
				}
			}
		}
	}
}

func TestNothingThatShipsImportsTheHarness(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != "pwb/cmd/pwb-demo" && p.ImportPath != "pwb/cmd/e2e" && slices.Contains(p.Imports, "pwb/cmd/harness") {
			t.Errorf("%s imports the harness", p.ImportPath)
		}
	}
}
