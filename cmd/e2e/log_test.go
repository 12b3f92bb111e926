package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
)

// logged are the lines of a log in JSON.
func logged(t testing.TB, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, entry)
	}
	return all
}

// TestEveryRequestHasItsLineAndAnID, which the answer has, too; and none a token.
func TestEveryRequestHasItsLineAndAnID(t *testing.T) {
	t.Parallel()
	r := newRig(t, "--log-level", "debug", "--slow-request", "1ns")
	id, err := r.scim.Create(t.Context(), "/Users", user("ada"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(r.server.URL + "/scim/v2/Users/" + id)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	r.sync(t, 0)
	r.server.Stop()
	text := r.server.Log()
	noSecret(t, strings.ReplaceAll(text, r.dir, "")) // which has pwb in its name
	routes := map[string]map[string]any{}
	for _, line := range logged(t, text) {
		if line["msg"] != "served" && line["msg"] != "a slow request" {
			continue
		}
		for _, key := range []string{"request", "remote", "route", "status", "duration"} {
			if line[key] == nil {
				t.Errorf("a line of a request has no %s: %v", key, line)
			}
		}
		routes[line["route"].(string)] = line
	}
	for route, want := range map[string][2]any{
		"POST /scim/v2/Users":     {float64(201), "provider"},
		"GET /scim/v2/Users/{id}": {float64(401), nil},
		"GET /sync/v1/snapshot":   {float64(200), "node"},
		"POST /sync/v1/node":      {float64(204), "node"},
	} {
		line := routes[route]
		if line == nil {
			t.Errorf("%s has no line:\n%s", route, text)
			continue
		}
		if line["status"] != want[0] || line["token"] != want[1] {
			t.Errorf("%s: status %v, token %v, want %v", route, line["status"], line["token"], want)
		}
	}
	if slow := routes["POST /scim/v2/Users"]; slow != nil && (slow["msg"] != "a slow request" || slow["level"] != "WARN" || slow["write"] == nil || slow["body"] == nil) {
		t.Errorf("what a slow request spent its time on is not told: %v", slow)
	}
	if refused := routes["GET /scim/v2/Users/{id}"]; refused != nil && refused["request"] != res.Header.Get("X-Request-Id") {
		t.Errorf("the answer has the id %q, the line %v", res.Header.Get("X-Request-Id"), refused["request"])
	}
}

// watchedLog takes a log in JSON, and passes its lines on.
type watchedLog struct {
	said chan map[string]any
	rest []byte
}

func (l *watchedLog) Write(data []byte) (int, error) {
	l.rest = append(l.rest, data...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(data), nil
		}
		var entry map[string]any
		if json.Unmarshal(line, &entry) == nil {
			select {
			case l.said <- entry:
			default: // more than a test wants to know
			}
		}
		l.rest = rest
	}
}

// wait waits for a line with that message.
func (l *watchedLog) wait(t testing.TB, message string) map[string]any {
	t.Helper()
	for ctx := within(t); ; {
		select {
		case entry := <-l.said:
			if entry["msg"] == message {
				return entry
			}
		case <-ctx.Done():
			t.Fatalf("nothing says %q", message)
		}
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
