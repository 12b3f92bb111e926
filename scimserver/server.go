package scimserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"pwb/scimserver/ledger"
)

// Config is what a Server needs. Zero fields get the defaults named here.
type Config struct {
	Store Store
	// Log receives what administrators should see; nil discards it.
	Log *slog.Logger
	// BaseURL is the scheme and host under which clients reach the server, for
	// the absolute URLs in SCIM answers. Empty: what the request names.
	BaseURL string
	// Ledger says what names and numbers are given. Its Log and Now are set here.
	Ledger ledger.Config
	// ReadLocal, when set, reads anew what the server's own host has, every few
	// minutes.
	ReadLocal func(context.Context) (*ledger.Local, error)
	// Now is the clock, default time.Now.
	Now func() time.Time
	// HashRounds is the cost of a password hash ($6$), default 100,000.
	HashRounds int
	// MaxBody is the most bytes of a SCIM request, default 16 MiB.
	MaxBody int64
	// PageSize is how many resources a list answers with when the client does
	// not say, default 100; MaxPageSize the most it answers with, default 1000.
	PageSize, MaxPageSize int
	// RequestTime is how long a client may take to send a request, default 30 s.
	RequestTime time.Duration
	// MaxWait bounds a long poll, default 60 s.
	MaxWait time.Duration
	// RateLimit is how many SCIM operations a second a token may make, and
	// RateBurst how many at once; a RateLimit of 0 is no bound.
	RateLimit float64
	RateBurst int
	// TokenFile holds a token of scope scim that somebody else made; empty: none.
	TokenFile string
	// TokenLife is how long a token that was found in the store is believed
	// without another look, default 1 s; below 0: not at all.
	TokenLife time.Duration
	// NodeOfflineAfter is how long a node may not have been seen before it counts
	// as offline, 2 min at least, default 5 min.
	NodeOfflineAfter time.Duration
	// Fuse bounds what providers may take; the zero one does not.
	Fuse FuseConfig
	// Registers opens /jit/v1/register; Match says whom a person who signs in may
	// turn out to be, default MatchUserName.
	Registers bool
	Match     Match
	// IDTokens verifies the ID tokens of /jit/v1/register; nil: none is taken.
	IDTokens IDTokens
	// RegisterWait bounds how long a registration waits until nodes show it;
	// 0: not at all.
	RegisterWait time.Duration
	// TrustedProxies are those whose word counts about who asks them: ForwardedHeader
	// is the header in which they say it, XForwardedFor (the default) or Forwarded.
	TrustedProxies  []netip.Prefix
	ForwardedHeader string
	// SlowRequest is from how long on a request is logged with a warning, without
	// what it waited for a change; 0: never.
	SlowRequest time.Duration
	// Meter hears what is done; nil: nobody does.
	Meter Meter
	// Metrics, when set, answers GET /metrics for tokens of scope operator.
	Metrics http.Handler
	// Ready, when set, says why the server is not ready though its store answers.
	Ready func() error
}

func (c *Config) setDefaults() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Meter == nil {
		c.Meter = deaf{}
	}
	c.ForwardedHeader = cmp.Or(c.ForwardedHeader, XForwardedFor)
	if c.ForwardedHeader != XForwardedFor && c.ForwardedHeader != Forwarded {
		return fmt.Errorf("forwarded-header is %q: write %s or %s", c.ForwardedHeader, XForwardedFor, Forwarded)
	}
	if c.SlowRequest < 0 {
		return fmt.Errorf("slow-request is %v, which is below 0", c.SlowRequest)
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	c.HashRounds = cmp.Or(c.HashRounds, 100_000)
	c.MaxBody = cmp.Or(c.MaxBody, 16<<20)
	c.PageSize = cmp.Or(c.PageSize, 100)
	c.MaxPageSize = cmp.Or(c.MaxPageSize, 1000)
	c.RequestTime = cmp.Or(c.RequestTime, 30*time.Second)
	c.MaxWait = cmp.Or(c.MaxWait, 60*time.Second)
	c.TokenLife = cmp.Or(c.TokenLife, time.Second)
	c.Match = cmp.Or(c.Match, MatchUserName)
	c.NodeOfflineAfter = cmp.Or(c.NodeOfflineAfter, 5*time.Minute)
	for _, n := range []struct {
		key              string
		value, low, high int64
	}{
		{"password-hash-rounds", int64(c.HashRounds), 1000, 10_000_000},
		{"max-request-bytes", c.MaxBody, 1 << 10, 1 << 30},
		{"page-size", int64(c.PageSize), 1, 10_000},
		{"max-page-size", int64(c.MaxPageSize), 1, 10_000},
		{"request-timeout in milliseconds", c.RequestTime.Milliseconds(), 1, 3_600_000},
	} {
		if n.value < n.low || n.value > n.high {
			return fmt.Errorf("%s is %d, which is not from %d to %d", n.key, n.value, n.low, n.high)
		}
	}
	if u, err := url.Parse(c.BaseURL); c.BaseURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "") {
		return fmt.Errorf("base-url %q is not a URL such as https://pwb.example", c.BaseURL)
	}
	if err := c.Fuse.check(); err != nil {
		return err
	}
	if _, err := ParseMatch(string(c.Match)); err != nil {
		return fmt.Errorf("auth-openid-match %w", err)
	}
	if c.RegisterWait < 0 || c.RegisterWait > maxRegisterWait {
		return fmt.Errorf("auth-openid-wait is %v, which is not from 0 to %v", c.RegisterWait, maxRegisterWait)
	}
	if c.NodeOfflineAfter < 2*time.Minute {
		return fmt.Errorf("node-offline-after is %v, which is below 2m: nodes that wait for changes would count as offline", c.NodeOfflineAfter)
	}
	if c.RateLimit < 0 || c.RateLimit > 0 && c.RateBurst < 1 {
		return fmt.Errorf("rate-limit %v with rate-burst %d lets nothing through; 0 is no limit", c.RateLimit, c.RateBurst)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Ledger.Log, c.Ledger.Now = c.Log, c.Now
	return nil
}

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
	unready  lastText    // why the server was not ready when it was asked last

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
		if s.unready.becomes(err.Error()) {
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
