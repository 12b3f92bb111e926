package syncer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is an answer that is not what was asked for.
type StatusError struct {
	// Method and URL are what was asked, without its query, and Code the HTTP
	// status.
	Method, URL string
	Code        int
	// RetryAfter is how long the server asks to be left alone, 0 if it does not.
	RetryAfter time.Duration
	// Text is the beginning of what the server said, without the token should it
	// have repeated that. It may hold anything: quote it.
	Text string
	// hint is what to do next.
	hint string
}

// Error says what was answered and what to do next.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Code, http.StatusText(e.Code))
	if e.Text != "" {
		s += fmt.Sprintf(" %q", e.Text)
	}
	if e.hint != "" {
		s += "; " + e.hint
	}
	return s
}

const (
	// maxRefusal is how much is read of a refusal, maxText how much is shown.
	maxRefusal = 8 << 10
	maxText    = 200
)

// refusal reads an answer that is an error.
func (c *Client) refusal(a *answer) *StatusError {
	resp, token := a.resp, a.token
	e := &StatusError{Method: resp.Request.Method, URL: a.where, Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header, time.Now())}
	// What cannot be read is not shown; the status stands.
	raw, _ := io.ReadAll(io.LimitReader(a, maxRefusal))
	e.Text = hideToken(string(raw), token)
	if len(raw) == maxRefusal { // its end may be the beginning of a token
		e.Text = e.Text[:max(0, len(e.Text)-len(token))]
	}
	e.Text = shorten(strings.TrimSpace(e.Text))
	switch {
	case e.Code == http.StatusUnauthorized, e.Code == http.StatusForbidden:
		e.hint = fmt.Sprintf("check that %s holds a valid node-admin token of this server", c.cfg.TokenFile)
	case e.Code == http.StatusProxyAuthRequired, e.Code == http.StatusNetworkAuthenticationRequired:
		e.hint = "this is no answer of a pwb server: something on the way wants a login; let this node reach the server directly"
	case e.Code == http.StatusNotFound:
		e.hint = "check the server's address, its path included"
	case e.Code >= 300 && e.Code < 400:
		e.hint = fmt.Sprintf("redirects are not followed; set the server's final address (this one points to %q)",
			shorten(hideToken(resp.Header.Get("Location"), token)))
	case e.RetryAfter > 0:
		e.hint = fmt.Sprintf("the server asks to be left alone for %v", e.RetryAfter)
	case e.Code >= 500:
		e.hint = "look at the server's log"
	}
	return e
}

func hideToken(s, token string) string { return strings.ReplaceAll(s, token, "[token]") }

func shorten(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

// retryAfter reads the Retry-After header: seconds, or a date. A century of
// seconds is as good as none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseInt(v, 10, 32); err == nil {
		return max(0, time.Duration(s)*time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now).Round(time.Second))
	}
	return 0
}

// body is an answer's body, decompressed, that ends when it stalls or grows
// without end. It is not for concurrent use.
type body struct {
	rc     io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // cancels ctx with errStalled
	idle   time.Duration
	left   int64
	limit  int64
}

func (b *body) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left+1] // one more, to see whether there is one
	}
	b.timer.Reset(b.idle)
	n, err := b.rc.Read(p)
	b.timer.Stop()
	if int64(n) > b.left {
		n, b.left = int(b.left), 0
		return n, fmt.Errorf("the answer has more than %d bytes", b.limit)
	}
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		err = hideContent(err) // a trailer that is none is quoted
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close gives the connection back or, before the end, up.
func (b *body) Close() error {
	b.timer.Stop()
	err := b.rc.Close()
	b.cancel(nil)
	return err
}
