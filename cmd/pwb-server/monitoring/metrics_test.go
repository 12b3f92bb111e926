package monitoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

// answer is what a scrape reads.
func answer(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
}

func TestTokensBeyondTheBoundShareASeries(t *testing.T) {
	m := New("1.0")
	for i := range maxTokens + 7 {
		m.Served(scimserver.Request{Route: "other", Status: 200, Token: fmt.Sprint("token ", i), Operations: 2})
	}
	text := answer(t, m)
	has(t, text, `pwb_server_scim_operations_total{token="token 0"} 2`, `pwb_server_scim_operations_total{token="others"} 14`,
		`pwb_server_http_requests_total{code="2xx",route="other"} 107`)
	if n := strings.Count(text, "pwb_server_scim_operations_total{"); n != maxTokens+1 {
		t.Errorf("%d tokens have series", n)
	}
}

func TestAnswersAreCountedByTheirClass(t *testing.T) {
	m := New("1.0")
	for _, status := range []int{0, 200, 204, 304, 404, 503, 600} {
		m.Served(scimserver.Request{Route: "r", Status: status})
	}
	for class, n := range map[string]int{"aborted": 1, "2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "other": 1} {
		has(t, answer(t, m), fmt.Sprintf(`pwb_server_http_requests_total{code="%s",route="r"} %d`, class, n))
	}
}

// TestAStoreThatCannotBeReadCostsOnlyWhatIsInIt: the rest of the scrape is there.
func TestAStoreThatCannotBeReadCostsOnlyWhatIsInIt(t *testing.T) {
	m := New("1.0")
	var failure error
	err := m.Watch(t.Context(), Source{
		Figures:        func(context.Context) (scimserver.Figures, error) { return scimserver.Figures{}, failure },
		Size:           func() (sqlite.Size, error) { return sqlite.Size{Bytes: 7}, failure },
		CertificateEnd: func() time.Time { return time.Unix(1e9, 0) },
		Log:            slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	has(t, answer(t, m), "pwb_server_store_up 1", "pwb_server_store_size_bytes 7", "pwb_server_users 0")
	failure = errors.New("disk on fire")
	m.Committed(sqlite.Commit{Updates: 3, Took: time.Second, Err: failure})
	text := answer(t, m)
	has(t, text, "pwb_server_store_up 0", `pwb_server_commits_total{result="failed"} 1`, "pwb_server_commit_updates_sum 3", "pwb_server_certificate_expiry_timestamp_seconds 1e+09")
	if strings.Contains(text, "pwb_server_users") || strings.Contains(text, "on fire") {
		t.Errorf("what is not known is told:\n%s", text)
	}
}

func TestDelaysAreThoseOfTheOldestChange(t *testing.T) {
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	var d delays
	none := func(was, is int64) {
		t.Helper()
		if got, ok := d.of(was, is, now); ok {
			t.Errorf("from %d to %d it took %v", was, is, got)
		}
	}
	none(0, 5) // nothing is known yet
	d.begin(10)
	d.begin(50) // once
	d.committed(12, at(-30))
	d.committed(15, at(-20))
	d.committed(16, at(-10))
	for _, c := range []struct {
		was, is int64
		want    time.Duration
	}{{10, 16, 30 * time.Second}, {12, 16, 20 * time.Second}, {13, 15, 20 * time.Second}, {15, 16, 10 * time.Second}, {11, 12, 30 * time.Second}} {
		if got, ok := d.of(c.was, c.is, now); !ok || got != c.want {
			t.Errorf("from %d to %d it took %v (%v), want %v", c.was, c.is, got, ok, c.want)
		}
	}
	none(9, 16)  // its change was committed before the server began
	none(16, 16) // nothing new
	none(16, 20) // not announced yet
	for i := range int64(maxCommits) {
		d.committed(17+i, at(int(i)))
	}
	if got, ok := d.of(12, 40, at(100)); !ok || got != 100*time.Second {
		t.Errorf("of what is forgotten, the oldest that is known is %v ago (%v)", got, ok)
	}
	if got, ok := d.of(16+maxCommits/2, 17+maxCommits/2, at(maxCommits/2)); !ok || got != 0 {
		t.Errorf("in the middle it took %v (%v)", got, ok)
	}
}

// BenchmarkRequest is a request with a small answer, with and without metrics.
func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct {
		name  string
		meter scimserver.Meter
	}{{"unwatched", nil}, {"watched", New("1.0")}} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			store, err := sqlite.Open(context.Background(), dir)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			server, err := scimserver.New(scimserver.Config{Store: store, Meter: c.meter})
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
			b.ReportAllocs()
			for b.Loop() {
				server.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

// BenchmarkServed is what the metrics of a request cost by themselves.
func BenchmarkServed(b *testing.B) {
	m := New("1.0")
	r := scimserver.Request{Route: "POST /scim/v2/Users", Status: 201, Took: time.Millisecond, Token: "okta", Operations: 1}
	for b.Loop() {
		m.Served(r)
	}
}
