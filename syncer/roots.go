package syncer

import (
	"crypto/x509"
	"errors"
	"os"

	"github.com/go-resty/resty/v2"

	"pwb/syncer/credential"
)

// bundles are the system's, but in tests.
var bundles = credential.Bundles()

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
	return credential.Bundle(bundles)
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
