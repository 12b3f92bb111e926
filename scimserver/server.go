package scimserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"pwb/scimserver/ledger"
)

// Server answers /scim/v2, /sync/v1, /nss/v1, /enroll/v1, /jit/v1, /healthz, /readyz and /metrics. It is an
// http.Handler; whoever owns the listener owns TLS and shutdown.
type Server struct {
	cfg     Config
	log     *slog.Logger
	store   Store
	ledger  *ledger.Ledger
	mux     *http.ServeMux
	hashing places // for passwords
	scans   places // for lists that no index serves
	// For /nss/v1.
	lookups, groupLookups places

	bodies  *semaphore.Weighted // the bytes of requests that are being worked on
	streams chan struct{}       // holds one element for each snapshot being sent
	crowd   crowd
	waiting atomic.Int64 // long polls
	drained atomic.Int64 // those that Drain ended
	deltas  deltas
	rates   rates
	// enrolments bounds /enroll/v1.
	enrolments rates
	tokens     tokenCache
	// scheduled is set when what is due follows the configuration.
	scheduled atomic.Bool
	fleet     fleet
	tally     tally
	watchers  chan struct{} // holds one element for each registration that waits for nodes
	users     userCount
	now       func() time.Time
	ending    context.Context // ends when Drain is called
	drain     context.CancelFunc

	meter    Meter
	requests requests
	prefix   string      // of paths, from the base URL
	leaving  atomic.Bool // connections end with their next answer
	unready  lastText    // what was missing when the server was not ready, without figures

	fuseTold lastTime // when a refusal by the fuse was logged, or would have been
}

// New returns a server on cfg.Store, or says what is wrong with cfg.
func New(cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	l, err := ledger.New(cfg.Ledger)
	if err != nil {
		return nil, err
	}
	prefix, err := prefixOf(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:    cfg,
		ledger: l,
		log:    slog.New(requestLog{cfg.Log.Handler()}),
		store:  timedStore{cfg.Store},
		meter:  cfg.Meter,
		prefix: prefix,

		requests: newRequests(),

		mux:     http.NewServeMux(),
		hashing: make(places, max(1, runtime.NumCPU()-1)),
		scans:   make(places, 2),
		bodies:  semaphore.NewWeighted(max(bodyBudget, cfg.MaxBody)),
		streams: make(chan struct{}, maxStreams),
		rates:   rates{limit: rate.Limit(cfg.RateLimit), burst: cfg.RateBurst, byToken: map[string]*rate.Limiter{}},
		tokens:  tokenCache{life: cfg.TokenLife, known: map[string]*knownToken{}},
		fleet:   fleet{moved: make(chan struct{}, 1), known: map[string]*seenNode{}},
		now:     cfg.Now,
	}
	s.enrolments = rates{limit: enrolRate, burst: enrolBurst, byToken: map[string]*rate.Limiter{}}
	s.watchers = make(chan struct{}, maxWatchers)
	s.lookups, s.groupLookups = make(places, 2*runtime.NumCPU()), make(places, 2)
	s.ending, s.drain = context.WithCancel(context.Background())
	s.mux.HandleFunc("GET /sync/v1/changes", s.forNodes(s.serveChanges))
	s.mux.HandleFunc("GET /sync/v1/snapshot", s.forNodes(s.serveSnapshot))
	s.mux.HandleFunc("POST /sync/v1/node", s.forNodes(s.serveNode))
	s.mux.HandleFunc("GET /sync/v1/whoami", s.serveWhoAmI)
	s.mux.HandleFunc("GET /nss/v1/{database}/{by}/{key}", s.serveLookup)
	s.mux.HandleFunc("GET /nss/v1/initgroups/{name}", s.serveInitgroups)
	s.mux.HandleFunc("POST /enroll/v1", s.serveEnroll)
	if cfg.Registers {
		s.mux.HandleFunc("POST /jit/v1/register", s.serveRegister)
	}
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive") })
	s.mux.HandleFunc("GET /readyz", s.serveReady)
	s.mux.HandleFunc("GET /metrics", s.serveMetrics)
	return s, nil
}

// Handle has h answer what begins with a path, which may wait as a registration
// does. It is called before the first request.
func (s *Server) Handle(path string, h http.Handler) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		s.allow(w, s.cfg.RegisterWait)
		h.ServeHTTP(w, r)
	})
}

// Leave makes each answer the last of its connection, so that clients make new
// ones: to the server that follows this one.
func (s *Server) Leave() { s.leaving.Store(true) }

// Waiting is how many long polls wait for a change.
func (s *Server) Waiting() int64 { return s.waiting.Load() }

// Drain ends the long polls, so that a graceful shutdown need not wait for them.
func (s *Server) Drain() {
	s.drained.Store(s.waiting.Load())
	s.drain()
}

// writeTime is how long a client may take to read an answer, or of a long one
// the next part.
const writeTime = 30 * time.Second

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, r := s.watch(w, r)
	w = q
	defer s.over(q, r)
	s.allow(w, 0)
	s.expect(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Not through the mux, which would answer odd paths with a page.
	if path := r.URL.Path; len(path) >= len(scimRoot) && strings.EqualFold(path[:len(scimRoot)], scimRoot) && (len(path) == len(scimRoot) || path[len(scimRoot)] == '/') {
		q.route = scimRoute(r.Method, path[len(scimRoot):])
		s.serveSCIM(w, r, path[len(scimRoot):])
		return
	}
	s.mux.ServeHTTP(w, r)
}

// scimRoot is where the SCIM endpoints lie.
const scimRoot = "/scim/v2"

// allow gives the connection time to take the answer, counted from now and from
// the end of the request; a long poll adds its wait. Test recorders have no
// deadlines, hence no error is told here and below.
func (s *Server) allow(w http.ResponseWriter, wait time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + s.cfg.RequestTime + writeTime))
}

// expect gives the connection time to send the body. Where there is none the
// HTTP library watches the connection by itself, and where it has been read that
// is so again (arrived): a deadline left over would end a slow answer.
func (s *Server) expect(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.RequestTime))
	}
}

func arrived(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	what := "the store does not answer"
	err := s.store.View(r.Context(), func(v View) error {
		_, err := v.Position()
		return err
	})
	if err == nil && s.cfg.Ready != nil {
		what, err = "the store has no room", s.cfg.Ready()
	}
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // whoever asked has gone
	}
	if err != nil {
		if s.unready.becomes(what) {
			s.log.ErrorContext(r.Context(), "not ready: "+what, "error", err)
		}
		plain(w, http.StatusServiceUnavailable, what+"; the server's log says why")
		return
	}
	if s.unready.becomes("") {
		s.log.InfoContext(r.Context(), "ready again")
	}
	plain(w, http.StatusOK, "ready")
}

// serveMetrics is GET /metrics, for who watches the server from elsewhere.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if _, err := s.authenticate(w, r, ScopeOperator); err != nil {
		status := authStatus(w, err)
		if status == http.StatusInternalServerError {
			s.log.ErrorContext(r.Context(), "a token could not be looked up", "error", err)
			err = errors.New("the server's log says why")
		}
		plain(w, status, err.Error())
		return
	}
	if s.cfg.Metrics == nil {
		http.NotFound(w, r)
		return
	}
	s.cfg.Metrics.ServeHTTP(w, r)
}

// lastText remembers what was said last, so that it is said once.
type lastText struct {
	mu   sync.Mutex
	text string
}

// becomes reports whether the text is another than the last.
func (l *lastText) becomes(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	other := text != l.text
	l.text = text
	return other
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a client that has gone needs no answer
}

// authenticate returns the request's token, given as Bearer (RFC 6750) or as
// the password of Basic (RFC 7617), if it has one of the scopes.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, scopes ...Scope) (t Token, err error) {
	defer func() { s.hearToken(w, t, err) }()
	text := ""
	if _, password, ok := r.BasicAuth(); ok {
		text = password
	} else if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		text = strings.TrimSpace(rest)
	}
	if text == "" {
		return Token{}, errNoToken
	}
	if t, err = s.verifyToken(r.Context(), text); err != nil {
		return Token{}, err
	}
	for _, scope := range scopes {
		if t.Scope == scope {
			return t, nil
		}
	}
	return t, errScope
}

// hearToken notes whose request it is, or why it is nobody's.
func (s *Server) hearToken(w http.ResponseWriter, t Token, err error) {
	if q, ok := w.(*watched); ok {
		q.token = t
	}
	var bad *badToken
	switch {
	case errors.Is(err, errNoToken):
		s.meter.Unauthorized(NoToken)
	case errors.Is(err, errScope):
		s.meter.Unauthorized(ScopeOfToken)
	case errors.As(err, &bad):
		s.meter.Unauthorized(bad.reason)
	}
}

var (
	errNoToken = errors.New("the request has no token: send Authorization: Bearer TOKEN")
	errScope   = errors.New("the token's scope does not cover this: make one with pwb-server token create --scope")
)

// authStatus is the HTTP status for what authenticate failed with.
func authStatus(w http.ResponseWriter, err error) int {
	switch {
	case errors.Is(err, errNoToken), errors.Is(err, errBadToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="pwb"`)
		return http.StatusUnauthorized
	case errors.Is(err, errScope):
		w.Header().Set("WWW-Authenticate", `Bearer realm="pwb", error="insufficient_scope"`)
		return http.StatusForbidden
	}
	return http.StatusInternalServerError
}
