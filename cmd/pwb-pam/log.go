package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"sync"
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

// syslogHandler writes records as lines without time and level, which the system's log
// has of its own.
type syslogHandler struct {
	slog.Handler
	mu  *sync.Mutex
	buf *bytes.Buffer
	to  priorities
}

func newSyslogHandler(to priorities) *syslogHandler {
	buf := new(bytes.Buffer)
	text := slog.NewTextHandler(buf, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}})
	return &syslogHandler{text, new(sync.Mutex), buf, to}
}

// Handle implements slog.Handler.
func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	line, err := io.ReadAll(h.buf)
	if err != nil {
		return err
	}
	switch {
	case r.Level >= slog.LevelError:
		return h.to.Err(string(line))
	case r.Level >= slog.LevelWarn:
		return h.to.Warning(string(line))
	}
	return h.to.Info(string(line))
}

// WithAttrs implements slog.Handler.
func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &syslogHandler{h.Handler.WithAttrs(attrs), h.mu, h.buf, h.to}
}

// WithGroup implements slog.Handler.
func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return &syslogHandler{h.Handler.WithGroup(name), h.mu, h.buf, h.to}
}
