package scimserver

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"pwb/scimserver/scim"
)

// maxHeader is the most bytes of a request's header that are taken. The HTTP
// library has a bound of its own, which it tells in plain text.
const maxHeader = 16 << 10

func (c *call) checkHeader() error {
	n := len(c.r.URL.RequestURI())
	for key, values := range c.r.Header {
		for _, v := range values {
			n += len(key) + len(v)
		}
	}
	if n > maxHeader {
		return scim.Errorf(http.StatusRequestHeaderFieldsTooLarge, "", "the request's header has more than %d bytes; POST …/.search takes long filters", maxHeader)
	}
	return nil
}

// body reads the request's JSON object.
func (c *call) body() (map[string]any, error) {
	if text := c.r.Header.Get("Content-Type"); text != "" {
		media, _, err := mime.ParseMediaType(text)
		if err != nil || media != "application/scim+json" && media != "application/json" {
			return nil, scim.Errorf(http.StatusUnsupportedMediaType, "", "Content-Type %.80q is not application/scim+json or application/json", text)
		}
	}
	data, err := c.read()
	var tooBig *http.MaxBytesError
	switch {
	case errors.Is(err, errNoPlace):
		return nil, err
	case errors.As(err, &tooBig):
		return nil, scim.Errorf(http.StatusRequestEntityTooLarge, "", "the request has more than %d bytes", tooBig.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, scim.Errorf(http.StatusRequestTimeout, "", "the request did not arrive within %v", c.cfg.RequestTime)
	case err != nil:
		return nil, scim.Errorf(http.StatusBadRequest, scim.InvalidSyntax, "the request could not be read to its end")
	}
	return scim.DecodeObject(data)
}

// unknownLength is what a body that is sent in chunks holds of the budget
// before it is known to be larger.
const unknownLength = 1 << 20

// read reads the body within the server's budget, of which it keeps its part
// until the request is answered.
func (c *call) read() (data []byte, err error) {
	defer spent(c.r.Context(), phaseBody, time.Now())
	n := min(c.r.ContentLength, c.cfg.MaxBody)
	if n < 0 {
		n = min(unknownLength, c.cfg.MaxBody)
	}
	if err := c.reserve(n); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil { // else the library may still be waiting for the rest
			arrived(c.w)
		}
	}()
	body := http.MaxBytesReader(unwatched(c.w), c.r.Body, c.cfg.MaxBody)
	if c.r.ContentLength >= 0 {
		return io.ReadAll(body)
	}
	data, err = io.ReadAll(io.LimitReader(body, n))
	if err != nil || int64(len(data)) < n {
		return data, err
	}
	if err := c.reserve(c.cfg.MaxBody - n); err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(body)
	return append(data, rest...), err
}

// reserve waits until the budget has room for n bytes.
func (c *call) reserve(n int64) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), placeTime)
	defer cancel()
	if err := c.bodies.Acquire(ctx, n); err != nil {
		return cmp.Or(context.Cause(c.r.Context()), errNoPlace)
	}
	c.bodyBytes += n
	return nil
}
