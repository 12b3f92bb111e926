// Package credential reads what lets a client in to the server: tokens, and the
// certificates of authorities. Agent and lookups share it.
package credential

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

const (
	maxToken = 4<<10 - 1
	maxCA    = 4 << 20
)

// Token reads a token, one word of printable ASCII, from a regular file of less
// than 4 KiB that only its owner can read.
func Token(path string) (string, error) { return token(path, 0o077, "others may use it") }

// SharedToken is Token for one that everybody on the node may use, and nobody but
// the file's owner may change.
func SharedToken(path string) (string, error) { return token(path, 0o022, "others may change it") }

func token(path string, not os.FileMode, why string) (string, error) {
	b, fi, err := Regular(path, maxToken)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if mode := fi.Mode().Perm(); mode&not != 0 {
		return "", fmt.Errorf("read the token: %s has mode %04o, so that %s; run chmod %04o %s and consider issuing a new token", path, mode, why, mode&^not, path)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("read the token: %s is empty", path)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("read the token: %s must hold one word of printable ASCII and nothing else", path)
	}
	return text, nil
}

// CA reads a file of certificates, up to 4 MiB; of no file, nothing.
func CA(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, _, err := Regular(path, maxCA)
	if err != nil {
		return nil, fmt.Errorf("read the CA certificate: %w", err)
	}
	return b, nil
}

// Regular reads a regular file of at most limit bytes. Symbolic links are
// followed: mounted secrets come as such.
func Regular(path string, limit int64) ([]byte, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hang
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(b)) > limit {
		return nil, nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return b, fi, nil
}

// Bundles are the files in which distributions keep all the authorities that they
// trust: those of crypto/x509 (root_linux.go).
func Bundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Arch and their kin
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
		"/etc/ssl/cert.pem",                                 // Alpine
	}
}

// Bundle reads the first of the files that is there; nil without one, or when it
// holds no certificate.
func Bundle(files []string) *x509.CertPool {
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pool := x509.NewCertPool(); pool.AppendCertsFromPEM(pem) {
			return pool
		}
		return nil
	}
	return nil
}
