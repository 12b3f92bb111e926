package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"pwb/cmd/pwb-server/monitoring"
	"pwb/cmd/settings"
	"pwb/scimserver"
	"pwb/scimserver/signin"
	"pwb/scimserver/sqlite"
)

// shutdownTime is how long requests that have begun may take to end.
const shutdownTime = 15 * time.Second

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve SCIM to identity providers and the feed to agents",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg config
			if err := settings.Load(cmd.Flags(), defaultConfigFile, &cfg); err != nil {
				return err
			}
			log, err := settings.NewLogger(cfg.LogLevel, cfg.LogFormat)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, log)
		},
	}
	addKeys(cmd.Flags())
	return cmd
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, cfg config, log *slog.Logger) (err error) {
	certs, err := transport(cfg, log)
	if err != nil {
		return err
	}
	metrics := monitoring.New(version)
	store, err := openStore(ctx, cfg, metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	openID, err := cfg.openID(log)
	if err != nil {
		return err
	}
	handler, err := cfg.handler(ctx, store, log, true, func(c *scimserver.Config) {
		c.Meter, c.Metrics, c.Ready = metrics, metrics.Handler(), cfg.room
		if openID != nil {
			c.IDTokens = openID
		}
	})
	if err != nil {
		return err
	}
	if openID != nil {
		defer openID.Close()
		pages, err := signin.NewHandler(openID, handler)
		if err != nil {
			return err
		}
		handler.Handle("/openid/", pages)
	}
	if err := handler.TendOnce(ctx); err != nil {
		return err // what is due, and files that cannot be read, at once
	}
	operator := handler.Operator("server")
	if err := firstStart(ctx, operator, cfg, log); err != nil {
		return err
	}
	err = metrics.Watch(ctx, monitoring.Source{
		Figures:        operator.Figures,
		Size:           func() (sqlite.Size, error) { return sqlite.SizeOf(cfg.DataDir) },
		CertificateEnd: certs.expires,
		MaxNodes:       cfg.MetricsNodes,
		Log:            log,
	})
	if err != nil {
		return err
	}
	tended := make(chan struct{})
	tending, stopTending := context.WithCancel(ctx)
	go func() {
		defer close(tended)
		handler.Tend(tending)
	}()
	defer func() {
		stopTending()
		<-tended
		err = errors.Join(err, handler.TendOnce(context.WithoutCancel(ctx))) // the last uses of tokens
	}()
	open := newConnections()
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnState:         open.changed,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if certs != nil {
		srv.TLSConfig = certs.config()
	}
	srv.RegisterOnShutdown(handler.Drain)
	sockets, err := openSockets(cfg, certs != nil)
	if err != nil {
		return err
	}
	defer sockets.close()
	defer serveMetrics(ctx, sockets.metrics, metrics.Handler(), log)()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	failed := make(chan error, len(sockets.main))
	for _, l := range sockets.main {
		go func() {
			if certs == nil {
				failed <- srv.Serve(l)
			} else {
				failed <- srv.ServeTLS(l, "", "")
			}
		}()
		log.Info("serving", "address", l.Addr().String(), "tls", certs != nil, "data-dir", cfg.DataDir, "version", version)
	}
	notify(log, daemon.SdNotifyReady)
	for serving := true; serving; {
		select {
		case err := <-failed:
			return fmt.Errorf("serve: %w", err)
		case <-hangup:
			if certs != nil {
				certs.reload()
			}
		case <-ctx.Done():
			serving = false
		}
	}
	log.Info("stopping")
	notify(log, daemon.SdNotifyStopping)
	handler.Leave()
	sockets.leave() // who comes now waits for the next server, if somebody else holds the sockets
	handler.Drain()
	open.leave()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off after %v: %w", shutdownTime, err), srv.Close())
	}
	return nil
}

// openStore opens the store after a look whether it is whole: what is damaged is
// not written to.
func openStore(ctx context.Context, cfg config, metrics *monitoring.Metrics) (*sqlite.Store, error) {
	if cfg.CheckStore {
		if err := sqlite.Check(ctx, cfg.DataDir); err != nil {
			return nil, fmt.Errorf("%w: put the last good backup back, with pwb-server restore into a new data-dir, and keep this one", err)
		}
	}
	return sqlite.Open(ctx, cfg.DataDir, sqlite.Observed(metrics.Committed, metrics.Announced))
}

// room says when the store's file system is nearly full.
func (c config) room() error {
	size, err := sqlite.SizeOf(c.DataDir)
	if err == nil && size.Free < c.MinFreeBytes {
		err = fmt.Errorf("%s has %d bytes free, which is below min-free-bytes, %d: make room there; changes are refused when it is full, and nothing is lost", c.DataDir, size.Free, c.MinFreeBytes)
	}
	return err
}

// notify tells the service manager, where there is one: sd_notify(3).
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager cannot be told how it goes", "error", err)
	}
}
