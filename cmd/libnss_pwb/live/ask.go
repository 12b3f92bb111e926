package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"

	"pwb/cmd/libnss_pwb/question"
	"pwb/syncer/credential"
)

// maxAnswer is the most bytes of a line, its newline included: what the server
// sends at most.
const maxAnswer = 16<<20 + 1

var (
	errNotFound = errors.New("the server knows no such entry")
	errDenied   = errors.New("the server does not answer this to the token")
)

// ask asks the server, once. The answer is a line and its newline.
func (l *live) ask(ctx context.Context, c *conf, q question.Question) ([]byte, error) {
	token, err := l.token(c)
	if err != nil {
		return nil, err
	}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	base := *c.server
	if base.Scheme == "unix" {
		base = url.URL{Scheme: "http", Host: "localhost"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("nss/v1", path(q)).String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", "nss-live")
	resp, err := transport.RoundTrip(req) // which follows nothing, keeps nothing
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", base.Redacted(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer of %s was cut: %w", base.Redacted(), err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", base.Redacted(), maxAnswer)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusNotFound:
		if len(body) == 0 {
			return nil, errNotFound
		}
		return nil, fmt.Errorf("%s has no /nss/v1: is it a pwb server, and new enough?", base.Redacted())
	case http.StatusForbidden:
		return nil, errDenied
	}
	return nil, fmt.Errorf("%s answered %s", base.Redacted(), resp.Status)
}

// path is where the server has the answer.
func path(q question.Question) string {
	switch {
	case q.Database == question.Initgroups:
		return q.Database + "/" + q.Name
	case q.Name != "":
		return q.Database + "/name/" + q.Name
	}
	return q.Database + "/id/" + strconv.FormatUint(uint64(q.ID), 10)
}

// token is root's, or that of everybody.
func (l *live) token(c *conf) (string, error) {
	if l.uid == 0 {
		return credential.Token(c.adminToken)
	}
	return credential.SharedToken(c.userToken)
}

// transport makes one connection and speaks HTTP/1 through no proxy.
func (c *conf) transport() (*http.Transport, error) {
	dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true}} // NSS would ask us
	t := &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
	}
	switch c.server.Scheme {
	case "unix":
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", c.server.Path)
		}
	case "http":
		dialer.Control = onlyLoopback
	case "https":
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !c.verify}
		if !c.verify {
			break
		}
		pem, err := credential.CA(c.ca)
		if err != nil {
			return nil, err
		}
		if c.ca == "" {
			t.TLSClientConfig.RootCAs = credential.Bundle(credential.Bundles())
			break
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no certificate in PEM form", c.ca)
		}
	}
	return t, nil
}

// onlyLoopback guards against a resolver that sends localhost elsewhere.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return fmt.Errorf("%s is not this host, and http without encryption is for this host alone", address)
	}
	return nil
}
