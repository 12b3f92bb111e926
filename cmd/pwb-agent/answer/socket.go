package answer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pwb/cmd/libnss_pwb/question"
)

const (
	// patience bounds the time to an answer, that for the question included; grace
	// is how much longer it may take to take that.
	patience = 2 * time.Second
	grace    = time.Second
	// missFor is how long a pass is good enough for who misses something.
	missFor = time.Second
	// maxPass bounds the wait for a pass, whoever still waits for it.
	maxPass = 10 * time.Second
	// maxReads is how many lookups read at once.
	maxReads = 4
)

// listen makes the socket, in place of one that nobody listens on any more.
func listen(path string) (*net.UnixListener, error) {
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("socket: %w", err)
	case fi.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("socket: %s is none; move it away", path)
	default:
		conn, err := net.DialTimeout("unix", path, patience)
		if err == nil {
			conn.Close()
			return nil, fmt.Errorf("socket: another agent answers on %s; give this one another run-dir", path)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("socket: %w", err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("socket: %w", err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), l.Close())
	}
	return l, nil
}

// socket answers one question a connection.
type socket struct {
	listener *net.UnixListener
	cfg      *Config
	limits   limits
	reads    chan struct{} // holds one element for each lookup that reads
	passes   passes
}

func newSocket(l *net.UnixListener, cfg *Config) *socket {
	return &socket{listener: l, cfg: cfg, reads: make(chan struct{}, maxReads), limits: newLimits()}
}

// serve accepts connections until the listener is closed, and returns when all are
// answered. There are never more goroutines than connections.
func (s *socket) serve(ctx context.Context) {
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			s.limits.wait()
			return
		case err != nil: // of descriptors, perhaps, which others give back
			s.cfg.Log.Debug("a connection of the NSS module was lost", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		now := time.Now()
		_ = conn.SetReadDeadline(now.Add(patience)) // no socket fails here
		_ = conn.SetWriteDeadline(now.Add(patience + grace))
		uid, err := peer(conn)
		if err != nil {
			conn.Close()
			continue
		}
		leave, ok := s.limits.enter(uid, now)
		if !ok {
			_, _ = conn.Write([]byte(question.Unavail)) // who comes too often may hear it or not
			conn.Close()
			continue
		}
		go func() {
			defer leave()
			defer conn.Close()
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			q, err := question.Read(conn)
			_, _ = conn.Write(s.answer(ctx, uid, q, err)) // who has gone needs none
		}()
	}
}

// peer is who asks.
func peer(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	failed := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(failed, err); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// answer is what is sent. What the files show is answered as it is; where they show
// nothing, or whoever asks wants them current, it takes a pass to be sure.
func (s *socket) answer(ctx context.Context, uid uint32, q question.Question, err error) []byte {
	switch {
	case errors.Is(err, question.ErrNever):
		return []byte(question.NotFound)
	case err != nil:
		return []byte(question.Unavail)
	case (q.Database == question.Shadow || q.Database == question.Current) && uid != 0 && int(uid) != os.Geteuid():
		return []byte(question.Denied)
	}
	var line []byte
	var found bool
	if q.Database != question.Current {
		line, found, err = s.find(ctx, q)
	}
	if err == nil && !found {
		if err = s.passes.join(ctx, s.cfg.Refresh); err == nil || s.cfg.Settled(err) {
			line, found, err = s.find(ctx, q)
		}
	}
	switch {
	case err != nil:
		s.cfg.Log.Debug("a lookup of the NSS module failed", "uid", uid, "database", q.Database, "error", err)
		return []byte(question.Unavail)
	case !found:
		return []byte(question.NotFound)
	}
	return question.Found(line)
}

// find reads the line, without its newline.
func (s *socket) find(ctx context.Context, q question.Question) (line []byte, found bool, err error) {
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	l, closeIt, err := s.cfg.Lookup()
	if err != nil {
		return nil, false, err
	}
	line, found, err = lookUp(l, q)
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	return line, found, errors.Join(err, closeIt())
}

func lookUp(l Lookup, q question.Question) ([]byte, bool, error) {
	switch {
	case q.Database == question.Passwd && q.Name != "", q.Database == question.Current:
		p, ok, err := l.Passwd(q.Name)
		return p.Append(nil), ok, err
	case q.Database == question.Passwd:
		p, ok, err := l.PasswdByUID(q.ID)
		return p.Append(nil), ok, err
	case q.Database == question.Group && q.Name != "":
		g, ok, err := l.Group(q.Name)
		return g.Append(nil), ok, err
	case q.Database == question.Group:
		g, ok, err := l.GroupByGID(q.ID)
		return g.Append(nil), ok, err
	case q.Database == question.Shadow:
		e, ok, err := l.Shadow(q.Name)
		return e.Append(nil), ok, err
	}
	gids, ok, err := l.Groups(q.Name)
	var line []byte
	for i, gid := range gids {
		if i > 0 {
			line = append(line, ' ')
		}
		line = strconv.AppendUint(line, uint64(gid), 10)
	}
	return line, ok, err
}
