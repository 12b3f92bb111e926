package altfiles

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// A fault is what happens to one step of a commit.
type fault string

const (
	fails   fault = "fails"
	applied fault = "fails but is applied"
)

var errInjected = errors.New("injected")

// breakStep makes the nth step of the renderer's next commits go wrong, n from 0,
// and returns where the steps are counted.
func breakStep(r *Renderer, n int, kind fault) *int {
	count := new(int)
	r.step = func(step string, op func() error) error {
		*count++
		if *count-1 != n {
			return op()
		}
		if kind == applied {
			if err := op(); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s: %w", step, errInjected)
	}
	return count
}

// rendered is what the files hold for rows.
func rendered(t *testing.T, rows []roster.Row) map[string]string {
	t.Helper()
	all := map[string]string{}
	p := plan(t, newRenderer(t, scratch(t)), rows)
	for _, f := range p.files {
		all[f.name] = string(f.data)
	}
	for _, x := range p.indexes {
		all[x.name] = string(indexBytes(t, p, x))
	}
	return all
}

// inTheirOrder is how a commit puts them in place.
var inTheirOrder = []string{KeysFile, ShadowIndex, shadowName, groupName, passwdName, RosterIndex}

// checkWritten fails unless each file is whole, old or new, and none is new
// before those that are written ahead of it. It returns how many are new.
func checkWritten(t *testing.T, r *Renderer, before, after map[string]string) int {
	t.Helper()
	count := 0
	for i, name := range inTheirOrder {
		switch read(t, r, name) {
		case after[name]:
			if count++; count != i+1 {
				t.Errorf("%s is new before its turn", name)
			}
		case before[name]:
		default:
			t.Errorf("%s is neither old nor new: %q", name, read(t, r, name))
		}
	}
	return count
}

// starts are the states in which a commit of newRows may begin.
var starts = map[string][]roster.Row{"onto nothing": nil, "onto old files": oldRows}

func TestFaultAtEachStep(t *testing.T) {
	after := rendered(t, newRows)
	for start, rows := range starts {
		for _, kind := range []fault{fails, applied} {
			for n := 0; ; n++ {
				finished := false
				t.Run(fmt.Sprintf("%s, step %d %s", start, n, kind), func(t *testing.T) {
					r := newRenderer(t, scratch(t))
					before := map[string]string{}
					if rows != nil {
						before = rendered(t, rows)
						commit(t, r, rows)
					}
					p := plan(t, r, newRows)
					count := breakStep(r, n, kind)
					err := p.Commit(roster.Position{})
					r.step = runStep
					if *count <= n {
						finished = true
						if err != nil {
							t.Errorf("without a fault: %v", err)
						}
						return
					}
					if err == nil {
						// To keep what was replaced is no reason to fail.
						err = p.NotKept()
					}
					if !errors.Is(err, errInjected) {
						t.Fatalf("error %v", err)
					}
					written := checkWritten(t, r, before, after)
					if p.NotKept() != nil {
						if written != len(inTheirOrder) {
							t.Errorf("%d files are new, though nothing failed but %v", written, err)
						}
					} else if tells := strings.Contains(err.Error(), "new already"); tells != (written > 0) && !strings.Contains(err.Error(), "rename "+inTheirOrder[0]) {
						t.Errorf("%d files are new, but the error says: %v", written, err)
					}
					noTemps(t, r)
					commit(t, r, newRows)
					if checkWritten(t, r, before, after) != len(inTheirOrder) {
						t.Error("not repaired")
					}
				})
				if finished {
					break
				}
			}
		}
	}
}

// TestTwoFaultsInARow breaks a commit anywhere, then one of another roster
// anywhere: whatever the first left must still be known as ours.
func TestTwoFaultsInARow(t *testing.T) {
	base := scratch(t)
	after := rendered(t, newRows)
	last := 0
	for n := 0; n <= last; n++ {
		for m := 0; m <= last; m++ {
			dir := filepath.Join(base, fmt.Sprintf("%d-%d", n, m))
			r := newRenderer(t, dir)
			p := plan(t, r, oldRows)
			count := breakStep(r, n, fails)
			err := p.Commit(roster.Position{})
			last = max(last, *count)
			if (err == nil) != (n >= *count) {
				t.Fatalf("step %d: error %v", n, err)
			}
			if p, err = r.Plan(each(newRows)); err != nil {
				t.Fatalf("plan after a fault at step %d: %v", n, err)
			}
			breakStep(r, m, applied)
			_ = p.Commit(roster.Position{})
			r.step = runStep
			if p, err = r.Plan(each(newRows)); err == nil {
				err = p.Commit(roster.Position{})
			}
			if err != nil {
				t.Fatalf("after faults at steps %d and %d: %v", n, m, err)
			}
			checkWritten(t, r, after, after)
		}
	}
}

// TestKilledAtEachStep runs commits in a process of its own, which kills itself
// before its nth step.
func TestKilledAtEachStep(t *testing.T) {
	after := rendered(t, newRows)
	for start, rows := range starts {
		for n := 0; ; n++ {
			finished := false
			t.Run(fmt.Sprintf("%s, step %d", start, n), func(t *testing.T) {
				dir := scratch(t)
				r := newRenderer(t, dir)
				before := map[string]string{}
				if rows != nil {
					before = rendered(t, rows)
					commit(t, r, rows)
				}
				cmd := childCommand("killed", dir, strconv.Itoa(n))
				out, err := cmd.CombinedOutput()
				var exit *exec.ExitError
				switch {
				case err == nil:
					finished = true
				case !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL:
					finished = true
					t.Fatalf("child: %v\n%s", err, out)
				}
				written := checkWritten(t, r, before, after)
				if finished && written != len(inTheirOrder) {
					t.Errorf("only %d files are written", written)
				}
				commit(t, r, newRows)
				if checkWritten(t, r, before, after) != len(inTheirOrder) || plan(t, r, newRows).Changed() {
					t.Error("not repaired")
				}
				noTemps(t, r)
				m, err := r.manifest()
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{RosterIndex, ShadowIndex} {
					if rec := m.Indexes[name]; rec.Written == "" || rec.Intended != "" {
						t.Errorf("manifest has %+v for %s", rec, name)
					}
				}
				for name, dir := range map[string]string{KeysFile: r.cfg.StateDir, shadowName: r.cfg.Dir, groupName: r.cfg.Dir, passwdName: r.cfg.Dir} {
					if rec := m.Dirs[dir][name]; rec.Written == nil || rec.Intended != nil {
						t.Errorf("manifest has %+v for %s", rec, name)
					}
				}
			})
			if finished {
				break
			}
		}
	}
}

func childCommand(child string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+child, "ALTFILES_ARGS="+strings.Join(args, "\n"))
	return cmd
}

func childArgs() []string { return strings.Split(os.Getenv("ALTFILES_ARGS"), "\n") }

// childRenderer is newRenderer in a process where no test runs.
func childRenderer(dir string) (*Renderer, error) {
	r, err := New(Config{
		Dir: filepath.Join(dir, "lib"), StateDir: filepath.Join(dir, "state"),
		PasswdFile: "testdata/etc/passwd", GroupFile: "testdata/etc/group", KeepGenerations: 2, Index: true,
	})
	if err == nil {
		r.beside = inTurn
	}
	return r, err
}

func killedChild() error {
	args := childArgs()
	at, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	r, err := childRenderer(args[0])
	if err != nil {
		return err
	}
	killAt(r, at)
	p, err := r.Plan(each(newRows))
	if err != nil {
		return err
	}
	return p.Commit(roster.Position{})
}

// TestFullAndReadOnlyFileSystems needs root: it mounts a file system of 64 KiB
// in a mount namespace of its own.
func TestFullAndReadOnlyFileSystems(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can mount a small file system to fill")
	}
	cmd := childCommand("full disk", scratch(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), errNoMount.Error()) {
		t.Skipf("SKIPPED: nothing can be mounted here: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

var errNoMount = errors.New("cannot mount")

func fullDiskChild() error {
	dir := childArgs()[0]
	r, err := childRenderer(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(r.cfg.Dir, 0o755), unix.Mount("altfiles", r.cfg.Dir, "tmpfs", 0, "size=64k,mode=0755")); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	do := func(rows []roster.Row) error {
		p, err := r.Plan(each(rows))
		if err != nil {
			return err
		}
		return p.Commit(roster.Position{})
	}
	if err := do(oldRows); err != nil {
		return err
	}
	state := func() string {
		var all strings.Builder
		entries, err := os.ReadDir(r.cfg.Dir)
		for _, e := range entries {
			info, _ := e.Info()
			data, _ := os.ReadFile(filepath.Join(r.cfg.Dir, e.Name()))
			fmt.Fprintf(&all, "%v\n%s", stampOf(info), data)
		}
		return fmt.Sprint(all.String(), err)
	}
	before := state()
	var many []roster.Row
	for i := range 1000 {
		many = append(many, account(fmt.Sprintf("%04d", i), fmt.Sprintf("a%04d", i), uint32(2000+i)))
	}
	if err := do(many); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("on a full disk: %w", err)
	}
	if after := state(); after != before {
		return fmt.Errorf("on a full disk the directory became\n%s\nfrom\n%s", after, before)
	}
	if err := unix.Mount("", r.cfg.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	if err := do(newRows); !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("on a read-only file system: %w", err)
	}
	if after := state(); after != before {
		return fmt.Errorf("on a read-only file system the directory became\n%s", after)
	}
	if err := do(oldRows); err != nil {
		return fmt.Errorf("without a change a read-only file system is no fault: %w", err)
	}
	if err := unix.Mount("", r.cfg.Dir, "", unix.MS_REMOUNT, "size=4m"); err != nil {
		return err
	}
	return do(many)
}
