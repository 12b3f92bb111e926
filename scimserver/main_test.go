package scimserver_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/scim"
	"pwb/scimserver/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that end at once unless something is wrong.
const patience = 30 * time.Second

// house is a server on a real store behind a real listener.
type house struct {
	t      *testing.T
	dir    string
	store  *spy
	server *scimserver.Server
	http   *httptest.Server
	log    *logBuffer
	// secrets may stand neither in the log nor in the store's files.
	secrets []string
	// Tokens by their scope.
	token map[scimserver.Scope]string
	// arrived has a value for every long poll that has reached the server.
	arrived chan struct{}
}

// open starts a house. When the test ends it looks for secrets in the log and
// in the files.
func open(t *testing.T, change ...func(*scimserver.Config)) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), log: &logBuffer{}, token: map[scimserver.Scope]string{}, arrived: make(chan struct{}, 1000)}
	if err := os.Chmod(h.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(context.Background(), h.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		h.lookForSecrets()
	})
	h.store = &spy{Store: store}
	cfg := scimserver.Config{
		Store:      h.store,
		Log:        slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		HashRounds: 1000,
		TokenLife:  -1, // every request looks
	}
	for _, c := range change {
		c(&cfg)
	}
	if h.server, err = scimserver.New(cfg); err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("wait") {
			h.arrived <- struct{}{}
		}
		h.server.ServeHTTP(w, r)
	}))
	t.Cleanup(h.http.Close)
	for _, scope := range []scimserver.Scope{scimserver.ScopeSCIM, scimserver.ScopeNodeAdmin, scimserver.ScopeNodeUser, scimserver.ScopeOperator} {
		h.token[scope] = h.newToken("test "+string(scope), scope, time.Now(), 0)
	}
	return h
}

func (h *house) newToken(name string, scope scimserver.Scope, now time.Time, life time.Duration) string {
	h.t.Helper()
	token, text, err := scimserver.NewToken(name, scope, now, life)
	if err != nil {
		h.t.Fatal(err)
	}
	h.update(func(tx scimserver.Tx) error { return tx.PutToken(token) })
	h.secrets = append(h.secrets, text, strings.SplitN(text, "_", 3)[2])
	return text
}

func (h *house) update(fn func(tx scimserver.Tx) error) {
	h.t.Helper()
	if err := h.store.Update(context.Background(), fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) lookForSecrets() {
	text := h.log.String()
	for _, s := range append(h.secrets, "$6$") {
		if strings.Contains(text, s) {
			h.t.Errorf("the log holds the secret %q:\n%s", s, text)
		}
	}
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, s := range h.secrets {
			if bytes.Contains(data, []byte(s)) {
				h.t.Errorf("the file %s holds the secret %q", d.Name(), s)
			}
		}
		return err
	})
	if err != nil {
		h.t.Error(err)
	}
}

// spy passes everything on and knows what is going on.
type spy struct {
	scimserver.Store
	views  atomic.Int64          // functions of View that run
	broken atomic.Pointer[error] // what every Update fails with
}

func (s *spy) View(ctx context.Context, fn func(scimserver.View) error) error {
	return s.Store.View(ctx, func(v scimserver.View) error {
		s.views.Add(1)
		defer s.views.Add(-1)
		return fn(v)
	})
}

func (s *spy) Update(ctx context.Context, fn func(scimserver.Tx) error) error {
	if err := s.broken.Load(); err != nil {
		return s.Store.Update(ctx, func(tx scimserver.Tx) error { return errors.Join(fn(tx), *err) })
	}
	return s.Store.Update(ctx, fn)
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// answer is a response that has been read.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
	json   map[string]any
}

// send sends a request as it is, with pairs of header names and values.
func (h *house) send(method, path, body string, header ...string) *answer {
	h.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, h.http.URL+path, r)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := h.http.Client().Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := &answer{t: h.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		h.t.Fatalf("%s: %v", a.what, err)
	}
	if resp.Header.Get("Content-Type") == "application/scim+json" && len(a.body) > 0 && method != http.MethodHead {
		if err := json.Unmarshal(a.body, &a.json); err != nil {
			h.t.Fatalf("%s: %v in %s", a.what, err, a.body)
		}
	}
	return a
}

// do sends a SCIM request with the provider's token.
func (h *house) do(method, path, body string, header ...string) *answer {
	h.t.Helper()
	own := []string{"Authorization", "Bearer " + h.token[scimserver.ScopeSCIM]}
	if body != "" {
		own = append(own, "Content-Type", "application/scim+json")
	}
	return h.send(method, "/scim/v2"+path, body, append(own, header...)...)
}

// ok demands a status and, of a body, the SCIM media type.
func (a *answer) ok(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); len(a.body) > 0 && got != "application/scim+json" {
		a.t.Errorf("%s: Content-Type %q", a.what, got)
	}
	return a
}

// fails demands an error in the form of RFC 7644 §3.12.
func (a *answer) fails(status int, scimType string) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/scim+json" {
		a.t.Errorf("%s: Content-Type %q of an error", a.what, got)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		a.t.Errorf("%s: Cache-Control %q", a.what, got)
	}
	if schema := a.get("schemas.0"); schema != scim.ErrorURN {
		a.t.Errorf("%s: schema %v of an error", a.what, schema)
	}
	if got := a.get("status"); got != strconv.Itoa(status) {
		a.t.Errorf("%s: status %#v in the body, want the string %d", a.what, got, status)
	}
	if detail, _ := a.get("detail").(string); detail == "" {
		a.t.Errorf("%s: no detail: %s", a.what, a.body)
	}
	if got, _ := a.get("scimType").(string); got != scimType {
		a.t.Errorf("%s: scimType %q, want %q: %s", a.what, got, scimType, a.body)
	}
	return a
}

// get digs into the body: get("emails.0.value"). A dot within a name is
// written as a slash.
func (a *answer) get(path string) any { return dig(a.json, path) }

func dig(v any, path string) any {
	for _, step := range strings.Split(path, ".") {
		step = strings.ReplaceAll(step, "/", ".")
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(x) {
				return nil
			}
			v = x[n]
		default:
			return nil
		}
	}
	return v
}

// has demands values in the body: has("userName", "ada", "active", true).
func (a *answer) has(pairs ...any) *answer {
	a.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		want := pairs[i+1]
		if n, ok := want.(int); ok {
			want = float64(n)
		}
		got := a.get(pairs[i].(string))
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			a.t.Errorf("%s: %s is %#v, want %#v: %s", a.what, pairs[i], got, want, a.body)
		}
	}
	return a
}

func (a *answer) id() string {
	a.t.Helper()
	id, _ := a.get("id").(string)
	if id == "" {
		a.t.Fatalf("%s: no id: %s", a.what, a.body)
	}
	return id
}

// newUser creates a user with nothing but a name.
func (h *house) newUser(userName string) string {
	h.t.Helper()
	return h.do("POST", "/Users", fmt.Sprintf(`{"userName":%q}`, userName)).ok(201).id()
}

func (h *house) newGroup(displayName string, members ...string) string {
	h.t.Helper()
	return h.do("POST", "/Groups", fmt.Sprintf(`{"displayName":%q,"members":%s}`, displayName, values(members...))).ok(201).id()
}

// values is a list of members.
func values(ids ...string) string {
	list := []string{}
	for _, id := range ids {
		list = append(list, fmt.Sprintf(`{"value":%q}`, id))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func patch(ops ...string) string {
	return `{"schemas":["` + scim.PatchURN + `"],"Operations":[` + strings.Join(ops, ",") + `]}`
}

// feed is the roster as an agent gets it: a snapshot that was read to its end
// and whose digest is that of its rows.
type feed struct {
	at   roster.Position
	rows map[string]roster.Row
	raw  map[string]string
}

func (h *house) feed() feed {
	h.t.Helper()
	a := h.sync("snapshot", "").okStream()
	f := feed{rows: map[string]roster.Row{}, raw: map[string]string{}}
	f.apply(h.t, a.body, true)
	return f
}

// apply reads a stream into f and checks the digest.
func (f *feed) apply(t *testing.T, stream []byte, snapshot bool) (keys []string) {
	t.Helper()
	r, err := roster.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	head := r.Header()
	if (head.From == nil) != snapshot || !snapshot && *head.From != f.at {
		t.Fatalf("stream from %v to %v is not what was asked for after %v", head.From, head.To, f.at)
	}
	for {
		c, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, c.Key)
		delete(f.rows, c.Key)
		delete(f.raw, c.Key)
		if c.Line == nil {
			continue
		}
		if f.rows[c.Key], err = c.Row(); err != nil {
			t.Fatal(err)
		}
		f.raw[c.Key] = string(c.Line)
	}
	var sum roster.Sum
	for _, line := range f.raw {
		sum.Add([]byte(line))
	}
	if sum != head.To.Sum {
		t.Fatalf("the rows have the digest %v, the stream says %v", sum, head.To)
	}
	f.at = head.To
	return keys
}

func (f feed) account(t *testing.T, id string) roster.Account {
	t.Helper()
	row := f.rows[roster.AccountKey(id)]
	if row.Account == nil {
		t.Fatalf("user %s has no account", id)
	}
	return *row.Account
}

func (f feed) group(t *testing.T, id string) roster.Group {
	t.Helper()
	row := f.rows[roster.GroupKey(id)]
	if row.Group == nil {
		t.Fatalf("group %s is not in the feed", id)
	}
	return *row.Group
}

func (f feed) member(group, user string) bool {
	return f.rows[roster.MemberKey(group, user)].Member != nil
}

// account is the user's account as agents see it now.
func (h *house) account(id string) roster.Account {
	h.t.Helper()
	return h.feed().account(h.t, id)
}

// group is the group as agents see it now.
func (h *house) group(id string) roster.Group {
	h.t.Helper()
	return h.feed().group(h.t, id)
}

// sync asks the feed with an agent's token.
func (h *house) sync(what, query string, header ...string) *answer {
	h.t.Helper()
	return h.send("GET", "/sync/v1/"+what+query, "", append([]string{
		"Authorization", "Bearer " + h.token[scimserver.ScopeNodeAdmin],
		"Accept-Encoding", "identity",
	}, header...)...)
}

func (a *answer) okStream() *answer {
	a.t.Helper()
	if a.status != http.StatusOK || a.header.Get("Content-Type") != scimserver.StreamType {
		a.t.Fatalf("%s: status %d, Content-Type %q: %s", a.what, a.status, a.header.Get("Content-Type"), a.body)
	}
	return a
}

func query(p roster.Position, more string) string {
	return fmt.Sprintf("?epoch=%s&after=%d&sum=%v%s", p.Epoch, p.Seq, p.Sum, more)
}

// ordered calls yield for a map's elements in the order of their keys.
func ordered[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
