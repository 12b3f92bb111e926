package syncer

import (
	"errors"
	"strings"
	"testing"

	"pwb/roster"
)

func TestTheFuseWeighsHarmAgainstBothLimits(t *testing.T) {
	for _, test := range []struct {
		name   string
		fuse   Fuse
		effect roster.Effect
		blows  bool
	}{
		{"nothing happens", Fuse{}, roster.Effect{Before: 10, After: 10}, false},
		{"one removed, none allowed", Fuse{}, roster.Effect{Before: 10, After: 9, Removed: 1}, true},
		{"as many as the count allows", Fuse{Count: 3}, roster.Effect{Before: 10, After: 10, Locked: 3}, false},
		{"one more than the count", Fuse{Count: 3}, roster.Effect{Before: 10, After: 10, Renumbered: 4}, true},
		{"above the count, within the share", Fuse{Count: 3, Percent: 40}, roster.Effect{Before: 10, After: 10, Locked: 4}, false},
		{"above the share by a little", Fuse{Percent: 33}, roster.Effect{Before: 9, After: 6, Removed: 3}, true},
		{"all gone, everything allowed", Fuse{Count: 1e6, Percent: 100}, roster.Effect{Before: 2, Removed: 2}, true},
		{"all gone from nothing", Fuse{}, roster.Effect{}, false},
		{"all replaced by others", Fuse{Percent: 100}, roster.Effect{Before: 2, After: 2, Added: 2, Removed: 2}, false},
		{"additions are free", Fuse{}, roster.Effect{Before: 1, After: 1000, Added: 999}, false},
	} {
		if got := test.fuse.blows(test.effect); got != test.blows {
			t.Errorf("%s: blows = %v", test.name, got)
		}
	}
}

func TestAStoppedPassKeepsTheFilesUntilItIsAcceptedOrUndone(t *testing.T) {
	setup := func(t *testing.T) (*node, *origin, string) {
		n, o := newNode(t), town()
		n.cfg.Fuse = Fuse{Count: 1}
		n.mustOnce(o)
		_, rendered := n.bytes()
		o.drop(roster.AccountKey(accountID(1)), roster.AccountKey(accountID(2)))
		for range 2 { // it stays stopped, also when the mirror has followed
			res, err := n.once(o)
			fuse, ok := errors.AsType[*FuseError](err)
			if !ok || !errors.Is(err, ErrFuse) || fuse.Position != o.position() || fuse.Effect.Removed != 2 {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), "--accept-change 3") {
				t.Errorf("the error does not say how to go on: %v", err)
			}
			if res.Wrote || res.Position != o.position() {
				t.Errorf("result %+v", res)
			}
			if _, now := n.bytes(); now != rendered {
				t.Fatal("the rendered file changed")
			}
			st := n.state()
			if st.Stopped == nil || st.Stopped.Position != o.position() || st.Stopped.Removed != 2 || st.LastError != "" {
				t.Errorf("state %+v", st)
			}
		}
		return n, o, rendered
	}
	t.Run("accepted by its number", func(t *testing.T) {
		n, o, _ := setup(t)
		n.cfg.AcceptChange = 3
		n.mustOnce(o)
		n.checkInStep(o)
		if st := n.state(); st.Stopped != nil {
			t.Errorf("state %+v", st)
		}
	})
	t.Run("accepted by another number", func(t *testing.T) {
		n, o, rendered := setup(t)
		n.cfg.AcceptChange = 2
		if _, err := n.once(o); !errors.Is(err, ErrFuse) || !strings.Contains(err.Error(), "Change 2 was accepted") {
			t.Errorf("error %v", err)
		}
		if _, now := n.bytes(); now != rendered {
			t.Error("the rendered file changed")
		}
	})
	t.Run("undone at the server", func(t *testing.T) {
		n, o, rendered := setup(t)
		o.set(account(1), account(2))
		if res := n.mustOnce(o); res.Wrote {
			t.Errorf("result %+v", res)
		}
		if _, now := n.bytes(); now != rendered {
			t.Error("the rendered file changed")
		}
		if st := n.state(); st.Stopped != nil {
			t.Errorf("state %+v", st)
		}
	})
}

func TestAnEmptyRosterOfANewStoreCannotBeAccepted(t *testing.T) {
	n, o := newNode(t), town()
	n.cfg.Fuse = Fuse{Count: 1000, Percent: 100}
	n.mustOnce(o)
	_, rendered := n.bytes()
	_, err := n.once(newOrigin("blank"))
	if !errors.Is(err, ErrFuse) || strings.Contains(err.Error(), "--accept-change") || !strings.Contains(err.Error(), "right server") {
		t.Errorf("error %v", err)
	}
	if _, now := n.bytes(); now != rendered {
		t.Error("the rendered file changed")
	}
	n.mustOnce(o) // and back
	n.checkInStep(o)
}
