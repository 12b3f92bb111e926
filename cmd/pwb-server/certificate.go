package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// certificates is the server's certificate, which is read again when its files
// change: whoever renews it need not restart the server.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	now     *tls.Certificate
	mark    [2]fileMark // of what was read, or tried, last
	looked  time.Time
	refused string // why the newest files are not taken
}

// certificateEvery is how often the files are looked at, at most: at handshakes.
const certificateEvery = 5 * time.Second

type fileMark struct {
	size     int64
	modified time.Time
}

// transport says how to speak: with certificates, or nil for plain HTTP where the
// configuration allows that.
func transport(cfg config, log *slog.Logger) (*certificates, error) {
	given := cfg.TLSCert != "" || cfg.TLSKey != ""
	switch {
	case given && cfg.InsecureHTTP:
		return nil, errors.New("insecure-http and tls-cert exclude each other: leave one out")
	case given:
		c := &certificates{certFile: cfg.TLSCert, keyFile: cfg.TLSKey, log: log, looked: time.Now(), mark: marksOf(cfg.TLSCert, cfg.TLSKey)}
		cert, err := c.read()
		c.now = cert
		return c, err
	case !cfg.InsecureHTTP:
		return nil, errors.New("no certificate: give tls-cert and tls-key, or, on a loopback address, insecure-http")
	case os.Getenv("LISTEN_FDS") != "":
		return nil, nil // openSockets looks at what there is
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen %q is not host:port: %w", cfg.Listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, plainError(cfg.Listen)
	}
	return nil, nil
}

// plainError refuses an address on which plain HTTP is not spoken.
type plainError string

func (e plainError) Error() string {
	return fmt.Sprintf("insecure-http on %s would show tokens and hashes to the network: listen on 127.0.0.1, or give tls-cert and tls-key", string(e))
}

// checkPlain refuses an address on which plain HTTP would show tokens and hashes
// to the network.
func checkPlain(address net.Addr) error {
	tcp, ok := address.(*net.TCPAddr)
	if !ok || tcp.IP.IsLoopback() { // a socket of the file system has an owner and a mode
		return nil
	}
	return plainError(address.String())
}

// config is for a server that has the certificates.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if time.Since(c.looked) >= certificateEvery {
			c.look()
		}
		return c.now, nil
	}}
}

// reload looks at once; what is wrong is logged and changes nothing.
func (c *certificates) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = "" // whoever asks wants to hear it again
	c.mark = [2]fileMark{}
	c.look()
}

// look takes the files if they are others than before. A certificate and a key
// that do not fit are being replaced, or will not do: the old ones serve on.
func (c *certificates) look() {
	c.looked = time.Now()
	mark := marksOf(c.certFile, c.keyFile)
	if mark == c.mark && c.refused == "" {
		return
	}
	c.mark = mark
	cert, err := c.read()
	if err != nil {
		if c.refused != err.Error() {
			c.log.Error("the new certificate is not taken; the one before serves on", "error", err, "expires", c.now.Leaf.NotAfter)
		}
		c.refused = err.Error()
		return
	}
	c.refused = ""
	if !cert.Leaf.Equal(c.now.Leaf) {
		c.log.Info("took a new certificate", "file", c.certFile, "expires", cert.Leaf.NotAfter)
	}
	c.now = cert
}

func (c *certificates) read() (*tls.Certificate, error) {
	if info, err := os.Stat(c.keyFile); err == nil && info.Mode()&0o007 != 0 {
		return nil, fmt.Errorf("tls-key %s has mode %#o, so that everybody can read it: chmod 0600 it", c.keyFile, info.Mode().Perm())
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("tls-cert %s with tls-key %s: %w", c.certFile, c.keyFile, err)
	}
	if cert.Leaf == nil { // GODEBUG=x509keypairleaf=0
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("tls-cert %s: %w", c.certFile, err)
		}
	}
	return &cert, nil
}

func (c *certificates) leaf() *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Leaf
}

// expires is when the certificate does; zero without one.
func (c *certificates) expires() time.Time {
	if c == nil {
		return time.Time{}
	}
	return c.leaf().NotAfter
}

func marksOf(files ...string) (marks [2]fileMark) {
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			marks[i] = fileMark{info.Size(), info.ModTime()}
		}
	}
	return marks
}
