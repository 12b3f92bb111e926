package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// The test binary is also the process that is killed: with these variables it
// writes to the store in the directory until somebody ends it.
const (
	crashDir   = "PWB_TEST_CRASH_DIR"
	crashRound = "PWB_TEST_CRASH_ROUND"
)

// enrol does all that belongs to a new user, in many statements: whoever finds
// a part of it finds the rest. It gives the number that no subject has.
func enrol(tx scimserver.Tx, id string) error {
	now := time.UnixMilli(1e12).UTC()
	n := max(tx.Cursor(ledger.UserSlot, 1000), 1000)
	tx.SetCursor(ledger.UserSlot, 1000, n+1)
	e := ledger.Entry{Subject: id, Name: "n" + id, Given: now}
	err := errors.Join(
		tx.Insert(scimserver.Resource{Kind: scimserver.KindUser, ID: id, Name: id, Version: 1, Created: now, Modified: now, Doc: []byte(`{"userName":"` + id + `"}`)}),
		tx.Insert(scimserver.Resource{Kind: scimserver.KindGroup, ID: "g" + id, Name: id, Version: 1, Created: now, Modified: now, Doc: []byte(`{"displayName":"` + id + `"}`)}),
		tx.GiveUID(n, e), tx.GiveGID(n, e), tx.GiveName("n"+id, e),
		tx.PutRow(roster.Row{Account: &roster.Account{ID: id, Name: "n" + id, UID: n, GID: n}}),
		tx.PutRow(roster.Row{Group: &roster.Group{ID: "g" + id, Name: "g" + id, GID: n}}),
		tx.PutRow(roster.Row{Member: &roster.Member{GroupID: "g" + id, AccountID: id}}),
		tx.PutSubject(ledger.Subject{ID: id, End: now}),
		tx.Record(scimserver.Event{At: now, Actor: "token entra", Action: "user.create", Subject: id, Name: "n" + id, UID: n, GID: n}),
	)
	_, more := tx.AddMember("g"+id, id)
	return errors.Join(err, more)
}

// beKilled enrols users from eight goroutines and prints the id of each that
// was acknowledged.
func beKilled(dir string) int {
	s, err := Open(context.Background(), dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", os.Getenv(crashRound), c, i)
				no := errors.New("every third fails")
				err := s.Update(context.Background(), func(tx scimserver.Tx) error {
					err := enrol(tx, id)
					if err == nil && i%3 == 2 {
						return no
					}
					return err
				})
				switch {
				case err == no:
				case err != nil:
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				default:
					fmt.Println(id) // one write, so that lines stay whole
				}
			}
		})
	}
	all.Wait()
	return 0
}

func TestAKilledProcessLosesNothingThatItAcknowledged(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	acknowledged := map[string]bool{}
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		kill := rand.N(80)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s=r%d", crashRound, round))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The moment is counted in acknowledgements, so that it falls into the
		// work on fast and slow machines alike; what comes after counts too.
		lines := bufio.NewReader(stdout)
		for n := 0; ; n++ {
			if n == kill {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			acknowledged[strings.TrimSuffix(line, "\n")] = true
		}
		err = cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: the process ended by itself: %v\n%s", round, err, &stderr)
		}
		inspect(t, dir, acknowledged)
		if t.Failed() {
			t.Fatalf("after round %d, killed at acknowledgement %d", round, kill)
		}
	}
	t.Logf("%d updates were acknowledged in %d rounds", len(acknowledged), rounds)
}

// inspect opens the store and looks for all that was acknowledged, and for
// anything half.
func inspect(t *testing.T, dir string, acknowledged map[string]bool) {
	t.Helper()
	s, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(context.Background(), func(v scimserver.View) error {
		c := v.(*view).c
		var verdict string
		if err := c.row("PRAGMA integrity_check", nil, &verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %s, %v", verdict, err)
		}
		at, err := v.Position()
		if err != nil {
			return err
		}
		var sum roster.Sum
		rows := map[string]roster.Row{}
		if err := v.Snapshot(func(c roster.Change) error {
			sum.Add(c.Line)
			row, err := c.Row()
			rows[c.Key] = row
			return err
		}); err != nil {
			return err
		}
		if sum != at.Sum || at.Seq != int64(len(rows)) {
			t.Errorf("position %v, but %d rows with the digest %v", at, len(rows), sum)
		}
		users := 0
		uids := map[uint32]bool{}
		if _, err := v.Find(scimserver.KindUser, scimserver.Query{Limit: 1 << 30}, func(r scimserver.Resource) error {
			users++
			a := rows[roster.AccountKey(r.ID)].Account
			if a == nil || rows[roster.GroupKey("g"+r.ID)].Group == nil || rows[roster.MemberKey("g"+r.ID, r.ID)].Member == nil {
				return fmt.Errorf("user %s has not all its rows", r.ID)
			}
			if uids[a.UID] {
				t.Errorf("uid %d was given twice", a.UID)
			}
			uids[a.UID] = true
			number, _, err1 := v.IDOwners(a.UID)
			name, err2 := v.NameOwner("n" + r.ID)
			_, err3 := v.Resource(scimserver.KindGroup, "g"+r.ID)
			members := 0
			err4 := v.Members("g"+r.ID, func(scimserver.Ref) error { members++; return nil })
			if number.Subject != r.ID || name.Subject != r.ID || members != 1 {
				t.Errorf("user %s: number of %q, name of %q, %d memberships", r.ID, number.Subject, name.Subject, members)
			}
			return errors.Join(err1, err2, err3, err4)
		}); err != nil {
			return err
		}
		if 3*users != len(rows) {
			t.Errorf("%d users with %d rows", users, len(rows))
		}
		for table, want := range map[string]int{"resources": 2 * users, "members": users, "ledger_ids": 2 * users, "ledger_names": users, "subjects": users, "events": users} {
			var n int
			if err := c.row("SELECT count(*) FROM "+table, nil, &n); err != nil || n != want {
				t.Errorf("%d users and %d rows in %s, %v", users, n, table, err)
			}
		}
		for id := range acknowledged {
			if rows[roster.AccountKey(id)].Account == nil {
				t.Errorf("%s was acknowledged and is not there", id)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
