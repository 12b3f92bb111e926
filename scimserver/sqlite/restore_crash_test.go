package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pwb/scimserver"
)

// crashBackup names the file that the process which is killed restores.
const crashBackup = "PWB_TEST_CRASH_BACKUP"

// beKilledRestoring restores once and says when it begins and when it is over.
func beKilledRestoring(dir, file string) int {
	fmt.Println("begun")
	if _, err := Restore(context.Background(), dir, file, 10, "test", restore); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("over")
	return 0
}

// runRestore runs a process that restores and kills it when the moment has come,
// unless it is over before; without a moment it ends by itself. It reports
// whether it was over.
func runRestore(t *testing.T, dir, file string, moment func() bool) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashBackup+"="+file)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscanln(stdout, &word); err != nil || word != "begun" {
		t.Errorf("the process says %q, %v", word, err)
	}
	ended := make(chan string)
	go func() {
		word := ""
		_, _ = fmt.Fscanln(stdout, &word) // nothing when it was killed before
		ended <- word
	}()
	for killed := moment == nil; ; {
		select {
		case word := <-ended:
			if err := cmd.Wait(); moment == nil && err != nil {
				t.Fatalf("the process: %v\n%s", err, &stderr)
			}
			return word == "over"
		case <-time.After(100 * time.Microsecond):
		}
		if !killed && moment() {
			killed = true
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		}
	}
}

// written is how many bytes of the transaction are in the log.
func written(dir string) int64 {
	info, err := os.Stat(filepath.Join(dir, FileName+"-wal"))
	if err != nil {
		return 0
	}
	return info.Size()
}

func TestAKilledRestoreLeavesTheOldStateOrTheNew(t *testing.T) {
	t.Parallel()
	const users = 500
	from := newDir(t)
	s := openStore(t, from)
	update(t, s, func(tx *tx) error {
		var errs []error
		for n := range uint32(users) {
			errs = append(errs, settle(tx, fmt.Sprint("u", n), 10_000+n))
		}
		return errors.Join(errs...)
	})
	file := backup(t, from)
	update(t, s, func(tx *tx) error {
		var errs []error
		for n := range uint32(users / 2) {
			errs = append(errs, lock(tx, fmt.Sprint("u", n), 10_000+n), settle(tx, fmt.Sprint("new", n), 20_000+n))
		}
		return errors.Join(errs...)
	})
	present := filepath.Join(t.TempDir(), "present") // the store before each restore, as one file
	if err := errors.Join(Backup(context.Background(), from, present), s.Close()); err != nil {
		t.Fatal(err)
	}
	again := func() string {
		dir := newDir(t)
		if err := copyFile(present, filepath.Join(dir, FileName)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := again()
	before := contents(t, dir)
	begun := time.Now()
	runRestore(t, dir, file, nil)
	whole := time.Since(begun)
	after := contents(t, dir)
	if before == after {
		t.Fatal("the restore changes nothing")
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	// By chance before it is written, and while it is.
	for round, bytes := range []int64{0, 0, 1, info.Size() / 4, info.Size() / 2} {
		dir := again()
		end := time.Now().Add(rand.N(whole))
		over := runRestore(t, dir, file, func() bool {
			return bytes == 0 && time.Now().After(end) || bytes > 0 && written(dir) >= bytes
		})
		outcome := fmt.Sprintf("at %d bytes of the log ", written(dir))
		// Whoever opens the store recovers it.
		if err := openStore(t, dir).Close(); err != nil {
			t.Fatal(err)
		}
		checkWhole(t, dir)
		switch got := contents(t, dir); {
		case got == after:
			outcome += "the new one"
		case got == before && !over:
			outcome += "the old one"
		default:
			t.Errorf("round %d: the store is neither the old one nor the new one (it was over: %v)", round, over)
		}
		outcomes = append(outcomes, outcome)
		if !t.Failed() { // a later restore is not hindered
			if done := mustRestore(t, dir, file, 10); done.Users != users {
				t.Errorf("round %d: restored %+v", round, done)
			}
		}
	}
	t.Logf("a restore takes %v; outcomes: %s", whole, strings.Join(outcomes, ", "))
}

func TestUpdatesGoOnBesideARestore(t *testing.T) {
	dir := newDir(t)
	s := openStore(t, dir)
	update(t, s, func(tx *tx) error { return settle(tx, "u1", 1000) })
	file := backup(t, dir)
	var stop atomic.Bool
	var all sync.WaitGroup
	var number atomic.Uint32
	for range 4 {
		all.Go(func() {
			for !stop.Load() {
				n := number.Add(1)
				if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return settle(tx, fmt.Sprint("w", n), 10_000+n) }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		if _, err := Restore(context.Background(), dir, file, 10, "test", restore); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	all.Wait()
	checkWhole(t, dir)
	// Whoever was enrolled at any time owns what was given.
	if err := s.View(context.Background(), func(v scimserver.View) error {
		for n := range number.Load() {
			uid, _, err := v.IDOwners(10_001 + n)
			_, noAccount := v.Row(fmt.Sprint("a/w", n+1))
			subject, err2 := v.Subject(fmt.Sprint("w", n+1))
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			if uid.Subject != subject.ID || (noAccount == nil) == (subject.Account != nil) {
				t.Errorf("user %d: uid of %q, account %v, subject %+v", n+1, uid.Subject, noAccount, subject)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
