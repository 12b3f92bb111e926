package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/sqlite"
)

// The server's own times, in days of its clock.
const (
	churnAliases   = 3 * 24 * time.Hour
	churnRetention = 5 * 24 * time.Hour
)

// churnClock is the server's: it moves when the test says so.
type churnClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *churnClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *churnClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// churnServer is a server that is stopped, killed and started again on the same
// store and address.
type churnServer struct {
	dir   string
	addr  string // host:port, the same in all its lives
	clock *churnClock
	log   *slog.Logger

	mu     sync.Mutex    // over the rest
	opened chan struct{} // closed while it serves
	store  *sqlite.Store
	server *scimserver.Server
	http   *http.Server
	served chan error
}

// open starts the server.
func (s *churnServer) open(ctx context.Context) error {
	store, err := sqlite.Open(ctx, s.dir)
	if err != nil {
		return err
	}
	server, err := scimserver.New(scimserver.Config{
		Store: store, Log: s.log, Now: s.clock.now, HashRounds: 1000,
		Ledger: ledger.Config{StartUID: 2000, AliasTime: churnAliases, Retention: churnRetention, AdminGroup: "pwb-admins"},
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	if err := server.TendOnce(ctx); err != nil {
		return errors.Join(err, store.Close())
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	h := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	h.RegisterOnShutdown(server.Drain)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr, s.store, s.server, s.http, s.served = l.Addr().String(), store, server, h, make(chan error, 1)
	go func() { s.served <- h.Serve(l) }()
	close(s.opened)
	return nil
}

// close ends it: gracefully, or as a kill does as far as that goes within a
// process, which cuts all answers and writes nothing more down.
func (s *churnServer) close(ctx context.Context, kill bool) error {
	s.mu.Lock()
	s.opened = make(chan struct{})
	s.mu.Unlock()
	var err error
	if kill {
		err = s.http.Close()
	} else {
		err = errors.Join(s.http.Shutdown(ctx), s.server.TendOnce(ctx))
	}
	if e := <-s.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, s.store.Close())
}

// up returns when the server serves.
func (s *churnServer) up(ctx context.Context) error {
	s.mu.Lock()
	opened := s.opened
	s.mu.Unlock()
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *churnServer) life() (*sqlite.Store, *scimserver.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store, s.server
}

func (s *churnServer) operator() *scimserver.Operator {
	_, server := s.life()
	return server.Operator("the test")
}

// position is where the feed stands; it is asked of a store that is open.
func (s *churnServer) position(ctx context.Context) (at roster.Position, err error) {
	store, _ := s.life()
	err = store.View(ctx, func(v scimserver.View) error {
		at, err = v.Position()
		return err
	})
	return at, err
}

// rows are those of the roster as the store has them, past the feed's HTTP.
func (s *churnServer) rows(ctx context.Context) (at roster.Position, rows []roster.Row, err error) {
	store, _ := s.life()
	err = store.View(ctx, func(v scimserver.View) error {
		if at, err = v.Position(); err != nil {
			return err
		}
		return v.Snapshot(func(c roster.Change) error {
			row, err := c.Row()
			rows = append(rows, row)
			return err
		})
	})
	return at, rows, err
}

// alarms keeps the lines of a log that tell of a defect.
type alarms struct {
	mu    sync.Mutex
	lines []string
}

// What a slog.Handler needs besides Handle.
func (a *alarms) Enabled(context.Context, slog.Level) bool { return true }
func (a *alarms) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a *alarms) WithGroup(string) slog.Handler            { return a }

func (a *alarms) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(at slog.Attr) bool { line += fmt.Sprintf(" %s=%v", at.Key, at.Value); return true })
	// Requests that were under way when a store closed fail, as they should.
	if r.Level < slog.LevelError || strings.Contains(line, scimserver.ErrClosed.Error()) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, line)
	return nil
}

func (a *alarms) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.lines)
}
