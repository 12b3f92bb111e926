package syncer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certified is a certificate that is its own authority, for 127.0.0.1 and now
// unless change says otherwise.
func certified(change func(*x509.Certificate)) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func pemOf(c tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

func TestAfterEveryFaultOfTLSEverythingIsAsItWasAndTheRightCertificateHeals(t *testing.T) {
	year := 365 * 24 * time.Hour
	good := certified(nil)
	for _, test := range []struct {
		name   string
		change func(*x509.Certificate) // of the server's certificate, which is trusted
		server func(*httptest.Server)
		ca     []byte // trusted instead
		scheme string // spoken to the server, if not https
		want   string
	}{
		{name: "it is for another name", change: func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"pwb.example.com"} }, want: "use a name that the certificate has"},
		{name: "its authority is unknown", ca: pemOf(good), want: "check the CA certificate"},
		{name: "it has expired, or the clock was set forward", change: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-year), time.Now().Add(-time.Hour) }, want: "set this node's clock right"},
		{name: "it is not valid yet, or the clock was set back", change: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(year) }, want: "set this node's clock right"},
		{name: "the CA file is empty", ca: []byte("\n"), want: "holds no certificate in PEM form"},
		{name: "the server speaks plain HTTP", server: (*httptest.Server).Start, want: "server gave HTTP response to HTTPS client"},
		{name: "the server speaks TLS and the node does not", scheme: "http", want: "400 Bad Request"},
		{name: "the server speaks old versions alone", server: func(s *httptest.Server) {
			s.TLS.MaxVersion = tls.VersionTLS11
			s.StartTLS()
		}, want: "protocol version"},
		{name: "the server wants a certificate of the node's", server: func(s *httptest.Server) {
			s.TLS.ClientAuth = tls.RequireAnyClientCert
			s.StartTLS()
		}, want: "certificate required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n, o := newNode(t), town()
			n.mustOnce(o)
			mirror, rendered := n.bytes()
			o.set(account(6))
			cert := certified(test.change)
			serve := func(cert tls.Certificate, start func(*httptest.Server)) (address string) {
				s := httptest.NewUnstartedServer(o)
				s.Config.ErrorLog = log.New(io.Discard, "", 0)
				s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10}
				if start == nil {
					start = (*httptest.Server).StartTLS
				}
				start(s)
				t.Cleanup(s.Close)
				return strings.TrimPrefix(strings.TrimPrefix(s.URL, "https"), "http")
			}
			bad, mended := serve(cert, test.server), serve(good, nil)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			trust := test.ca
			if trust == nil {
				trust = pemOf(cert)
			}
			must(os.WriteFile(ca, trust, 0o644))
			withCA := func(cfg *ClientConfig) { cfg.CACert = ca }
			scheme := "https"
			if test.scheme != "" {
				scheme = test.scheme
			}
			c := newClient(t, scheme+bad, withCA)
			for range 2 {
				if _, err := n.once(c); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				n.checkTold(test.want)
				if m, r := n.bytes(); m != mirror || r != rendered {
					t.Fatal("mirror or files changed")
				}
			}
			must(os.WriteFile(ca, pemOf(good), 0o644))
			n.mustOnce(newClient(t, "https"+mended, withCA))
			n.checkInStep(o)
			n.checkWell()
		})
	}
}

func TestAfterEveryFaultOfTheTokenEverythingIsAsItWasAndAnotherOneHeals(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(path string) error
		answer int // of the server
		want   string
	}{
		{"its file is missing", os.Remove, 0, "no such file or directory"},
		{"its file is empty", func(p string) error { return os.WriteFile(p, nil, 0o600) }, 0, "is empty"},
		{"its file may be read by others", func(p string) error { return os.Chmod(p, 0o644) }, 0, "run chmod 0600"},
		{"its file holds something else", func(p string) error { return os.WriteFile(p, []byte(testToken+"\n"+testToken), 0o600) }, 0, "one word of printable ASCII"},
		{"its file is a directory now", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, 0, "not a regular file"},
		{"it is another's", func(p string) error { return os.WriteFile(p, []byte("another-token-9876543210"), 0o600) }, 0, "valid node-admin token of this server"},
		{"it has expired, or is revoked", func(string) error { return nil }, http.StatusUnauthorized, "valid node-admin token of this server"},
		{"it is of another scope", func(string) error { return nil }, http.StatusForbidden, "valid node-admin token of this server"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, o := newNode(t), town()
			w := newWeb(t, o)
			c := newClient(t, w.URL, nil)
			n.mustOnce(c)
			mirror, rendered := n.bytes()
			o.set(account(6))
			path := c.cfg.TokenFile
			must(test.change(path))
			if test.answer != 0 {
				w.breakWith(status(test.answer))
			}
			for range 2 {
				if _, err := n.once(c); err == nil {
					t.Error("accepted")
				}
				n.checkTold(test.want)
				if m, r := n.bytes(); m != mirror || r != rendered {
					t.Fatal("mirror or files changed")
				}
			}
			must(os.RemoveAll(path))
			must(os.WriteFile(path, []byte(testToken), 0o600))
			w.mend()
			n.mustOnce(c) // the same Client, as in Run
			n.checkInStep(o)
			n.checkWell()
		})
	}
}
