package syncer

import (
	"crypto/x509"
	"errors"
	"os"

	"github.com/go-resty/resty/v2"
)

// bundles are the files in which distributions keep all the authorities that they
// trust: those of crypto/x509 (root_linux.go).
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Arch and their kin
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
	"/etc/ssl/cert.pem",                                 // Alpine
}

// bundled are the authorities of the first bundle that is there; nil, which is all
// that crypto/x509 finds, without one or when the environment says where to look.
//
// crypto/x509 also reads every file of the directories beside the bundle, which on
// Debian has each authority a second time: that takes as long as all else that a
// pass without a change does.
func bundled() *x509.CertPool {
	if os.Getenv("SSL_CERT_FILE") != "" || os.Getenv("SSL_CERT_DIR") != "" {
		return nil
	}
	for _, file := range bundles {
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

// lookFurther has requests trust all that crypto/x509 finds from now on, and
// reports whether that can help one that failed with err: when the bundle lacks
// the server's authority, the directories may have it. used is what it was made with.
func (c *Client) lookFurther(used *resty.Client, err error) bool {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bundled {
		c.bundled, c.everywhere, c.resty = false, true, nil
		return true
	}
	return c.everywhere && c.resty != used // another request has seen to it
}
