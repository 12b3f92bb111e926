package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/cmd/harness"
)

// namespace is where NSS reads the rig's files.
func (r *rig) namespace(t testing.TB) *harness.Namespace {
	t.Helper()
	need(t, "unshare", "getent", "id")
	ns, err := harness.NewNamespace(r.agent.Dir, r.dir)
	if err != nil {
		missing(t, "NSS cannot be pointed at the files", err)
	}
	return ns
}

// output runs a program in a namespace and returns its lines, sorted.
func output(t testing.TB, ns *harness.Namespace, args ...string) []string {
	t.Helper()
	out, err := ns.Command(t.Context(), args...).Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args[:2], err, out)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	slices.Sort(got)
	return got
}

func TestThousandUsersAndFiftyGroupsAreFoundByGetent(t *testing.T) {
	t.Parallel()
	const users, groups = 1000, 50
	r := newRig(t)
	ns := r.namespace(t)
	ids := r.push(t, 16, users, "user")
	groupIDs := make([]string, groups)
	parallel(t, 4, groups, func(g int) (err error) {
		var members []map[string]string
		for i := g; i < users; i += groups {
			members = append(members, map[string]string{"value": ids[i]})
		}
		groupIDs[g], err = r.scim.Create(context.Background(), "/Groups",
			map[string]any{"displayName": fmt.Sprintf("Team %d", g), "members": members})
		return err
	})
	r.sync(t, 0)

	passwd := lines(t, filepath.Join(r.agent.Dir, "passwd"))
	group := lines(t, filepath.Join(r.agent.Dir, "group"))
	shadow := lines(t, filepath.Join(r.agent.Dir, "shadow"))
	if len(passwd) != users || len(shadow) != users || len(group) != users+groups {
		t.Fatalf("%d lines in passwd, %d in shadow, %d in group", len(passwd), len(shadow), len(group))
	}
	var names, numbers, want []string
	seen := map[string]bool{}
	for i := range users {
		name := fmt.Sprintf("user%d", i)
		f := strings.Split(passwd[name], ":")
		uid := f[2]
		if seen[uid] || len(uid) < 4 {
			t.Errorf("%s has uid %s, which is below 1000 or another's", name, uid)
		}
		seen[uid] = true
		if line := fmt.Sprintf("%s:x:%s:%s:User %s:/home/%s:/bin/bash", name, uid, uid, name, name); passwd[name] != line {
			t.Errorf("passwd has %q, want %q", passwd[name], line)
		}
		if line := name + ":x:" + uid + ":"; group[name] != line {
			t.Errorf("group has %q, want %q", group[name], line)
		}
		names, numbers, want = append(names, name), append(numbers, uid), append(want, passwd[name])
	}
	slices.Sort(want)
	if got := output(t, ns, append([]string{"getent", "passwd"}, names...)...); !slices.Equal(got, want) {
		t.Error("getent passwd NAME… answers other lines than passwd has")
	}
	if got := output(t, ns, append([]string{"getent", "passwd"}, numbers...)...); !slices.Equal(got, want) {
		t.Error("getent passwd UID… answers other lines than passwd has")
	}
	var teams, teamLines []string
	for g := range groups {
		team := fmt.Sprintf("team_%d", g)
		teams, teamLines = append(teams, team), append(teamLines, group[team])
		if members := strings.Split(strings.Split(group[team], ":")[3], ","); len(members) != users/groups {
			t.Errorf("%s has %d members, want %d", team, len(members), users/groups)
		}
	}
	slices.Sort(teamLines)
	if got := output(t, ns, append([]string{"getent", "group"}, teams...)...); !slices.Equal(got, teamLines) {
		t.Error("getent group NAME… answers other lines than group has")
	}
	uid, gid := strings.Split(passwd["user7"], ":")[2], strings.Split(group["team_7"], ":")[2]
	if got, want := output(t, ns, "id", "user7")[0], fmt.Sprintf("uid=%s(user7) gid=%s(user7) groups=%s(user7),%s(team_7)", uid, uid, uid, gid); got != want {
		t.Errorf("id says %q, want %q", got, want)
	}

	t.Run("a second pass writes nothing", func(t *testing.T) {
		before, mirror := filesOf(t, r.agent.Dir), stateOf(t, filepath.Join(r.agent.StateDir, "mirror"))
		r.sync(t, 0)
		for name, b := range before {
			if now := stateOf(t, filepath.Join(r.agent.Dir, name)); now != b {
				t.Errorf("%s was written again: inode %d then %d, mtime %v then %v", name, b.Inode, now.Inode, b.Changed, now.Changed)
			}
		}
		if now := stateOf(t, filepath.Join(r.agent.StateDir, "mirror")); now != mirror {
			t.Error("the mirror was written again")
		}
	})
	t.Run("a deactivated user is locked and keeps the uid", func(t *testing.T) {
		body := map[string]any{"Operations": []any{map[string]any{"op": "replace", "value": map[string]any{"active": false}}}}
		if _, err := r.scim.Want(t.Context(), http.StatusOK, http.MethodPatch, "/Users/"+ids[3], body); err != nil {
			t.Fatal(err)
		}
		r.sync(t, 0)
		line := output(t, ns, "getent", "shadow", "user3")[0]
		if f := strings.Split(line, ":"); !strings.HasPrefix(f[1], "!") || f[7] != "1" {
			t.Errorf("the shadow line %q is not locked and expired", line)
		}
		line = output(t, ns, "getent", "passwd", "user3")[0]
		if f := strings.Split(line, ":"); f[2] != strings.Split(passwd["user3"], ":")[2] || f[6] != "/usr/sbin/nologin" {
			t.Errorf("the passwd line is %q, it was %q", line, passwd["user3"])
		}
	})
	t.Run("a deleted user stays resolvable and locked", func(t *testing.T) {
		if _, err := r.scim.Want(t.Context(), http.StatusNoContent, http.MethodDelete, "/Users/"+ids[4], nil); err != nil {
			t.Fatal(err)
		}
		r.sync(t, 0)
		if line := output(t, ns, "getent", "shadow", "user4")[0]; !strings.HasPrefix(line, "user4:!") {
			t.Errorf("the shadow line %q is not locked", line)
		}
		if line := output(t, ns, "getent", "group", "team_4")[0]; strings.HasSuffix(line, ",user4") || strings.Contains(line, ":user4,") || strings.Contains(line, ",user4,") {
			t.Errorf("the deleted user is still a member: %q", line)
		}
	})
	t.Run("a deleted group is gone", func(t *testing.T) {
		if _, err := r.scim.Want(t.Context(), http.StatusNoContent, http.MethodDelete, "/Groups/"+groupIDs[9], nil); err != nil {
			t.Fatal(err)
		}
		r.sync(t, 0)
		err := ns.Command(t.Context(), "getent", "group", "team_9").Run()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 {
			t.Errorf("getent group team_9 ended with %v, want status 2, not found", err)
		}
	})
}
