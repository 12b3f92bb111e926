package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/cmd/harness"
)

// policyRig is a rig with ada, bob and carol; ada and bob are in developers, bob
// and carol in ops.
func policyRig(t *testing.T) (*rig, []string) {
	t.Helper()
	r := newRig(t)
	var ids []string
	for _, name := range []string{"ada", "bob", "carol"} {
		id, err := r.scim.Create(t.Context(), "/Users", user(name))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for name, of := range map[string][]string{"developers": ids[:2], "ops": ids[1:]} {
		var members []map[string]string
		for _, id := range of {
			members = append(members, map[string]string{"value": id})
		}
		if _, err := r.scim.Create(context.Background(), "/Groups", map[string]any{"displayName": name, "members": members}); err != nil {
			t.Fatal(err)
		}
	}
	// A node with a docker group of its own.
	passwd, group := filepath.Join(r.dir, "passwd"), filepath.Join(r.dir, "group")
	r.agent.Flags = append(r.agent.Flags, "--local-passwd-file", passwd, "--local-group-file", group)
	for path, text := range map[string]string{
		passwd: "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		group:  "root:x:0:\nshadow:x:42:\nvideo:x:44:\ndocker:x:998:root\nnogroup:x:65534:\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return r, ids
}

// names are those with a line in passwd.
func (r *rig) names(t testing.TB) string {
	t.Helper()
	var all []string
	for name := range lines(t, filepath.Join(r.agent.Dir, "passwd")) {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestNodeShowsWhomItsPolicyAllows(t *testing.T) {
	t.Parallel()
	r, ids := policyRig(t)
	r.sync(t, 0, "--allow-groups", "dev*", "--shell-map", "*=/bin/bash,/bin/bash=/bin/sh", "--home-pattern", "/srv/home/%l/%H", "--render-groups", "used", "--deny-users", "nosuch")
	if got := r.names(t); got != "ada bob" {
		t.Fatalf("the node has %s", got)
	}
	passwd := lines(t, filepath.Join(r.agent.Dir, "passwd"))
	if !strings.HasSuffix(passwd["ada"], ":/srv/home/a/ada:/bin/sh") {
		t.Errorf("ada's line is %q", passwd["ada"])
	}
	// A member who comes and one who goes.
	body := map[string]any{"Operations": []any{map[string]any{"op": "replace", "value": map[string]any{"active": false}}}}
	if _, err := r.scim.Want(t.Context(), http.StatusOK, http.MethodPatch, "/Users/"+ids[0], body); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0, "--allow-groups", "dev*,ops")
	if line := lines(t, filepath.Join(r.agent.Dir, "shadow"))["ada"]; !strings.HasPrefix(line, "ada:!") || r.names(t) != "ada bob carol" {
		t.Errorf("the node has %s, and %q", r.names(t), line)
	}
	if out := r.sync(t, 0, "--allow-groups", "ops"); r.names(t) != "bob carol" || !strings.Contains(out, "by-allow-groups=1") {
		t.Errorf("the node has %s:\n%s", r.names(t), out)
	}
}

func TestMistypedPolicyIsStoppedByTheFuse(t *testing.T) {
	t.Parallel()
	r, _ := policyRig(t)
	r.sync(t, 0)
	before := filesOf(t, r.agent.Dir)
	for _, flags := range [][]string{{"--allow-groups", "develpers"}, {"--min-id", "50000"}, {"--deny-users", "*"}, {"--shell-map", "/bin/bash=/usr/sbin/nologin", "--max-change-count", "0"}} {
		out := r.sync(t, 3, flags...)
		if strings.Contains(flags[1], "develpers") && !strings.Contains(out, "matches no group of the roster") {
			t.Errorf("the typing error is not told:\n%s", out)
		}
		for name, b := range before {
			if now := stateOf(t, filepath.Join(r.agent.Dir, name)); now != b {
				t.Errorf("%v: %s changed", flags, name)
			}
		}
	}
}

// run runs any command of the agent and returns its status and standard output.
func (r *rig) run(t testing.TB, sub string, args ...string) (int, string) {
	t.Helper()
	cmd := r.agent.Command(t.Context(), sub, args...)
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func TestPlanPrintsWhatTheNextPassWritesAndItsStatusSaysWhatKindItIs(t *testing.T) {
	t.Parallel()
	r, _ := policyRig(t)
	status, out := r.run(t, "plan")
	if _, err := os.Stat(r.agent.StateDir); status != 2 || !strings.Contains(out, "+ada:x:") || err == nil {
		t.Errorf("a first plan ended with %d, state directory %v:\n%s", status, err, out)
	}
	if dry, again := r.run(t, "sync", "--dry-run"); dry != status || again != out {
		t.Errorf("sync --dry-run says otherwise: %d\n%s", dry, again)
	}
	r.sync(t, 0)
	if status, out := r.run(t, "plan"); status != 0 || out != "" {
		t.Errorf("a plan without anything to do ended with %d:\n%s", status, out)
	}
	if status, out := r.run(t, "plan", "--allow-groups", "none.such"); status != 3 || !strings.Contains(out, "-ada:x:") {
		t.Errorf("a plan that the fuse would stop ended with %d:\n%s", status, out)
	}
	r.server.Stop()
	if status, _ := r.run(t, "plan"); status != 1 {
		t.Errorf("a plan without a server ended with %d", status)
	}
}

func TestExplainNeedsNoServer(t *testing.T) {
	t.Parallel()
	r, _ := policyRig(t)
	r.sync(t, 0)
	r.server.Stop()
	status, out := r.run(t, "explain", "carol", "--allow-groups", "developers", "--json")
	var got []struct {
		Outcome, By string
		Now, Next   []struct{ File, Text string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 {
		t.Fatalf("status %d, %v:\n%s", status, err, out)
	}
	if len(got) != 1 || got[0].Outcome != "left out" || got[0].By != "allow-groups" || len(got[0].Now) != 3 || len(got[0].Next) != 0 {
		t.Errorf("explained %+v", got)
	}
	if status, out := r.run(t, "explain", "nobody.such"); status != 1 || !strings.Contains(out, "not in the roster") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestMergedMembersAreInTheLocalGroup(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "getent", "id")
	r, _ := policyRig(t)
	// libnss-extrausers tells nobody of the members of groups below gid 500.
	if out := r.sync(t, 0, "--merge-members", "docker=developers,video=ops"); !strings.Contains(out, "no group below gid 500, and video has 44") {
		t.Errorf("video is not warned of:\n%s", out)
	}
	nsswitch := "passwd: files extrausers\ngroup: files [SUCCESS=merge] extrausers\nshadow: files extrausers\n"
	ns, err := harness.NewNamespace(r.agent.Dir, r.dir)
	if err != nil {
		missing(t, "NSS cannot be pointed at the files", err)
	}
	// The harness's file is bound into the namespace, so it is changed in place.
	if err := os.WriteFile(filepath.Join(r.dir, "nsswitch.conf"), []byte(nsswitch), 0o644); err != nil {
		t.Fatal(err)
	}
	in := func(args ...string) string {
		return output(t, ns, append([]string{"sh", "-c", "mount --bind " + r.dir + "/passwd /etc/passwd && mount --bind " + r.dir + `/group /etc/group && exec "$@"`, "sh"}, args...)...)[0]
	}
	if got := in("getent", "group", "docker"); got != "docker:x:998:root,ada,bob" {
		t.Errorf("getent says %q", got)
	}
	if got := in("id", "-nG", "ada"); got != "ada docker developers" && got != "ada developers docker" {
		t.Errorf("id says %q", got)
	}
	if got := in("id", "-nG", "carol"); strings.Contains(got, "docker") {
		t.Errorf("id says %q", got)
	}
}
