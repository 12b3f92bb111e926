package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// metricsSocket is the FileDescriptorName= (systemd.socket(5)) of a socket that
// is for metrics; any other is for everything else.
const metricsSocket = "metrics"

// sockets are what a server listens on.
type sockets struct {
	main    []net.Listener
	metrics []net.Listener
}

// openSockets takes the sockets that systemd holds for us, see sd_listen_fds(3):
// it keeps them while one server ends and the next begins, so that nobody is
// turned away. What it does not hold is opened as the configuration says.
func openSockets(cfg config, secure bool) (s sockets, err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	named, err := activation.ListenersWithNames()
	if err != nil {
		return s, fmt.Errorf("take the sockets that the service manager holds: %w", err)
	}
	for name, all := range named {
		if name == metricsSocket {
			s.metrics = append(s.metrics, all...)
		} else {
			s.main = append(s.main, all...)
		}
	}
	for _, l := range s.main {
		if l == nil {
			return s, errors.New("the service manager holds a socket that is no stream: write ListenStream= into its unit")
		}
	}
	if len(s.main) == 0 {
		l, err := net.Listen("tcp", cfg.Listen)
		if err != nil {
			return s, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
		}
		s.main = append(s.main, l)
	}
	if !secure {
		for _, l := range s.main {
			if err := checkPlain(l.Addr()); err != nil {
				return s, err
			}
		}
	}
	if len(s.metrics) == 0 && cfg.MetricsListen != "" {
		l, err := listenMetrics(cfg.MetricsListen)
		if err != nil {
			return s, err
		}
		s.metrics = append(s.metrics, l)
	}
	return s, nil
}

func (s sockets) close() {
	s.leave()
	for _, l := range s.metrics {
		if l != nil {
			_ = l.Close()
		}
	}
}

// leave closes what serves, and leaves the metrics.
func (s sockets) leave() {
	for _, l := range s.main {
		if l != nil {
			_ = l.Close() // it takes no more connections in any case
		}
	}
}

// metricsAddress reads metrics-listen.
func metricsAddress(text string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return "", "", fmt.Errorf("metrics-listen %q: write the whole path, as in unix:/run/pwb-server/metrics.sock", text)
		}
		return "unix", path, nil
	}
	if _, _, err := net.SplitHostPort(text); err != nil {
		return "", "", fmt.Errorf("metrics-listen %q is neither host:port nor unix:/path: %w", text, err)
	}
	return "tcp", text, nil
}

func listenMetrics(text string) (net.Listener, error) {
	network, address, err := metricsAddress(text)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := removeStale(address); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen(network, address)
	if err == nil && network == "unix" {
		err = os.Chmod(address, 0o660)
	}
	if err != nil {
		return nil, fmt.Errorf("metrics-listen %s: %w", text, err)
	}
	return l, nil
}

// removeStale removes a socket that a server left which was killed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode()&fs.ModeSocket == 0 {
		err = errors.New("it is there already and is no socket: choose another path")
	}
	if err == nil {
		c, dialed := net.Dial("unix", path)
		if dialed != nil {
			return os.Remove(path)
		}
		c.Close()
		err = errors.New("another process listens on it: end that, or choose another path")
	}
	return fmt.Errorf("metrics-listen unix:%s: %w", path, err)
}

// leaveTime is how long connections are kept on which clients may be about to
// send, while each answer asks them to come back on another: a client whose
// connection is closed under its request cannot know what came of it.
const leaveTime = time.Second

// connections counts those that are open.
type connections struct {
	open atomic.Int64
	none chan struct{} // has room for one sign that there may be none
}

func newConnections() *connections { return &connections{none: make(chan struct{}, 1)} }

// changed is for http.Server.ConnState.
func (c *connections) changed(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		if c.open.Add(-1) == 0 {
			select {
			case c.none <- struct{}{}:
			default:
			}
		}
	}
}

// leave waits until no connection is open, for leaveTime at most.
func (c *connections) leave() {
	late := time.NewTimer(leaveTime)
	defer late.Stop()
	for c.open.Load() > 0 {
		select {
		case <-c.none:
		case <-late.C:
			return
		}
	}
}

// serveMetrics shows metrics, to everybody who reaches the sockets, until ctx ends.
func serveMetrics(ctx context.Context, sockets []net.Listener, metrics http.Handler, log *slog.Logger) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	for _, l := range sockets {
		log.Info("shows metrics", "metrics-address", l.Addr().String())
		go func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				log.Error("metrics are shown no more", "address", l.Addr().String(), "error", err)
			}
		}()
	}
	return func() { _ = srv.Close() }
}
