package probe

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pwb/cmd/doctor"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/sqlite"
)

// endpoint is a real server behind something that may break its answers.
type endpoint struct {
	t      *testing.T
	server *scimserver.Server
	store  scimserver.Store
	cfg    Config
	// fault, when set, sees each request first; it answers and returns true, or lets the
	// server answer.
	fault func(w http.ResponseWriter, r *http.Request, body string) bool
	// change, when set, changes what the server answers.
	change func(r *http.Request, body string, rec *httptest.ResponseRecorder)
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{t: t}
	dir := filepath.Join(t.TempDir(), "store")
	store, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	e.store = store
	if e.server, err = scimserver.New(scimserver.Config{Store: store, HashRounds: 1000, Ledger: ledger.Config{}}); err != nil {
		t.Fatal(err)
	}
	_, token, err := e.server.Operator("test").AddToken(t.Context(), "probe", scimserver.ScopeSCIM, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.cfg.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(e.cfg.TokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(e)
	t.Cleanup(front.Close)
	e.cfg.URL, e.cfg.Write = front.URL+"/scim/v2", true
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	body := string(data)
	if e.fault != nil && e.fault(w, r, body) {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	rec := httptest.NewRecorder()
	e.server.ServeHTTP(rec, r)
	if e.change != nil {
		e.change(r, body, rec)
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()) // the probe may be gone
}

// resources counts what the server has.
func (e *endpoint) resources() int {
	e.t.Helper()
	n := 0
	err := e.store.View(context.Background(), func(v scimserver.View) error {
		for _, kind := range []scimserver.Kind{scimserver.KindUser, scimserver.KindGroup} {
			total, err := v.Find(kind, scimserver.Query{Limit: 1}, func(scimserver.Resource) error { return nil })
			if err != nil {
				return err
			}
			n += total
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

func wrongOf(found []doctor.Finding) (names []string) {
	for _, f := range found {
		if f.State == doctor.Failure || f.State == doctor.Warning {
			names = append(names, f.Check)
		}
	}
	return names
}

func TestTheRealServerAnswersAllProbesAndKeepsNothing(t *testing.T) {
	e := newEndpoint(t)
	found, err := Run(t.Context(), e.cfg)
	if err != nil || len(wrongOf(found)) > 0 {
		t.Errorf("%v, %+v", err, found)
	}
	if len(found) < 25 {
		t.Errorf("only %d probes were made", len(found))
	}
	if n := e.resources(); n != 0 {
		t.Errorf("%d resources are left", n)
	}
}

func TestWithoutWriteNothingIsSentThatWrites(t *testing.T) {
	e := newEndpoint(t)
	e.cfg.Write = false
	e.fault = func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.URL)
		}
		return false
	}
	found, err := Run(t.Context(), e.cfg)
	if err != nil || len(wrongOf(found)) > 0 || found[len(found)-1].State != doctor.Skipped {
		t.Errorf("%v, %+v", err, found)
	}
}

// breaks are answers that an endpoint must not give, and the probe that finds each.
var breaks = []struct {
	probe  string
	change func(r *http.Request, body string, rec *httptest.ResponseRecorder)
	fault  func(w http.ResponseWriter, r *http.Request, body string) bool
}{
	{probe: "token", fault: func(w http.ResponseWriter, _ *http.Request, _ string) bool { w.WriteHeader(401); return true }},
	{probe: "list", change: on("GET", "count=1", func(rec *httptest.ResponseRecorder) { replace(rec, "totalResults", "total") })},
	{probe: "media-type", change: on("GET", "", func(rec *httptest.ResponseRecorder) { rec.Header().Set("Content-Type", "application/json") })},
	{probe: "no-token", fault: func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.Header.Get("Authorization") == "" {
			_, _ = io.WriteString(w, "{}")
			return true
		}
		return false
	}},
	{probe: "service-provider-config", fault: refuses("GET", "/ServiceProviderConfig", 404)},
	{probe: "schemas", fault: refuses("GET", "/Schemas", 404)},
	{probe: "resource-types", fault: refuses("GET", "/ResourceTypes", 501)},
	{probe: "filter-missing", fault: refuses("GET", "userName+eq+%22pwb-probe-", 404)},
	{probe: "filter-bare", fault: refuses("GET", "userName+Eq+", 400)},
	{probe: "filter-external", fault: func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if !strings.Contains(r.URL.RawQuery, "externalId") {
			return false
		}
		_, _ = io.WriteString(w, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":1,"Resources":[{"id":"somebody"}]}`)
		return true
	}},
	{probe: "filter-wrong", fault: refuses("GET", "filter=userName+eq&", 200)},
	{probe: "not-found", fault: refuses("GET", "/Users/pwb-probe-", 200)},
	{probe: "create-user", fault: refuses("POST", "/Users", 400)},
	{probe: "location", change: on("POST", "/Users", func(rec *httptest.ResponseRecorder) { rec.Header().Del("Location") })},
	{probe: "filter-found", fault: func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if !strings.Contains(r.URL.RawQuery, "PWB-PROBE") {
			return false
		}
		_, _ = io.WriteString(w, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"Resources":[]}`)
		return true
	}},
	{probe: "duplicate", change: func(r *http.Request, _ string, rec *httptest.ResponseRecorder) {
		if rec.Code == http.StatusConflict {
			rec.Code = http.StatusBadRequest
		}
	}},
	{probe: "patch-entra-disable", fault: body("PATCH", `"False"`, 400)},
	{probe: "patch-okta-enable", fault: body("PATCH", `"op":"replace","value":{"active":true}`, 204)},
	{probe: "patch-nested", fault: body("PATCH", "familyName", 204)},
	{probe: "patch-wrong", fault: body("PATCH", "jump", 204)},
	{probe: "put", fault: body("PUT", "", 501)},
	{probe: "create-group", fault: refuses("POST", "/Groups", 500)},
	{probe: "add-member", fault: once204("PATCH", `"Add","path":"members"`)},
	{probe: "remove-member", fault: body("PATCH", `members[value eq`, 204)},
	{probe: "rename-group", fault: body("PATCH", "-renamed", 400)},
	{probe: "deactivate", fault: body("PATCH", `"path":"active","value":false}]`, 204)},
	{probe: "delete-group", fault: func(w http.ResponseWriter, r *http.Request, _ string) bool {
		return r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/Groups/") && first(r, w)
	}},
}

// on changes answers to requests of a method whose URL has a text.
func on(method, has string, do func(*httptest.ResponseRecorder)) func(*http.Request, string, *httptest.ResponseRecorder) {
	return func(r *http.Request, _ string, rec *httptest.ResponseRecorder) {
		if r.Method == method && strings.Contains(r.URL.String(), has) && rec.Code/100 == 2 {
			do(rec)
		}
	}
}

func replace(rec *httptest.ResponseRecorder, old, now string) {
	text := strings.ReplaceAll(rec.Body.String(), old, now)
	rec.Body.Reset()
	rec.Body.WriteString(text)
}

// refuses answers requests of a method whose URL ends with a text, or has it.
func refuses(method, has string, status int) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.Method != method || !strings.Contains(r.URL.String()+"&", has) {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

// body answers requests of a method whose body has a text.
func body(method, has string, status int) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, body string) bool {
		if r.Method != method || !strings.Contains(body, has) {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

var met = map[string]bool{}

// first answers 500 the first time that a path is asked for.
func first(r *http.Request, w http.ResponseWriter) bool {
	if met[r.URL.Path] {
		return false
	}
	met[r.URL.Path] = true
	w.WriteHeader(http.StatusInternalServerError)
	return true
}

// once204 takes the first such request and does nothing.
func once204(method, has string) func(http.ResponseWriter, *http.Request, string) bool {
	done := false
	return func(w http.ResponseWriter, r *http.Request, body string) bool {
		if done || r.Method != method || !strings.Contains(body, has) {
			return false
		}
		done = true
		w.WriteHeader(http.StatusNoContent)
		return true
	}
}

func TestEachBreakOfAnEndpointIsFound(t *testing.T) {
	for _, b := range breaks {
		t.Run(b.probe, func(t *testing.T) {
			e := newEndpoint(t)
			e.change, e.fault = b.change, b.fault
			found, err := Run(t.Context(), e.cfg)
			if wrong := strings.Join(wrongOf(found), " "); err != nil || wrong != b.probe {
				t.Errorf("found are %q (%v), want %s\n%+v", wrong, err, b.probe, found)
			}
			for _, f := range found {
				if (f.State == doctor.Failure || f.State == doctor.Warning) && !strings.Contains(f.Why, "RFC 764") {
					t.Errorf("it does not say which section: %+v", f)
				}
			}
			if n := e.resources(); n != 0 {
				t.Errorf("%d resources are left", n)
			}
		})
	}
}

func TestWhatAProbeCreatedIsRemovedWhateverHappens(t *testing.T) {
	for _, c := range []struct {
		sentence string
		at       func(r *http.Request, body string) bool
		lost     bool // the server does it, and the answer is lost
	}{
		{"interrupted after the user", func(r *http.Request, body string) bool { return strings.Contains(body, `"False"`) }, false},
		{"interrupted after the group", func(r *http.Request, body string) bool { return strings.Contains(body, `"Add","path":"members"`) }, false},
		{"the answer to the user is lost", func(r *http.Request, _ string) bool {
			return r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/Users")
		}, true},
		{"the answer to the group is lost", func(r *http.Request, _ string) bool {
			return r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/Groups")
		}, true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			e := newEndpoint(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			e.fault = func(w http.ResponseWriter, r *http.Request, body string) bool {
				if !c.at(r, body) {
					return false
				}
				if c.lost {
					r.Body = io.NopCloser(strings.NewReader(body))
					e.server.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
				}
				interrupt()
				panic(http.ErrAbortHandler)
			}
			if _, err := Run(ctx, e.cfg); err == nil {
				t.Error("it went well")
			}
			if n := e.resources(); n != 0 {
				t.Errorf("%d resources are left", n)
			}
		})
	}
}

func TestATokenIsNotSentInPlainOrShown(t *testing.T) {
	e := newEndpoint(t)
	cfg := e.cfg
	cfg.URL = "http://pwb.example/scim/v2"
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("%v", err)
	}
	token, err := os.ReadFile(cfg.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(string(token))
	e.fault = func(w http.ResponseWriter, r *http.Request, _ string) bool {
		w.WriteHeader(400)
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
		return true
	}
	found, err := Run(t.Context(), e.cfg)
	for _, f := range found {
		if strings.Contains(f.What+f.Why+f.Advice, secret) {
			t.Errorf("the token is shown: %+v", f)
		}
	}
	if err != nil || len(found) == 0 {
		t.Errorf("%v, %+v", err, found)
	}
	if err := os.Chmod(cfg.TokenFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), e.cfg); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a token that everybody can read: %v", err)
	}
}
