package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// proxy stands between agent and server and spoils answers as it is told.
func proxy(t *testing.T, target string) (address string, spoil *atomic.Pointer[func(*http.Response) error]) {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	spoil = &atomic.Pointer[func(*http.Response) error]{}
	p := httputil.NewSingleHostReverseProxy(to)
	p.ModifyResponse = func(res *http.Response) error {
		if f := spoil.Load(); f != nil {
			return (*f)(res)
		}
		return nil
	}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return s.URL, spoil
}

func answer(status int, body string) func(*http.Response) error {
	return func(res *http.Response) error {
		res.Body.Close()
		res.StatusCode, res.Status = status, http.StatusText(status)
		res.Header = http.Header{"Content-Type": {"application/x-ndjson"}}
		res.Body, res.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		return nil
	}
}

// cut keeps a part of the body, and makes the rest look as if it had never been.
func cut(part float64) func(*http.Response) error {
	return func(res *http.Response) error {
		all, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		all = all[:int(float64(len(all))*part)]
		res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(all)), -1
		res.Header.Del("Content-Length")
		return nil
	}
}

func TestBadAnswersLeaveTheFilesAsTheyWere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push(t, 8, 100, "user")
	r.sync(t, 0)
	if _, err := r.scim.Create(t.Context(), "/Users", user("late")); err != nil {
		t.Fatal(err)
	}
	revoked, err := r.server.Token(t.Context(), "revoked", "node-admin")
	if err != nil {
		t.Fatal(err)
	}
	r.administer(t, "token", "revoke", "revoked")
	direct := r.agent.Server
	through, spoil := proxy(t, direct)
	before := filesOf(t, r.agent.Dir)
	unchanged := func(t *testing.T) {
		t.Helper()
		for name, b := range before {
			if now := stateOf(t, filepath.Join(r.agent.Dir, name)); now != b {
				t.Errorf("%s changed", name)
			}
		}
	}
	for _, fault := range []struct {
		name   string
		answer func(*http.Response) error
		says   string // pwb-agent status
	}{
		{"500", answer(500, "broken"), "500 Internal Server Error"},
		{"502 with a page", answer(502, "<html>Bad gateway</html>"), "502 Bad Gateway"},
		{"503 with a page", answer(503, "<html>Service unavailable</html>"), "503 Service Unavailable"},
		{"407", answer(407, ""), "something on the way wants a login"},
		{"401", answer(401, "who are you?"), "valid node-admin token"},
		{"an empty object", answer(200, "{}"), "no roster stream"},
		{"an empty list", answer(200, "[]\n"), "no roster stream"},
		{"nothing", answer(200, ""), "no roster stream"},
		{"a page", answer(200, "<html>Welcome</html>"), "no roster stream"},
		{"a captive portal", func(res *http.Response) error { res.Header.Set("Content-Type", "text/html"); return nil }, "is this the pwb server?"},
		{"a redirect", func(res *http.Response) error { res.Header.Set("Location", "/"); res.StatusCode = 302; return nil }, "redirects are not followed"},
		{"half an answer", cut(0.5), "unexpected EOF"},
		{"almost a whole answer", cut(0.99), "unexpected EOF"},
		{"a line that never ends", answer(200, strings.Repeat("x", 1<<20)), "more than 65536 bytes"},
		{"a snapshot that is cut", func(res *http.Response) error {
			if strings.HasSuffix(res.Request.URL.Path, "/changes") {
				return answer(410, "gone")(res)
			}
			return cut(0.7)(res)
		}, "take a snapshot (the server does not know this node's position)"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			spoil.Store(&fault.answer)
			r.agent.Server = through
			noSecret(t, r.sync(t, 1))
			r.status(t, 1, fault.says)
			unchanged(t)
		})
	}
	t.Run("no server at all", func(t *testing.T) {
		r.agent.Server = "http://127.0.0.1:1"
		r.sync(t, 1)
		r.status(t, 1, "connection refused")
		unchanged(t)
	})
	for _, token := range []struct{ name, content, says string }{
		{"a token of another use", r.scim.Token, "valid node-admin token of this server"},
		{"a token that is revoked", revoked, "valid node-admin token of this server"},
		{"a token that is none", "nonsense", "valid node-admin token of this server"},
		{"an empty token file", "", "is empty"},
	} {
		t.Run(token.name, func(t *testing.T) {
			r.agent.Server = direct
			own := r.agent.TokenFile
			defer func() { r.agent.TokenFile = own }()
			r.agent.TokenFile = filepath.Join(r.dir, "wrong-token")
			if err := os.WriteFile(r.agent.TokenFile, []byte(token.content), 0o600); err != nil {
				t.Fatal(err)
			}
			noSecret(t, r.sync(t, 1))
			r.status(t, 1, token.says)
			unchanged(t)
		})
	}
	t.Run("a server whose store is empty", func(t *testing.T) {
		own, address := r.server, r.agent.Server
		r.start(t, "empty", "127.0.0.1:0")
		r.agent.Server = r.server.URL
		node := r.agent.TokenFile
		r.agent.TokenFile = filepath.Join(r.dir, "other-token")
		if err := r.server.TokenFile(t.Context(), r.agent.TokenFile, "node", "node-admin"); err != nil {
			t.Fatal(err)
		}
		out := r.sync(t, 3)
		if !strings.Contains(out, "would remove 100") || !strings.Contains(out, "check that it is the right server") {
			t.Errorf("the message does not say what was stopped and what to do:\n%s", out)
		}
		unchanged(t)
		r.sync(t, 3)
		r.status(t, 3, "of 100 accounts it would remove 100")
		unchanged(t)
		r.server, r.agent.Server, r.agent.TokenFile = own, address, node
	})
	t.Run("and a good answer is taken", func(t *testing.T) {
		spoil.Store(nil)
		r.agent.Server = through
		if out := r.sync(t, 2, "--dry-run"); !strings.Contains(out, "+late:x:") {
			t.Errorf("the dry run does not show the new line:\n%s", out)
		}
		unchanged(t)
		r.sync(t, 0)
		r.status(t, 0, "went well")
		if passwd := lines(t, filepath.Join(r.agent.Dir, "passwd")); len(passwd) != 101 || passwd["late"] == "" {
			t.Errorf("passwd has %d lines", len(passwd))
		}
		r.sync(t, 0, "--dry-run")
	})
}

func TestMassChangeStopsUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.push(t, 8, 60, "user")
	r.sync(t, 0)
	before := filesOf(t, r.agent.Dir)
	parallel(t, 8, 30, func(i int) error {
		_, err := r.scim.Want(context.Background(), http.StatusNoContent, http.MethodDelete, "/Users/"+ids[i], nil)
		return err
	})
	out := r.sync(t, 3)
	for name, b := range before {
		if now := stateOf(t, filepath.Join(r.agent.Dir, name)); now != b {
			t.Errorf("%s changed although the fuse stopped the pass", name)
		}
	}
	_, after, ok := strings.Cut(out, "--accept-change ")
	if !ok {
		t.Fatalf("the message does not say how to let the change through:\n%s", out)
	}
	seq := after[:strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })]
	r.sync(t, 3, "--accept-change", "1")
	r.sync(t, 0, "--accept-change", seq)
	locked := 0
	for _, line := range lines(t, filepath.Join(r.agent.Dir, "shadow")) {
		if strings.Contains(line, ":!") {
			locked++
		}
	}
	if locked != 30 {
		t.Errorf("%d accounts are locked, want 30", locked)
	}
}

func TestRunFollowsTheServerThroughKillAndRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := within(t)
	watch := r.follow(t)
	if _, err := r.scim.Create(ctx, "/Users", user("first")); err != nil {
		t.Fatal(err)
	}
	if err := watch.Until(ctx, "passwd", lineBegins("first:")); err != nil {
		t.Fatal(err)
	}
	r.server.Kill()
	r.start(t, "store", strings.TrimPrefix(r.server.URL, "http://"))
	if _, err := r.scim.Create(ctx, "/Users", user("second")); err != nil {
		t.Fatal(err)
	}
	if err := watch.Until(ctx, "passwd", lineBegins("second:")); err != nil {
		t.Fatal(err)
	}
	passwd := lines(t, filepath.Join(r.agent.Dir, "passwd"))
	if passwd["first"] == "" {
		t.Errorf("what was answered before the kill is gone: %v", passwd)
	}
}
