package monitoring

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

// Expiring is how long before its end a token counts as expiring.
const Expiring = 14 * 24 * time.Hour

// Source is what is asked at each scrape.
type Source struct {
	// Figures are the server's.
	Figures func(context.Context) (scimserver.Figures, error)
	// Size is that of the store.
	Size func() (sqlite.Size, error)
	// CertificateEnd is when the server's certificate expires; zero without one.
	CertificateEnd func() time.Time
	// MaxNodes is how many nodes have series of their own; those in trouble first.
	MaxNodes int
	// Log hears of what could not be read.
	Log *slog.Logger
}

// Watch adds how the server stands to what a scrape answers.
func (m *Metrics) Watch(ctx context.Context, s Source) error {
	f, err := s.Figures(ctx)
	if err != nil {
		return err
	}
	m.delays.begin(f.Position.Seq)
	return m.registry.Register(&state{s})
}

// state collects what is read at a scrape.
type state struct{ Source }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("pwb_server_"+name, help, labels, nil)
}

var (
	upDesc           = describe("store_up", "1 if the store could be read at this scrape; without it what is read from the store is missing.")
	positionDesc     = describe("feed_position", "Changes of the feed so far.")
	pollsDesc        = describe("long_polls", "Agents that wait for a change.")
	usersDesc        = describe("users", "Users of SCIM.")
	groupsDesc       = describe("groups", "Groups of SCIM.")
	accountsDesc     = describe("accounts", "Accounts that nodes see: of users, of deleted users that are still resolvable, and those that were imported.")
	lockedDesc       = describe("locked_accounts", "Accounts that cannot log in.")
	fuseOpenDesc     = describe("fuse_open", "1 while requests of providers that lock or delete users are refused.")
	fuseReleasedDesc = describe("fuse_released", "1 while an administrator has released the fuse.")
	fuseLostDesc     = describe("fuse_lost_users", "Users whom providers have locked or deleted within the fuse's window.")
	fuseLimitDesc    = describe("fuse_limit_users", "Users whom providers may lock or delete within the fuse's window; 0 without a fuse.")

	nodesDesc       = describe("nodes", "Nodes by state: online or offline.", "state")
	laggingDesc     = describe("nodes_lagging", "Online nodes whose files do not show the newest change, or an unknown one.")
	fuseHeldDesc    = describe("nodes_fuse_held", "Nodes on which the agent's fuse holds a change back.")
	pinnedDesc      = describe("nodes_pinned", "Nodes whose files are pinned to a former rendering.")
	failedDesc      = describe("nodes_failed", "Nodes whose last pass failed, as they reported.")
	quarantinedDesc = describe("quarantined_entries", "Entries that nodes refuse to render, of all nodes together.")
	unlistedDesc    = describe("nodes_without_series", "Nodes beyond metrics-nodes, which have no series of their own.")

	nodeSeenDesc        = describe("node_last_seen_timestamp_seconds", "When the node asked last.", "node")
	nodeLagDesc         = describe("node_lag_changes", "Changes that the node's files do not show yet; missing where that is not known.", "node")
	nodeQuarantinedDesc = describe("node_quarantined_entries", "Entries that the node refuses to render.", "node")
	nodeFuseDesc        = describe("node_fuse_held", "1 while the fuse of the node's agent holds a change back.", "node")
	nodePinnedDesc      = describe("node_pinned", "1 while the node's files are pinned.", "node")
	nodeFailedDesc      = describe("node_failed", "1 while the node's last pass failed.", "node")

	tokensDesc      = describe("tokens", "Tokens by scope.", "scope")
	expiringDesc    = describe("tokens_expiring", "Tokens that expire within 14 days, or have expired and were not revoked, by scope.", "scope")
	tokenEndDesc    = describe("token_expiry_timestamp_seconds", "When a token expires; of those of nodes and those that never do there is none.", "token", "scope")
	tokenUsedDesc   = describe("token_last_used_timestamp_seconds", "When a token was used last; of those of nodes there is none.", "token", "scope")
	storeSizeDesc   = describe("store_size_bytes", "Bytes of the store.")
	storeFreeDesc   = describe("store_free_bytes", "Bytes that are free in the store's file system.")
	storeTotalDesc  = describe("store_total_bytes", "Bytes of the store's file system.")
	certificateDesc = describe("certificate_expiry_timestamp_seconds", "When the server's certificate expires; missing without one.")
)

// Describe implements prometheus.Collector. What is collected depends on what is
// there, so nothing is promised.
func (s *state) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if size, err := s.Size(); err != nil {
		s.Log.Error("the size of the store cannot be seen", "error", err)
	} else {
		gauge(storeSizeDesc, float64(size.Bytes))
		gauge(storeFreeDesc, float64(size.Free))
		gauge(storeTotalDesc, float64(size.Total))
	}
	if end := s.CertificateEnd(); !end.IsZero() {
		gauge(certificateDesc, seconds(end))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	f, err := s.Figures(ctx)
	if err != nil {
		s.Log.Error("a scrape could not read the store", "error", err)
		gauge(upDesc, 0)
		return
	}
	gauge(upDesc, 1)
	gauge(positionDesc, float64(f.Position.Seq))
	gauge(pollsDesc, float64(f.Waiting))
	gauge(usersDesc, float64(f.Users))
	gauge(groupsDesc, float64(f.Groups))
	gauge(accountsDesc, float64(f.Accounts))
	gauge(lockedDesc, float64(f.Locked))
	gauge(fuseOpenDesc, truth(f.Fuse.Open))
	gauge(fuseReleasedDesc, truth(f.Fuse.Released != nil))
	gauge(fuseLostDesc, float64(f.Fuse.Lost))
	limit := f.Fuse.Limit
	if !f.Fuse.Enabled {
		limit = 0
	}
	gauge(fuseLimitDesc, float64(limit))
	s.nodes(f.Nodes, gauge)
	s.tokens(f, gauge)
}

type gauge = func(d *prometheus.Desc, v float64, labels ...string)

func (s *state) nodes(nodes []scimserver.NodeRecord, gauge gauge) {
	sum := scimserver.Summary(nodes)
	gauge(nodesDesc, float64(sum.Online), "online")
	gauge(nodesDesc, float64(sum.Offline), "offline")
	gauge(laggingDesc, float64(sum.Lagging))
	gauge(fuseHeldDesc, float64(sum.FuseHeld))
	gauge(pinnedDesc, float64(sum.Pinned))
	gauge(failedDesc, float64(sum.Failed))
	gauge(quarantinedDesc, float64(sum.Quarantined))
	gauge(unlistedDesc, float64(max(0, len(nodes)-s.MaxNodes)))
	if len(nodes) > s.MaxNodes {
		nodes = slices.Clone(nodes)
		slices.SortStableFunc(nodes, func(a, b scimserver.NodeRecord) int { return cmp.Compare(trouble(b), trouble(a)) })
		nodes = nodes[:s.MaxNodes]
	}
	for _, n := range nodes {
		gauge(nodeSeenDesc, seconds(n.Seen), n.Name)
		if n.Lag != nil {
			gauge(nodeLagDesc, float64(*n.Lag), n.Name)
		}
		gauge(nodeQuarantinedDesc, float64(n.Quarantined), n.Name)
		gauge(nodeFuseDesc, truth(n.FuseHeld()), n.Name)
		gauge(nodePinnedDesc, truth(n.Pinned()), n.Name)
		gauge(nodeFailedDesc, truth(n.Failed()), n.Name)
	}
}

// trouble weighs what is wrong with a node.
func trouble(n scimserver.NodeRecord) (weight int) {
	for i, wrong := range []bool{n.Quarantined > 0, n.Lag == nil || *n.Lag > 0, n.Pinned(), !n.Online, n.Failed(), n.FuseHeld()} {
		if wrong {
			weight += 1 << i
		}
	}
	return weight
}

func (s *state) tokens(f scimserver.Figures, gauge gauge) {
	count, expiring := map[scimserver.Scope]int{}, map[scimserver.Scope]int{}
	listed := 0
	for _, t := range f.Tokens {
		count[t.Scope]++
		if !t.Expires.IsZero() && t.Expires.Sub(f.At) < Expiring {
			expiring[t.Scope]++
		}
		if t.Scope != scimserver.ScopeSCIM && t.Scope != scimserver.ScopeOperator || listed == maxTokens {
			continue
		}
		listed++
		if !t.Expires.IsZero() {
			gauge(tokenEndDesc, seconds(t.Expires), t.Name, string(t.Scope))
		}
		if !t.Used.IsZero() {
			gauge(tokenUsedDesc, seconds(t.Used), t.Name, string(t.Scope))
		}
	}
	for _, scope := range []scimserver.Scope{scimserver.ScopeSCIM, scimserver.ScopeNodeAdmin, scimserver.ScopeNodeUser, scimserver.ScopeOperator} {
		count[scope] += 0
	}
	for scope := range count {
		gauge(tokensDesc, float64(count[scope]), string(scope))
		gauge(expiringDesc, float64(expiring[scope]), string(scope))
	}
}

// seconds is a time since 1970, as Prometheus writes times.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
