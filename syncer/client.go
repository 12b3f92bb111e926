package syncer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-resty/resty/v2"

	"pwb/roster"
	"pwb/syncer/credential"
)

// ClientConfig says which server a Client asks, and how patiently. A zero limit
// takes its default.
type ClientConfig struct {
	// Server is the server's URL, a path prefix included: https, or http for a
	// loopback host.
	Server string
	// TokenFile holds the node's token, alone. It is read at each request, so
	// that it can be rotated; it must be a regular file of less than 4 KiB that
	// only its owner can read.
	TokenFile string
	// SharedToken says that everybody on the node may read the file.
	SharedToken bool
	// CACert is a file of PEM certificates that are trusted instead of the
	// system's; empty for the system's. It too is read at each request.
	CACert string
	// Node and Version are what the server knows this node and its agent by.
	Node, Version string

	// DialTimeout bounds connecting and, again, the TLS handshake. Default 10 s.
	DialTimeout time.Duration
	// HeaderTimeout bounds the time to the answer's header, on top of what the
	// server was asked to wait. Default 30 s.
	HeaderTimeout time.Duration
	// IdleTimeout bounds the time without a byte while a body is read; reading
	// it all may take longer. Default 30 s.
	IdleTimeout time.Duration
	// MaxBody is the most bytes a body may have, decompressed. Default 2 GiB.
	MaxBody int64
}

// Client is the Source that speaks HTTP. It uses no proxy, keeps no cookies and
// follows no redirects. Its methods may be called concurrently.
//
// Besides ErrNoChange, ErrResync and ErrNotTaken, its errors are *StatusError for an answer
// that is a refusal, and plain ones that say what could not be read or reached.
// None of them holds the token.
type Client struct {
	cfg      ClientConfig
	base     *url.URL
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	rendered atomic.Pointer[roster.Position]

	mu      sync.Mutex // over the rest
	ca      []byte     // what transport trusts, if the configuration says that
	bundled bool       // it trusts those of the system's bundle alone
	// everywhere says that the bundle does not do.
	everywhere bool
	transport  *http.Transport
	resty      *resty.Client
}

var (
	_ Source   = (*Client)(nil)
	_ Reporter = (*Client)(nil)
	_ Informer = (*Client)(nil)
)

// NewClient checks cfg and fills in its defaults. It reads no file and reaches
// for no server.
func NewClient(cfg ClientConfig) (*Client, error) {
	base, err := url.Parse(cfg.Server)
	if err != nil {
		return nil, errors.New("the server's address is no URL; give one like https://pwb.example.com")
	}
	shown := base.Redacted()
	switch {
	case base.Host == "" || base.Opaque != "":
		return nil, fmt.Errorf("the server's address %q has no host; give one like https://pwb.example.com", shown)
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("the server's address %q has a user, query or fragment; give scheme, host and path alone", shown)
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		return nil, fmt.Errorf("the server's address %q is not encrypted; use https (http is for localhost)", shown)
	case base.Scheme != "https" && base.Scheme != "http":
		return nil, fmt.Errorf("the server's address %q is not an https URL", shown)
	case cfg.TokenFile == "":
		return nil, errors.New("no token file is set; give the file that holds the node-admin token")
	}
	for _, h := range []string{cfg.Node, cfg.Version} {
		if strings.ContainsFunc(h, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, fmt.Errorf("node name or version %q has characters that do not go into a request; use plain ASCII", h)
		}
	}
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&cfg.DialTimeout, 10 * time.Second},
		{&cfg.HeaderTimeout, 30 * time.Second},
		{&cfg.IdleTimeout, 30 * time.Second},
	} {
		if *d.value < 0 {
			return nil, fmt.Errorf("a timeout of %v is negative", *d.value)
		}
		if *d.value == 0 {
			*d.value = d.unset
		}
	}
	if cfg.MaxBody < 0 {
		return nil, fmt.Errorf("a limit of %d bytes for answers is negative", cfg.MaxBody)
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 2 << 30
	}
	dialer := &net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 30 * time.Second}
	if base.Scheme == "http" {
		dialer.Control = onlyLoopback
	}
	return &Client{cfg: cfg, base: base, dial: dialer.DialContext}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// onlyLoopback guards against a resolver that sends localhost elsewhere.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return fmt.Errorf("%s is not this host, and http without encryption is for this host alone", address)
	}
	return nil
}

// Rendered implements Reporter.
func (c *Client) Rendered(pos roster.Position) { c.rendered.Store(&pos) }

// Close drops idle connections. The Client stays usable.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// Changes implements Source.
func (c *Client) Changes(ctx context.Context, pos roster.Position, wait time.Duration) (io.ReadCloser, error) {
	body, err := c.get(ctx, "changes", url.Values{
		"epoch": {pos.Epoch},
		"after": {strconv.FormatInt(pos.Seq, 10)},
		"sum":   {pos.Sum.String()},
		"wait":  {wait.String()},
	}, wait)
	if status, ok := errors.AsType[*StatusError](err); ok {
		switch status.Code {
		case http.StatusNoContent:
			if status.RetryAfter > 0 {
				return nil, &NoChangeError{status.RetryAfter}
			}
			return nil, ErrNoChange
		case http.StatusGone:
			return nil, ErrResync
		}
	}
	return body, err
}

// Snapshot implements Source.
func (c *Client) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	return c.get(ctx, "snapshot", nil, 0)
}

var (
	errLate    = errors.New("the server did not answer in time")
	errStalled = errors.New("the answer stalled: no byte came for too long")
)

// Inform implements Informer. Of an answer that is no refusal it reads nothing.
func (c *Client) Inform(ctx context.Context, facts Facts) error {
	sent, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	// Nothing here is worth a wait: the answer has to be whole when a GET's
	// header has to be there.
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.HeaderTimeout, errLate)
	defer cancel()
	a, err := c.do(ctx, request{method: http.MethodPost, name: "node", body: sent})
	if err != nil {
		return err
	}
	defer a.Close()
	switch code := a.resp.StatusCode; {
	case 200 <= code && code < 300:
		return nil
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed:
		return ErrNotTaken
	}
	return c.refusal(a)
}

// get asks for a stream. Its answer is a body, or a *StatusError for any other
// status than 200.
func (c *Client) get(ctx context.Context, name string, query url.Values, wait time.Duration) (io.ReadCloser, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, name: name, query: query, wait: wait})
	if err != nil {
		return nil, err
	}
	if a.resp.StatusCode != http.StatusOK {
		defer a.Close()
		return nil, c.refusal(a)
	}
	if got := a.resp.Header.Get("Content-Type"); !isStream(got) {
		a.Close()
		return nil, fmt.Errorf("%s: the answer has type %.80q, not %s: is this the pwb server?", a.what, hideToken(got, a.token), streamType)
	}
	return a.body, nil
}

const streamType = "application/x-ndjson"

func isStream(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && t == streamType
}

// client is the resty client that trusts what the CA file says now.
func (c *Client) client() (*resty.Client, error) {
	ca, err := credential.CA(c.cfg.CACert)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resty != nil && bytes.Equal(ca, c.ca) {
		return c.resty, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.cfg.CACert != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("CA file %s holds no certificate in PEM form", c.cfg.CACert)
		}
	} else if c.base.Scheme == "https" && !c.everywhere {
		conf.RootCAs = bundled()
		c.bundled = conf.RootCAs != nil
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.ca = ca
	// One request at a time, reports apart: HTTP/1 has all it takes, and giving
	// a request up closes its connection.
	c.transport = &http.Transport{
		Proxy:                  nil,
		DialContext:            c.dial,
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    c.cfg.DialTimeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    1,
		MaxResponseHeaderBytes: 64 << 10,
	}
	c.resty = resty.NewWithClient(&http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	c.resty.SetLogger(silent{}).SetDisableWarn(true).SetHeader("User-Agent", "pwb-agent")
	return c.resty, nil
}

// silent is resty's logger: what it has to say is in the errors.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}
