package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pwb/roster"
)

// server has an empty roster and takes reports.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	reports []string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /sync/v1/snapshot":
			w.Header().Set("Content-Type", "application/x-ndjson")
			if out, err := roster.NewWriter(w, nil, roster.Position{Epoch: "e", Seq: 1}); err == nil {
				_ = out.Close()
			}
		case "GET /sync/v1/changes":
			w.WriteHeader(http.StatusNoContent)
		case "POST /sync/v1/node":
			body, _ := io.ReadAll(r.Body)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reports = append(s.reports, r.Header.Get("Pwb-Node")+" "+string(body))
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestSyncTellsTheServerWhatTheNodesOwnFilesHold(t *testing.T) {
	s := newServer(t)
	l := newLocal(t, passwdText, groupText)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	sync := func(more ...string) {
		t.Helper()
		var out bytes.Buffer
		args := append([]string{"sync", "--server", s.URL, "--token-file", token, "--node", "node1", "--dir", files,
			"--state-dir", filepath.Join(dir, "state"), "--hooks-dir", "", "--nscd-socket", "", "--local-passwd-file", l.passwd, "--local-group-file", l.group}, more...)
		if code := run(t.Context(), args, &out, &out); code != exitCurrent && (code != exitPending || more == nil) {
			t.Fatalf("pwb-agent sync: status %d\n%s", code, out.String())
		}
	}
	sync("--dry-run")
	sync()
	sync()
	if want := []string{`node1 {"version":"dev","ids":[1000,1005,5000],"names":["ada","project","svc"]}`}; !slices.Equal(s.reports, want) {
		t.Errorf("reported %q, want %q", s.reports, want)
	}
}
