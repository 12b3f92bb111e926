package syncer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fullDiskEnv makes this test binary the child of the test below; its value is
// the directory of the node.
const fullDiskEnv = "PWB_SYNCER_FULL_DISK"

func TestAFullDiskLeavesMirrorAndFilesAsTheyWere(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	mirror, rendered := n.bytes()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fullDiskEnv+"="+filepath.Dir(n.sink.path))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	if got := string(out); !strings.Contains(got, "write a new mirror") {
		t.Errorf("child says %q", got)
	}
	if m, r := n.bytes(); m != mirror || r != rendered {
		t.Error("files changed")
	}
	entries, err := os.ReadDir(n.cfg.StateDir)
	must(err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
	grow(o)
	n.mustOnce(o)
	n.checkInStep(o)
}

func grow(o *origin) {
	for i := range 200 {
		o.set(account(100 + i))
	}
}

// fullDiskChild makes a pass that needs more than the limit for files; to a
// writer that is a disk that fills up.
func fullDiskChild(dir string) int {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 16 << 10, Max: 16 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println(err)
		return 1
	}
	o := town()
	grow(o)
	s, err := New(Config{StateDir: filepath.Join(dir, "state")}, o, &files{path: filepath.Join(dir, "rendered")})
	must(err)
	_, err = s.Once(context.Background())
	fmt.Println(err)
	if !errors.Is(err, syscall.EFBIG) {
		return 1
	}
	return 0
}
