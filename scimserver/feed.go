package scimserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"pwb/roster"
)

// maxDelta is the most changes that are sent as a delta, which is collected in
// memory; an agent that is further behind takes a snapshot, which is not.
const maxDelta = 5_000

// maxStream bounds the time of a snapshot: as long as one is read, the store
// keeps everything that was there when it began.
const maxStream = 10 * time.Minute

// StreamType is the media type of the feed's answers.
const StreamType = "application/x-ndjson"

// forNodes lets agents alone through: the feed holds password hashes.
func (s *Server) forNodes(h func(http.ResponseWriter, *http.Request, Token) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := s.authenticate(w, r, ScopeNodeAdmin)
		if err == nil {
			if node, own := strings.CutPrefix(token.Name, enrolledAs(ScopeNodeAdmin)); own {
				r.Header.Set(nodeHeader, node) // whatever it calls itself
			}
			s.seen(r)
			err = h(w, r, token)
		}
		if err == nil {
			return
		}
		if status := authStatus(w, err); status != http.StatusInternalServerError {
			plain(w, status, err.Error())
			return
		}
		var bad *badRequest
		switch {
		case r.Context().Err() != nil:
			panic(http.ErrAbortHandler) // the agent has gone
		case errors.As(err, &bad):
			plain(w, http.StatusBadRequest, bad.Error())
		case errors.Is(err, ErrUnknownPosition):
			plain(w, http.StatusGone, "this position is not known here: take /sync/v1/snapshot")
		case errors.Is(err, errBusy):
			s.meter.Refused(RefusedSnapshot)
			w.Header().Set("Retry-After", strconv.Itoa(s.crowd.turnAway(time.Now())))
			plain(w, http.StatusServiceUnavailable, err.Error())
		case errors.Is(err, ErrClosed):
			w.Header().Set("Retry-After", strconv.Itoa(s.comeBack()))
			plain(w, http.StatusServiceUnavailable, err.Error())
		default:
			s.log.ErrorContext(r.Context(), "the feed failed", "path", r.URL.Path, "node", nodeName(r), "error", err)
			plain(w, http.StatusInternalServerError, "the server's log says why")
		}
	}
}

type badRequest struct{ reason string }

func (e *badRequest) Error() string { return e.reason }

var errBusy = errors.New("other snapshots are being sent; try again")

// nodeHeader is the header in which a node says its name.
const nodeHeader = "Pwb-Node"

// nodeName is the name by which a node introduces itself, shown only. One that has
// enrolled is called as its token is: nobody reports for another node.
func nodeName(r *http.Request) string {
	name := r.Header.Get(nodeHeader)
	return name[:min(len(name), 80)]
}

// serveChanges is GET /sync/v1/changes?epoch=E&after=S&sum=H&wait=30s: the delta
// after that position, as soon as there is one; 204 when the wait ends before, with
// Retry-After when the server ends; 410 when the position is not one to continue from.
func (s *Server) serveChanges(w http.ResponseWriter, r *http.Request, _ Token) error {
	q := r.URL.Query()
	after, err := roster.ParsePosition(q.Get("epoch") + "/" + q.Get("after") + "/" + q.Get("sum"))
	if err != nil {
		return &badRequest{err.Error()}
	}
	wait := time.Duration(0)
	if text := q.Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 {
			return &badRequest{fmt.Sprintf("wait %.20q is not a duration such as 30s", text)}
		}
	}
	wait = min(wait, s.cfg.MaxWait)
	s.allow(w, wait)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for {
		d, err := s.deltaAfter(r.Context(), after, wait == 0)
		if err != nil {
			return err
		}
		if d.to != after {
			// The wait was long: the token may have been revoked meanwhile.
			if _, err := s.authenticate(w, r, ScopeNodeAdmin); err != nil {
				return err
			}
			sendDelta(w, r, d)
			return nil
		}
		if wait == 0 {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		began := time.Now()
		waited := func() {
			if q, ok := w.(*watched); ok {
				q.waited += time.Since(began)
			}
		}
		select {
		case <-d.moved:
			waited()
		case <-timeout.C:
			waited()
			w.WriteHeader(http.StatusNoContent)
			return nil
		case <-s.ending.Done():
			// No failure: another server follows, and at a time of its own the agent
			// asks that one.
			waited()
			w.Header().Set("Retry-After", strconv.Itoa(s.comeBack()))
			w.WriteHeader(http.StatusNoContent)
			return nil
		case <-r.Context().Done():
			waited()
			return r.Context().Err()
		}
	}
}

// readDelta reads the changes after a position and encodes them as a stream,
// empty when there are none.
func (s *Server) readDelta(ctx context.Context, after roster.Position) (to roster.Position, body []byte, err error) {
	err = s.store.View(ctx, func(v View) error {
		if to, err = v.Position(); err != nil {
			return err
		}
		if to.Epoch == after.Epoch && to.Seq-after.Seq > maxDelta {
			return ErrUnknownPosition
		}
		var b bytes.Buffer
		out, err := roster.NewWriter(&b, &after, to)
		if err != nil {
			return err
		}
		if err := v.Changes(after, out.Write); err != nil {
			return err
		}
		if to == after {
			return nil
		}
		err = out.Close()
		body = b.Bytes()
		return err
	})
	return to, body, err
}

// smallDelta is up to how many bytes a delta is sent as it is: compressing the
// everyday change of one account would cost more than it spares.
const smallDelta = 4 << 10

func sendDelta(w http.ResponseWriter, r *http.Request, d *delta) {
	body, h := d.body, w.Header()
	if len(body) > smallDelta {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			h.Set("Content-Encoding", "gzip")
			body = d.compressed()
		}
	}
	h.Set("Content-Type", StreamType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an agent that has gone asks again
}

// snapshotTag is the ETag of the snapshot at a position: weak, since the bytes
// depend on how they are compressed.
func snapshotTag(at roster.Position) string { return `W/"` + at.String() + `"` }

// hasSnapshot reports whether the agent says that it has the snapshot already.
func hasSnapshot(r *http.Request, at roster.Position) bool {
	for _, tag := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == `"`+at.String()+`"` {
			return true
		}
	}
	return false
}

// serveSnapshot is GET /sync/v1/snapshot: the whole roster. Its ETag is the
// position: to whom has it already, 304 says so without taking a place.
func (s *Server) serveSnapshot(w http.ResponseWriter, r *http.Request, _ Token) error {
	if r.Header.Get("If-None-Match") != "" {
		has := false
		err := s.store.View(r.Context(), func(v View) error {
			at, err := v.Position()
			has = err == nil && hasSnapshot(r, at)
			if has {
				w.Header().Set("ETag", snapshotTag(at))
			}
			return err
		})
		if err != nil {
			return err
		}
		if has {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	select {
	case s.streams <- struct{}{}:
		began := time.Now()
		defer func() { <-s.streams; s.crowd.took(time.Since(began)) }()
	default:
		return errBusy
	}
	if q, ok := w.(*watched); ok {
		q.long = true
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxStream)
	defer cancel()
	return s.store.View(ctx, func(v View) error {
		to, err := v.Position()
		if err != nil {
			return err
		}
		w.Header().Set("ETag", snapshotTag(to))
		return stream(w, r, func(body io.Writer) error {
			out, err := roster.NewWriter(body, nil, to)
			if err != nil {
				return err
			}
			n := 0
			err = v.Snapshot(func(c roster.Change) error {
				// A slow reader is fine, one that stands still is not.
				if n++; n%1024 == 0 {
					s.allow(w, 0)
					if err := ctx.Err(); err != nil {
						return err
					}
				}
				return out.Write(c)
			})
			if err != nil {
				return err
			}
			return out.Close()
		})
	})
}

// stream sends what write writes, compressed for those who can read that. Once
// it has begun an error can only cut it, which the agent sees by the missing
// trailer.
func stream(w http.ResponseWriter, r *http.Request, write func(io.Writer) error) error {
	w.Header().Set("Content-Type", StreamType)
	w.Header().Add("Vary", "Accept-Encoding")
	var err error
	if acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzippers.Get().(*gzip.Writer)
		defer gzippers.Put(z)
		z.Reset(w)
		if err = write(z); err == nil {
			err = z.Close()
		}
	} else {
		err = write(w)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// gzippers keeps compressors, of which each has a megabyte of tables.
var gzippers = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a valid one
	}
	return z
}}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3) as far as agents use it.
func acceptsGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, ok := strings.CutPrefix(strings.TrimSpace(params), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return !ok || err == nil && weight > 0
		}
	}
	return false
}
