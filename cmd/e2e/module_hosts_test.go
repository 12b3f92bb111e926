package e2e

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pwb/cmd/harness"
)

// stay starts the node's agent and returns when it has told the module that the
// files are current; the function that it returns ends it.
func (g *guest) stay(t *testing.T) (stop func()) {
	t.Helper()
	watch, err := harness.NewWatch(filepath.Join(g.dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	var log bytes.Buffer
	cmd := g.agent.Command(context.Background(), "run", "--run-dir", filepath.Join(g.dir, "run"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Cancel()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent did not end well: %v\n%s", err, &log)
		}
	}
	t.Cleanup(stop)
	current := func(state []byte) bool { return len(state) == 64 && state[12]&3 == 3 }
	if err := watch.Until(within(t), "state", current); err != nil {
		stop()
		t.Fatalf("%v\n%s", err, &log)
	}
	return stop
}

// team makes a group with these users and returns its gid.
func (g *guest) team(t *testing.T, ids ...string) string {
	t.Helper()
	var members []map[string]string
	for _, id := range ids {
		members = append(members, map[string]string{"value": id})
	}
	if _, err := g.scim.Create(t.Context(), "/Groups", map[string]any{"displayName": "team", "members": members}); err != nil {
		t.Fatal(err)
	}
	g.rig.sync(t, 0)
	return strings.Split(lines(t, filepath.Join(g.agent.Dir, "group"))["team"], ":")[2]
}

// whereabouts is where the answer to a lookup is.
type whereabouts int

const (
	nowhere whereabouts = iota
	inIndex
	atServer
)

// asks lets every program look an account up.
func (g *guest) asks(t *testing.T, name, uid, team string, there whereabouts) {
	t.Helper()
	dir := filepath.Join(g.dir, "owned-by-"+uid)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, number, number); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("NAME", name, "UID", uid, "GROUP", team, "DIR", dir, "BASE", g.dir).Replace
	for _, h := range hosts {
		if _, err := exec.LookPath(h.needs); err != nil {
			missing(t, h.needs+" is needed", err)
		}
		args := make([]string, len(h.args))
		for i, a := range h.args {
			args[i] = fill(a)
		}
		out, status := g.looks(t, args...)
		out = strings.Join(strings.Fields(out), " ")
		switch {
		case there == atServer && h.local && status != 0:
		case there != nowhere && (status != 0 || !strings.Contains(out, fill(h.finds))):
			t.Errorf("%s: status %d, %q, want %q", h.name, status, out, fill(h.finds))
		case there == nowhere && h.misses == "" && status == 0:
			t.Errorf("%s finds nobody: %q", h.name, out)
		case there == nowhere && h.misses != "" && !strings.Contains(out, fill(h.misses)):
			t.Errorf("%s: status %d, %q, want %q", h.name, status, out, fill(h.misses))
		}
	}
	for _, key := range []bool{true, false} {
		out, status := g.login(name, key)
		if found := status == 0 && strings.Contains(out, fill("NAME team")); found != (there != nowhere) {
			t.Errorf("ssh, with a key: %v: status %d, %q", key, status, out)
		}
	}
	g.jobs(t, name, there)
	g.left(t)
}

// left fails when a process is still there that a lookup started.
func (g *guest) left(t *testing.T) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range all {
		exe, err := os.Readlink(link)
		if err == nil && exe == filepath.Join(g.dir, "lib", "nss-live") {
			t.Errorf("%s runs still", link)
		}
	}
}

func TestEveryProgramGetsTheRightAnswerWhateverIsDown(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	withPassword := func(name string) string {
		body := user(name)
		body["password"] = password
		id, err := g.scim.Create(t.Context(), "/Users", body)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	team := g.team(t, withPassword("ada"))
	g.login = g.sshd(t)
	ada := g.uid(t, "ada")
	const nobody = "54321"

	stop := g.stay(t)
	t.Run("in the index", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	t.Run("nobody, and the agent is current", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })
	stop()

	// Carol is new at the server, and no agent says so.
	g.join(t, "team", withPassword("carol"))
	carol := g.number(t, "carol")
	t.Run("in the index, without an agent", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	// Whoever answers has time, however busy this machine is.
	g.configure(t, g.server.URL, "timeout = 15000")
	t.Run("live", func(t *testing.T) { g.asks(t, "carol", carol, team, atServer) })
	t.Run("nobody, asked live", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })

	hole := blackHole(t)
	g.configure(t, "http://"+hole)
	t.Run("in the index, the server a black hole", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	t.Run("nobody, the server a black hole", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })
	g.configure(t, g.server.URL)
	g.server.Stop()
	t.Run("in the index, the server down", func(t *testing.T) { g.asks(t, "ada", ada, team, inIndex) })
	t.Run("nobody, the server down", func(t *testing.T) { g.asks(t, "nosuch", nobody, team, nowhere) })
	t.Run("without a configuration nobody is found", func(t *testing.T) {
		if err := os.Remove(filepath.Join(g.etc, "rstudio", "workbench-nss.conf")); err != nil {
			t.Fatal(err)
		}
		g.asks(t, "ada", ada, team, nowhere)
	})
}

// join makes a user a member of a group.
func (g *guest) join(t *testing.T, group, id string) {
	t.Helper()
	found, err := g.scim.Want(t.Context(), http.StatusOK, http.MethodGet, "/Groups?filter=displayName%20eq%20%22"+group+"%22", nil)
	if err != nil {
		t.Fatal(err)
	}
	gid := found["Resources"].([]any)[0].(map[string]any)["id"].(string)
	body := map[string]any{"Operations": []any{map[string]any{"op": "add", "path": "members", "value": []any{map[string]any{"value": id}}}}}
	if status, out, err := g.scim.Do(t.Context(), http.MethodPatch, "/Groups/"+gid, body); err != nil || status/100 != 2 {
		t.Fatalf("%d %s %v", status, out, err)
	}
}

// number is the uid that the server gave to a user, whatever nodes know.
func (g *guest) number(t *testing.T, name string) string {
	t.Helper()
	out, err := bin.Command(t.Context(), "pwb-server", "user", "show", name, "--json", "--data-dir", g.server.DataDir).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(out), `"uid":`)
	if !ok {
		t.Fatalf("no uid in %s", out)
	}
	return strings.TrimSpace(rest[:strings.IndexAny(rest, ",}")])
}

// blackHole takes connections and says nothing.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}
