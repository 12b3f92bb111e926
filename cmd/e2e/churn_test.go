package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/sqlite"
	"pwb/syncer"
)

// churnSize is how much happens in a life. PWB_CHURN_AGENTS, PWB_CHURN_OPS,
// PWB_CHURN_DAYS, PWB_CHURN_PEOPLE and PWB_CHURN_TEAMS change it,
// PWB_CHURN_SEED chooses the life, and PWB_CHURN_LIVES lets as many be lived,
// one seed after the other:
//
//	PWB_CHURN_LIVES=20 PWB_CHURN_OPS=5000 go test -race ./cmd/e2e -run Churn -v -timeout 1h
type churnSize struct {
	agents, ops, days, people, teams int
}

// number is what the environment says, or otherwise.
func number(t *testing.T, key string, otherwise int) int {
	text := os.Getenv(key)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number from 1 on", key, text)
	}
	return n
}

// life is one month of a server and its fleet.
type life struct {
	t      testing.TB
	seed   uint64
	size   churnSize
	ctx    context.Context
	dir    string
	server *churnServer
	alarms *alarms
	client *http.Client
	locks  locks
	ties   ties
	agents []*churnAgent
	free   chan struct{} // closed when no agent waits for its turn any more
	// token is the provider's, nodeToken the agents'.
	token, nodeToken string
	tokens           int
	script           *script
	// restarting holds how the last restart went, unless one is under way.
	restarting chan error

	mu       sync.Mutex // over the rest
	passes   int
	wrote    int
	failed   int
	stops    int
	resyncs  map[string]int
	failures int
}

// maxTold is how many failures a life tells of.
const maxTold = 20

func (l *life) fail(format string, args ...any) {
	l.t.Helper()
	l.mu.Lock()
	l.failures++
	n := l.failures
	l.mu.Unlock()
	if n <= maxTold {
		l.t.Errorf("seed %d: "+format, append([]any{l.seed}, args...)...)
	}
}

// fatal is for the test's own goroutine.
func (l *life) fatal(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("seed %d: "+format, append([]any{l.seed}, args...)...)
}

// count counts what an agent did.
func (l *life) count(e syncer.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passes++
	if e.Result.Wrote {
		l.wrote++
	}
	if errors.Is(e.Err, syncer.ErrFuse) {
		l.stops++
	} else if e.Err != nil {
		l.failed++
	}
	if why := e.Result.Snapshot; why != "" {
		// Reasons hold numbers and paths.
		why, _, _ = strings.Cut(why, ":")
		why, _, _ = strings.Cut(why, " from ")
		l.resyncs[why]++
	}
}

func TestAMonthOfChurnLeavesEveryNodeWithTheServersOwnRendering(t *testing.T) {
	size := churnSize{
		agents: number(t, "PWB_CHURN_AGENTS", 200), ops: number(t, "PWB_CHURN_OPS", 1000), days: number(t, "PWB_CHURN_DAYS", 30),
		people: number(t, "PWB_CHURN_PEOPLE", 150), teams: number(t, "PWB_CHURN_TEAMS", 40),
	}
	first := number(t, "PWB_CHURN_SEED", 1)
	for i := range number(t, "PWB_CHURN_LIVES", 1) {
		t.Run(fmt.Sprint("seed", first+i), func(t *testing.T) {
			live(t, uint64(first+i), size)
		})
	}
}

func TestASeedOfChurnAlwaysMakesTheSameOperations(t *testing.T) {
	size := churnSize{agents: 3, ops: 120, days: 16, people: 40, teams: 8}
	one, other, third := live(t, 7, size), live(t, 7, size), live(t, 8, size)
	if one != other {
		t.Error("the same seed made other operations")
	}
	if one == third {
		t.Error("another seed made the same operations")
	}
}

// live lives a life and returns the digest of its operations.
func live(t *testing.T, seed uint64, size churnSize) string {
	before := goleak.IgnoreCurrent()
	digest := func() string {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		tooLong := time.AfterFunc(10*time.Minute+time.Duration(size.ops)*100*time.Millisecond, func() { cancel(errors.New("the life takes too long")) })
		defer tooLong.Stop()
		l := beginLife(t, ctx, seed, size)
		defer l.end()
		began := time.Now()
		digest := l.month()
		l.tell(time.Since(began))
		return digest
	}()
	err := goleak.Find(before)
	for range 20 { // each look lasts as long as goleak waits
		if err != nil {
			err = goleak.Find(before)
		}
	}
	if err != nil {
		t.Errorf("seed %d: goroutines are left: %v", seed, err)
	}
	return digest
}

// beginLife starts a server with an empty store, and makes the nodes.
func beginLife(t *testing.T, ctx context.Context, seed uint64, size churnSize) *life {
	l := &life{
		t: t, seed: seed, size: size, ctx: ctx, dir: t.TempDir(), alarms: &alarms{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}},
		locks:  locks{all: map[string]lock{}},
		ties:   ties{all: map[tie]int{}, owners: map[string]tie{}},
		free:   make(chan struct{}), resyncs: map[string]int{}, restarting: make(chan error, 1),
	}
	l.restarting <- nil
	l.server = &churnServer{
		dir: filepath.Join(l.dir, "store"), addr: "127.0.0.1:0", opened: make(chan struct{}),
		clock: &churnClock{at: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)}, log: slog.New(l.alarms),
	}
	if err := l.server.open(ctx); err != nil {
		l.fatal("start the server: %v", err)
	}
	l.script = newScript(ctx, l)
	l.rotate()
	all, err := makeBreeds(l.dir)
	if err != nil {
		l.fatal("%v", err)
	}
	for i := range size.agents {
		a, err := newAgent(l, all[i%len(all)], i)
		if err != nil {
			l.fatal("%v", err)
		}
		l.agents = append(l.agents, a)
	}
	return l
}

// rotate makes new tokens for provider and nodes and revokes those before.
func (l *life) rotate() {
	l.tokens++
	for scope, token := range map[scimserver.Scope]*string{scimserver.ScopeSCIM: &l.token, scimserver.ScopeNodeAdmin: &l.nodeToken} {
		l.script.admin("make a token", func(o *scimserver.Operator) (err error) {
			_, *token, err = o.AddToken(l.ctx, fmt.Sprintf("%v-%d", scope, l.tokens), scope, 0)
			return err
		})
		if l.tokens > 1 {
			l.script.admin("revoke a token", func(o *scimserver.Operator) error {
				return o.RevokeToken(l.ctx, fmt.Sprintf("%v-%d", scope, l.tokens-1))
			})
		}
	}
}

// month lets the days pass and returns the digest of the operations.
func (l *life) month() string {
	f := newFleet(l)
	s := l.script
	s.begin()
	backup, backups := "", 0
	restarts := 0
	for day := 1; day <= l.size.days; day++ {
		l.settleRestart()
		l.server.clock.pass(24 * time.Hour)
		s.admin("the day's work", func(*scimserver.Operator) error {
			_, server := l.server.life()
			return server.TendOnce(l.ctx)
		})
		for _, a := range l.agents {
			if f.stale[a] {
				f.give(a)
			}
		}
		f.dawn(day)
		switch part := day % 15; {
		case part == 6:
			l.rotate()
			f.rotate()
		case part == 8:
			backups++
			backup = filepath.Join(l.dir, fmt.Sprint("backup", backups))
			if err := sqlite.Backup(l.ctx, l.server.dir, backup); err != nil {
				l.fatal("%v", err)
			}
		case part == 12 && backup != "":
			s.note("restore", "%d", backups)
			done, err := sqlite.Restore(l.ctx, l.server.dir, backup, 0, "the test", l.server.clock.now())
			if err != nil {
				l.fatal("%v", err)
			}
			s.resync(done.Position)
		}
		end := l.size.ops * day / l.size.days
		// Every few days the server is restarted in the middle of the work.
		restart := -1
		if s.rng.IntN(4) == 0 && end > s.done {
			restart = s.done + s.rng.IntN(end-s.done)
		}
		for s.done < end {
			if s.done == restart {
				restart = -1
				restarts++
				kill := restarts%2 == 0
				l.settleRestart()
				<-l.restarting
				go func() { l.restarting <- errors.Join(l.server.close(l.ctx, kill), l.server.open(l.ctx)) }()
			}
			s.step()
			f.meddle(s.done, day)
		}
	}
	l.settleRestart()
	f.heal()
	s.note("last", "%s", s.people[0].userName)
	s.want(http.MethodPatch, "/Users/"+s.people[0].id, patch(replace("displayName", "The Last")), http.StatusOK)
	l.finish(f)
	l.t.Logf("seed %d: %d operations %v; fleet %v; %d restarts of the server; refused last: %s", l.seed, s.done, s.kinds, f, restarts, s.refusal)
	return fmt.Sprintf("%x", s.digest.Sum(nil))
}

// settleRestart waits for a restart that is under way.
func (l *life) settleRestart() {
	err := <-l.restarting
	l.restarting <- nil
	if err != nil {
		l.fatal("restart the server: %v", err)
	}
}

// finish waits until all agents are where the server is, and compares.
func (l *life) finish(f *fleet) {
	at, rows, err := l.server.rows(l.ctx)
	if err != nil {
		l.fatal("%v", err)
	}
	began := time.Now()
	f.converge(at)
	l.t.Logf("seed %d: %d agents converged in %v after all was healed", l.seed, len(l.agents), time.Since(began).Round(time.Millisecond))
	for _, a := range l.agents {
		a.stop()
		a.check()
	}
	if now, err := l.server.position(l.ctx); err != nil || now != at {
		l.fail("the server moved to %v from %v by itself: %v", now, at, err)
	}
	l.compare(at, rows)
	l.compareOwners()
	found, err := l.server.operator().Check(l.ctx)
	if err != nil || len(found) > 0 {
		l.fail("the server's own check found %v (%v)", found, err)
	}
	for _, line := range l.alarms.all() {
		l.fail("the server logged an error: %s", line)
	}
}

// end stops everything.
func (l *life) end() {
	if l.t.Failed() {
		l.t.Logf("seed %d: the last operations:\n%s", l.seed, strings.Join(l.script.last, "\n"))
	}
	<-l.restarting
	for _, a := range l.agents {
		a.stop()
		a.link.close()
	}
	l.client.CloseIdleConnections()
	if err := l.server.close(context.Background(), true); err != nil {
		l.t.Errorf("seed %d: close the server: %v", l.seed, err)
	}
}

// tell tells what happened, and fails when that was too little to prove anything.
func (l *life) tell(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var snapshots, deltas, heals int64
	for _, a := range l.agents {
		st, err := syncer.ReadState(a.state)
		if err != nil {
			l.t.Errorf("seed %d: %v: %v", l.seed, a, err)
		}
		snapshots, deltas, heals = snapshots+st.Snapshots, deltas+st.Deltas, heals+st.Heals
	}
	l.t.Logf("seed %d: %v; %d steps of agents, %d wrote, %d failed, %d stopped by the fuse; %d deltas, %d snapshots, %d heals: %v",
		l.seed, took.Round(time.Millisecond), l.passes, l.wrote, l.failed, l.stops, deltas, snapshots, heals, l.resyncs)
	if few := 100; l.size.agents < few || l.size.ops < few {
		return
	}
	if l.wrote == 0 || l.failed == 0 || deltas == 0 || snapshots == 0 {
		l.t.Errorf("seed %d: too little happened to prove anything", l.seed)
	}
}

// standing is what an agent says of itself.
func (a *churnAgent) standing() string {
	st, err := syncer.ReadState(a.state)
	at := roster.Position{}
	if st.Rendered != nil {
		at = *st.Rendered
	}
	damage, spoiled := a.spoiled()
	return fmt.Sprintf("it shows %v, its last error is %q, stopped %v, damaged %d times and is so now: %v (%v)", at, st.LastError, st.Stopped != nil, damage, spoiled, err)
}
