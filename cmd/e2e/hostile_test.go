package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pwb/cmd/harness"
	"pwb/roster"
)

// feed serves rows as they are, past everything that a server checks.
func feed(t *testing.T, rows []roster.Row) string {
	t.Helper()
	to := roster.Position{Epoch: "hostile", Seq: int64(len(rows))}
	for _, row := range rows {
		to.Sum.Add(row.Line())
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sync/v1/snapshot" {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		out, err := roster.NewWriter(w, nil, to)
		if err != nil {
			return
		}
		for _, row := range rows {
			if err := out.Write(roster.Change{Key: row.Key(), Line: row.Line()}); err != nil {
				t.Errorf("row %s: %v", row.Key(), err)
			}
		}
		_ = out.Close() // the agent may have gone
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestHostileRowsAreQuarantinedAndTheOthersRendered: a node trusts nobody with
// root, not even its server.
func TestHostileRowsAreQuarantinedAndTheOthersRendered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"files", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	account := func(id, name string, uid uint32) *roster.Account {
		return &roster.Account{ID: id, Name: name, UID: uid, GID: uid, Gecos: "Somebody", Home: "/home/" + name, Shell: "/bin/bash"}
	}
	with := func(a *roster.Account, change func(*roster.Account)) *roster.Account { change(a); return a }
	hostile := []*roster.Account{
		account("01", "root", 2001),
		account("02", "zero", 0),
		account("03", "stolen", 1500),
		account("04", "localname", 2004),
		with(account("05", "newline", 2005), func(a *roster.Account) { a.Gecos = "x\nroot2:x:0:0::/:/bin/sh" }),
		with(account("06", "colon", 2006), func(a *roster.Account) { a.Gecos = "x:/:/bin/sh" }),
		with(account("07", "shell", 2007), func(a *roster.Account) { a.Shell = "/tmp/evil" }),
		with(account("08", "home", 2008), func(a *roster.Account) { a.Home = "/home/../etc" }),
		account("09", "sudo", 2009),
		account("10", "below", 999),
		account("11", "nobody2", 65534),
		account("12", "Up Case", 2012),
		with(account("13", "hash", 2013), func(a *roster.Account) { a.Hash = "x:0:0" }),
		with(account("14", "rootgroup", 2014), func(a *roster.Account) { a.GID = 0 }),
	}
	var rows []roster.Row
	for _, a := range hostile {
		rows = append(rows, roster.Row{Account: a})
	}
	rows = append(rows,
		roster.Row{Account: account("20", "good", 2020)},
		roster.Row{Account: account("21", "fine", 2021)},
		roster.Row{Group: &roster.Group{ID: "30", Name: "wheel", GID: 2030}},
		roster.Row{Group: &roster.Group{ID: "31", Name: "zerogroup", GID: 0}},
		roster.Row{Group: &roster.Group{ID: "32", Name: "team", GID: 2032}},
		roster.Row{Member: &roster.Member{GroupID: "30", AccountID: "20"}},
		roster.Row{Member: &roster.Member{GroupID: "32", AccountID: "01"}},
		roster.Row{Member: &roster.Member{GroupID: "32", AccountID: "20"}},
		roster.Row{Member: &roster.Member{GroupID: "32", AccountID: "99"}},
	)
	agent := harness.Agent{
		Bin: bin, Server: feed(t, rows), TokenFile: write("token", "pwb_any_token"),
		Dir: filepath.Join(dir, "files"), StateDir: filepath.Join(dir, "state"),
		Flags: []string{
			"--local-passwd-file", write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nowner:x:1500:1500::/home/owner:/bin/bash\nlocalname:x:1600:1600::/home/l:/bin/bash\n"),
			"--local-group-file", write("etc/group", "root:x:0:\nowner:x:1500:\nlocalname:x:1600:\n"),
		},
	}
	r := &rig{dir: dir, agent: agent}
	out := r.sync(t, 0)

	const wantPasswd = "good:x:2020:2020:Somebody:/home/good:/bin/bash\nfine:x:2021:2021:Somebody:/home/fine:/bin/bash\n"
	const wantGroup = "good:x:2020:\nfine:x:2021:\nteam:x:2032:good\n"
	files := filesOf(t, agent.Dir)
	if got := files["passwd"].Content; got != wantPasswd {
		t.Errorf("passwd is\n%s\nwant\n%s", got, wantPasswd)
	}
	if got := files["group"].Content; got != wantGroup {
		t.Errorf("group is\n%s\nwant\n%s", got, wantGroup)
	}
	var state struct{ Quarantined []roster.Quarantine }
	if err := json.Unmarshal([]byte(stateOf(t, filepath.Join(agent.StateDir, "state.json")).Content), &state); err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, q := range state.Quarantined {
		told[q.Key] = q.Reason
	}
	for _, row := range rows {
		a, g := row.Account, row.Group
		bad := a != nil && a.ID < "20" || g != nil && g.ID < "32"
		if reason := told[row.Key()]; bad != (reason != "") {
			t.Errorf("row %s: the reason of its quarantine is %q", row.Key(), reason)
		}
	}
	if strings.Contains(out, "x:0:0") && strings.Contains(out, "\nroot2") {
		t.Errorf("the log carries a forged line:\n%s", out)
	}
	// Refusing is not failing: the next pass finds everything in order.
	r.sync(t, 0)
}
