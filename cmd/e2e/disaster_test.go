package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestALostStoreIsReplacedByAnOldBackupAndNobodyGetsAnothersNumber loses the
// store, restores a backup that does not know the last users, and lets an agent
// tell the server what it had given after the backup.
func TestALostStoreIsReplacedByAnOldBackupAndNobodyGetsAnothersNumber(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.agent.Flags = append(r.agent.Flags, "--max-change-percent", "100")
	ids := r.push(t, 1, 3, "early")
	backup := filepath.Join(r.dir, "backup.db")
	r.administer(t, "backup", backup)
	late := r.push(t, 1, 3, "late")
	if _, err := r.scim.Want(t.Context(), 200, "PATCH", "/Users/"+late[2], map[string]any{
		"Operations": []any{map[string]any{"op": "replace", "path": "userName", "value": "renamed@acme.example"}},
	}); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0)
	before := lines(t, filepath.Join(r.agent.Dir, "passwd"))

	r.server.Kill()
	if err := os.RemoveAll(r.server.DataDir); err != nil {
		t.Fatal(err)
	}
	// Without a margin only the nodes know what was given.
	r.administer(t, "restore", backup, "--yes", "--margin", "0")
	r.start(t, "store", "127.0.0.1:0")
	r.agent.Server, r.scim.URL = r.server.URL, r.server.URL
	r.sync(t, 0)
	r.status(t, 0, "went well")
	if now := lines(t, filepath.Join(r.agent.Dir, "passwd")); len(now) != 3 {
		t.Errorf("after the restore passwd has %v", now)
	}

	type record struct {
		ID, Name, Home string
		UID            uint32
	}
	show := func(name string) (u record) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.administer(t, "user", "show", name, "--json")), &u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	// A stranger gets neither a number nor a name of those whom the backup forgot.
	if _, err := r.scim.Create(t.Context(), "/Users", user("stranger")); err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	for _, line := range before {
		taken[strings.Split(line, ":")[2]] = true
	}
	if u := show("stranger"); taken[fmt.Sprint(u.UID)] {
		t.Errorf("a stranger was given uid %d", u.UID)
	}
	// Those whom the provider pushes again are who they were.
	for i, id := range late {
		name := []string{"late0", "late1", "renamed"}[i]
		again, err := r.scim.Create(t.Context(), "/Users", user(name))
		if err != nil {
			t.Fatal(err)
		}
		u := show(name)
		if again != id || !strings.HasPrefix(before[name], fmt.Sprintf("%s:x:%d:%d:", name, u.UID, u.UID)) || !strings.Contains(before[name], ":"+u.Home+":") {
			t.Errorf("%s came back as %s: %+v, and was %s: %s", name, again, u, id, before[name])
		}
	}
	if u := show("early0"); u.ID != ids[0] {
		t.Errorf("early0 is %+v and was %s", u, ids[0])
	}
	checkIDs(t, r)
}
