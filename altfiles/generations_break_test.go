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
)

// twoGenerations is a node whose files were those of oldRows, and are those of
// newRows.
func twoGenerations(t *testing.T) (r *Renderer, dir string, older, newer map[string]string) {
	t.Helper()
	dir = scratch(t)
	r = newRenderer(t, dir)
	commitAt(t, r, oldRows, 1)
	commitAt(t, r, newRows, 2)
	return r, dir, rendered(t, oldRows), rendered(t, newRows)
}

func TestPuttingBackIsWholeOrNothingWhateverStepFails(t *testing.T) {
	for _, kind := range []fault{fails, applied} {
		for n := 0; ; n++ {
			finished := false
			t.Run(fmt.Sprintf("step %d %s", n, kind), func(t *testing.T) {
				r, _, older, newer := twoGenerations(t)
				p, err := r.PlanGeneration(1)
				if err != nil {
					t.Fatal(err)
				}
				count := breakStep(r, n, kind)
				err = p.Commit(at(1))
				r.step = runStep
				if finished = *count <= n; finished != (err == nil && p.NotKept() == nil) {
					t.Fatalf("%v, %v", err, p.NotKept())
				}
				checkWritten(t, r, newer, older)
				noTemps(t, r)
				restore(t, r, 1)
				if checkWritten(t, r, newer, older) != len(inTheirOrder) || !strings.HasPrefix(list(t, r), "1*") {
					t.Errorf("not put back; generations %s", list(t, r))
				}
			})
			if finished {
				break
			}
		}
	}
}

// TestNoKillLosesAGeneration kills at each step of rendering, and of putting back,
// and then goes on and back again.
func TestNoKillLosesAGeneration(t *testing.T) {
	for what, child := range map[string]string{"rendering": "killed", "putting back": "killed while putting back"} {
		for n := 0; ; n++ {
			finished := false
			t.Run(fmt.Sprintf("%s, step %d", what, n), func(t *testing.T) {
				dir := scratch(t)
				r := newRenderer(t, dir)
				commitAt(t, r, oldRows, 1)
				from, to := rendered(t, oldRows), rendered(t, newRows)
				next := int64(2)
				if child != "killed" {
					commitAt(t, r, newRows, 2)
					from, to, next = to, from, 1
				}
				out, err := childCommand(child, dir, strconv.Itoa(n)).CombinedOutput()
				var exit *exec.ExitError
				switch {
				case err == nil:
					finished = true
				case !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL:
					finished = true
					t.Fatalf("child: %v\n%s", err, out)
				}
				checkWritten(t, r, from, to)
				if what == "rendering" {
					commitAt(t, r, newRows, 2)
				} else {
					restore(t, r, 1)
				}
				if checkWritten(t, r, from, to) != len(inTheirOrder) {
					t.Error("not finished")
				}
				restore(t, r, 3-next)
				if checkWritten(t, r, to, from) != len(inTheirOrder) {
					t.Error("cannot be undone")
				}
				restore(t, r, next)
				if got := list(t, r); strings.Trim(got, "12* ") != "" || len(got) != 4 {
					t.Errorf("generations %s", got)
				}
				noTemps(t, r)
				if n := len(inStore(t, r)); n > 8 {
					t.Errorf("%d files in the store", n)
				}
			})
			if finished {
				break
			}
		}
	}
}

func killedBackChild() error {
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
	p, err := r.PlanGeneration(1)
	if err != nil {
		return err
	}
	return p.Commit(p.restores.Position)
}

// killAt kills this process before its nth step.
func killAt(r *Renderer, at int) {
	n := 0
	r.step = func(_ string, op func() error) error {
		if n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		n++
		return op()
	}
}

// TestGenerationsOnAnotherFileSystem needs root, to mount one that is large enough
// and then one that is not.
func TestGenerationsOnAnotherFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can mount a file system")
	}
	cmd := childCommand("other file system", scratch(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), errNoMount.Error()) {
		t.Skipf("SKIPPED: nothing can be mounted here: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func otherFileSystemChild() error {
	r, err := childRenderer(childArgs()[0])
	if err != nil {
		return err
	}
	store := filepath.Join(r.cfg.StateDir, storeName)
	if err := errors.Join(os.Mkdir(r.cfg.Dir, 0o755), os.MkdirAll(store, 0o700), os.Chmod(r.cfg.StateDir, 0o700)); err != nil {
		return err
	}
	if err := unix.Mount("altfiles", store, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	render := func(n int) (*Plan, error) {
		p, err := r.Plan(each(crowd(n)))
		if err != nil {
			return nil, err
		}
		return p, p.Commit(at(int64(n)))
	}
	var was []byte
	for n := range 3 {
		p, err := render(n + 1)
		if err = errors.Join(err, p.NotKept()); err != nil {
			return err
		}
		if n == 0 {
			was, _ = os.ReadFile(filepath.Join(r.cfg.Dir, passwdName))
		}
	}
	p, err := r.PlanGeneration(1)
	if err != nil {
		return err
	}
	if err := errors.Join(p.Commit(at(1)), p.NotKept()); err != nil {
		return err
	}
	if now, err := os.ReadFile(filepath.Join(r.cfg.Dir, passwdName)); err != nil || string(now) != string(was) {
		return fmt.Errorf("put back was %q, not %q (%v)", now, was, err)
	}
	// A full one: the files are written all the same, and it is said what is lost.
	if _, err := render(900); err != nil {
		return err
	}
	p, err = render(901)
	if err != nil || !errors.Is(p.NotKept(), unix.ENOSPC) {
		return fmt.Errorf("on a full disk: %w; not kept: %w", err, p.NotKept())
	}
	all, err := r.Generations()
	if err != nil || len(all) == 0 || !all[len(all)-1].InPlace || all[len(all)-1].Accounts != 901 {
		return fmt.Errorf("generations %+v, %v", all, err)
	}
	for _, g := range all {
		if g.Accounts == 900 {
			return fmt.Errorf("generation %d is listed, which is not kept", g.Number)
		}
		if _, err := r.PlanGeneration(g.Number); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(filepath.Join(r.cfg.Dir, ".*"))
	if err != nil || len(left) > 0 {
		return fmt.Errorf("left behind: %v (%v)", left, err)
	}
	p, err = r.Plan(each(crowd(901)))
	if err == nil && p.Changed() {
		err = errors.New("a plan of the same changes something")
	}
	return err
}
