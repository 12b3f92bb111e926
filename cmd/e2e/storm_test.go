package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/sqlite"
	"pwb/syncer"
)

const stormAgents = 500

// storm is many agents that follow one server with the client of the real one.
type storm struct {
	t         *testing.T
	snapshots atomic.Int64 // that were taken
	deltas    atomic.Int64
	refused   atomic.Int64 // requests that were turned away
	agents    []*stormAgent
	stop      context.CancelFunc
	all       sync.WaitGroup
}

type stormAgent struct {
	client *syncer.Client
	mu     sync.Mutex
	at     roster.Position
	moved  chan struct{} // has a value when at has changed
}

// newStorm starts the agents; each begins with a snapshot.
func newStorm(t *testing.T, url, tokenFile string) *storm {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &storm{t: t, stop: stop}
	for i := range stormAgents {
		c, err := syncer.NewClient(syncer.ClientConfig{Server: url, TokenFile: tokenFile, Node: fmt.Sprint("node", i), Version: "1"})
		if err != nil {
			t.Fatal(err)
		}
		a := &stormAgent{client: c, moved: make(chan struct{}, 1)}
		s.agents = append(s.agents, a)
		s.all.Go(func() { s.follow(ctx, a) })
	}
	t.Cleanup(s.end)
	return s
}

func (s *storm) end() {
	s.stop()
	s.all.Wait()
	for _, a := range s.agents {
		a.client.Close()
	}
}

// follow does what an agent does: it waits for changes, and takes a snapshot when
// it must; it comes back when it is asked to, and else soon.
func (s *storm) follow(ctx context.Context, a *stormAgent) {
	for ctx.Err() == nil {
		body, err := io.ReadCloser(nil), syncer.ErrResync
		at := a.position()
		if !at.IsZero() {
			body, err = a.client.Changes(ctx, at, 30*time.Second)
		}
		count := &s.deltas
		if errors.Is(err, syncer.ErrResync) {
			count = &s.snapshots
			body, err = a.client.Snapshot(ctx)
		}
		var to roster.Position
		if err == nil {
			to, err = readStream(body)
		}
		if err == nil {
			count.Add(1)
			a.client.Rendered(to)
			a.mu.Lock()
			a.at = to
			a.mu.Unlock()
			select {
			case a.moved <- struct{}{}:
			default:
			}
			continue
		}
		away := rand.N(100 * time.Millisecond)
		var status *syncer.StatusError
		if errors.As(err, &status) {
			s.refused.Add(1)
			away += status.RetryAfter
		}
		select {
		case <-time.After(away):
		case <-ctx.Done():
		}
	}
}

func (a *stormAgent) position() roster.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.at
}

func readStream(body io.ReadCloser) (roster.Position, error) {
	defer body.Close()
	r, err := roster.NewReader(body)
	for err == nil {
		_, err = r.Next()
	}
	if err != io.EOF {
		return roster.Position{}, err
	}
	return r.Header().To, nil
}

// until waits until every agent is at the position.
func (s *storm) until(what string, limit time.Duration, done func(roster.Position) bool) {
	s.t.Helper()
	began := time.Now()
	late := time.After(limit)
	for i, a := range s.agents {
		for !done(a.position()) {
			select {
			case <-a.moved:
			case <-late:
				s.t.Fatalf("%s: after %v agent %d is at %v", what, limit, i, a.position())
			}
		}
	}
	s.t.Logf("%s: %d agents in %v; %d snapshots, %d deltas, %d turned away so far", what, len(s.agents), time.Since(began).Round(time.Millisecond), s.snapshots.Load(), s.deltas.Load(), s.refused.Load())
}

func TestNoAgentTakesASnapshotWhenTheServerIsRestarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := newStorm(t, r.server.URL, r.agent.TokenFile)
	seq := func(n int64) func(roster.Position) bool {
		return func(at roster.Position) bool { return !at.IsZero() && at.Seq >= n }
	}
	s.until("the beginning", time.Minute, seq(0))
	if n := s.snapshots.Load(); n != stormAgents {
		t.Errorf("%d snapshots at the beginning", n)
	}
	for i, killed := range []bool{false, true} {
		address := strings.TrimPrefix(r.server.URL, "http://")
		if killed {
			r.server.Kill()
		} else {
			r.server.Stop()
		}
		r.start(t, "store", address)
		if _, err := r.scim.Create(t.Context(), "/Users", user(fmt.Sprint("after", i))); err != nil {
			t.Fatal(err)
		}
		s.until("a restart", time.Minute, seq(int64(i+1)))
	}
	if n := s.snapshots.Load(); n != stormAgents {
		t.Errorf("%d snapshots were taken after restarts", n-stormAgents)
	}
}

// counting knows how many snapshots are read at once.
type counting struct {
	scimserver.Store
	now, most atomic.Int64
}

type countingView struct {
	scimserver.View
	c *counting
}

func (c *counting) View(ctx context.Context, fn func(scimserver.View) error) error {
	return c.Store.View(ctx, func(v scimserver.View) error { return fn(countingView{v, c}) })
}

func (v countingView) Snapshot(yield func(roster.Change) error) error {
	n := v.c.now.Add(1)
	defer v.c.now.Add(-1)
	for most := v.c.most.Load(); n > most && !v.c.most.CompareAndSwap(most, n); most = v.c.most.Load() {
	}
	return v.View.Snapshot(yield)
}

func TestAfterARestoreAllAgentsHaveASnapshotInBoundedTime(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	opened, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	store := &counting{Store: opened}
	server, err := scimserver.New(scimserver.Config{Store: store, HashRounds: 1000})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server)
	defer h.Close()
	defer server.Drain()
	operator := server.Operator("the test")
	_, token, err := operator.AddToken(t.Context(), "node", scimserver.ScopeNodeAdmin, 0)
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err = errors.Join(err, os.WriteFile(tokenFile, []byte(token), 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := operator.AddUser(t.Context(), user(fmt.Sprint("user", i))); err != nil {
			t.Fatal(err)
		}
	}
	s := newStorm(t, h.URL, tokenFile)
	defer s.end()
	s.until("the beginning", 2*time.Minute, func(at roster.Position) bool { return at.Seq >= 200 })
	before := s.snapshots.Load()
	backup := filepath.Join(t.TempDir(), "backup")
	if err := sqlite.Backup(t.Context(), dir, backup); err != nil {
		t.Fatal(err)
	}
	done, err := sqlite.Restore(t.Context(), dir, backup, 0, "the test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.until("a restore", 2*time.Minute, func(at roster.Position) bool { return at.Epoch == done.Position.Epoch })
	if n := s.snapshots.Load() - before; n != stormAgents {
		t.Errorf("%d agents took %d snapshots", stormAgents, n)
	}
	if most := store.most.Load(); most > 4 {
		t.Errorf("%d snapshots were sent at once", most)
	}
}
