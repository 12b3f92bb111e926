package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAServerShowsWhatItDoesAndHowItStands(t *testing.T) {
	t.Parallel()
	socket := metricsSocket(t)
	r := newRig(t, "--metrics-listen", "unix:"+socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	ids := r.push(t, 1, 5, "user-")
	r.sync(t, 0, "--node", "web1")
	r.patch(t, ids[0], "active", false)
	if _, err := r.scim.Want(t.Context(), 200, "POST", "/Bulk", map[string]any{"Operations": []any{
		map[string]any{"method": "POST", "path": "/Users", "bulkId": "a", "data": user("user-a")},
		map[string]any{"method": "POST", "path": "/Users", "bulkId": "b", "data": user("user-b")},
	}}); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"": 401, "pwb_AAAAAAAA_" + strings.Repeat("x", 43): 401, r.scim.Token + "x": 401, strings.TrimSpace(read(t, r.agent.TokenFile)): 403} {
		p := r.scim
		p.Token = token
		if got, _, err := p.Do(t.Context(), "GET", "/Users", nil); err != nil || got != want {
			t.Errorf("token %.8q: %d, %v", token, got, err)
		}
	}
	if res, err := http.Get(r.server.URL + "/nowhere/at/all"); err != nil || res.StatusCode != 404 {
		t.Errorf("%v, %v", res, err)
	}
	s := scrapeSocket(t, socket)
	s.want(t, 7, "pwb_server_users")
	s.want(t, 7, "pwb_server_accounts")
	s.want(t, 1, "pwb_server_locked_accounts")
	s.want(t, 1, "pwb_server_store_up")
	s.want(t, 5, "pwb_server_http_requests_total", "route", "POST /scim/v2/Users", "code", "2xx")
	s.want(t, 4, "pwb_server_http_requests_total", "route", "GET /scim/v2/Users", "code", "4xx")
	s.want(t, 1, "pwb_server_http_requests_total", "route", "PATCH /scim/v2/Users/{id}", "code", "2xx")
	s.want(t, 1, "pwb_server_http_requests_total", "route", "GET /sync/v1/snapshot", "code", "2xx")
	s.want(t, 1, "pwb_server_http_requests_total", "route", "other", "code", "4xx")
	s.want(t, 5, "pwb_server_http_request_duration_seconds_count", "route", "POST /scim/v2/Users")
	s.want(t, 8, "pwb_server_scim_operations_total", "token", "provider")
	for _, reason := range []string{"missing", "unknown", "wrong", "scope"} {
		s.want(t, 1, "pwb_server_auth_failures_total", "reason", reason)
	}
	s.want(t, 0, "pwb_server_auth_failures_total", "reason", "expired")
	if n := s.value(t, "pwb_server_commits_total", "result", "done"); n < 8 || n != s.value(t, "pwb_server_commit_duration_seconds_count") {
		t.Errorf("%v commits", n)
	}
	if at := s.value(t, "pwb_server_feed_position"); at-3 != at-s.value(t, "pwb_server_node_lag_changes", "node", "web1") {
		t.Errorf("at %v web1 is behind by %v", at, s["pwb_server_node_lag_changes"])
	}
	s.want(t, 1, "pwb_server_nodes", "state", "online")
	s.want(t, 1, "pwb_server_nodes_lagging")
	if seen := time.Unix(int64(s.value(t, "pwb_server_node_last_seen_timestamp_seconds", "node", "web1")), 0); time.Since(seen) > time.Minute {
		t.Errorf("web1 was seen at %v", seen)
	}
	if s.value(t, "pwb_server_token_last_used_timestamp_seconds", "token", "provider") <= 0 {
		t.Error("nobody knows when the provider came")
	}
	r.sync(t, 0, "--node", "web1") // which shows the newest change, and says so with its next request
	r.sync(t, 0, "--node", "web1")
	s = scrapeSocket(t, socket)
	s.want(t, 0, "pwb_server_nodes_lagging")
	s.want(t, 1, "pwb_server_render_delay_seconds_count")
	if d := s.value(t, "pwb_server_render_delay_seconds_sum"); d <= 0 || d > 60 {
		t.Errorf("the change was on its way for %v s", d)
	}
}

func TestMetricsOnTheMainAddressAreForOperators(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	operator, err := r.server.Token(t.Context(), "watch", "operator")
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"": 401, r.scim.Token: 403, operator: 200} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.server.URL+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Errorf("token %.8q: %s", token, res.Status)
		}
		if want == 200 {
			readScrape(t, res).want(t, 0, "pwb_server_users")
		}
		res.Body.Close()
	}
}

// TestNodesInTroubleKeepTheirSeries where there are more than metrics-nodes.
func TestNodesInTroubleKeepTheirSeries(t *testing.T) {
	t.Parallel()
	socket := metricsSocket(t)
	r := newRig(t, "--metrics-listen", "unix:"+socket, "--metrics-nodes", "1")
	r.push(t, 1, 1, "user-")
	r.sync(t, 0, "--node", "behind")
	r.push(t, 1, 1, "user-more-")
	r.agent.Dir, r.agent.StateDir = filepath.Join(r.dir, "other"), filepath.Join(r.dir, "other-state")
	mkdir(t, r.agent.Dir)
	r.sync(t, 0, "--node", "a-node-that-is-well")
	r.sync(t, 0, "--node", "a-node-that-is-well")
	s := scrapeSocket(t, socket)
	s.want(t, 2, "pwb_server_nodes", "state", "online")
	s.want(t, 1, "pwb_server_nodes_without_series")
	if got := s["pwb_server_node_lag_changes"]; len(got) != 1 || got[0].labels["node"] != "behind" {
		t.Errorf("of the nodes %v have series", got)
	}
}

func TestANodeLeavesItsMetricsInAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	file := filepath.Join(r.dir, "pwb.prom")
	r.agent.Flags = append(r.agent.Flags, "--metrics-file", file)
	ids := r.push(t, 1, 3, "user-")
	r.sync(t, 0)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Fatalf("the file: %v, %v", info, err)
	}
	s := parseScrape(t, []byte(read(t, file)))
	s.want(t, 1, "pwb_agent_passes_total", "result", "wrote")
	s.want(t, 3, "pwb_agent_passwd_entries")
	s.want(t, 3, "pwb_agent_group_entries")
	s.want(t, 3, "pwb_agent_feed_position")
	s.want(t, 1, "pwb_agent_server_reachable")
	s.want(t, 1, "pwb_agent_state_readable")
	if d := s.value(t, "pwb_agent_last_write_duration_seconds"); d <= 0 {
		t.Errorf("the pass took %v", d)
	}
	success := s.value(t, "pwb_agent_last_success_timestamp_seconds")

	r.patch(t, ids[0], "password", "correct horse")
	r.patch(t, ids[0], "active", false)
	r.sync(t, 0)
	r.sync(t, 0)
	r.server.Stop()
	r.sync(t, 1)
	s = parseScrape(t, []byte(read(t, file)))
	s.want(t, 2, "pwb_agent_passes_total", "result", "wrote") // though each was a process of its own
	s.want(t, 1, "pwb_agent_passes_total", "result", "unchanged")
	s.want(t, 1, "pwb_agent_passes_total", "result", "unreachable")
	s.want(t, 1, "pwb_agent_locked_entries")
	s.want(t, 0, "pwb_agent_server_reachable")
	s.want(t, 1, "pwb_agent_last_pass_failed")
	if s.value(t, "pwb_agent_last_success_timestamp_seconds") < success || s.value(t, "pwb_agent_last_attempt_timestamp_seconds") < s.value(t, "pwb_agent_last_success_timestamp_seconds") {
		t.Error("times go back")
	}
	left, err := filepath.Glob(filepath.Join(r.dir, ".pwb.prom*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestMetricsThatCannotBeWrittenHoldUpNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push(t, 1, 1, "user-")
	if out := r.sync(t, 1, "--metrics-file", filepath.Join(r.dir, "metrics.txt")); !strings.Contains(out, ".prom") {
		t.Errorf("a name that nobody reads is taken:\n%s", out)
	}
	if out := r.sync(t, 0, "--metrics-file", filepath.Join(r.dir, "absent", "pwb.prom")); !strings.Contains(out, "the metrics could not be written") {
		t.Errorf("nobody is told:\n%s", out)
	}
	if lines(t, filepath.Join(r.agent.Dir, "passwd"))["user-0"] == "" {
		t.Error("nothing was rendered")
	}
}

func TestAnAgentThatStaysCanBeScraped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push(t, 1, 2, "user-")
	agent := r.agent.Command(t.Context(), "run", "--metrics-listen", "127.0.0.1:0", "--log-format", "json")
	log := &watchedLog{said: make(chan map[string]any, 100)}
	agent.Stderr = log
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	address := log.wait(t, "shows metrics")["address"].(string)
	log.wait(t, "wrote the files")
	for ctx := within(t); ; {
		res, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		s := readScrape(t, res)
		if s.value(t, "pwb_agent_passes_total", "result", "wrote") == 1 {
			s.want(t, 2, "pwb_agent_passwd_entries")
			s.want(t, 1, "pwb_agent_server_reachable")
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the pass is not counted: %v", s["pwb_agent_passes_total"])
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Error(err)
	}
}
