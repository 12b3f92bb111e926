package syncer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/altfiles"
	"pwb/roster"
)

// PlanGeneration makes rendering a Keeper.
func (r *rendering) PlanGeneration(generation int64) (Plan, error) {
	r.plans++
	p, err := r.Renderer.PlanGeneration(generation)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (h *house) syncer(t testing.TB, src Source) *Syncer {
	t.Helper()
	renderer, err := altfiles.New(h.render)
	must(err)
	s, err := New(h.cfg, src, &rendering{Renderer: renderer})
	must(err)
	s.racy = quietAge
	return s
}

func (h *house) rollback(t testing.TB, pin Pin) {
	t.Helper()
	if _, err := h.syncer(t, unreached{}).Rollback(t.Context(), pin, nil); err != nil {
		t.Fatal(err)
	}
}

func (h *house) files() (all [3]string) {
	for i, name := range []string{"shadow", "group", "passwd"} {
		b, err := os.ReadFile(filepath.Join(h.render.Dir, name))
		must(err)
		all[i] = string(b)
	}
	return all
}

// unreached is a server that cannot be reached.
type unreached struct{}

var errUnreached = errors.New("unreachable")

func (unreached) Changes(context.Context, roster.Position, time.Duration) (io.ReadCloser, error) {
	return nil, errUnreached
}
func (unreached) Snapshot(context.Context) (io.ReadCloser, error) { return nil, errUnreached }

// twoGenerations is a node that rendered two rosters, and what it held first.
func twoGenerations(t *testing.T) (h *house, o *origin, first [3]string, pin Pin) {
	t.Helper()
	h, o = newHouse(t.TempDir()), town()
	if _, _, err := h.once(t, o); err != nil {
		t.Fatal(err)
	}
	first, pin = h.files(), Pin{Generation: 1, Position: o.position()}
	o.set(account(70))
	if _, _, err := h.once(t, o); err != nil {
		t.Fatal(err)
	}
	return h, o, first, pin
}

func TestAPinnedNodeFollowsTheServerAndKeepsItsFiles(t *testing.T) {
	h, o, first, pin := twoGenerations(t)
	h.rollback(t, pin)
	if h.files() != first {
		t.Fatal("the first generation is not back")
	}
	for n := range 5 {
		switch n {
		case 1:
			o.set(account(71))
		case 2:
			o.set(locked(1))
		case 3:
			o.drop(roster.AccountKey(accountID(2)))
		}
		_, res, err := h.once(t, o)
		held, ok := errors.AsType[*PinnedError](err)
		if !ok || res.Wrote || res.Position != o.position() {
			t.Fatalf("pass %d: %+v, %v", n, res, err)
		}
		if h.files() != first {
			t.Fatalf("pass %d changed the files", n)
		}
		if got, want := held.Held.Behind(), o.position().Seq-pin.Position.Seq; got != want {
			t.Errorf("pass %d: %d changes behind, want %d", n, got, want)
		}
		if n >= 2 && (held.Held.Locked != 1 || !strings.Contains(err.Error(), "STILL LET IN 1")) {
			t.Errorf("pass %d: %v", n, err)
		}
		st, err := ReadState(h.cfg.StateDir)
		if err != nil || st.Held == nil || *st.Held != held.Held || st.LastError != "" || *st.Rendered != pin.Position {
			t.Errorf("pass %d: state %+v, %v", n, st, err)
		}
		if told := o.rendered[len(o.rendered)-1]; told != pin.Position {
			t.Errorf("the server was told %v", told)
		}
	}
	if _, err := h.syncer(t, o).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.files() == first {
		t.Error("the files are not let go")
	}
	_, _, err := h.once(t, o)
	st, err2 := ReadState(h.cfg.StateDir)
	if err != nil || err2 != nil || st.Held != nil || *st.Rendered != o.position() {
		t.Errorf("%v, %v, %+v", err, err2, st)
	}
}

func TestAPinThatHoldsNothingBackIsNoFailure(t *testing.T) {
	h, o, _, _ := twoGenerations(t)
	h.rollback(t, Pin{Generation: 2, Position: o.position()})
	if _, _, err := h.once(t, o); err != nil {
		t.Error(err)
	}
	o.set(account(90))
	if _, _, err := h.once(t, o); !errors.Is(err, ErrPinned) {
		t.Error(err)
	}
}

func TestPinnedFilesAreMendedAlsoWithoutAServer(t *testing.T) {
	h, o, first, pin := twoGenerations(t)
	h.rollback(t, pin)
	for name, damage := range map[string]func(string){"edited": editInPlace, "removed": func(p string) { must(os.Remove(p)) }} {
		for _, file := range []string{"shadow", "group", "passwd"} {
			for _, src := range []Source{o, unreached{}} {
				damage(filepath.Join(h.render.Dir, file))
				_, res, err := h.once(t, src)
				if !res.Wrote || h.files() != first {
					t.Errorf("%s was %s: %+v, %v", file, name, res, err)
				}
				if _, down := src.(unreached); down != errors.Is(err, errUnreached) {
					t.Errorf("error %v", err)
				}
			}
		}
	}
}

// failing breaks its plans' commits, once.
type failing struct {
	*rendering
	broken bool
}

type failingPlan struct {
	Plan
	of *failing
}

func (f *failing) PlanGeneration(generation int64) (Plan, error) {
	p, err := f.rendering.PlanGeneration(generation)
	return failingPlan{p, f}, err
}

func (p failingPlan) Commit(at roster.Position) error {
	if !p.of.broken {
		p.of.broken = true
		return errInjectedCommit
	}
	return p.Plan.Commit(at)
}

var errInjectedCommit = errors.New("injected")

func TestARollbackThatEndsHalfWayIsFinishedByTheNextPass(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *house, Pin){
		"killed behind the pin": func(_ *testing.T, h *house, pin Pin) { must(writePin(h.cfg.StateDir, pin)) },
		"failed while writing": func(t *testing.T, h *house, pin Pin) {
			renderer, err := altfiles.New(h.render)
			must(err)
			s, err := New(h.cfg, unreached{}, &failing{rendering: &rendering{Renderer: renderer}})
			must(err)
			if _, err := s.Rollback(t.Context(), pin, nil); !errors.Is(err, errInjectedCommit) || !strings.Contains(err.Error(), "pinned to generation 1") {
				t.Errorf("error %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, o, first, pin := twoGenerations(t)
			second := h.files()
			begin(t, h, pin)
			if h.files() != second {
				t.Fatal("this test begins with the old files")
			}
			if _, res, err := h.once(t, o); !errors.Is(err, ErrPinned) || !res.Wrote || h.files() != first {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

func TestWithoutAServerARunRestoresThePinAndAReleaseRendersTheMirror(t *testing.T) {
	h, _, first, pin := twoGenerations(t)
	second := h.files()
	must(writePin(h.cfg.StateDir, pin))
	s := h.syncer(t, unreached{})
	if _, err := s.locked(t.Context(), func() (Result, error) { return s.renderMirror(t.Context()) }); !errors.Is(err, ErrPinned) || h.files() != first {
		t.Errorf("as a run begins: %v", err)
	}
	if res, err := s.Release(t.Context()); err != nil || !res.Wrote || h.files() != second {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := s.Release(t.Context()); err == nil || !strings.Contains(err.Error(), "not pinned") {
		t.Errorf("a second release: %v", err)
	}
}

func TestTheFuseWeighsWhatAReleaseWouldDo(t *testing.T) {
	h, o, first, pin := twoGenerations(t)
	h.rollback(t, pin)
	o.drop(roster.AccountKey(accountID(1)))
	h.cfg.Fuse = Fuse{}
	if _, err := h.syncer(t, o).Release(t.Context()); !errors.Is(err, ErrFuse) || h.files() != first {
		t.Errorf("%v", err)
	}
	h.cfg.AcceptChange = o.position().Seq
	if _, _, err := h.once(t, o); err != nil || h.files() == first {
		t.Errorf("%v", err)
	}
}

func TestAPinnedNodeIsQuietWhenNothingChanged(t *testing.T) {
	h, o, first, pin := twoGenerations(t)
	h.rollback(t, pin)
	settle := func() {
		t.Helper()
		for range 4 {
			time.Sleep(2 * quietAge)
			planned, _, err := h.once(t, o)
			if !errors.Is(err, ErrPinned) {
				t.Fatal(err)
			}
			if !planned {
				return
			}
		}
		t.Fatal("no pass is quiet though nothing changes")
	}
	settle()
	untouched := h.watch(t)
	planned, res, err := h.once(t, o)
	if planned || !errors.Is(err, ErrPinned) || !res.Reached || res.Position != o.position() || !untouched() {
		t.Errorf("planned %v, %+v, %v", planned, res, err)
	}
	for name, disturb := range map[string]func(){
		"a file is edited":           func() { editInPlace(h.render.Dir + "/shadow") },
		"the server has a change":    func() { o.set(account(99)) },
		"the pin is written again":   func() { h.rollback(t, pin) },
		"a pass looks at everything": func() { h.cfg.Check = true },
	} {
		h.cfg.Check = false
		settle()
		disturb()
		if planned, _, err := h.once(t, o); !planned || !errors.Is(err, ErrPinned) || h.files() != first {
			t.Errorf("%s: planned %v, %v", name, planned, err)
		}
	}
	h.cfg.Check = false
	settle()
	must(os.Remove(filepath.Join(h.cfg.StateDir, pinFile)))
	if planned, _, err := h.once(t, o); !planned || err != nil || h.files() == first {
		t.Errorf("without the pin: planned %v, %v", planned, err)
	}
	h.settle(t, o)
	must(writePin(h.cfg.StateDir, pin))
	if planned, _, err := h.once(t, o); !planned || !errors.Is(err, ErrPinned) || h.files() != first {
		t.Errorf("with a new pin: planned %v, %v", planned, err)
	}
}

func TestANodePinnedToAGenerationOfUnknownPositionIsQuiet(t *testing.T) {
	h, o, _, _ := twoGenerations(t)
	h.rollback(t, Pin{Generation: 1})
	for range 4 {
		time.Sleep(2 * quietAge)
		planned, _, err := h.once(t, o)
		if !errors.Is(err, ErrPinned) {
			t.Fatal(err)
		}
		if !planned {
			return
		}
	}
	t.Error("no pass is quiet though nothing changes")
}

func TestTheServerDoesNotTakeAPinOfUnknownPositionForTheOneBefore(t *testing.T) {
	h, o, _, _ := twoGenerations(t)
	stays := h.syncer(t, o)
	h.rollback(t, Pin{Generation: 1}) // by another process
	if _, err := stays.Once(t.Context()); !errors.Is(err, ErrPinned) {
		t.Fatal(err)
	}
	if told := o.rendered[len(o.rendered)-1]; !told.IsZero() {
		t.Errorf("the server was told %v", told)
	}
}

func TestTheServerIsToldOfAPinThatHoldsSomethingBack(t *testing.T) {
	h, o, _, pin := twoGenerations(t)
	h.cfg.Local = func() ([]uint32, []string, error) { return nil, nil, nil }
	h.rollback(t, pin)
	o.set(locked(1))
	if _, _, err := h.once(t, o); !errors.Is(err, ErrPinned) {
		t.Fatal(err)
	}
	st, err := ReadState(h.cfg.StateDir)
	if got := st.result(); err != nil || !strings.Contains(got, "pinned to generation 1; THEY STILL LET IN 1 accounts") {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := h.syncer(t, o).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err = ReadState(h.cfg.StateDir); err != nil || st.result() != "" {
		t.Errorf("%q, %v", st.result(), err)
	}
}

func TestAPinThatCannotBeReadFailsThePassAndCanBeReleased(t *testing.T) {
	for _, text := range []string{"", "{", `{"generation":0}`, `[]`} {
		h, o, _, _ := twoGenerations(t)
		second := h.files()
		must(os.WriteFile(filepath.Join(h.cfg.StateDir, pinFile), []byte(text), 0o600))
		o.set(account(71))
		if _, res, err := h.once(t, o); err == nil || errors.Is(err, ErrPinned) || res.Wrote || h.files() != second || !strings.Contains(err.Error(), "--release") {
			t.Errorf("%q: %+v, %v", text, res, err)
		}
		if _, err := h.syncer(t, o).Release(t.Context()); err != nil || h.files() == second {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestADamagedGenerationIsNotPinned(t *testing.T) {
	h, o, first, pin := twoGenerations(t)
	second := h.files()
	damage := func() {
		stored, err := filepath.Glob(filepath.Join(h.cfg.StateDir, "generations", "*"))
		must(err)
		for _, path := range stored {
			editInPlace(path)
		}
	}
	damage()
	if _, err := h.syncer(t, o).Rollback(t.Context(), pin, nil); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v", err)
	}
	if p, err := ReadPin(h.cfg.StateDir); p != nil || err != nil || h.files() != second {
		t.Errorf("pin %v, %v", p, err)
	}
	damage() // back again
	h.rollback(t, pin)
	damage()
	// As long as the files are right nothing is wanted of the store.
	if _, _, err := h.once(t, o); !errors.Is(err, ErrPinned) || h.files() != first {
		t.Errorf("error %v", err)
	}
	editInPlace(h.render.Dir + "/passwd")
	before := h.files()
	if _, _, err := h.once(t, o); err == nil || errors.Is(err, ErrPinned) || !strings.Contains(err.Error(), "--release") || h.files() != before {
		t.Errorf("error %v", err)
	}
}

func TestWhoDoesNotConsentChangesNothing(t *testing.T) {
	h, _, _, pin := twoGenerations(t)
	second := h.files()
	before := listing(t, h.cfg.StateDir, h.render.Dir)
	no := errors.New("no")
	h.cfg.LockWait = time.Millisecond
	_, err := h.syncer(t, unreached{}).Rollback(t.Context(), pin, func(p Plan) error {
		if !p.Changed() || p.Effect().Removed != 1 {
			t.Errorf("effect %v", p.Effect())
		}
		if _, _, err := h.once(t, unreached{}); err == nil || !strings.Contains(err.Error(), "another pass holds") {
			t.Errorf("another pass beside it: %v", err)
		}
		return no
	})
	if !errors.Is(err, no) || h.files() != second || !slices.Equal(listing(t, h.cfg.StateDir, h.render.Dir), before) {
		t.Errorf("error %v", err)
	}
}

func TestADryRunShowsWhatAReleaseWouldWrite(t *testing.T) {
	h, o, first, pin := twoGenerations(t)
	h.rollback(t, pin)
	var diff bytes.Buffer
	h.cfg.DryRun, h.cfg.Diff = true, &diff
	if _, _, err := h.once(t, o); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "pinned to generation 1") || h.files() != first {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(diff.String(), "+") || strings.Contains(diff.String(), "-"+"user") {
		t.Errorf("difference\n%s", diff.String())
	}
}

func TestASinkThatKeepsNothingCannotBeRolledBack(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	s, err := New(n.cfg, o, n.sink)
	must(err)
	if _, err := s.Rollback(t.Context(), Pin{Generation: 1}, nil); err == nil || !strings.Contains(err.Error(), "no generation") {
		t.Errorf("error %v", err)
	}
	if p, err := ReadPin(n.cfg.StateDir); p != nil || err != nil {
		t.Errorf("pin %v, %v", p, err)
	}
}
