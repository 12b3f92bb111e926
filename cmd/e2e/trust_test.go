package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pwb/cmd/harness"
	"pwb/roster"
)

// replaceFile puts a file in another's place, as rotations do.
func replaceFile(t *testing.T, path, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRunStaysThroughRotationsOfTokenAndCertificate replaces both while the agent
// stays, the new ones coming too late.
func TestRunStaysThroughRotationsOfTokenAndCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	next, nextKey := certificate(t, dir, "next")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	trusted := func(path string) {
		data, err := os.ReadFile(path)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(data) {
			t.Fatalf("%s: %v", path, err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		t.Cleanup(client.CloseIdleConnections)
		r.scim.Client = client
	}
	trusted(cert)
	ctx := within(t)
	ca := filepath.Join(r.dir, "ca.pem")
	replaceFile(t, ca, cert)
	r.agent.Flags = append(r.agent.Flags, "--ca-cert", ca)
	files := r.follow(t)
	create := func(name string) {
		t.Helper()
		if _, err := r.scim.Create(ctx, "/Users", user(name)); err != nil {
			t.Fatal(err)
		}
	}
	shown := func(name string) {
		t.Helper()
		if err := files.Until(ctx, "passwd", lineBegins(name+":")); err != nil {
			t.Fatal(err)
		}
	}
	create("first")
	shown("first")
	states, err := harness.NewWatch(r.agent.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer states.Close()
	told := func(why string) {
		t.Helper()
		if err := states.Until(ctx, "state.json", harness.Has(why)); err != nil {
			t.Fatal(err)
		}
		r.status(t, 1, why)
	}
	well := func() {
		t.Helper()
		if err := states.Until(ctx, "state.json", func(b []byte) bool { return !bytes.Contains(b, []byte("last_error")) }); err != nil {
			t.Fatal(err)
		}
		r.status(t, 0, "went well")
	}

	r.administer(t, "token", "revoke", "node")
	for refused := false; !refused; { // which it is within a second
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.server.URL+"/sync/v1/snapshot", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(stateOf(t, r.agent.TokenFile).Content))
		res, err := r.scim.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		refused = res.StatusCode == http.StatusUnauthorized
	}
	create("second") // the request that waits is refused, too
	told("valid node-admin token of this server")
	token := filepath.Join(r.dir, "next-token")
	if err := r.server.TokenFile(ctx, token, "next", "node-admin"); err != nil {
		t.Fatal(err)
	}
	replaceFile(t, r.agent.TokenFile, token)
	shown("second")
	well()

	if err := os.Chmod(r.agent.TokenFile, 0o644); err != nil {
		t.Fatal(err)
	}
	create("third")
	told("run chmod 0600")
	replaceFile(t, r.agent.TokenFile, token)
	shown("third")
	well()

	address := strings.TrimPrefix(r.server.URL, "https://")
	r.server.Kill()
	r.start(t, "store", address, "--tls-cert", next, "--tls-key", nextKey)
	told("check the CA certificate")
	trusted(next)
	create("fourth")
	replaceFile(t, ca, next)
	shown("fourth")
	well()
}

// TestNoProxyOfTheEnvironmentIsUsed gives the server a name, since net/http asks
// no proxy for a loopback address whatever the environment says.
func TestNoProxyOfTheEnvironmentIsUsed(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	m := newMounts(t)
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost pwb.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.sh(t, `mount --bind "$1" /etc/hosts`, hosts)
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	env := os.Environ()
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy"} {
		env = append(env, name+"="+proxy.URL, strings.ToUpper(name)+"="+proxy.URL)
	}
	env = append(env, "no_proxy=", "NO_PROXY=")
	in := m.in(t, r)
	in.agent.Server = strings.Replace(r.server.URL, "127.0.0.1", "pwb.test", 1)

	curl := exec.CommandContext(t.Context(), "nsenter", "-t", m.pid, "-m", "curl", "-s", "--cacert", cert, in.agent.Server+"/healthz")
	curl.Env = env
	if err := curl.Run(); err == nil || asked.Load() != 1 {
		t.Fatalf("this test does not see who uses the proxy: curl ended with %v, the proxy was asked %d times", err, asked.Load())
	}
	sync := in.agent.Command(t.Context(), "sync", "--ca-cert", cert)
	sync.Env = env
	if out, err := sync.CombinedOutput(); err != nil {
		t.Errorf("sync: %v\n%s", err, out)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the agent asked the proxy %d times", n-1)
	}
	in.status(t, 0, "went well")
}

// TestWhatFollowsAnAnswerIsNotLogged is about a proxy that gives too small a
// length: what comes behind is no answer, and net/http would print it.
func TestWhatFollowsAnAnswerIsNotLogged(t *testing.T) {
	t.Parallel()
	secret := &roster.Account{ID: "01", Name: "ada", UID: 2001, GID: 2001, Home: "/home/ada", Shell: "/bin/bash", Hash: "$6$salt$TopSecret"}
	row := roster.Row{Account: secret}
	to := roster.Position{Epoch: "e", Seq: 1}
	to.Sum.Add(row.Line())
	var stream bytes.Buffer
	w, err := roster.NewWriter(&stream, nil, to)
	if err == nil {
		err = w.Write(roster.Change{Key: row.Key(), Line: row.Line()})
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s%s\n", stream.Len(), &stream, row.Line())
		_, _ = io.Copy(io.Discard, c) // until the agent hangs up
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	r := &rig{dir: dir, agent: harness.Agent{Bin: bin, Server: s.URL, TokenFile: filepath.Join(dir, "token"), Dir: filepath.Join(dir, "files"), StateDir: filepath.Join(dir, "state")}}
	mkdir(t, r.agent.Dir)
	if err := os.WriteFile(r.agent.TokenFile, []byte("any-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	noSecret(t, r.sync(t, 0))
	if got := lines(t, filepath.Join(r.agent.Dir, "passwd"))["ada"]; got == "" {
		t.Error("the answer was not taken")
	}
	r.status(t, 0, "went well")
}
