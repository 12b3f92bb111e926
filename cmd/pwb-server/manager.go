package main

import (
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellManager tells the service manager how the server does: sd_notify(3). Without
// one, nothing is told to nobody.
func tellManager(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager cannot be told how it goes", "error", err)
	}
}
