package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"pwb/cmd/settings"
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
	tlsConfig, err := transport(cfg)
	if err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	handler, err := cfg.handler(ctx, store, log, true)
	if err != nil {
		return err
	}
	if err := handler.TendOnce(ctx); err != nil {
		return err // what is due, and files that cannot be read, at once
	}
	if err := firstStart(ctx, handler.Operator("server"), cfg, log); err != nil {
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
	srv := &http.Server{
		Handler:           handler,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(handler.Drain)
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	failed := make(chan error, 1)
	go func() {
		if tlsConfig == nil {
			failed <- srv.Serve(l)
		} else {
			failed <- srv.ServeTLS(l, "", "")
		}
	}()
	log.Info("serving", "address", l.Addr().String(), "tls", tlsConfig != nil, "data-dir", cfg.DataDir, "version", version)
	tellManager(log, daemon.SdNotifyReady)
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", cfg.Listen, err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	tellManager(log, daemon.SdNotifyStopping)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off after %v: %w", shutdownTime, err), srv.Close())
	}
	return nil
}

// transport says how to speak: TLS, or nil for plain HTTP where that is allowed.
func transport(cfg config) (*tls.Config, error) {
	given := cfg.TLSCert != "" || cfg.TLSKey != ""
	switch {
	case given && cfg.InsecureHTTP:
		return nil, errors.New("insecure-http and tls-cert exclude each other: leave one out")
	case given:
		if info, err := os.Stat(cfg.TLSKey); err == nil && info.Mode()&0o007 != 0 {
			return nil, fmt.Errorf("tls-key %s has mode %#o, so that everybody can read it: chmod 0600 it", cfg.TLSKey, info.Mode().Perm())
		}
		cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("tls-cert %s with tls-key %s: %w", cfg.TLSCert, cfg.TLSKey, err)
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
	case !cfg.InsecureHTTP:
		return nil, errors.New("no certificate: give tls-cert and tls-key, or, on a loopback address, insecure-http")
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen %q is not host:port: %w", cfg.Listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("insecure-http on %s would show tokens and hashes to the network: listen on 127.0.0.1, or give tls-cert and tls-key", cfg.Listen)
	}
	return nil, nil
}
