package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestTheEnvironmentOfASetuidProgramChangesNoAnswerAndLearnsNothing has somebody
// without rights call su(1), which asks the server with root's token.
func TestTheEnvironmentOfASetuidProgramChangesNoAnswerAndLearnsNothing(t *testing.T) {
	t.Parallel()
	need(t, "su", "setpriv", "curl")
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	other, _ := certificate(t, dir, "other")
	g := newGuest(t, "--tls-cert", cert, "--tls-key", key)
	if out, err := bin.Command(t.Context(), "pwb-server", "user", "add", "ada@acme.example", "--data-dir", g.server.DataDir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(g.server.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(g.dir, "authority.crt")
	if err := copyFile(cert, authority); err != nil {
		t.Fatal(err)
	}
	g.write(t, "hosts", "127.0.0.1 localhost pwb.test\n")
	url := "https://pwb.test:" + port
	g.configure(t, url+"\nca-cert-path = "+authority)

	// A proxy that somebody sets up for the token, and programs to run as root.
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var caught atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := proxy.Accept()
			if err != nil {
				return
			}
			caught.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { proxy.Close(); <-done })
	evil := filepath.Join(g.dir, "evil")
	if err := os.Mkdir(evil, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(evil, 0o777); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(evil, "it-ran")
	if err := os.WriteFile(filepath.Join(evil, "nss-live"), []byte("#!/bin/sh\ntouch "+mark+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	hostile := []string{
		"PATH=" + evil, "TMPDIR=" + evil, "HOME=" + evil,
		"SSL_CERT_FILE=" + other, "SSL_CERT_DIR=" + evil,
		"GODEBUG=netdns=cgo+2,http2debug=2,x509usefallbackroots=1", "GOTRACEBACK=crash", "GOGC=off", "GOMEMLIMIT=1",
		"LD_PRELOAD=" + filepath.Join(evil, "x.so"), "LD_LIBRARY_PATH=" + evil, "LD_DEBUG=all", "LD_AUDIT=" + filepath.Join(evil, "x.so"),
		"HOSTALIASES=" + filepath.Join(evil, "aliases"), "RES_OPTIONS=attempts:99", "LOCALDOMAIN=evil.example",
		"PWB_SERVER=http://" + proxy.Addr().String(), "PWB_NSS_CONF=" + filepath.Join(evil, "conf"),
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		hostile = append(hostile, name+"=http://"+proxy.Addr().String())
	}

	as := func(tail ...string) []string {
		return append(append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/env", "-i"}, hostile...), tail...)
	}
	if _, status := g.looks(t, as("/usr/bin/curl", "-s", "--cacert", authority, url+"/healthz")...); status == 0 || caught.Swap(0) == 0 {
		t.Fatal("this test's proxy catches nothing")
	}
	for name, want := range map[string]string{"ada": "Authentication failure", "nosuch": "does not exist"} {
		out, status := g.looks(t, as("/bin/su", name, "-c", "true")...)
		if status == 0 || !strings.Contains(out, want) {
			t.Errorf("su %s: status %d, %q, want %q", name, status, out, want)
		}
		full := fmt.Sprintf(`exec /bin/su %s -c true 2>/dev/full >/dev/full`, name)
		if _, status := g.looks(t, as("/bin/sh", "-c", full)...); status == 0 {
			t.Errorf("su %s with a full standard error: status 0", name)
		}
	}
	// And of a program of the user's own, with the user's token.
	if out, status := g.looks(t, as("/usr/bin/getent", "passwd", "ada")...); status != 0 || !strings.Contains(out, "ada:x:") {
		t.Errorf("getent: status %d, %q", status, out)
	}
	if n := caught.Load(); n > 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a program of somebody else ran")
	}
	if out, err := exec.Command("grep", "-rl", "pwb_", evil).Output(); err == nil {
		t.Errorf("a token in %s", out)
	}
}
