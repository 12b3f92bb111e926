package signin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"
)

const (
	// maxAnswer is the most bytes that the provider answers with.
	maxAnswer = 1 << 20
	// askTime bounds one request to the provider.
	askTime = 10 * time.Second
)

// newClient asks the provider: directly, whatever proxy the environment names,
// without following it elsewhere, within time and size.
func newClient(caFile string) (*http.Client, error) {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: askTime}).DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: askTime, ResponseHeaderTimeout: askTime,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		ForceAttemptHTTP2: true,
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
	}
	return &http.Client{
		Transport: bounded{t}, Timeout: askTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// bounded cuts answers that are too long, which is an error to who reads them.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = &boundedBody{res.Body, maxAnswer}
	}
	return res, err
}

func (b bounded) CloseIdleConnections() {
	if c, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errors.New("the provider's answer is too long")
	}
	return n, err
}

// checkURL demands https, or http on a loopback address.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || !plainHost.MatchString(u.Host) || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%.200q is not a URL such as https://id.example", text)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%.200q is not an https:// URL, and http:// is for loopback addresses only", text)
}

// plainHost: a name or address, perhaps a port, and nothing that a header would
// read otherwise.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.:\[\]_-]+$`)

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
