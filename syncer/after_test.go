package syncer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pwb/roster"
)

// listener is an After that remembers its calls.
type listener struct {
	mu    sync.Mutex
	calls []string
	// do, when set, is asked what comes of a call.
	do   func(ctx context.Context, call string) error
	busy bool
}

func (l *listener) hear(ctx context.Context, format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	l.mu.Lock()
	if l.busy {
		panic("two calls at a time")
	}
	l.calls, l.busy = append(l.calls, call), true
	do := l.do
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.busy = false
		l.mu.Unlock()
	}()
	if do != nil {
		return do(ctx, call)
	}
	return nil
}

func (l *listener) Refresh(ctx context.Context) error { return l.hear(ctx, "refresh") }
func (l *listener) Evict(ctx context.Context, who roster.Leaver) error {
	return l.hear(ctx, "evict %s %d", who.Name, who.UID)
}
func (l *listener) TellChange(ctx context.Context, pos roster.Position) error {
	return l.hear(ctx, "change %d", pos.Seq)
}
func (l *listener) TellLock(ctx context.Context, pos roster.Position, who roster.Leaver) error {
	return l.hear(ctx, "lock %s %d", who.Name, who.UID)
}

// heard are the calls since the last time.
func (l *listener) heard() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Join(l.calls, ", ")
	l.calls = nil
	return all
}

func (l *listener) check(t *testing.T, want string) {
	t.Helper()
	if got := l.heard(); got != want {
		t.Errorf("heard\n%s, not\n%s", got, want)
	}
}

// on makes l do something at a call; nil ends it.
func (l *listener) on(call string, do func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.do = func(ctx context.Context, c string) error {
		if c == call && do != nil {
			return do(ctx)
		}
		return nil
	}
}

// newListening is a node in step with a town, whose changes l hears.
func newListening(t *testing.T) (*node, *origin, *listener) {
	t.Helper()
	n, o, l := newNode(t), town(), &listener{}
	n.cfg.After = l
	n.mustOnce(o)
	l.check(t, "refresh, change 2")
	return n, o, l
}

func (n *node) pending() (names []string) {
	all, err := os.ReadDir(filepath.Join(n.cfg.StateDir, pendingDir))
	must(err)
	for _, e := range all {
		if e.Name() != lockFile {
			names = append(names, e.Name())
		}
	}
	return names
}

func (n *node) checkNothingPending() {
	n.t.Helper()
	if left := n.pending(); len(left) > 0 {
		n.t.Errorf("pending: %v", left)
	}
}

func TestAChangeIsToldWhenTheFilesShowIt(t *testing.T) {
	n, o, l := newListening(t)
	l.on("change 3", func(context.Context) error { n.checkInStep(o); return nil })
	o.set(account(6))
	n.mustOnce(o)
	l.check(t, "refresh, change 3")
	n.mustOnce(o)
	l.check(t, "")
	o.change(func() {
		o.put(account(1).Key(), locked(1).Line())
		o.put(account(2).Key(), nil)
	})
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, evict user2 10002, change 4, lock user1 10001, lock user2 10002")
	o.set(account(1))
	n.mustOnce(o)
	o.set(locked(1))
	n.mustOnce(o)
	l.check(t, "refresh, change 5, refresh, evict user1 10001, change 6, lock user1 10001")
	must(os.Remove(n.sink.path))
	n.mustOnce(o)
	l.check(t, "refresh, change 6")
	n.checkNothingPending()
}

func TestADryRunTellsNobody(t *testing.T) {
	n, o, l := newListening(t)
	o.set(locked(1))
	n.cfg.DryRun = true
	if _, err := n.once(o); !errors.Is(err, ErrPending) {
		t.Error(err)
	}
	l.check(t, "")
	n.checkNothingPending()
}

func TestWithoutAnyoneToTellNothingIsWrittenDown(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	if _, err := os.Stat(filepath.Join(n.cfg.StateDir, pendingDir)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// killed makes a pass that ends in a panic, which leaves files as a kill does.
func (n *node) killed(src Source) {
	n.t.Helper()
	defer func() {
		if recover() == nil {
			n.t.Error("the pass went through")
		}
	}()
	_, _ = n.once(src)
}

func TestWhoIsKilledAtAnyStepLeavesTheRestToTheNextPass(t *testing.T) {
	kill := func(context.Context) error { panic("killed") }
	const all = "refresh, evict user1 10001, evict user2 10002, change 3, lock user1 10001, lock user2 10002"
	for name, test := range map[string]struct {
		arrange func(*node, *listener)
		want    string // of the next pass
	}{
		"before the files are written": {func(n *node, _ *listener) {
			n.sink.around = func(func() error) error { panic("killed") }
		}, all},
		"after the files are written": {func(n *node, _ *listener) {
			n.sink.around = func(commit func() error) error { must(commit()); panic("killed") }
		}, all},
		"at the first call":          {func(_ *node, l *listener) { l.on("refresh", kill) }, all},
		"when somebody is evicted":   {func(_ *node, l *listener) { l.on("evict user2 10002", kill) }, all},
		"when the change is told":    {func(_ *node, l *listener) { l.on("change 3", kill) }, all},
		"when the last lock is told": {func(_ *node, l *listener) { l.on("lock user2 10002", kill) }, all},
	} {
		t.Run(name, func(t *testing.T) {
			n, o, l := newListening(t)
			test.arrange(n, l)
			o.set(locked(1), locked(2))
			n.killed(o)
			n.sink.around = nil
			l.on("", nil)
			l.heard()
			n.mustOnce(o)
			l.check(t, test.want)
			n.checkNothingPending()
			n.mustOnce(o)
			l.check(t, "")
		})
	}
}

func TestWhoMayLogInAgainIsNotNamed(t *testing.T) {
	n, o, l := newListening(t)
	o.set(locked(1), locked(2))
	n.sink.around = func(commit func() error) error { must(commit()); panic("killed") }
	n.killed(o)
	n.sink.around = nil
	o.set(account(1))
	n.mustOnce(o)
	l.check(t, "refresh, evict user2 10002, change 4, lock user2 10002")
	n.checkNothingPending()

	// And who is unlocked while another is told of.
	o.set(locked(1), account(2))
	n.mustOnce(o)
	l.heard()
	o.set(account(1))
	n.mustOnce(o)
	l.heard()
	l.on("change 7", func(context.Context) error {
		text, err := os.ReadFile(n.sink.path)
		must(err)
		return os.WriteFile(n.sink.path, []byte(strings.Replace(string(text), "user2:10002:true", "user2:10002:false", 1)), 0o600)
	})
	o.set(locked(1), locked(2))
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, evict user2 10002, change 7, lock user1 10001")
}

func TestWhoIsCutOffGoesOnWhereItWas(t *testing.T) {
	for call, want := range map[string]string{
		"refresh":           "refresh, evict user1 10001, evict user2 10002, change 3, lock user1 10001, lock user2 10002",
		"evict user2 10002": "refresh, evict user1 10001, evict user2 10002, change 3, lock user1 10001, lock user2 10002",
		"change 3":          "refresh, evict user1 10001, evict user2 10002, change 3, lock user1 10001, lock user2 10002",
		"lock user1 10001":  "refresh, evict user1 10001, evict user2 10002, change 3, lock user1 10001, lock user2 10002",
		"lock user2 10002":  "refresh, evict user2 10002, change 3, lock user2 10002",
	} {
		t.Run(call, func(t *testing.T) {
			n, o, l := newListening(t)
			ctx, cancel := context.WithCancel(t.Context())
			l.on(call, func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
			o.set(locked(1), locked(2))
			if res, err := n.syncer(o).Once(ctx); err != nil || !res.Wrote {
				t.Errorf("%+v, %v", res, err)
			}
			if st := n.state(); st.LastHookError != "" {
				t.Errorf("state %+v", st)
			}
			l.on("", nil)
			l.heard()
			n.mustOnce(o)
			l.check(t, want)
			n.checkNothingPending()
		})
	}
}

func TestOnceEndsWhenItsTimeIsOverAndEachPassComesFurther(t *testing.T) {
	n, o, l := newListening(t)
	o.set(locked(1), locked(2), locked(3))
	for _, want := range []string{
		"refresh, evict user1 10001, change 3, lock user1 10001",
		"refresh, evict user2 10002, change 3, lock user2 10002",
		"refresh, evict user3 10003, change 3, lock user3 10003",
		"",
	} {
		s := n.syncer(o)
		s.afterLimit = 1 // over as soon as a round has begun
		if _, err := s.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.check(t, want)
	}
	n.checkNothingPending()
}

func TestAFailureIsLoggedAndKeptAndNothingElse(t *testing.T) {
	n, o, l := newListening(t)
	l.do = func(_ context.Context, call string) error {
		if strings.HasPrefix(call, "lock") {
			return errors.New("hook on fire at " + call)
		}
		return nil
	}
	o.set(locked(1), locked(2))
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, evict user2 10002, change 3, lock user1 10001, lock user2 10002")
	st := n.state()
	if want := "hook on fire at lock user1 10001 (and 1 more, which the log has)"; st.LastHookError != want || st.LastHookErrorSince.IsZero() || st.LastError != "" {
		t.Errorf("state %+v", st)
	}
	n.mustOnce(o)
	l.check(t, "")
	if again := n.state(); again.LastHookError != st.LastHookError {
		t.Errorf("a pass that tells nothing changes the state: %+v", again)
	}
	l.on("", nil)
	o.set(account(1))
	n.mustOnce(o)
	if st := n.state(); st.LastHookError != "" || !st.LastHookErrorSince.IsZero() {
		t.Errorf("state %+v", st)
	}
}

func TestWhereItCannotBeSeenWhoIsOutNobodyIsNamed(t *testing.T) {
	n, o, l := newListening(t)
	n.sink.outErr = errors.New("no such file")
	o.set(locked(1))
	n.mustOnce(o)
	l.check(t, "refresh, change 3")
	if st := n.state(); !strings.Contains(st.LastHookError, "see who may log in now: no such file") {
		t.Errorf("state %+v", st)
	}
	n.sink.outErr = nil
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")
	n.checkNothingPending()
}

func TestACommitThatFailsIsToldAllTheSame(t *testing.T) {
	n, o, l := newListening(t)
	n.sink.fail(nil, errors.New("half of it"))
	o.set(locked(1))
	if _, err := n.once(o); err == nil {
		t.Error("the pass did not fail")
	}
	l.check(t, "refresh, change 3") // user1 can log in
	n.sink.fail(nil, nil)
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")
}

func TestWhatCannotBeWrittenDownIsToldAllTheSame(t *testing.T) {
	n, o, l := newListening(t)
	must(os.RemoveAll(filepath.Join(n.cfg.StateDir, pendingDir)))
	must(os.WriteFile(filepath.Join(n.cfg.StateDir, pendingDir), nil, 0o600))
	o.set(locked(1))
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")

	// And what was cut off comes again in the same process.
	s := n.syncer(o)
	ctx, cancel := context.WithCancel(t.Context())
	l.on("lock user2 10002", func(context.Context) error { cancel(); return nil })
	o.set(locked(2))
	if _, err := s.Once(ctx); err != nil {
		t.Error(err)
	}
	l.on("", nil)
	l.heard()
	if _, err := s.Once(t.Context()); err != nil {
		t.Error(err)
	}
	l.check(t, "refresh, evict user2 10002, change 4, lock user2 10002")
	if _, err := s.Once(t.Context()); err != nil {
		t.Error(err)
	}
	l.check(t, "")
}

func TestEntriesAreReadOnlyWhereNobodyElseWrites(t *testing.T) {
	n, o, l := newListening(t)
	dir := filepath.Join(n.cfg.StateDir, pendingDir)
	must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d", 7)), []byte(`{"leavers":[{"name":"victim","uid":4}]}`), 0o600))
	must(os.Chmod(dir, 0o777))
	n.mustOnce(o)
	l.check(t, "")
}

func TestAnEntryThatCannotBeReadPassesForAChange(t *testing.T) {
	n, o, l := newListening(t)
	for i, garbage := range []string{"", "{", `{"position":7}`} {
		must(os.WriteFile(filepath.Join(n.cfg.StateDir, pendingDir, fmt.Sprintf("%020d", 7+i)), []byte(garbage), 0o600))
	}
	must(os.WriteFile(filepath.Join(n.cfg.StateDir, pendingDir, fmt.Sprintf(".%020d123", 7)), nil, 0o600))
	o.set(locked(1))
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")
	n.checkNothingPending()
}

func TestTwoProcessesTellOneAfterTheOther(t *testing.T) {
	n, o, l := newListening(t)
	n.cfg.LockWait = 50 * time.Millisecond
	at, goOn := make(chan struct{}), make(chan struct{})
	l.on("change 3", func(context.Context) error { close(at); <-goOn; return nil })
	o.set(locked(1))
	first := make(chan error)
	go func() { _, err := n.syncer(o).Once(context.Background()); first <- err }()
	<-at
	o.set(locked(2))
	n.mustOnce(o) // which ends although the first is at it
	n.checkInStep(o)
	l.check(t, "refresh, evict user1 10001, change 3")
	close(goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
	l.check(t, "lock user1 10001, refresh, evict user2 10002, change 4, lock user2 10002")
	n.checkNothingPending()
}

func TestNobodyActsOnAnEntryBeforeItsFilesAreWritten(t *testing.T) {
	n, o, l := newListening(t)
	inHook, hookEnds := make(chan struct{}), make(chan struct{})
	inCommit, commitEnds := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	once := func() { _, err := n.syncer(o).Once(context.Background()); ended <- err }
	l.on("change 3", func(context.Context) error { close(inHook); <-hookEnds; return nil })
	o.set(locked(1))
	go once()
	<-inHook
	n.sink.around = func(commit func() error) error { close(inCommit); <-commitEnds; return commit() }
	o.set(locked(2))
	go once()
	<-inCommit
	close(hookEnds)
	if err := <-ended; err != nil { // after it looked for more
		t.Error(err)
	}
	l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")
	close(commitEnds)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	l.check(t, "refresh, evict user2 10002, change 4, lock user2 10002")
	n.checkNothingPending()
}

func TestASlowHookDelaysNoRenderAndHearsOfManyChangesOnce(t *testing.T) {
	n, o, l := newNode(t), town(), &listener{}
	n.cfg.After = l
	run(t, n, remade(o), func(r *running) {
		l.check(t, "refresh, change 2")
		l.do = func(ctx context.Context, call string) error {
			if strings.HasPrefix(call, "change") {
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
				}
			}
			return nil
		}
		for i, want := range []string{"refresh, evict user1 10001, change 3", "", ""} {
			o.set(locked(i + 1))
			synctest.Wait()
			r.checkInStep(o)
			l.check(t, want)
		}
		pass(time.Minute)
		l.check(t, "lock user1 10001, refresh, evict user2 10002, evict user3 10003, change 5")
		pass(time.Minute)
		l.check(t, "lock user2 10002, lock user3 10003")
		pass(time.Hour)
		l.check(t, "")
		o.set(locked(4))
		synctest.Wait()
		l.check(t, "refresh, evict user4 10004, change 6")
		// And Run ends at once, which run checks.
	})
	l.on("", nil)
	run(t, n, remade(again(o)), func(r *running) { l.check(t, "refresh, evict user4 10004, change 6, lock user4 10004") })
	n.checkNothingPending()
}

// again is o for another bubble.
func again(o *origin) *origin { o.inBubble = false; return o }

func TestAQuietPassLooksForWhatIsPendingAndWritesNothing(t *testing.T) {
	h, o, l := newHouse(t.TempDir()), town(), &listener{}
	h.cfg.After = l
	h.settle(t, o)
	l.check(t, "refresh, change 2")
	before := tree(t, h.root)
	if planned, _, err := h.once(t, o); planned || err != nil {
		t.Errorf("planned %v, %v", planned, err)
	}
	l.check(t, "")
	if after := tree(t, h.root); !slices.Equal(before, after) {
		t.Errorf("something was written:\n%v\n%v", before, after)
	}
	must(os.WriteFile(filepath.Join(h.cfg.StateDir, pendingDir, fmt.Sprintf("%020d", 1)+intent), []byte(`{"leavers":[{"name":"gone","uid":4711},{"name":"user1","uid":10001}]}`), 0o600))
	if planned, _, err := h.once(t, o); planned || err != nil {
		t.Errorf("planned %v, %v", planned, err)
	}
	l.check(t, "refresh, evict gone 4711, change 0, lock gone 4711")
	if left, err := filepath.Glob(filepath.Join(h.cfg.StateDir, pendingDir, "[.0-9]*")); err != nil || len(left) > 0 {
		t.Errorf("pending: %v, %v", left, err)
	}
}

func TestARestAfterARenderDelaysNoHook(t *testing.T) {
	n, o, l := newListening(t)
	n.cfg.Settle = time.Hour
	run(t, n, remade(o), func(*running) {
		pass(time.Second)
		o.set(locked(1))
		synctest.Wait()
		l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")
	})
}

func TestAnEntryThatCannotBeRemovedIsToldOncePerPass(t *testing.T) {
	n, o, l := newListening(t)
	must(os.MkdirAll(filepath.Join(n.cfg.StateDir, pendingDir, fmt.Sprintf("%020d", 7), "stuck"), 0o700))
	calls := 0
	l.do = func(context.Context, string) error {
		if calls++; calls > 100 {
			panic("told again and again")
		}
		return nil
	}
	o.set(locked(1))
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")
	if st := n.state(); !strings.Contains(st.LastHookError, "will be done again") {
		t.Errorf("state %+v", st)
	}
}

func TestALockThatCannotBeUsedIsNotTakenForAnotherProcess(t *testing.T) {
	n, o, l := newListening(t)
	path := filepath.Join(n.cfg.StateDir, pendingDir, lockFile)
	must(os.Remove(path))
	must(os.Mkdir(path, 0o700))
	o.set(locked(1))
	n.mustOnce(o)
	l.check(t, "")
	if st := n.state(); !strings.Contains(st.LastHookError, path+": is a directory") {
		t.Errorf("state %+v", st)
	}
	must(os.Remove(path))
	n.mustOnce(o)
	l.check(t, "refresh, evict user1 10001, change 3, lock user1 10001")
	if st := n.state(); st.LastHookError != "" {
		t.Errorf("state %+v", st)
	}
}
