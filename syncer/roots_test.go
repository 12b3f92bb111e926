package syncer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTheSystemsBundleIsTrustedAndWhatItLacksIsLookedForOnce(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	was := bundles
	defer func() { bundles = was }()
	var handshakes atomic.Int32
	server := httptest.NewUnstartedServer(town())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it notes each refused handshake
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		handshakes.Add(1)
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	bundles = []string{file + ".absent", file}
	ask := func(c *Client) error {
		body, err := c.Snapshot(t.Context())
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			body.Close()
		}
		return err
	}

	must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	if err := ask(newClient(t, server.URL, nil)); err != nil {
		t.Errorf("with the server's authority in the bundle: %v", err)
	}
	if n := handshakes.Swap(0); n != 1 {
		t.Errorf("%d handshakes, 1 is wanted", n)
	}

	must(os.WriteFile(file, anotherAuthority(t), 0o644))
	c := newClient(t, server.URL, nil)
	for i, want := range []int32{2, 1} { // the bundle, then everywhere; from then on everywhere
		if err := ask(c); err == nil || !strings.Contains(err.Error(), "check the CA certificate") {
			t.Errorf("with another authority, request %d: %v", i+1, err)
		}
		if n := handshakes.Swap(0); n != want {
			t.Errorf("request %d: %d handshakes, %d are wanted", i+1, n, want)
		}
	}
}

// anotherAuthority is a certificate, in PEM form, that signed nothing else.
func anotherAuthority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestWhoeverSetsWhereAuthoritiesLieIsHeard(t *testing.T) {
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, t.TempDir())
			if bundled() != nil {
				t.Error("the bundle is read all the same")
			}
		})
	}
}
