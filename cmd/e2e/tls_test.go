package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pwb/cmd/harness"
)

// certificate writes a self-signed certificate for 127.0.0.1 and pwb.test, and its key.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	return certificateOf(t, dir, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// certificateOf is certificate for one that is valid at other times.
func certificateOf(t *testing.T, dir, name string, from, to time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"pwb.test"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(suffix, kind string, data []byte) string {
		path := filepath.Join(dir, name+suffix)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write(".crt", "CERTIFICATE", der), write(".key", "EC PRIVATE KEY", secret)
}

func TestAgentTrustsItsAuthorityAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	other, _ := certificate(t, dir, "other")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(r.server.URL, "https://") {
		t.Fatalf("the server is at %s", r.server.URL)
	}
	r.sync(t, 1) // the system's authorities do not know it
	r.status(t, 1, "nothing was rendered yet", "check the CA certificate")
	r.sync(t, 1, "--ca-cert", other) // nor does another
	r.status(t, 1, "check the CA certificate")
	r.sync(t, 0, "--ca-cert", cert) // its own does
	r.status(t, 0, "went well")
	r.agent.Server = "http" + strings.TrimPrefix(r.server.URL, "https")
	r.sync(t, 1, "--ca-cert", cert) // and it does not speak plain HTTP
	r.status(t, 1, "400 Bad Request")
	config := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(r.server.URL, "https://"), config); err == nil {
		conn.Close()
		t.Error("the server speaks TLS 1.1")
	}
}

func TestServerRefusesToShowTokensToTheNetwork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	readable := filepath.Join(dir, "readable.key")
	if data, err := os.ReadFile(key); err != nil || os.WriteFile(readable, data, 0o644) != nil {
		t.Fatal("cannot copy the key")
	}
	for _, c := range []struct {
		name, want string
		flags      []string
	}{
		{"without a certificate", "tls-cert", nil},
		{"in plain on every address", "127.0.0.1", []string{"--insecure-http", "--listen", "0.0.0.0:0"}},
		{"in plain on an address of the network", "127.0.0.1", []string{"--insecure-http", "--listen", "192.0.2.1:0"}},
		{"in plain and with a certificate", "exclude", []string{"--insecure-http", "--tls-cert", cert, "--tls-key", key}},
		{"with a key that everybody can read", "chmod", []string{"--tls-cert", cert, "--tls-key", readable}},
		{"with a certificate that is none", "tls-cert", []string{"--tls-cert", key, "--tls-key", key}},
		{"from a uid that is the system's", "user-provisioning-start-uid", []string{"--insecure-http", "--listen", "127.0.0.1:0", "--user-provisioning-start-uid", "999"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			args := append([]string{"serve", "--data-dir", filepath.Join(t.TempDir(), "store")}, c.flags...)
			out, err := exec.CommandContext(ctx, filepath.Join(string(bin), "pwb-server"), args...).CombinedOutput()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), c.want) {
				t.Errorf("it ended with %v, want status 1 and a message with %q:\n%s", err, c.want, out)
			}
		})
	}
}

// TestConfigurationComesFromFileEnvironmentAndFlags starts the server with keys
// from all three.
func TestConfigurationComesFromFileEnvironmentAndFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "server.yaml")
	if err := os.WriteFile(file, []byte("user-homedir-path: /srv/home\nuser-shell: /bin/sh\nuser-provisioning-start-uid: 5000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "--config", file, "--user-provisioning-start-uid", "7000")
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Fatal(err)
	}
	r.sync(t, 0)
	if got, want := lines(t, filepath.Join(r.agent.Dir, "passwd"))["ada"], "ada:x:7000:7000:User ada:/srv/home/ada:/bin/sh"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	if err := os.WriteFile(file, []byte("user-homedir: /srv/home\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := harness.StartServer(t.Context(), bin, filepath.Join(dir, "store"), "127.0.0.1:0", "--config", file); err == nil {
		s.Stop()
		t.Error("an unknown key is taken")
	} else if !strings.Contains(err.Error(), "user-homedir") {
		t.Errorf("the message does not name the key: %v", err)
	}
}

// trusting is a client that trusts one authority, and makes a connection for each
// request.
func trusting(t *testing.T, cert string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(read(t, cert))) {
		t.Fatal("no certificate")
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

// TestARenewedCertificateIsTakenWithoutARestart: at SIGHUP at once, by itself
// within seconds, and not before it and its key fit.
func TestARenewedCertificateIsTakenWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	old := trusting(t, cert)
	ready := func(client *http.Client) error {
		res, err := client.Get(r.server.URL + "/readyz")
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	if err := ready(old); err != nil {
		t.Fatal(err)
	}
	newCert, newKey := certificate(t, dir, "new")
	renewed := trusting(t, newCert)
	if err := os.Rename(newCert, cert); err != nil {
		t.Fatal(err)
	}
	hangup := func() {
		if err := syscall.Kill(r.server.PID(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangup()
	for ctx := within(t); !strings.Contains(r.server.Log(), "the new certificate is not taken"); {
		if ctx.Err() != nil {
			t.Fatalf("nobody is told that the key does not fit:\n%s", r.server.Log())
		}
		time.Sleep(10 * time.Millisecond) // leave the processor to the server
	}
	if err := ready(old); err != nil {
		t.Errorf("the certificate before does not serve on: %v", err)
	}
	if err := os.Rename(newKey, key); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); ready(renewed) != nil; { // by itself
		if ctx.Err() != nil {
			t.Fatalf("the new certificate is not taken:\n%s", r.server.Log())
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := ready(old); err == nil {
		t.Error("the old certificate is served, too")
	}
	if log := r.server.Log(); strings.Count(log, "is not taken") != 1 || strings.Count(log, "took a new certificate") != 1 {
		t.Errorf("the server says\n%s", log)
	}
}
