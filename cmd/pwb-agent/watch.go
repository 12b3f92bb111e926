package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"pwb/altfiles"
	"pwb/cmd/pwb-agent/metrics"
)

// metricsFlag is a key of run alone: nobody could scrape a single pass.
const metricsFlag = "metrics-listen"

func watchFlags(f *pflag.FlagSet) {
	f.String("metrics-file", "", "`file` in which metrics are left after each pass, for the textfile collector of node_exporter; its name ends in .prom; empty for none")
}

// meter makes the agent's metrics, nil when nobody wants any.
func (a *agent) meter() (*metrics.Metrics, error) {
	if a.cfg.MetricsFile == "" && a.cfg.MetricsListen == "" || a.cfg.DryRun {
		return nil, nil
	}
	suffix := suffixOf(altfiles.Layout(a.cfg.Layout))
	file := func(name string) string { return filepath.Join(a.cfg.Dir, name+suffix) }
	return metrics.New(metrics.Config{
		StateDir: a.cfg.StateDir,
		File:     a.cfg.MetricsFile,
		Passwd:   file("passwd"),
		Group:    file("group"),
		Shadow:   file("shadow"),
		Version:  version,
		Log:      a.log,
	})
}

// showMetrics serves them on metrics-listen until stop is called. An agent that
// cannot keeps the files all the same.
func (a *agent) showMetrics(m *metrics.Metrics) (stop func()) {
	if m == nil || a.cfg.MetricsListen == "" {
		return func() {}
	}
	l, err := net.Listen("tcp", a.cfg.MetricsListen)
	if err != nil {
		a.log.Error("nobody can scrape this agent; the files are kept all the same", "error", fmt.Errorf("%s: %w", metricsFlag, err))
		return func() {}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	a.log.Info("shows metrics", "address", l.Addr().String())
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("metrics are shown no more", "error", err)
		}
	}()
	return func() { _ = srv.Close() }
}
