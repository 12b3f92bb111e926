package packages_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is where TestMain has room for what the tests build.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "pwb-packages-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		built = dir
		return m.Run()
	}())
}

// missing skips a test that this machine has not what it takes for, loudly; in CI it fails.
func missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI must run this test, but %s: %v", what, err)
	}
	t.Skipf("NOT TESTED HERE: %s: %v", what, err)
}

// need skips without one of the programs.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is needed", err)
		}
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root is needed", fmt.Errorf("the effective uid is %d", os.Geteuid()))
	}
}

// epoch is the time of the source in all tests.
const epoch = 1_700_000_000

// pack runs command pack in a module.
func pack(module, out string, env []string, args ...string) error {
	cmd := exec.Command("go", append([]string{"run", "./cmd/packages/pack", "-out", out}, args...)...)
	cmd.Dir = module
	cmd.Env = append(append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch)), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pack: %w\n%s", err, text)
	}
	return nil
}

const first, second = "1.0.0", "1.1.0"

// packages are the packages of the first version, deb and rpm.
var packages = sync.OnceValues(func() (string, error) {
	out := filepath.Join(built, first)
	return out, pack("../..", out, nil, "-version", first)
})

func packed(t testing.TB) string {
	t.Helper()
	need(t, "gcc", "make")
	dir, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func deb(dir, name, version string) string {
	return filepath.Join(dir, fmt.Sprintf("%s_%s_%s.deb", name, version, runtime.GOARCH))
}

// unpacked is a directory with the files of both packages' debs.
func unpacked(t *testing.T) string {
	t.Helper()
	need(t, "dpkg-deb")
	dir, out := packed(t), t.TempDir()
	for _, name := range []string{"pwb-server", "pwb-agent"} {
		output(t, "dpkg-deb", "-x", deb(dir, name, first), out)
	}
	return out
}

// rpms are the rpm of each package.
func rpm(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(packed(t), name+"-"+first+"-*.rpm"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the rpms of %s are %q, %v", name, found, err)
	}
	return found[0]
}

// output runs a program that must end well, and returns what it prints.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(append([]string{name}, args...), " "), errors.Join(err, context.Cause(ctx)), out)
	}
	return string(out)
}
