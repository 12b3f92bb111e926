package pam

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newFailures is a Throttle with a clock that tests set.
func newFailures(t *testing.T) (*Failures, *time.Duration) {
	t.Helper()
	now := time.Hour
	return &Failures{Dir: filepath.Join(t.TempDir(), "work"), Max: 5, Window: time.Minute, Pause: 30 * time.Second, Now: func() time.Duration { return now }}, &now
}

// fail makes an attempt that fails, and reports whether it was let through.
func fail(t *testing.T, f *Failures, name, host string) bool {
	t.Helper()
	_, err := f.Begin(name, host)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	return err == nil
}

func TestFailuresMakePausesThatGrowAndEnd(t *testing.T) {
	f, now := newFailures(t)
	for i := range 5 {
		if !fail(t, f, "ada", "") {
			t.Fatalf("attempt %d is refused", i)
		}
		*now += time.Second
	}
	for _, pause := range []time.Duration{30, 60, 120, 120} {
		*now += pause*time.Second - 2*time.Second
		if fail(t, f, "ada", "") {
			t.Fatalf("let through before %d s", pause)
		}
		if !fail(t, f, "bob", "") {
			t.Fatal("another is refused")
		}
		*now += 3 * time.Second
		if !fail(t, f, "ada", "") {
			t.Fatalf("refused after %d s", pause)
		}
		*now += time.Second
	}
	*now += 5 * time.Minute
	for i := range 5 {
		if !fail(t, f, "ada", "") {
			t.Fatalf("attempt %d is refused when all is forgotten", i)
		}
	}
	if fail(t, f, "ada", "") {
		t.Error("a sixth is not refused")
	}
}

func TestASuccessIsForgivenToTheNameAndCountsNothingForTheHost(t *testing.T) {
	f, _ := newFailures(t)
	const host = "192.0.2.7"
	for range 4 {
		fail(t, f, "ada", host)
	}
	forgive, err := f.Begin("ada", host)
	if err != nil {
		t.Fatal(err)
	}
	if err := forgive(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if !fail(t, f, "ada", "") {
			t.Fatalf("attempt %d is refused after a success", i)
		}
	}
	n := 4 // failures from that host
	for i := 0; fail(t, f, fmt.Sprintf("user%d", i), host); i++ {
		n++
	}
	if n != 5*HostFactor {
		t.Errorf("the host failed %d times", n)
	}
	if !fail(t, f, "carol", "192.0.2.8") {
		t.Error("another host is refused")
	}
}

func TestAHostIsOneHoweverItIsWritten(t *testing.T) {
	for _, same := range [][]string{{"192.0.2.1", "::ffff:192.0.2.1"}, {"2001:db8::1", "2001:db8::ffff:0:0:1", "2001:0db8::2%eth0"}, {"desk.example"}} {
		for _, host := range same {
			if network(host) != network(same[0]) {
				t.Errorf("%s is %s", host, network(host))
			}
		}
	}
	if network("2001:db8::1") == network("2001:db8:0:1::1") || network("192.0.2.1") == network("192.0.2.2") {
		t.Error("others are the same")
	}
}

func TestAttemptsAtTheSameTimeAreCountedBeforeTheyAreDecided(t *testing.T) {
	f, _ := newFailures(t)
	var through atomic.Int32
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			own := *f // as another process has it
			if _, err := own.Begin("ada", ""); err == nil {
				through.Add(1)
			}
		})
	}
	all.Wait()
	if through.Load() != 5 {
		t.Errorf("%d of 40 were let through", through.Load())
	}
}

func TestTheCountsAreRootsAlone(t *testing.T) {
	f, _ := newFailures(t)
	fail(t, f, "ada", "")
	path := filepath.Join(f.Dir, FailuresName)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 || fi.Size() != FailuresSize {
		t.Errorf("%v, %v", fi, err)
	}
	if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), "ada") {
		t.Errorf("names are in it, %v", err)
	}
	if fi, err := os.Stat(f.Dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi, err)
	}
	// Damage begins anew.
	if err := os.WriteFile(path, []byte("PWBFAIL1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !fail(t, f, "ada", "") {
		t.Error("a damaged file refuses")
	}
	for name, spoil := range map[string]func(dir string) error{
		"others may see the directory": func(dir string) error { return os.Chmod(dir, 0o755) },
		"it is a link":                 func(dir string) error { return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir)) },
		"the file is a link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, FailuresName)), os.Symlink("/dev/null", filepath.Join(dir, FailuresName)))
		},
	} {
		f, _ := newFailures(t)
		fail(t, f, "ada", "")
		if err := spoil(f.Dir); err != nil {
			t.Fatal(err)
		}
		var refusal *Refusal
		if _, err := f.Begin("ada", ""); err == nil || errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
