package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"pwb/syncer"
)

// manager is the service manager, as far as it wants to be told of this process:
// sd_notify(3). Without one, nothing is told to nobody.
type manager struct {
	log *slog.Logger

	mu       sync.Mutex // over the rest
	ready    bool
	events   int
	status   string
	deadline time.Time // of the next sign of life
	failed   bool
}

// firstSign is how long the first sign of life may take.
const firstSign = time.Minute

// newManager pings the manager's watchdog, where there is one, until ctx ends or
// signs of life fail to come.
func newManager(ctx context.Context, log *slog.Logger) *manager {
	m := &manager{log: log, deadline: time.Now().Add(firstSign)}
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog cannot be told that this is alive", "error", err)
	}
	if period > 0 {
		go m.ping(ctx, period/2)
	}
	return m
}

func (m *manager) ping(ctx context.Context, every time.Duration) {
	timer := time.NewTicker(every)
	defer timer.Stop()
	stuck := false
	for {
		m.mu.Lock()
		late := time.Since(m.deadline)
		m.mu.Unlock()
		switch {
		case late <= 0:
			stuck = false
			m.tell(daemon.SdNotifyWatchdog)
		case !stuck:
			stuck = true
			m.log.Error("a step takes too long; the watchdog is not told that all is well", "late", late)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// alive is for syncer.Config.Alive.
func (m *manager) alive(within time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deadline = time.Now().Add(within)
}

// observe is for syncer.Config.Observe. The service is ready when the last good
// files are there, or after the first attempt to get some.
func (m *manager) observe(e syncer.Event) {
	m.mu.Lock()
	m.events++
	status := fmt.Sprintf("at change %d", e.Result.Position.Seq)
	if e.Err != nil {
		status = oneLine(e.Err.Error())
	}
	var text []string
	if status != m.status {
		m.status = status
		text = append(text, "STATUS="+status)
	}
	if there := e.Err == nil && e.Result.Position.Epoch != ""; !m.ready && (there || m.events > 1) {
		m.ready = true
		text = append(text, daemon.SdNotifyReady)
	}
	m.mu.Unlock()
	m.tell(text...)
}

// reloading says that the configuration is being read. What follows is either
// serving or, when the agent before has ended, begins.
func (m *manager) reloading() { m.tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec()) }

// begins says that what observe hears from now on comes from an agent with another
// configuration. If it came before its predecessor's last word, that would pass for
// the end of the reload, perhaps before its beginning was told.
func (m *manager) begins() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready, m.events = false, 0
}

// serving says that all goes on as before; observe does, if nothing was ready yet.
func (m *manager) serving() {
	m.mu.Lock()
	ready := m.ready
	m.mu.Unlock()
	if ready {
		m.tell(daemon.SdNotifyReady)
	}
}

func (m *manager) stopping() { m.tell(daemon.SdNotifyStopping) }

// tell passes assignments on; the first failure is logged.
func (m *manager) tell(text ...string) {
	if len(text) == 0 {
		return
	}
	if _, err := daemon.SdNotify(false, strings.Join(text, "\n")); err != nil {
		m.mu.Lock()
		again := m.failed
		m.failed = true
		m.mu.Unlock()
		if !again {
			m.log.Warn("the service manager cannot be told how it goes", "error", err)
		}
	}
}
