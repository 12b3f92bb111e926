// Package monitoring shows Prometheus how a server does: what it counts while it
// works, and how it stands at each scrape. Beside it lie an example of a dashboard
// and rules for alerts. Prometheus' library ends here.
package monitoring

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

// maxTokens is the most tokens that have series of their own; the others share
// one. Those of nodes have none.
const maxTokens = 100

// others is the label of what has no series of its own.
const others = "others"

// Metrics is a scimserver.Meter. Its registry is its own: nothing that a library
// registers by itself is shown.
type Metrics struct {
	registry *prometheus.Registry
	delays   delays

	requests     *prometheus.CounterVec
	durations    *prometheus.HistogramVec
	operations   *prometheus.CounterVec
	unauthorized *prometheus.CounterVec
	refused      *prometheus.CounterVec
	commits      *prometheus.CounterVec
	commitTime   prometheus.Histogram
	commitSize   prometheus.Histogram
	renderDelay  prometheus.Histogram

	mu     sync.Mutex
	tokens map[string]bool // that have series of their own
}

var _ scimserver.Meter = (*Metrics)(nil)

// New makes the Metrics of a program of some version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		tokens:   map[string]bool{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pwb_server_http_requests_total",
			Help: "Requests by route and class of status; aborted: the connection ended before the answer was whole.",
		}, []string{"route", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pwb_server_http_request_duration_seconds",
			Help:    "Duration of requests by route, without the time that a long poll waits for a change.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pwb_server_scim_operations_total",
			Help: "SCIM operations by the token of the provider; a bulk request counts each of its operations.",
		}, []string{"token"}),
		unauthorized: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pwb_server_auth_failures_total",
			Help: "Requests that were refused for their token: missing, unknown (or revoked), wrong, expired, or of another scope.",
		}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pwb_server_refused_requests_total",
			Help: "Requests with a good token that were refused: by the token's rate, the fuse, for want of a place, or of one for a snapshot.",
		}, []string{"cause"}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pwb_server_commits_total",
			Help: "Transactions of the store's writer by result.",
		}, []string{"result"}),
		commitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pwb_server_commit_duration_seconds",
			Help:    "Duration of transactions until they are durable.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}),
		commitSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pwb_server_commit_updates",
			Help:    "Updates that share a transaction.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128},
		}),
		renderDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pwb_server_render_delay_seconds",
			Help:    "Time from the commit of a change until a node said that its files show it; of several at once the oldest. Nodes whose change was committed before the server started are left out.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21600, 86400},
		}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "pwb_server_build_info",
		Help:        "Always 1; which version this is.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	for _, reason := range []string{scimserver.NoToken, scimserver.UnknownToken, scimserver.WrongToken, scimserver.ExpiredToken, scimserver.ScopeOfToken} {
		m.unauthorized.WithLabelValues(reason) // so that a rate begins at 0
	}
	for _, cause := range []string{scimserver.RefusedRate, scimserver.RefusedFuse, scimserver.RefusedBusy, scimserver.RefusedSnapshot} {
		m.refused.WithLabelValues(cause)
	}
	for _, result := range []string{"done", "failed"} {
		m.commits.WithLabelValues(result)
	}
	m.registry.MustRegister(m.requests, m.durations, m.operations, m.unauthorized, m.refused, m.commits, m.commitTime, m.commitSize, m.renderDelay, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Served implements scimserver.Meter.
func (m *Metrics) Served(r scimserver.Request) {
	m.requests.WithLabelValues(r.Route, class(r.Status)).Inc()
	m.durations.WithLabelValues(r.Route).Observe(r.Took.Seconds())
	if r.Operations > 0 {
		m.operations.WithLabelValues(m.tokenLabel(r.Token)).Add(float64(r.Operations))
	}
}

// Unauthorized implements scimserver.Meter.
func (m *Metrics) Unauthorized(reason string) { m.unauthorized.WithLabelValues(reason).Inc() }

// Refused implements scimserver.Meter.
func (m *Metrics) Refused(cause string) { m.refused.WithLabelValues(cause).Inc() }

// Rendered implements scimserver.Meter.
func (m *Metrics) Rendered(was, is int64) {
	if d, ok := m.delays.of(was, is, time.Now()); ok {
		m.renderDelay.Observe(d.Seconds())
	}
}

// Committed is for sqlite.Observed.
func (m *Metrics) Committed(c sqlite.Commit) {
	result := "done"
	if c.Err != nil {
		result = "failed"
	}
	m.commits.WithLabelValues(result).Inc()
	m.commitTime.Observe(c.Took.Seconds())
	m.commitSize.Observe(float64(c.Updates))
}

// Announced is for sqlite.Observed.
func (m *Metrics) Announced(seq int64) { m.delays.committed(seq, time.Now()) }

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             30 * time.Second,
	})
}

func class(status int) string {
	switch {
	case status == 0:
		return "aborted"
	case status < 200, status > 599:
		return "other"
	}
	return [...]string{"2xx", "3xx", "4xx", "5xx"}[status/100-2]
}

// tokenLabel is the token's name, or what those share that came late.
func (m *Metrics) tokenLabel(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.tokens[name] {
		if len(m.tokens) >= maxTokens {
			return others
		}
		m.tokens[name] = true
	}
	return name
}
