package syncer

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"pwb/syncer/credential"
)

// request is what requests differ in.
type request struct {
	method, name string
	path         string // in place of sync/v1/name
	query        url.Values
	body         []byte        // JSON, if any
	wait         time.Duration // how long the server may take, on top of HeaderTimeout
}

// answer is what came back, whatever its status. It has to be closed.
type answer struct {
	*body
	resp        *http.Response
	where, what string // the URL without its query, and with the method before it
	token       string
}

// do makes a request. It fails when no answer came.
func (c *Client) do(ctx context.Context, r request) (*answer, error) {
	where := c.base.JoinPath(cmp.Or(r.path, "sync/v1/"+r.name)).String()
	read := credential.Token
	if c.cfg.SharedToken {
		read = credential.SharedToken
	}
	token, err := read(c.cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	outer := ctx
	rc, err := c.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(r.wait+c.cfg.HeaderTimeout, func() { cancel(errLate) })
	req := rc.R().
		SetContext(ctx).
		SetDoNotParseResponse(true).
		SetAuthToken(token).
		SetQueryParamsFromValues(r.query)
	if r.body != nil {
		req.SetHeader("Content-Type", "application/json").SetBody(r.body)
	} else {
		req.SetHeader("Accept", streamType)
	}
	for header, value := range map[string]string{"Pwb-Node": c.cfg.Node, "Pwb-Version": c.cfg.Version} {
		if value != "" {
			req.SetHeader(header, value)
		}
	}
	if pos := c.rendered.Load(); pos != nil && !pos.IsZero() {
		req.SetHeader("Pwb-Position", pos.String())
	}
	resp, err := req.Execute(r.method, where)
	timer.Stop()
	what := r.method + " " + where
	if err != nil {
		cause := context.Cause(ctx)
		cancel(nil)
		if cause == nil && c.lookFurther(rc, err) {
			return c.do(outer, r)
		}
		return nil, c.unreachable(what, err, cause, r.wait)
	}
	b := &body{
		rc: resp.RawBody(), ctx: ctx, cancel: cancel,
		idle: c.cfg.IdleTimeout, left: c.cfg.MaxBody, limit: c.cfg.MaxBody,
	}
	b.timer = time.AfterFunc(b.idle, func() { cancel(errStalled) })
	b.timer.Stop()
	return &answer{body: b, resp: resp.RawResponse, where: where, what: what, token: token}, nil
}

// unreachable is the error of a request without an answer; cause is why its
// context ended, if it did.
func (c *Client) unreachable(what string, err, cause error, wait time.Duration) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // it repeats what, and the query
	}
	switch {
	case errors.Is(cause, errLate):
		return fmt.Errorf("%s: %w (%v)", what, errLate, wait+c.cfg.HeaderTimeout)
	case cause != nil:
		return fmt.Errorf("%s: %w", what, cause)
	}
	// An answer that cannot be read is quoted in such errors. It may be part of one
	// before, of which a proxy gave the wrong length: rows.
	err = hideContent(err)
	var hint string
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		hint = "; check the CA certificate"
	case errors.As(err, &host):
		hint = "; use a name that the certificate has"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "; renew the server's certificate, or set this node's clock right"
	case errors.Is(err, io.EOF):
		hint = ": the connection was closed without an answer; look at the log of the server, or of what stands before it"
	}
	return fmt.Errorf("%s: %w%s", what, err, hint)
}
