package pam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// diesEnv makes the test's binary make a home in the root that it names, and kill
// itself before the step with that number.
const diesEnv = "PWB_TEST_DIES"

func TestMain(m *testing.M) {
	if root := os.Getenv(diesEnv); root != "" {
		h, n := homesIn(root), 0
		var last int
		if _, err := fmt.Sscan(os.Args[1], &last); err != nil {
			panic(err)
		}
		h.step = func(string) {
			if n++; n == last {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
		if err := h.Make(context.Background(), adasHome); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

var adasHome = roster.Passwd{Name: "ada", Password: "x", UID: 4711, GID: 4712, Home: "/home/ada", Shell: "/bin/sh"}

func homesIn(root string) *Homes {
	return &Homes{Root: root, Skel: filepath.Join(root, "etc/skel"), Umask: 0o077, WorkDir: filepath.Join(root, "work"), ArchiveDir: "/home/.departed", Log: slog.New(slog.DiscardHandler)}
}

// newHomes is a root with /home and a skeleton.
func newHomes(t *testing.T) (*Homes, *bytes.Buffer) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI must run this test, but root is needed")
		}
		t.Skip("NOT TESTED HERE: root is needed")
	}
	root := t.TempDir()
	h := homesIn(root)
	var log bytes.Buffer
	h.Log = slog.New(slog.NewTextHandler(&log, nil))
	for _, step := range []error{
		os.MkdirAll(filepath.Join(root, "home"), 0o755), os.MkdirAll(filepath.Join(h.Skel, ".config"), 0o755), os.Mkdir(filepath.Join(root, "outside"), 0o777),
		os.WriteFile(filepath.Join(h.Skel, ".profile"), []byte("PATH=$HOME/bin:$PATH\n"), 0o644),
		os.WriteFile(filepath.Join(h.Skel, ".config/run"), []byte("#!/bin/sh\n"), 0o755),
		os.Symlink("../.profile", filepath.Join(h.Skel, ".config/link")),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	return h, &log
}

// tree describes what is below a directory: mode, owner, and where links lead.
func tree(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		to, _ := os.Readlink(path)
		rel, _ := filepath.Rel(root, path)
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %o %d:%d %s", rel, st.Mode, st.Uid, st.Gid, to)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var adasTree = []string{
	". 40700 4711:4712",
	".config 40700 4711:4712",
	".config/link 120777 4711:4712 ../.profile",
	".config/run 100700 4711:4712",
	".profile 100600 4711:4712",
}

func wantHome(t *testing.T, h *Homes) {
	t.Helper()
	if got := tree(t, filepath.Join(h.Root, "home/ada")); !slices.Equal(got, adasTree) {
		t.Errorf("the home is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(adasTree, "\n"))
	}
	if left, err := os.ReadDir(filepath.Join(h.Root, "home")); err != nil || len(left) != 1 {
		t.Errorf("beside it: %v, %v", left, err)
	}
}

func TestAHomeIsMadeOnceWithItsOwnerAndMode(t *testing.T) {
	h, log := newHomes(t)
	if err := h.Make(t.Context(), adasHome); err != nil {
		t.Fatal(err)
	}
	wantHome(t, h)
	if !strings.Contains(log.String(), "made a home") {
		t.Errorf("the log says %q", log)
	}
	if b, err := os.ReadFile(filepath.Join(h.Root, "home/ada/.profile")); err != nil || !strings.HasPrefix(string(b), "PATH=") {
		t.Errorf("%q, %v", b, err)
	}
	// What the user makes of it stays.
	if err := os.Remove(filepath.Join(h.Root, "home/ada/.profile")); err != nil {
		t.Fatal(err)
	}
	if err := h.Make(t.Context(), adasHome); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(h.Root, "home/ada/.profile")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the skeleton came back: %v", err)
	}
	h.Umask, h.Skel = 0o022, filepath.Join(h.Root, "none")
	bob := adasHome
	bob.Name, bob.Home = "bob", "/home/bob"
	if err := h.Make(t.Context(), bob); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, filepath.Join(h.Root, "home/bob")); !slices.Equal(got, []string{". 40755 4711:4712"}) {
		t.Errorf("%q", got)
	}
}

func TestWhatAnAdministratorPutThereIsTakenAndWhatIsSomebodyElsesIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		sentence string
		put      func(h *Homes) error
		says     string // empty: taken
	}{
		{"a directory of the account's", func(h *Homes) error {
			return errors.Join(os.Mkdir(h.Root+"/home/ada", 0o711), os.Chown(h.Root+"/home/ada", 4711, 1))
		}, ""},
		{"a link of root's to one", func(h *Homes) error {
			return errors.Join(os.Chown(h.Root+"/outside", 4711, 1), os.Symlink(h.Root+"/outside", h.Root+"/home/ada"))
		}, ""},
		{"one behind a link", func(h *Homes) error {
			return errors.Join(os.Rename(h.Root+"/home", h.Root+"/homes"), os.Symlink("homes", h.Root+"/home"), os.Mkdir(h.Root+"/homes/ada", 0o700), os.Chown(h.Root+"/homes/ada", 4711, 1))
		}, ""},
		{"root's directory", func(h *Homes) error { return os.Mkdir(h.Root+"/home/ada", 0o755) }, "belongs to somebody else"},
		{"somebody's directory", func(h *Homes) error {
			return errors.Join(os.Mkdir(h.Root+"/home/ada", 0o777), os.Chown(h.Root+"/home/ada", 1500, 4712))
		}, "belongs to somebody else"},
		{"a link to somebody's", func(h *Homes) error { return os.Symlink(h.Root+"/outside", h.Root+"/home/ada") }, "belongs to somebody else"},
		{"a file", func(h *Homes) error {
			return errors.Join(os.WriteFile(h.Root+"/home/ada", nil, 0o600), os.Chown(h.Root+"/home/ada", 4711, 1))
		}, "not a directory"},
		{"a link that leads nowhere", func(h *Homes) error { return os.Symlink(h.Root+"/outside/new", h.Root+"/home/ada") }, "not a directory"},
		{"a link that leads to itself", func(h *Homes) error { return os.Symlink("ada", h.Root+"/home/ada") }, "cannot be reached"},
		{"the place of homes is a link", func(h *Homes) error {
			return errors.Join(os.Remove(h.Root+"/home"), os.Symlink(h.Root+"/outside", h.Root+"/home"))
		}, "not a directory"},
		{"the place of homes is somebody's", func(h *Homes) error { return os.Chown(h.Root+"/home", 1500, 0) }, "others may write to"},
		{"the place of homes is everybody's", func(h *Homes) error { return os.Chmod(h.Root+"/home", 0o1777) }, "others may write to"},
		{"the place of homes is a group's", func(h *Homes) error {
			return errors.Join(os.Chown(h.Root+"/home", 0, 50), os.Chmod(h.Root+"/home", 0o775))
		}, "others may write to"},
		{"there is no place of homes", func(h *Homes) error { return os.Remove(h.Root + "/home") }, "no directory /home"},
		{"the place of homes is a file", func(h *Homes) error {
			return errors.Join(os.Remove(h.Root+"/home"), os.WriteFile(h.Root+"/home", nil, 0o644))
		}, "cannot be reached"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			h, _ := newHomes(t)
			if err := c.put(h); err != nil {
				t.Fatal(err)
			}
			before := tree(t, h.Root)
			err := h.Make(t.Context(), adasHome)
			var refusal *Refusal
			if c.says == "" && err != nil || c.says != "" && (!errors.As(err, &refusal) || !strings.Contains(refusal.Say, c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
			_ = os.RemoveAll(h.WorkDir)
			if after := tree(t, h.Root); !slices.Equal(before, after) {
				t.Errorf("it touched something:\n%s\nwas\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
			}
		})
	}
}

func TestHomesOfNoAccountAndInPlacesOfTheSystemAreNotMade(t *testing.T) {
	for _, p := range []roster.Passwd{
		{Name: "ada", UID: 0, GID: 0, Home: "/home/ada"}, {Name: "ada", UID: 999, GID: 999, Home: "/home/ada"}, {Name: "ada", UID: 4711, GID: 4711, Home: "/etc/ada"},
		{Name: "ada", UID: 4711, GID: 4711, Home: "/home/../etc/ada"}, {Name: "ada", UID: 4711, GID: 4711, Home: "ada"}, {Name: "ada", UID: 4711, GID: 4711, Home: "/tmp/ada"}, {Name: "ada", UID: 4711, GID: 4711, Home: "/home/.pwb-x-0123456789abcdef"},
	} {
		h, _ := newHomes(t)
		before := tree(t, h.Root)
		var refusal *Refusal
		if err := h.Make(t.Context(), p); !errors.As(err, &refusal) {
			t.Errorf("%+v: %v", p, err)
		}
		_ = os.RemoveAll(h.WorkDir)
		if after := tree(t, h.Root); !slices.Equal(before, after) {
			t.Errorf("%+v: it touched something: %q", p, after)
		}
	}
}

func TestAHostileSkeletonMakesNoHomeOrAHarmlessOne(t *testing.T) {
	for _, c := range []struct {
		sentence string
		put      func(h *Homes) error
		says     string // of the log's reason; empty: a home
		has      string // in its tree
	}{
		{"a link to shadow stays a link", func(h *Homes) error { return os.Symlink("/etc/shadow", h.Skel+"/s") }, "", "s 120777 4711:4712 /etc/shadow"},
		{"a link to a directory is not followed", func(h *Homes) error { return os.Symlink(h.Root+"/outside", h.Skel+"/d") }, "", "d 120777 4711:4712 " + "ROOT/outside"},
		{"set-id bits are dropped", func(h *Homes) error {
			return errors.Join(os.WriteFile(h.Skel+"/su", nil, 0o755), unix.Chmod(h.Skel+"/su", 0o6755))
		}, "", "su 100700 4711:4712"},
		{"a directory with set-gid and sticky", func(h *Homes) error {
			return errors.Join(os.Mkdir(h.Skel+"/d", 0o755), unix.Chmod(h.Skel+"/d", 0o3777))
		}, "", "d 40700 4711:4712"},
		{"a pipe", func(h *Homes) error { return unix.Mkfifo(h.Skel+"/pipe", 0o644) }, "neither file, directory nor link", ""},
		{"a device", func(h *Homes) error { return unix.Mknod(h.Skel+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) }, "neither file", ""},
		{"a socket", func(h *Homes) error { return unix.Mknod(h.Skel+"/sock", unix.S_IFSOCK|0o666, 0) }, "neither file", ""},
		{"a file without end", func(h *Homes) error {
			return errors.Join(os.WriteFile(h.Skel+"/big", nil, 0o644), os.Truncate(h.Skel+"/big", 1<<40))
		}, "more than 67108864 bytes", ""},
		{"too many files", func(h *Homes) (err error) {
			for i := range maxSkelEntries {
				err = errors.Join(err, os.Symlink("x", fmt.Sprintf("%s/%d", h.Skel, i)))
			}
			return err
		}, "more than 4096 entries", ""},
		{"too deep", func(h *Homes) error { return os.MkdirAll(h.Skel+strings.Repeat("/d", maxSkelDepth+2), 0o755) }, "more than 16 deep", ""},
		{"others may write to it", func(h *Homes) error { return os.Chmod(h.Skel, 0o777) }, "others than root may write", ""},
		{"it is somebody's", func(h *Homes) error { return os.Chown(h.Skel, 1500, 1500) }, "others than root may write", ""},
		{"it is a file", func(h *Homes) error { return errors.Join(os.RemoveAll(h.Skel), os.WriteFile(h.Skel, nil, 0o644)) }, "not a directory", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			h, _ := newHomes(t)
			if err := c.put(h); err != nil {
				t.Fatal(err)
			}
			outside := tree(t, filepath.Join(h.Root, "outside"))
			err := h.Make(t.Context(), adasHome)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %q", err, c.says)
				}
				if left, err := os.ReadDir(filepath.Join(h.Root, "home")); err != nil || len(left) != 0 {
					t.Errorf("left: %v, %v", left, err)
				}
			} else if all := tree(t, filepath.Join(h.Root, "home/ada")); err != nil || !slices.Contains(all, strings.ReplaceAll(c.has, "ROOT", h.Root)) {
				t.Errorf("%v, %q", err, all)
			}
			if after := tree(t, filepath.Join(h.Root, "outside")); !slices.Equal(outside, after) {
				t.Errorf("it touched what is outside: %q", after)
			}
		})
	}
}

func TestOfLoginsAtTheSameTimeOneMakesTheHome(t *testing.T) {
	h, _ := newHomes(t)
	var made atomic.Int32
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			own := homesIn(h.Root) // as another process has it
			own.step = func(step string) {
				if step == "rename" {
					made.Add(1)
				}
			}
			if err := own.Make(t.Context(), adasHome); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d made it", made.Load())
	}
	wantHome(t, h)
}

func TestKilledBeforeAnyStepTheNextLoginMakesTheHome(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		h, _ := newHomes(t)
		cmd := exec.Command(self, fmt.Sprint(n))
		cmd.Env = []string{diesEnv + "=" + h.Root}
		out, err := cmd.CombinedOutput()
		if err == nil { // no step left
			if n < 8 {
				t.Errorf("it has %d steps only", n-1)
			}
			wantHome(t, h)
			return
		}
		if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v\n%s", n, err, out)
		}
		// The home is not there, or it is complete.
		if _, err := os.Stat(filepath.Join(h.Root, "home/ada")); err == nil {
			if got := tree(t, filepath.Join(h.Root, "home/ada")); !slices.Equal(got, adasTree) {
				t.Errorf("killed before step %d there is half a home: %q", n, got)
			}
		}
		if err := h.Make(t.Context(), adasHome); err != nil {
			t.Fatalf("after a kill before step %d: %v", n, err)
		}
		wantHome(t, h)
	}
}

func TestWhatAnotherNodeIsMakingOnTheSameFileSystemStays(t *testing.T) {
	h, _ := newHomes(t)
	underWay := filepath.Join(h.Root, "home/.pwb-eve-0123456789abcdef")
	if err := errors.Join(os.Mkdir(underWay, 0o700), os.WriteFile(underWay+"/.profile", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := h.Make(t.Context(), adasHome); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(underWay + "/.profile"); err != nil {
		t.Errorf("it was swept away: %v", err)
	}
}

func TestWhatIsSweptIsRemovedWithoutFollowingLinks(t *testing.T) {
	h, _ := newHomes(t)
	left := filepath.Join(h.Root, "home/.pwb-eve-0123456789abcdef")
	for _, step := range []error{
		os.MkdirAll(left+"/a/b", 0o755), os.WriteFile(h.Root+"/outside/precious", nil, 0o644), os.Symlink(h.Root+"/outside", left+"/a/b/out"), os.Symlink(h.Root+"/outside/precious", left+"/file"),
		os.Mkdir(h.Root+"/home/.pwb-not-one-of-ours", 0o755), os.Chown(left, 1500, 1500), os.Chtimes(left, time.Time{}, time.Now().Add(-25*time.Hour)),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := h.Make(t.Context(), adasHome); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stays: %v", err)
	}
	for _, kept := range []string{"outside/precious", "home/.pwb-not-one-of-ours"} {
		if _, err := os.Stat(filepath.Join(h.Root, kept)); err != nil {
			t.Errorf("%s: %v", kept, err)
		}
	}
}

func TestTheLabelIsSetOnWhatWasMadeAndItsFailureKeepsTheHome(t *testing.T) {
	h, log := newHomes(t)
	var labelled []string
	h.Label = func(_ context.Context, home string) error {
		labelled = append(labelled, home)
		return errors.New("no such program")
	}
	for range 2 {
		if err := h.Make(t.Context(), adasHome); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(labelled, []string{"/home/ada"}) || !strings.Contains(log.String(), "restorecon") {
		t.Errorf("%q, %s", labelled, log)
	}
	wantHome(t, h)
}
