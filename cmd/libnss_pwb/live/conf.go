package main

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pwb/syncer/credential"
)

// conf is workbench-nss.conf as far as nss-live needs it.
type conf struct {
	server     *url.URL // http, https, or unix with a path
	adminToken string   // file, for root
	userToken  string   // file, for everybody else
	verify     bool
	ca         string // file; empty for the system's authorities
	timeout    time.Duration
}

const (
	maxConf        = 64 << 10
	defaultTimeout = 2 * time.Second
	maxTimeout     = time.Minute
)

// readConf reads a file of lines "key = value". Blanks around both do not count,
// nor do empty lines and those that begin with '#'; of a key that comes twice the
// last counts. Keys that are not known here are passed over without a word: other
// programs read the file, too, and this one has nobody to tell. It may be written
// by root, or who runs this, alone: it says who gets the tokens.
func readConf(path string) (*conf, error) {
	b, fi, err := credential.Regular(path, maxConf)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("configuration %s does not belong to root", path)
	}
	if mode := fi.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("configuration %s has mode %04o, so that others may change it; run chmod 0644 %s", path, mode, path)
	}
	c := &conf{
		adminToken: "/etc/rstudio/admin-token",
		userToken:  "/etc/rstudio/user-token",
		verify:     true,
		timeout:    defaultTimeout,
	}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("configuration %s, line %d: it is not of the form key = value", path, n)
		}
		if err := c.set(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("configuration %s, line %d: %w", path, n, err)
		}
	}
	if c.server == nil {
		return nil, fmt.Errorf("configuration %s has no server-address", path)
	}
	return c, nil
}

func (c *conf) set(key, value string) (err error) {
	switch key {
	case "server-address":
		c.server, err = parseServer(value)
	case "admin-token-path":
		c.adminToken, err = absolute(key, value)
	case "user-token-path":
		c.userToken, err = absolute(key, value)
	case "ca-cert-path":
		if c.ca = ""; value != "" {
			c.ca, err = absolute(key, value)
		}
	case "verify-ssl-certs":
		if value != "0" && value != "1" {
			return fmt.Errorf("%s is %.80q: give 0 or 1", key, value)
		}
		c.verify = value == "1"
	case "timeout":
		ms, err := strconv.ParseUint(value, 10, 32)
		c.timeout = time.Duration(ms) * time.Millisecond
		if err != nil || c.timeout < time.Millisecond || c.timeout > maxTimeout {
			return fmt.Errorf("%s is %.80q: give 1 to %d milliseconds", key, value, maxTimeout.Milliseconds())
		}
	}
	return err
}

func absolute(key, value string) (string, error) {
	if !filepath.IsAbs(value) {
		return "", fmt.Errorf("%s is %.80q: give an absolute path", key, value)
	}
	return value, nil
}

// parseServer reads https://HOST, http://LOOPBACK or unix:/PATH; the first two may
// have a path of their own.
func parseServer(value string) (*url.URL, error) {
	u, err := url.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("server-address is no URL; give one like https://pwb.example.com")
	}
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("server-address %.200q has more than scheme, host and path", u.Redacted())
	case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
	case u.Scheme == "https" && u.Host != "":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("server-address %.200q is not https://HOST, http:// of this host, or unix:/PATH", value)
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
