package scimserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"pwb/scimserver/ledger"
)

// How often Tend looks.
const (
	tendEvery  = 15 * time.Second
	localEvery = 5 * time.Minute
)

// Tend does what is due by itself, at once and every few seconds until ctx ends:
// accounts end, former names stop working, departed subjects are buried, uses of
// tokens and sightings of nodes are written down, and files of others are read
// again. What fails is logged and tried again.
func (s *Server) Tend(ctx context.Context) {
	tick, sightings := time.NewTicker(tendEvery), time.NewTicker(seenEvery)
	defer tick.Stop()
	defer sightings.Stop()
	soon := time.NewTimer(0)
	defer soon.Stop()
	moved := s.fleet.moved // nil while soon runs
	local := s.now()
	do := s.TendOnce
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("something that is due was not done; it is tried again", "error", err)
		}
		do = func(context.Context) error { return nil }
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do = s.tend
			if now := s.now(); now.Sub(local) >= localEvery {
				local = now
				s.readLocal(ctx)
			}
		case <-sightings.C:
			do = func(ctx context.Context) error { return s.writeFleet(ctx, false) }
		case <-moved:
			soon.Reset(seenSoon)
			moved = nil
		case <-soon.C:
			moved = s.fleet.moved
			do = func(ctx context.Context) error { return s.writeFleet(ctx, true) }
		}
	}
}

// reschedule follows changes of the configuration since the last start, once.
func (s *Server) reschedule(ctx context.Context) error {
	if s.scheduled.Load() {
		return nil
	}
	changed := 0
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		changed, err = s.ledger.Reschedule(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("set anew what is due: %w", err)
	}
	if s.scheduled.Store(true); changed > 0 {
		s.log.Info("what is due of subjects was set anew, as the configuration says", "subjects", changed)
	}
	return nil
}

func (s *Server) readLocal(ctx context.Context) {
	if s.cfg.ReadLocal == nil {
		return
	}
	l, err := s.cfg.ReadLocal(ctx)
	if err != nil {
		s.log.Warn("the host's own accounts could not be read again; what was read before counts", "error", err)
		return
	}
	s.ledger.SetLocal(l)
}

// TendOnce does what is due now. It is also what to call before the end, so that
// the last uses of tokens and sightings of nodes are written down.
func (s *Server) TendOnce(ctx context.Context) error {
	return errors.Join(s.reschedule(ctx), s.tend(ctx), s.readFleet(ctx), s.writeFleet(ctx, false))
}

func (s *Server) tend(ctx context.Context) error {
	return errors.Join(s.tendLedger(ctx), s.writeUses(ctx), s.readTokenFile(ctx))
}

func (s *Server) tendLedger(ctx context.Context) error {
	for more := true; more; {
		// Nothing is due most of the time: a look costs no commit.
		var idle bool
		err := s.store.View(ctx, func(v View) error {
			due, err := v.Due(s.moment(), 1)
			idle = len(due) == 0
			return err
		})
		if err != nil || idle {
			return err
		}
		err = s.deeds(ctx, "server", func(tx Tx, did func(Event) error) error {
			var done []ledger.Done
			if done, more, err = s.ledger.Tend(tx); err != nil {
				return err
			}
			for _, d := range done {
				if err := did(accountEvent(d.Action, changes{}, d.Change)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("do what is due: %w", err)
		}
	}
	return nil
}

// moment is now in the precision that is stored.
func (s *Server) moment() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

func (s *Server) writeUses(ctx context.Context) error {
	used := s.tokens.takeUsed()
	if len(used) == 0 {
		return nil
	}
	err := s.store.Update(ctx, func(tx Tx) error { return tx.UseTokens(used) })
	if err != nil {
		return fmt.Errorf("write down when tokens were used: %w", err)
	}
	return nil
}

// tokenFileName is the name that the token of Config.TokenFile has in lists.
const tokenFileName = "scim-token-file"

// readTokenFile makes the token in Config.TokenFile the one of its name; the one
// that was there before is revoked.
func (s *Server) readTokenFile(ctx context.Context) error {
	file := s.cfg.TokenFile
	if file == "" {
		return nil
	}
	text, err := ReadSecret(file)
	if err != nil {
		return fmt.Errorf("scim-token-file: %w", err)
	}
	t, err := ForeignToken(tokenFileName, ScopeSCIM, text, s.moment())
	if err != nil {
		return fmt.Errorf("scim-token-file %s: %w", file, err)
	}
	known := false
	err = s.store.View(ctx, func(v View) error {
		old, err := v.Token(t.ID)
		known = err == nil && old.Hash == t.Hash
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return err
	})
	if err != nil || known {
		return err
	}
	return s.Operator("server").replaceToken(ctx, t)
}

// ReadSecret reads a token from a file that not everybody may read, without the
// blanks around it.
func ReadSecret(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would keep us waiting
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", file)
	}
	if info.Mode()&0o007 != 0 {
		return "", fmt.Errorf("%s has mode %#o, so that everybody can reach the token in it: chmod 0600 it (in Kubernetes: defaultMode: 0400 or 0440)", file, info.Mode().Perm())
	}
	data := make([]byte, maxToken+3)
	n, err := f.Read(data)
	if err != nil || n == len(data) {
		return "", fmt.Errorf("%s holds no token of up to %d bytes", file, maxToken)
	}
	return strings.TrimSpace(string(data[:n])), nil
}
