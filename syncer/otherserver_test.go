package syncer

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pwb/roster"
)

// village is another server: of another epoch, with these rows.
func village(rows ...roster.Row) *origin {
	o := newOrigin("village")
	o.set(account(99))
	o.change(func() {
		o.put(account(99).Key(), nil)
		for _, r := range rows {
			o.put(r.Key(), r.Line())
		}
	})
	return o
}

func TestAnotherServersRosterIsHeldBackAndTheRightServerHealsWithoutAnAcceptance(t *testing.T) {
	inTown := func(f func(i int) roster.Row) (rows []roster.Row) {
		for i := range 5 {
			rows = append(rows, f(i+1))
		}
		return rows
	}
	renumbered := func(i int) roster.Row {
		return other(i, func(a *roster.Account) { a.UID, a.GID = a.UID+5000, a.GID+5000 })
	}
	stranger := func(i int) roster.Row {
		return other(i, func(a *roster.Account) { a.ID, a.UID, a.GID = "village-"+a.ID, a.UID+5000, a.GID+5000 })
	}
	for _, test := range []struct {
		name string
		rows []roster.Row
		fuse Fuse
		want Stop // its counts
	}{
		{"with other people", inTown(func(i int) roster.Row { return account(100 + i) }), Fuse{Count: 2, Percent: 20}, Stop{Before: 5, Removed: 5}},
		{"with the same people and other uids", inTown(renumbered), Fuse{Count: 2, Percent: 20}, Stop{Before: 5, Renumbered: 5}},
		{"with other people of the same names", inTown(stranger), Fuse{Count: 2, Percent: 20}, Stop{Before: 5, Renumbered: 5}},
		{"where all are locked", inTown(locked), Fuse{Count: 2, Percent: 20}, Stop{Before: 5, Locked: 5}},
		{"with nobody, whatever the fuse", []roster.Row{group(1)}, Fuse{Count: 1000, Percent: 100}, Stop{Before: 5, Removed: 5}},
		{"with one of each", []roster.Row{account(1), account(2), locked(3), renumbered(4)}, Fuse{Count: 2, Percent: 59}, Stop{Before: 5, Removed: 1, Locked: 1, Renumbered: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, right, wrong := newNode(t), town(), village(test.rows...)
			n.cfg.Fuse = test.fuse
			n.mustOnce(right)
			files := listing(t, filepath.Dir(n.sink.path))
			for range 2 {
				_, err := n.once(wrong)
				if !errors.Is(err, ErrFuse) || !strings.Contains(err.Error(), "--accept-change 2") {
					t.Fatalf("error %v", err)
				}
				st := n.state()
				if st.Stopped == nil || st.LastError != "" {
					t.Fatalf("state %+v", st)
				}
				test.want.Position, test.want.Since = wrong.position(), st.Stopped.Since
				if *st.Stopped != test.want || *st.Rendered != right.position() {
					t.Errorf("the state says %+v, want %+v", st.Stopped, test.want)
				}
			}
			n.mustOnce(right)
			if now := listing(t, filepath.Dir(n.sink.path)); !slices.Equal(files, now) {
				t.Errorf("files were written:\n%v\n%v", files, now)
			}
			n.checkInStep(right)
			n.checkWell()
			right.set(account(8))
			if res := n.mustOnce(right); res.Snapshot != "" {
				t.Errorf("it does not go on: %+v", res)
			}
			n.checkInStep(right)
			n.checkWell()
		})
	}
}

// turns asks one of two servers, as it is told.
type turns struct {
	servers [2]*origin
	at      func() int
}

func (s *turns) Changes(ctx context.Context, pos roster.Position, wait time.Duration) (io.ReadCloser, error) {
	return lateOrigin{s.servers[s.at()]}.Changes(ctx, pos, wait)
}

func (s *turns) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	return s.servers[s.at()].Snapshot(ctx)
}

func TestRunHoldsAnotherServersRosterBackUntilTheRightOneIsThereAgain(t *testing.T) {
	for _, first := range []int{0, 1} {
		n := newNode(t)
		n.cfg.Fuse = Fuse{Count: 2, Percent: 20}
		servers := [2]*origin{town(), village(account(101), account(102), account(103))}
		right := servers[first]
		n.mustOnce(right)
		_, rendered := n.bytes()
		var at atomic.Int32
		at.Store(int32(1 - first))
		run(t, n, &turns{servers, func() int { return int(at.Load()) }}, func(r *running) {
			pass(time.Hour)
			if _, now := r.bytes(); now != rendered {
				t.Error("the rendered file changed")
			}
			if st := r.state(); st.Stopped == nil || st.Stopped.Position != servers[1-first].position() || st.Resyncs != 0 {
				t.Errorf("state %+v", st)
			}
			at.Store(int32(first))
			pass(time.Hour)
			r.checkInStep(right)
			r.checkWell()
			if _, now := r.bytes(); now != rendered {
				t.Error("the rendered file changed")
			}
		})
	}
}

// Two stores behind one address, or a server that knows no position: the node
// asks less and less, what it shows is always one roster, and the state tells.
func TestALoopOfSnapshotsIsBoundedAndTold(t *testing.T) {
	for _, test := range []struct {
		name string
		at   func(request int) int
		gone bool // to every position
	}{
		{"two servers answer by turns", func(n int) int { return n / 2 % 2 }, false}, // changes and snapshot are two requests
		{"two servers answer, each to the other's position", func(n int) int { return n % 2 }, false},
		{"one server knows no position", func(int) int { return 0 }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t)
			servers := [2]*origin{town(), village(account(1), account(2), account(3), account(20))}
			if test.gone {
				servers[0].setFault(func(kind string) (io.ReadCloser, error, bool) { return nil, ErrResync, kind == "changes" })
			}
			n.mustOnce(servers[0])
			servers[0].asked = nil
			var requests atomic.Int64
			var mended atomic.Bool
			src := &turns{servers, func() int {
				if mended.Load() {
					return 0
				}
				return test.at(int(requests.Add(1)) - 1)
			}}
			run(t, n, src, func(r *running) {
				pass(10 * time.Minute)
				// Waits are random below a minute, after the first: about 30 polls, of
				// two requests each.
				if count := requests.Load(); count < 12 || count > 160 {
					t.Errorf("asked %d times in ten minutes", count)
				}
				if st := r.state(); st.Resyncs != MaxResyncs || st.LastError != "" {
					t.Errorf("the state does not tell: %+v", st)
				}
				m, err := OpenMirror(r.cfg.StateDir)
				must(err)
				at := servers[0]
				if m.Position() == servers[1].position() {
					at = servers[1]
				}
				must(m.Close())
				r.checkInStep(at)
				mended.Store(true)
				servers[0].setFault(nil)
				pass(2 * time.Minute)
				r.checkInStep(servers[0])
				r.checkWell()
				if st := r.state(); st.Resyncs != 0 {
					t.Errorf("the state still tells: %+v", st)
				}
			})
		})
	}
}
