package e2e

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheDoctorTellsWhatIsWrongOnTheWayToTheServer has servers of all kinds answer. What
// mends these is at the server or in somebody's hand: there is no command for them.
func TestTheDoctorTellsWhatIsWrongOnTheWayToTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	good, goodKey := certificate(t, dir, "good")
	other, _ := certificate(t, dir, "other")
	old, oldKey := certificateOf(t, dir, "old", now.Add(-2*time.Hour), now.Add(-time.Hour))
	ending, endingKey := certificateOf(t, dir, "ending", now.Add(-9*time.Hour), now.Add(time.Hour))
	early, earlyKey := certificateOf(t, dir, "early", now.Add(time.Hour), now.Add(9*time.Hour))
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, c := range []struct {
		sentence, cert, key, ca string
		server                  string        // in place of one of the test's
		ahead                   time.Duration // of the server's clock
		status                  int           // of /healthz
		check, state, what      string
	}{
		{sentence: "all is well", cert: good, key: goodKey, ca: good},
		{sentence: "another authority", cert: good, key: goodKey, ca: other, check: "server-tls", state: "fail", what: "is not trusted"},
		{sentence: "another name", cert: good, key: goodKey, ca: good, server: "https://localhost:PORT", check: "server-tls", state: "fail", what: "localhost"},
		{sentence: "no file of authorities", cert: good, key: goodKey, ca: filepath.Join(dir, "none"), check: "server-tls", state: "fail", what: "no such file"},
		{sentence: "a certificate that is over", cert: old, key: oldKey, ca: old, check: "server-certificate", state: "fail", what: "expired on"},
		{sentence: "one that ends soon", cert: ending, key: endingKey, ca: ending, check: "server-certificate", state: "warn", what: "ends on"},
		{sentence: "one that is not valid yet", cert: early, key: earlyKey, ca: early, check: "server-certificate", state: "fail", what: "not valid before"},
		{sentence: "a clock a minute ahead", cert: good, key: goodKey, ca: good, ahead: time.Minute, check: "clock", state: "warn", what: "behind the server's"},
		{sentence: "a clock an hour behind", cert: good, key: goodKey, ca: good, ahead: -time.Hour, check: "clock", state: "fail", what: "ahead of the server's"},
		{sentence: "somebody else answers", cert: good, key: goodKey, ca: good, status: 502, check: "server-reachable", state: "fail", what: "502"},
		{sentence: "nobody answers", ca: good, server: closed.URL, check: "server-reachable", state: "fail", what: "refused"},
		{sentence: "nobody of that name", ca: good, server: "https://no such host", check: "server-address", state: "fail", what: "no URL"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			url := c.server
			if c.cert != "" {
				pair, err := tls.LoadX509KeyPair(c.cert, c.key)
				if err != nil {
					t.Fatal(err)
				}
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
					if r.Header.Get("Authorization") != "" && r.URL.Path == "/healthz" {
						t.Error("the token is sent where nobody was asked for it")
					}
					if c.status != 0 {
						w.WriteHeader(c.status)
					}
				}))
				server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
				server.Config.ErrorLog = nil
				server.StartTLS()
				defer server.Close()
				port := server.URL[strings.LastIndex(server.URL, ":")+1:]
				if url = strings.Replace(c.server, "PORT", port, 1); url == "" {
					url = server.URL
				}
			}
			out, err := bin.Command(t.Context(), "pwb-agent", "doctor", "--json", "--config", filepath.Join(dir, "good.crt")+".none", "--server", url).CombinedOutput()
			if err == nil {
				t.Fatalf("a configuration that is not there was taken:\n%s", out)
			}
			out, err = bin.Command(t.Context(), "pwb-agent", "doctor", "--json", "--server", url, "--ca-cert", c.ca, "--state-dir", filepath.Join(dir, "state")).Output()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			found := 0
			for line := range strings.Lines(string(out)) {
				var f finding
				if err := json.Unmarshal([]byte(line), &f); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if f.Check != "clock" && !strings.HasPrefix(f.Check, "server-") || f.State != "warn" && f.State != "fail" {
					continue
				}
				found++
				if f.Check != c.check || f.State != c.state || !strings.Contains(f.What, c.what) || f.Why == "" || f.Advice == "" {
					t.Errorf("found %+v, want %s: %s", f, c.check, c.what)
				}
			}
			if want := min(1, len(c.check)); found != want {
				t.Errorf("%d are wrong, want %d:\n%s", found, want, out)
			}
		})
	}
}
