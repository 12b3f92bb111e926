package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
)

const (
	alertsFile    = "../pwb-server/monitoring/alerts.yaml"
	dashboardFile = "../pwb-server/monitoring/dashboard.json"
)

// alerts are the expressions of the example's rules by their names.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	v := viper.New()
	v.SetConfigType("yaml")
	if err := v.ReadConfig(strings.NewReader(read(t, alertsFile))); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := v.UnmarshalExact(&file); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Expr == "" || all[r.Alert] != "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("the rule %q of %s is not whole, or there twice", r.Alert, g.Name)
			}
			all[r.Alert] = r.Expr
		}
	}
	if len(all) < 20 {
		t.Errorf("there are %d rules", len(all))
	}
	return all
}

// dashboard are the expressions of the example's panels by their titles.
func dashboard(t *testing.T) map[string][]string {
	t.Helper()
	var file struct {
		Title  string
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &file); err != nil {
		t.Fatal(err)
	}
	all, ids := map[string][]string{}, map[int]bool{}
	for _, p := range file.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q has an id twice, no place or no expression: %+v", p.Title, p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], target.Expr)
		}
	}
	return all
}

var metricName = regexp.MustCompile(`\bpwb_[a-z_]+`)

// TestDashboardAndAlertsNameMetricsThatThereAre, in the programs as they are shipped.
func TestDashboardAndAlertsNameMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	dir, socket := t.TempDir(), metricsSocket(t)
	cert, key := certificate(t, dir, "server")
	r := newRig(t, "--metrics-listen", "unix:"+socket, "--tls-cert", cert, "--tls-key", key)
	r.agent.Flags = append(r.agent.Flags, "--ca-cert", cert)
	file := filepath.Join(dir, "pwb.prom")
	r.sync(t, 0)
	r.sync(t, 0, "--metrics-file", file)
	r.agent.TokenFile = "/nowhere"
	r.sync(t, 1, "--metrics-file", file)
	if _, err := r.scim.Client.Get(r.server.URL); err == nil {
		t.Error("a client trusts any certificate")
	}
	r.scim.Client = trusting(t, cert)
	if _, err := r.scim.Create(t.Context(), "/Users", user("user-0")); err != nil {
		t.Fatal(err)
	}
	there := slices.Concat(scrapeSocket(t, socket).names(), parseScrape(t, []byte(read(t, file))).names())
	exprs := map[string][]string{}
	for title, all := range dashboard(t) {
		exprs["panel "+title] = all
	}
	for name, expr := range alerts(t) {
		exprs["rule "+name] = []string{expr}
	}
	used := map[string]bool{}
	for where, all := range exprs {
		for _, expr := range all {
			names := metricName.FindAllString(expr, -1)
			if len(names) == 0 {
				t.Errorf("%s asks for nothing of ours: %s", where, expr)
			}
			for _, name := range names {
				used[name] = true
				if !slices.Contains(there, name) {
					t.Errorf("%s asks for %s, which is not there", where, name)
				}
			}
		}
	}
	if len(used) < 35 {
		t.Errorf("%d metrics are used", len(used))
	}
	// What a name ends with says what it is.
	for _, name := range there {
		if strings.HasPrefix(name, "pwb_") && !regexp.MustCompile(`^pwb_(server|agent)_[a-z]+(_[a-z]+)*$`).MatchString(name) {
			t.Errorf("%s is no name after Prometheus' conventions", name)
		}
	}
}

// TestPromtoolAcceptsTheRules where it is at hand.
func TestPromtoolAcceptsTheRules(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("NOT TESTED HERE: promtool is needed, of Debian's package prometheus, which is large: %v", err)
	}
	if out, err := exec.CommandContext(within(t), promtool, "check", "rules", alertsFile).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// A panel's expressions become rules, for promtool to parse them.
	var rules bytes.Buffer
	rules.WriteString("groups:\n- name: panels\n  rules:\n")
	for _, exprs := range dashboard(t) {
		for _, expr := range exprs {
			quoted, err := json.Marshal(strings.ReplaceAll(expr, "$__rate_interval", "5m"))
			if err != nil {
				t.Fatal(err)
			}
			rules.WriteString("  - record: pwb:panel\n    expr: " + string(quoted) + "\n")
		}
	}
	file := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(file, rules.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(within(t), promtool, "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAlertsFireForWhatTheyAreFor, and for nothing else: each fault is planted on
// real programs, and the rules are held against what they show.
func TestAlertsFireForWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	rules := alerts(t)
	socket := metricsSocket(t)
	r := newRig(t, "--metrics-listen", "unix:"+socket, "--fuse-window", "1h", "--fuse-count", "1", "--fuse-percent", "1")
	file := filepath.Join(t.TempDir(), "pwb.prom")
	r.agent.Flags = append(r.agent.Flags, "--metrics-file", file, "--max-change-count", "0", "--max-change-percent", "0")
	ids := r.push(t, 1, 3, "user-")
	r.sync(t, 0)
	r.sync(t, 0)
	quiet := scrapeSocket(t, socket)
	agent := func() scrape { return parseScrape(t, []byte(read(t, file))) }
	fires := func(want bool, rule string, now time.Time, before, after scrape) {
		t.Helper()
		expr := rules[rule]
		if expr == "" {
			t.Fatalf("there is no rule %s", rule)
		}
		v, err := evaluate(expr, now, before, after)
		if err != nil {
			t.Fatal(err)
		}
		if (len(v) > 0) != want {
			t.Errorf("%s: %s gives %v", rule, expr, v)
		}
	}
	now := time.Now()
	for _, rule := range []string{"PwbServerGone", "PwbStoreUnreadable", "PwbCommitsFail", "PwbFuseOpen", "PwbAuthFailures", "PwbProviderSilent", "PwbTokenExpires", "PwbNodeTokensExpire",
		"PwbCertificateExpires", "PwbNodeNotSeen", "PwbNodeLagging", "PwbNodeFuseHeld", "PwbNodeFailed", "PwbNodeQuarantine", "PwbNodePinned"} {
		fires(false, rule, now, quiet, quiet)
	}
	for _, rule := range []string{"PwbAgentSilent", "PwbAgentNotWell", "PwbAgentServerUnreachable", "PwbAgentFuseHeld", "PwbAgentQuarantine", "PwbAgentHooksFail"} {
		fires(false, rule, now, nil, agent())
	}
	// Nobody comes for a while.
	fires(true, "PwbNodeNotSeen", now.Add(20*time.Minute), quiet, quiet)
	fires(true, "PwbProviderSilent", now.Add(49*time.Hour), quiet, quiet)
	fires(true, "PwbTokenExpires", now.Add(360*24*time.Hour), quiet, quiet)
	fires(true, "PwbAgentSilent", now.Add(2*time.Hour), nil, agent())
	fires(true, "PwbAgentNotWell", now.Add(2*time.Hour), nil, agent())
	fires(true, "PwbServerGone", now, nil, scrape{})
	// The file system is not filled for this.
	full := scrape{}
	for name, all := range quiet {
		full[name] = all
	}
	full["pwb_server_store_free_bytes"] = []sample{{"pwb_server_store_free_bytes", map[string]string{}, 1 << 20}}
	fires(true, "PwbStoreNearlyFull", now, quiet, full)

	// One lock is let through, which the node's fuse holds back; the next is refused.
	r.patch(t, ids[0], "active", false)
	if got, _, err := r.scim.Do(t.Context(), "DELETE", "/Users/"+ids[1], nil); err != nil || got != 503 {
		t.Fatalf("the fuse lets a deletion through: %d, %v", got, err)
	}
	behind := scrapeSocket(t, socket)
	fires(true, "PwbFuseOpen", now, quiet, behind)
	fires(true, "PwbNodeLagging", now, quiet, behind)
	r.sync(t, 3)
	held := scrapeSocket(t, socket)
	fires(true, "PwbNodeFuseHeld", now, quiet, held)
	fires(false, "PwbNodeFailed", now, quiet, held)
	fires(true, "PwbAgentFuseHeld", now, nil, agent())
	// An entry that the node refuses, once the lock is through.
	r.agent.Flags = append(r.agent.Flags, "--protect-names", "user-2", "--max-change-count", "10")
	r.sync(t, 0)
	refusing := scrapeSocket(t, socket)
	fires(false, "PwbNodeFuseHeld", now, held, refusing)
	fires(true, "PwbNodeQuarantine", now, held, refusing)
	fires(true, "PwbAgentQuarantine", now, nil, agent())
	// Somebody tries tokens.
	guesser := r.scim
	guesser.Token = "pwb_AAAAAAAA_" + strings.Repeat("x", 43)
	parallel(t, 4, 60, func(int) error {
		_, err := guesser.Want(t.Context(), 401, "GET", "/Users", nil)
		return err
	})
	fires(true, "PwbAuthFailures", now, refusing, scrapeSocket(t, socket))
	// The server goes.
	r.server.Stop()
	r.sync(t, 1)
	fires(true, "PwbAgentServerUnreachable", now, nil, agent())
}
