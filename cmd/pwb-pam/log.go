package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"log/syslog"
	"os"
	"sync"
	"time"
)

// newLog logs to the system's log, and on standard error where no PAM is: its standard
// error is shown to whoever logs in. Without a system's log nothing is logged.
func newLog(said map[string]string) *slog.Logger {
	if said["PAM_TYPE"] == "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	w, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_INFO, "pwb-pam")
	if err != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(newSyslogHandler(w))
}

// priorities is what of syslog.Writer is used.
type priorities interface {
	Err(string) error
	Warning(string) error
	Info(string) error
}

// logPatience is how long the system's log may take for a line. One whose queue is full
// takes none, and a decision does not wait for it.
const logPatience = time.Second

// errLogStuck says that the system's log took too long, and is not tried again.
var errLogStuck = errors.New("the system's log takes nothing")

// syslogHandler writes records as lines without time and level, which the system's log
// has of its own.
type syslogHandler struct {
	slog.Handler
	*line
	to priorities
}

// line is the one that is being made; all handlers of a log share it.
type line struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	stuck bool
}

func newSyslogHandler(to priorities) *syslogHandler {
	l := new(line)
	text := slog.NewTextHandler(&l.buf, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}})
	return &syslogHandler{text, l, to}
}

// Handle implements slog.Handler.
func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stuck {
		return errLogStuck
	}
	h.buf.Reset()
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	text := h.buf.String()
	write := h.to.Info
	switch {
	case r.Level >= slog.LevelError:
		write = h.to.Err
	case r.Level >= slog.LevelWarn:
		write = h.to.Warning
	}
	written := make(chan error, 1)
	go func() { written <- write(text) }()
	select {
	case err := <-written:
		return err
	case <-time.After(logPatience):
		h.stuck = true
		return errLogStuck
	}
}

// WithAttrs implements slog.Handler.
func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &syslogHandler{h.Handler.WithAttrs(attrs), h.line, h.to}
}

// WithGroup implements slog.Handler.
func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return &syslogHandler{h.Handler.WithGroup(name), h.line, h.to}
}
