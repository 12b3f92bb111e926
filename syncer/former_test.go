package syncer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

func formerAccount(i int) Former {
	a := account(i).Account
	return Former{Key: account(i).Key(), Name: a.Name, UID: a.UID, GID: a.GID, Home: a.Home}
}

func formerGroup(i int) Former {
	return Former{Key: group(i).Key(), Name: group(i).Group.Name, GID: group(i).Group.GID}
}

// other is an account with a change.
func other(i int, change func(*roster.Account)) roster.Row {
	r := account(i)
	change(r.Account)
	return r
}

func checkFormer(t *testing.T, o *origin, want ...Former) {
	t.Helper()
	got := o.reports()
	if len(got) == 0 || !slices.Equal(got[len(got)-1].Former, want) {
		t.Errorf("reported %+v\nwant former %+v", got, want)
	}
}

func TestAfterANewEpochWhatTheServerLacksIsReported(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	o.set(group(2), group(3), account(6), member(1, 6))
	c := newClient(t, newWeb(t, o).URL, nil)
	n.mustOnce(c)
	o.set(account(7))
	n.mustOnce(c)
	checkFormer(t, o) // changes within an epoch are no loss
	o.drop(account(7).Key())
	n.mustOnce(c)
	checkReports(t, o, adaAndBob)

	o.drop(account(1).Key(), account(6).Key(), group(2).Key(), member(1, 1).Key(), member(1, 6).Key())
	o.set(
		other(2, func(a *roster.Account) { a.UID = 77777 }),
		other(3, func(a *roster.Account) { a.Name = "renamed" }),
		other(4, func(a *roster.Account) { a.GID = 50001 }),
		other(5, func(a *roster.Account) { a.Shell, a.Locked, a.Hash = "/bin/zsh", true, "" }),
		account(0), account(9), group(4),
	)
	g := group(3)
	g.Group.Name = "renamed-too"
	o.set(g)
	o.restore("backup")
	n.mustOnce(c)
	n.checkInStep(o)
	checkFormer(t, o, formerAccount(1), formerAccount(2), formerAccount(3), formerAccount(4), formerAccount(6), formerGroup(2), formerGroup(3))

	if kept := n.reports(); kept.Former != nil || kept.Epoch != "backup" {
		t.Errorf("kept after the server had taken it: %+v", kept)
	}
	n.mustOnce(c) // which finds that the new epoch goes on
	before := listing(t, n.cfg.StateDir)
	n.mustOnce(c)
	if got := o.reports(); len(got) != 2 {
		t.Errorf("reported %+v", got)
	}
	if after := listing(t, n.cfg.StateDir); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%v\n%v", before, after)
	}
}

func TestARestoreThatLostNothingHasNothingToReportButTheFacts(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.set(account(9)) // and what is new is no loss
	o.restore("backup")
	n.mustOnce(o)
	checkReports(t, o, adaAndBob, adaAndBob)
}

func TestFormerRowsOutliveTheProcessUntilTheServerTookThem(t *testing.T) {
	n, l := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.drop(account(1).Key())
	o.restore("backup")
	o.refuseWith(answers(500))
	n.mustOnce(o) // n makes a new Syncer for each pass
	n.mustOnce(o)
	o.refuseWith(func(context.Context) error { return ErrNotTaken })
	n.mustOnce(o)
	l.set(nil, nil, errors.New("cannot be read"))
	n.mustOnce(o)
	l.set(nil, nil, nil)
	o.refuseWith(nil)
	o.set(account(8)) // passes go on
	n.mustOnce(o)
	if got := o.reports(); len(got) != 5 {
		t.Errorf("reported %+v", got)
	}
	checkFormer(t, o, formerAccount(1))
	n.mustOnce(o)
	if got, kept := o.reports(), n.reports(); len(got) != 5 || kept.Former != nil {
		t.Errorf("reported %+v, kept %+v", got, kept)
	}
}

// Former rows are on disk before the mirror goes; whoever is killed in between
// finds the old mirror, and the same former rows again.
func TestAKillBetweenFormerRowsAndTheMirrorLosesAndDoublesNothing(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.drop(account(1).Key(), group(1).Key())
	o.restore("backup")
	killed := errors.New("killed")
	m, err := OpenMirror(n.cfg.StateDir)
	must(err)
	defer m.Close()
	var now []roster.Change
	for _, k := range []int{2, 3, 4, 5} {
		now = append(now, roster.Change{Key: account(k).Key(), Line: account(k).Line()})
	}
	s := n.syncer(o)
	err = writeMirror(n.cfg.StateDir, o.position(), func(yield func(roster.Change, error) bool) {
		for c, err := range s.savingLost(t.Context(), m, true, func(yield func(roster.Change, error) bool) {
			for _, c := range now {
				if !yield(c, nil) {
					return
				}
			}
		}) {
			if !yield(c, err) {
				return
			}
		}
		yield(roster.Change{}, killed)
	})
	want := []Former{formerAccount(1), formerGroup(1)}
	if kept := n.reports(); !errors.Is(err, killed) || !slices.Equal(kept.Former, want) {
		t.Fatalf("%v, kept %+v", err, kept)
	}
	if pos, _ := mirrorPosition(n.cfg.StateDir); pos.Epoch != "town" {
		t.Fatalf("the mirror is at %v", pos)
	}
	n.mustOnce(o)
	checkFormer(t, o, want...)
	n.mustOnce(o)
	if got := o.reports(); len(got) != 2 {
		t.Errorf("reported %+v", got)
	}
}

func TestFormerRowsOfSeveralEpochsComeTogetherAndThoseThatAreBackDoNot(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.refuseWith(answers(500))
	o.drop(account(1).Key(), account(2).Key())
	o.set(other(3, func(a *roster.Account) { a.UID = 77777 }))
	o.restore("second")
	n.mustOnce(o)
	o.set(account(2))
	o.drop(account(3).Key(), group(1).Key())
	o.restore("third")
	o.refuseWith(nil)
	n.mustOnce(o)
	renumbered := formerAccount(3)
	renumbered.UID = 77777
	checkFormer(t, o, formerAccount(1), formerAccount(3), renumbered, formerGroup(1))
}

func TestRowsThatAReportTookWhileAPassFoundMoreAreAllThatGo(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.drop(account(1).Key())
	o.restore("second")
	passes := &node{t: t, cfg: n.cfg, sink: n.sink}
	first := true
	o.refuseWith(func(context.Context) error {
		if !first {
			return &StatusError{Code: 500}
		}
		first = false
		o.drop(account(2).Key())
		o.restore("third")
		passes.mustOnce(o)
		return nil
	})
	n.mustOnce(o)
	if kept := n.reports(); !slices.Equal(kept.Former, []Former{formerAccount(2)}) || kept.Epoch != "second" {
		t.Errorf("kept %+v", kept)
	}
	o.refuseWith(nil)
	n.mustOnce(o)
	checkFormer(t, o, formerAccount(2))
}

func TestOfADamagedMirrorWhatCanBeReadIsReported(t *testing.T) {
	n, _ := newReporter(t)
	var logged bytes.Buffer
	n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	o := town()
	n.mustOnce(o)
	b, err := os.ReadFile(n.mirrorPath())
	must(err)
	at := bytes.Index(b, []byte(accountID(3)))
	must(os.WriteFile(n.mirrorPath(), append(b[:at], "$6$TopSecret\n"...), 0o600))
	o.drop(account(1).Key(), account(4).Key())
	o.restore("backup")
	n.mustOnce(o)
	n.checkInStep(o)
	checkFormer(t, o, formerAccount(1))
	if got := logged.String(); !strings.Contains(got, "behind the damage") || strings.Contains(got, "TopSecret") {
		t.Errorf("log %s", got)
	}
}

func TestFormerRowsThatCannotBeKeptStopThePassBeforeTheMirrorGoes(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	path := filepath.Join(n.cfg.StateDir, reportFile)
	must(os.Remove(path))
	must(os.MkdirAll(filepath.Join(path, "x"), 0o700))
	o.drop(account(1).Key())
	o.restore("backup")
	mirror, rendered := n.bytes()
	if _, err := n.once(o); err == nil || !strings.Contains(err.Error(), "record what is reported") {
		t.Errorf("error %v", err)
	}
	if m, r := n.bytes(); m != mirror || r != rendered {
		t.Error("files changed")
	}
	must(os.RemoveAll(path))
	n.mustOnce(o)
	n.checkInStep(o)
	checkFormer(t, o, formerAccount(1))
}

// A link to itself stands for a file that cannot be read now and may be later.
func TestFormerRowsThatCannotBeReadAreNotWrittenOver(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	path := filepath.Join(n.cfg.StateDir, reportFile)
	hide := func() { must(errors.Join(os.Rename(path, path+".hidden"), os.Symlink(reportFile, path))) }
	show := func() { must(errors.Join(os.Remove(path), os.Rename(path+".hidden", path))) }
	o.drop(account(1).Key())
	o.restore("first")
	o.refuseWith(answers(500))
	n.mustOnce(o)

	// Not by a pass that finds more of them,
	o.drop(account(2).Key())
	o.restore("second")
	hide()
	mirror, rendered := n.bytes()
	for range 2 {
		if _, err := n.once(o); err == nil || !strings.Contains(err.Error(), "read what was reported") {
			t.Errorf("error %v", err)
		}
		n.checkTold(reportFile)
	}
	if m, r := n.bytes(); m != mirror || r != rendered {
		t.Error("files changed")
	}
	show()
	n.mustOnce(o)
	checkFormer(t, o, formerAccount(1), formerAccount(2))

	// nor by a report that was taken.
	o.refuseWith(func(context.Context) error { hide(); return nil })
	n.mustOnce(o)
	show()
	if kept := n.reports(); !slices.Equal(kept.Former, []Former{formerAccount(1), formerAccount(2)}) {
		t.Errorf("kept %+v", kept)
	}
	o.refuseWith(nil)
	n.mustOnce(o)
	checkFormer(t, o, formerAccount(1), formerAccount(2))
	n.checkWell()
	if kept := n.reports(); kept.Former != nil {
		t.Errorf("kept after the server had taken it: %+v", kept)
	}
}

func TestASnapshotThatIsWrongLeavesNoFormerRows(t *testing.T) {
	n, _ := newReporter(t)
	o := town()
	n.mustOnce(o)
	o.drop(account(1).Key())
	o.restore("backup")
	o.pos.Sum[3] ^= 1
	if _, err := n.once(o); err == nil {
		t.Error("accepted")
	}
	if kept := n.reports(); kept.Former != nil {
		t.Errorf("kept %+v", kept)
	}
}

func TestMoreFormerRowsThanAReportHoldsAreCutAndLogged(t *testing.T) {
	n, _ := newReporter(t)
	n.cfg.Fuse = Fuse{Count: 1 << 30}
	var logged bytes.Buffer
	n.cfg.Log = slog.New(slog.NewTextHandler(&logged, nil))
	o := town()
	n.mustOnce(o)
	o.change(func() {
		for i := range maxFacts + 50 {
			o.put(account(i).Key(), account(i).Line())
		}
		odd := other(1, func(a *roster.Account) { a.Name = strings.Repeat("n", maxFactName+1) })
		o.put(odd.Key(), odd.Line())
		o.put("a/id-000002", []byte(`["a/id-000002",{"name":"x","uid":"ten"}]`))
	})
	n.mustOnce(o)
	after := newOrigin("village")
	after.set(account(0))
	n.mustOnce(after)
	got := after.reports()[0].Former
	if len(got) != maxFacts || got[0] != formerAccount(3) || got[maxFacts-1] != formerAccount(maxFacts+2) {
		t.Errorf("%d rows from %+v to %+v", len(got), got[0], got[len(got)-1])
	}
	if !strings.Contains(logged.String(), `"left out"=48`) { // 47 accounts and a group
		t.Errorf("log %s", logged.String())
	}
}

func TestFormerRowsAreWrittenAsTheProtocolHasThem(t *testing.T) {
	n := newNode(t)
	must(os.Mkdir(n.cfg.StateDir, 0o700))
	want := reports{Epoch: "e", Digest: "d", Former: []Former{formerAccount(1), formerGroup(1), {Key: "g/x", Name: "\"é<\n", GID: 7}}}
	must(writeReports(n.cfg.StateDir, want))
	if got := n.reports(); !reflect.DeepEqual(got, want) {
		t.Errorf("wrote %+v, read %+v", want, got)
	}
	b, err := os.ReadFile(filepath.Join(n.cfg.StateDir, reportFile))
	must(err)
	for _, want := range []string{`{"key":"a/id-000001","name":"user1","uid":10001,"gid":10001,"home":"/home/user1"}`, `{"key":"g/gr-001","name":"group1","gid":50001}`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
}

// What is reported is what a reader of both rosters would find.
func TestFormerRowsAreTheDifferenceOfTheRosters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "syncer-")
		must(err)
		defer os.RemoveAll(dir)
		cfg := Config{StateDir: filepath.Join(dir, "state"), Fuse: Fuse{Count: 1000}, Local: (&locals{}).read}
		o := newOrigin("e0")
		s, err := New(cfg, o, idle{})
		must(err)
		want := map[Former]bool{}
		for epoch := range rapid.IntRange(2, 4).Draw(t, "epochs") {
			held := map[string]Former{}
			for k, line := range o.rows {
				if f, ok := formerOf(roster.Change{Key: k, Line: line}); ok && k[0] != 'm' {
					held[k] = f
				}
			}
			o.change(func() {
				for range rapid.IntRange(0, 12).Draw(t, "rows") {
					i := rapid.IntRange(0, 6).Draw(t, "which")
					renamed := other(i, func(a *roster.Account) { a.Name += "x" })
					row := rapid.SampledFrom([]roster.Row{account(i), locked(i), renamed, group(i), member(1, i)}).Draw(t, "row")
					if rapid.Bool().Draw(t, "gone") {
						o.put(row.Key(), nil)
					} else {
						o.put(row.Key(), row.Line())
					}
				}
			})
			o.restore(fmt.Sprintf("e%d", epoch))
			if epoch > 0 {
				for _, f := range held {
					want[f] = true
				}
			}
			for k, line := range o.rows {
				is, _ := formerOf(roster.Change{Key: k, Line: line})
				delete(want, is)
			}
			taken := rapid.Bool().Draw(t, "taken")
			o.refuse = func(context.Context) error {
				if taken {
					return nil
				}
				return errors.New("no")
			}
			if _, err := s.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := map[Former]bool{}
			for _, f := range o.told[len(o.told)-1].Former {
				got[f] = true
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("reported %+v\nwant %+v", got, want)
			}
			if taken {
				clear(want)
			}
		}
	})
}
