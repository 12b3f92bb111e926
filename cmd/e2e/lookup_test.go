package e2e

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/roster"
)

// TestTheServerAnswersLookupsWithTheLinesOfTheFiles holds the two against each
// other: what a node that has files shows, and what one without them is told.
func TestTheServerAnswersLookupsWithTheLinesOfTheFiles(t *testing.T) {
	r := newRig(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	want := func(status int, method, path string, body any) {
		t.Helper()
		if _, err := r.scim.Want(t.Context(), status, method, path, body); err != nil {
			t.Fatal(err)
		}
	}
	patch := func(path, value string, to any) {
		t.Helper()
		want(http.StatusOK, http.MethodPatch, path, map[string]any{"Operations": []any{map[string]any{"op": "replace", "path": value, "value": to}}})
	}
	users := r.push(t, 4, 60, "user")
	for i := range 12 {
		var members []map[string]string
		for _, u := range rnd.Perm(len(users))[:rnd.IntN(len(users))] {
			members = append(members, map[string]string{"value": users[u]})
		}
		if _, err := r.scim.Create(t.Context(), "/Groups", map[string]any{"displayName": fmt.Sprintf("Group %d", i), "members": members}); err != nil {
			t.Fatal(err)
		}
	}
	for i, id := range users[1:] { // the first one gets a password below
		path := "/Users/" + id
		switch rnd.IntN(6) {
		case 0:
			patch(path, "active", false)
		case 1:
			patch(path, "userName", fmt.Sprintf("renamed%d@acme.example", i))
		case 2:
			patch(path, "urn:pwb:params:scim:schemas:extension:posix:1.0:User:endDate", "2031-01-01T00:00:00Z")
		case 3:
			want(http.StatusNoContent, http.MethodDelete, path, nil)
		case 4:
			patch(path, "urn:rstudio:params:scim:schemas:extension:workbench:1.0:User:admin", true)
		}
	}
	patch("/Users/"+users[0], "password", "a secret of 1815")
	r.sync(t, 0)
	admin, err := os.ReadFile(r.agent.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.server.URL+"/nss/v1/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(admin)))
		resp, err := r.scim.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, err)
		}
		return string(body)
	}
	same := func(path, line string) {
		t.Helper()
		if got := ask(path); got != line+"\n" {
			t.Errorf("%s: the server says %q, the file %q", path, got, line)
		}
	}
	lines := func(file string) (all []string) {
		content, err := os.ReadFile(filepath.Join(r.agent.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return slices.Collect(strings.SplitSeq(strings.TrimSuffix(string(content), "\n"), "\n"))
	}
	primary, member := map[string]uint32{}, map[string]map[string]bool{}
	ids := map[uint32]bool{}
	for _, line := range lines("passwd") {
		p, err := roster.ParsePasswd(line)
		if err != nil {
			t.Fatal(err)
		}
		same("passwd/name/"+p.Name, line)
		if !ids[p.UID] { // aliases have it, too, and stand behind
			same(fmt.Sprintf("passwd/id/%d", p.UID), line)
		}
		ids[p.UID], primary[p.Name], member[p.Name] = true, p.GID, map[string]bool{}
	}
	if len(primary) < len(users) || len(primary) == len(ids) {
		t.Errorf("%d names of %d accounts are a poor test", len(primary), len(ids))
	}
	clear(ids)
	for _, line := range lines("group") {
		g, err := roster.ParseGroup(line)
		if err != nil {
			t.Fatal(err)
		}
		same("group/name/"+g.Name, line)
		if !ids[g.GID] {
			same(fmt.Sprintf("group/id/%d", g.GID), line)
		}
		ids[g.GID] = true
		for _, m := range g.Members {
			member[m][fmt.Sprint(g.GID)] = true
		}
	}
	for name, gids := range member {
		delete(gids, fmt.Sprint(primary[name]))
		got := map[string]bool{}
		for _, gid := range strings.Fields(ask("initgroups/" + name)) {
			got[gid] = true
		}
		if !maps.Equal(got, gids) {
			t.Errorf("%s is in %v for the server, in %v for the files", name, got, gids)
		}
	}
	for _, line := range lines("shadow") {
		name, _, _ := strings.Cut(line, ":")
		if ask("shadow/name/"+name) != line+"\n" {
			t.Errorf("the two shadow lines of %s differ", name)
		}
	}
	if log := r.server.Log(); strings.Contains(log, "$6$") || strings.Contains(log, strings.TrimSpace(string(admin))) {
		t.Error("the server's log holds a secret")
	}
}
