package scimserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// watched is a request while it is served: its ResponseWriter, and what is to be
// told of it. It belongs to the goroutine that serves the request.
type watched struct {
	http.ResponseWriter
	began time.Time
	// id tells the request from others in the log and in the answer's header.
	id string
	hop
	route      string
	token      Token
	status     int
	operations int
	// waited is how long it waited for a change, as it had asked to.
	waited time.Duration
	phases [phaseCount]time.Duration
	// long: it takes as long as the roster is large and the client slow.
	long bool
}

// phase is a part of a request that takes time.
type phase int

const (
	phaseBody  phase = iota // the client sends
	phasePlace              // a place is waited for
	phaseHash               // a password is hashed
	phaseRead               // the store is read
	phaseWrite              // the store is written to, with the wait for the writer
	phaseCount
)

var phaseNames = [phaseCount]string{"body", "place", "hash", "read", "write"}

type watchedKey struct{}

// watchedOf is the request that a context belongs to; nil if it is none's.
func watchedOf(ctx context.Context) *watched {
	q, _ := ctx.Value(watchedKey{}).(*watched)
	return q
}

// spent adds the time since began to a phase of the context's request.
func spent(ctx context.Context, p phase, began time.Time) {
	if q := watchedOf(ctx); q != nil {
		q.phases[p] += time.Since(began)
	}
}

// requests makes ids: what begins them is the process's own.
type requests struct {
	prefix string
	count  atomic.Uint64
	slow   *rate.Limiter
	silent atomic.Int64 // slow ones that were not logged
}

func newRequests() requests {
	var b [4]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return requests{prefix: hex.EncodeToString(b[:]) + "-", slow: rate.NewLimiter(5, 20)}
}

// requestHeader carries the id of a request, in answers, and in requests that
// come from a trusted proxy.
const requestHeader = "X-Request-Id"

// watch begins a request. The one to go on with has it in its context, and a path
// without the prefix.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) (*watched, *http.Request) {
	q := &watched{ResponseWriter: w, began: time.Now(), hop: s.hopOf(r)}
	if q.id = r.Header.Get(requestHeader); !q.proxied || !validRequestID(q.id) {
		q.id = s.requests.prefix + strconv.FormatUint(s.requests.count.Add(1), 36)
	}
	w.Header()[requestHeader] = []string{q.id}
	if s.leaving.Load() {
		w.Header().Set("Connection", "close") // so that the client's next request goes elsewhere
	}
	return q, s.unprefixed(r.WithContext(context.WithValue(r.Context(), watchedKey{}, q)))
}

func validRequestID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != ':' && c != '='
	})
}

func (q *watched) WriteHeader(status int) {
	if q.status == 0 && status >= 200 {
		q.status = status
	}
	q.ResponseWriter.WriteHeader(status)
}

func (q *watched) Write(data []byte) (int, error) {
	if q.status == 0 {
		q.status = http.StatusOK
	}
	return q.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (q *watched) Unwrap() http.ResponseWriter { return q.ResponseWriter }

// unwatched is the writer of the HTTP library, which its own readers know.
func unwatched(w http.ResponseWriter) http.ResponseWriter {
	if q, ok := w.(*watched); ok {
		return q.ResponseWriter
	}
	return w
}

// over ends a request, also one that panicked: what went wrong is logged where
// administrators see it, and the HTTP library ends the connection.
func (s *Server) over(q *watched, r *http.Request) {
	p := recover()
	took := time.Since(q.began) - q.waited
	if q.route == "" {
		q.route = r.Pattern
	}
	if q.route == "" {
		q.route = otherRoute
	}
	if q.status == 0 && p == nil {
		q.status = http.StatusOK // what the library makes of it
	}
	status := q.status
	if p != nil {
		status = 0
	}
	if p != nil && p != http.ErrAbortHandler {
		s.log.ErrorContext(r.Context(), "a request panicked; please report this", "route", q.route, "panic", p, "stack", string(debug.Stack()))
	}
	s.meter.Served(Request{Route: q.route, Status: status, Took: took, Waited: q.waited, Token: q.token.Name, Scope: q.token.Scope, Operations: q.operations})
	s.logServed(r.Context(), q, status, took)
	if p != nil {
		panic(http.ErrAbortHandler)
	}
}

// logServed writes the line of a request, and warns of a slow one.
func (s *Server) logServed(ctx context.Context, q *watched, status int, took time.Duration) {
	slow := s.cfg.SlowRequest > 0 && took >= s.cfg.SlowRequest && !q.long
	if slow && !s.requests.slow.Allow() {
		s.requests.silent.Add(1)
		slow = false
	}
	if !slow && !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	args := []slog.Attr{slog.String("route", q.route), slog.Int("status", status), slog.Duration("duration", took)}
	if q.waited > 0 {
		args = append(args, slog.Duration("waited", q.waited))
	}
	if !slow {
		s.log.LogAttrs(ctx, slog.LevelDebug, "served", args...)
		return
	}
	rest := took
	for p, d := range q.phases {
		if d > 0 {
			args = append(args, slog.Duration(phaseNames[p], d))
			rest -= d
		}
	}
	args = append(args, slog.Duration("rest", max(rest, 0)))
	if n := s.requests.silent.Swap(0); n > 0 {
		args = append(args, slog.Int64("not-logged", n))
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "a slow request", args...)
}

// requestLog adds to each line that belongs to a request which one it is: the
// id, the address of the client, and the name of the token.
type requestLog struct{ slog.Handler }

func (h requestLog) Handle(ctx context.Context, rec slog.Record) error {
	if q := watchedOf(ctx); q != nil {
		rec = rec.Clone()
		rec.AddAttrs(slog.String("request", q.id), slog.String("remote", q.remote()))
		if q.token.Name != "" {
			rec.AddAttrs(slog.String("token", q.token.Name))
		}
	}
	return h.Handler.Handle(ctx, rec)
}

func (h requestLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestLog{h.Handler.WithAttrs(attrs)}
}

func (h requestLog) WithGroup(name string) slog.Handler { return requestLog{h.Handler.WithGroup(name)} }

// timedStore notes how long requests are at the store.
type timedStore struct{ Store }

func (t timedStore) Update(ctx context.Context, fn func(Tx) error) error {
	defer spent(ctx, phaseWrite, time.Now())
	return t.Store.Update(ctx, fn)
}

func (t timedStore) View(ctx context.Context, fn func(View) error) error {
	defer spent(ctx, phaseRead, time.Now())
	return t.Store.View(ctx, fn)
}

// otherRoute is the route of what no route leads to.
const otherRoute = "other"

// scimRoutes are the routes below /scim/v2 by method, collection in lower case,
// and what follows it.
var scimRoutes = sync.OnceValue(func() map[[3]string]string {
	all := map[[3]string]string{}
	add := func(collection, spelled, rest string, methods ...string) {
		for _, m := range methods {
			route := m + " " + scimRoot
			for _, part := range []string{spelled, rest} {
				if part != "" {
					route += "/" + part
				}
			}
			all[[3]string{m, collection, rest}] = route
		}
	}
	for collection, h := range collections {
		name := strings.TrimPrefix(h.typ.Endpoint, "/")
		add(collection, name, "", http.MethodGet, http.MethodHead, http.MethodPost)
		add(collection, name, "{id}", http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete)
		add(collection, name, ".search", http.MethodPost)
	}
	add("bulk", "Bulk", "", http.MethodPost)
	add(".search", ".search", "", http.MethodPost)
	for collection, name := range map[string]string{"serviceproviderconfig": "ServiceProviderConfig", "resourcetypes": "ResourceTypes", "schemas": "Schemas"} {
		add(collection, name, "", http.MethodGet, http.MethodHead)
		add(collection, name, "{id}", http.MethodGet, http.MethodHead)
	}
	return all
})

// scimRoute is the route of a path below /scim/v2.
func scimRoute(method, path string) string {
	collection, id, _ := strings.Cut(strings.Trim(path, "/"), "/")
	switch {
	case id == "":
	case strings.EqualFold(id, ".search"):
		id = ".search"
	case strings.Contains(id, "/"):
		return otherRoute
	default:
		id = "{id}"
	}
	if route := scimRoutes()[[3]string{method, strings.ToLower(collection), id}]; route != "" {
		return route
	}
	return otherRoute
}
