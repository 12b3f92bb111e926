package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pwb/altfiles"
	"pwb/roster"
)

// openToOthers are the files and directories of the state directory that others can
// reach and that have any bit for them.
func openToOthers(t *testing.T, dir string) (open []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o007 == 0 {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(dir, path)
		open = append(open, fmt.Sprintf("%s %04o", name, info.Mode().Perm()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return open
}

// TestTheIndexShowsWhatTheFilesShow goes through what an agent keeps in its state
// directory: a mirror, a report, generations, a pin, and files held back.
func TestTheIndexShowsWhatTheFilesShow(t *testing.T) {
	t.Parallel()
	r, ids := policyRig(t)
	r.agent.Flags = append(r.agent.Flags, "--index=true")
	check := func(when string) {
		t.Helper()
		if got, want := openToOthers(t, r.agent.StateDir), []string{". 0711", altfiles.RosterIndex + " 0644"}; !slices.Equal(got, want) {
			t.Errorf("%s others may look at %v", when, got)
		}
		x, err := altfiles.OpenIndex(filepath.Join(r.agent.StateDir, altfiles.RosterIndex))
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		files := contents(t, r.agent.Dir)
		for line := range strings.Lines(files["passwd"]) {
			want, err := roster.ParsePasswd(strings.TrimSuffix(line, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok, err := x.Passwd(want.Name); err != nil || !ok || got != want {
				t.Errorf("%s %q is %+v, %v, %v", when, want.Name, got, ok, err)
			}
		}
	}
	r.sync(t, 0)
	check("after the first pass")
	r.active(t, ids[0], false)
	r.sync(t, 0)
	check("after a lock")
	if status, out := r.both(t, "rollback", "--yes"); status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	check("after a rollback")
	r.sync(t, 4)
	check("while pinned")
	if status, out := r.both(t, "rollback", "--release"); status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	check("after the release")

	path := filepath.Join(r.agent.StateDir, altfiles.RosterIndex)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if out := r.sync(t, 0); !strings.Contains(out, path+" is gone") {
		t.Errorf("sync says nothing of the index that was deleted:\n%s", out)
	}
	check("after it was deleted")

	r.sync(t, 0, "--index=false")
	for _, name := range []string{altfiles.RosterIndex, altfiles.ShadowIndex} {
		if _, err := os.Lstat(filepath.Join(r.agent.StateDir, name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	r.sync(t, 0)
	check("again")
}
