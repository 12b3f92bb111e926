package scimserver_test

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

func TestBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.MaxBody = 4096 })
	user, group := h.newUser("ada"), h.newGroup("Engineers")
	for _, c := range []struct {
		sentence, mediaType, body string
		status                    int
		scimType                  string
	}{
		{"text", "text/plain", `{"userName":"x"}`, 415, ""},
		{"a form", "application/x-www-form-urlencoded", "userName=x", 415, ""},
		{"a media type that is none", ";;", `{"userName":"x"}`, 415, ""},
		{"too many bytes", "application/scim+json", `{"userName":"` + strings.Repeat("x", 5000) + `"}`, 413, ""},
		{"no body", "application/scim+json", "", 400, "invalidSyntax"},
		{"garbage", "application/scim+json", "%%%", 400, "invalidSyntax"},
		{"half an object", "application/scim+json", `{"userName":`, 400, "invalidSyntax"},
		{"a list", "application/scim+json", `[{"userName":"x"}]`, 400, "invalidSyntax"},
		{"null", "application/scim+json", `null`, 400, "invalidSyntax"},
		{"two objects", "application/scim+json", `{"userName":"x"}{}`, 400, "invalidSyntax"},
		{"a name twice", "application/scim+json", `{"userName":"x","userName":"y"}`, 400, "invalidSyntax"},
		{"invalid UTF-8", "application/scim+json", "{\"userName\":\"\xff\"}", 400, "invalidSyntax"},
		{"nesting without end", "application/scim+json", strings.Repeat(`{"a":`, 500), 400, "invalidSyntax"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			for _, r := range [][2]string{{"POST", "/Users"}, {"PUT", "/Users/" + user}, {"PATCH", "/Users/" + user}, {"POST", "/Groups"}, {"PUT", "/Groups/" + group}, {"PATCH", "/Groups/" + group}} {
				h.do(r[0], r[1], c.body, "Content-Type", c.mediaType).fails(c.status, c.scimType)
			}
		})
	}
	if at := h.feed().at; at.Seq != 2 {
		t.Errorf("the feed moved to %v", at)
	}
}

func TestMediaTypesThatAreTaken(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i, media := range []string{
		"application/scim+json", "application/json", "application/scim+json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON", "",
	} {
		h.do("POST", "/Users", `{"userName":"user`+string(rune('a'+i))+`"}`, "Content-Type", media).ok(201)
	}
}

func TestEndpointsThatAreNone(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, path := range []string{"/", "/Widgets", "/Widgets/1", "/Userss", "/Schemas/urn:no", "/ResourceTypes/Widget"} {
		h.do("GET", path, "").fails(404, "")
		if !strings.HasPrefix(path, "/Schemas") && !strings.HasPrefix(path, "/ResourceTypes") {
			h.do("POST", path, "{}").fails(404, "")
		}
	}
	for _, path := range []string{"/Users/" + strings.Repeat("x", 3000), "/Users/a/b", "/Users/" + url.PathEscape("' OR 1=1 --"), "/Groups/%00"} {
		h.do("GET", path, "").fails(404, "")
	}
	for _, path := range []string{"/Me", "/me"} {
		h.do("POST", path, "{}").fails(501, "")
	}
}

func TestMethodsThatAreNotAllowedNameThoseThatAre(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/Users", "GET, HEAD, POST"},
		{"PATCH", "/Users", "GET, HEAD, POST"},
		{"DELETE", "/Users", "GET, HEAD, POST"},
		{"DELETE", "/Groups/", "GET, HEAD, POST"},
		{"POST", "/Users/" + id, "GET, HEAD, PUT, PATCH, DELETE"},
		{"OPTIONS", "/Users/" + id, "GET, HEAD, PUT, PATCH, DELETE"},
		{"BREW", "/Groups/x", "GET, HEAD, PUT, PATCH, DELETE"},
		{"POST", "/Schemas", "GET, HEAD"},
		{"PUT", "/ServiceProviderConfig", "GET, HEAD"},
		{"DELETE", "/ResourceTypes/User", "GET, HEAD"},
	} {
		a := h.do(c.method, c.path, "").fails(405, "")
		if got := a.header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
	h.do("GET", "/Users/"+id, "").ok(200)
}

func TestQueriesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	at := h.feed().at
	for _, c := range []struct{ query, scimType string }{
		{"filter=userName", "invalidFilter"},
		{"filter=userName+eq", "invalidFilter"},
		{"filter=(userName+eq+%22a%22", "invalidFilter"},
		{"filter=userName+is+%22a%22", "invalidFilter"},
		{"filter=active+gt+true", "invalidFilter"},
		{"filter=" + strings.Repeat("(", 100) + "a+pr" + strings.Repeat(")", 100), "invalidFilter"},
		{"filter=userName+eq+%22" + strings.Repeat("a", 9000) + "%22", "invalidFilter"},
		{"startIndex=one", "invalidValue"},
		{"count=1.5", "invalidValue"},
		{"count=99999999999999999999", "invalidValue"},
		{"attributes=" + strings.Repeat("a,", 200) + "a", "invalidValue"},
		{"excludedAttributes=a%20b", "invalidValue"},
	} {
		h.do("GET", "/Users?"+c.query, "").fails(400, c.scimType)
	}
	// A projection that is refused is refused before anything is written.
	h.do("POST", "/Users?attributes=a%20b", `{"userName":"bob"}`).fails(400, "invalidValue")
	h.do("PATCH", "/Users/"+id+"?attributes=a%20b", patch(`{"op":"replace","path":"active","value":false}`)).fails(400, "invalidValue")
	if after := h.feed().at; after != at {
		t.Errorf("the feed moved from %v to %v", at, after)
	}
}

func TestAFaultOfTheServerIsToldWithoutItsDetails(t *testing.T) {
	t.Parallel()
	h := open(t)
	id, group := h.newUser("ada"), h.newGroup("Engineers")
	at := h.feed().at
	fault := errors.New("disk /dev/sdx9 is on fire")
	h.store.broken.Store(&fault)
	h.secrets = append(h.secrets, "hunter2hunter2")
	for _, r := range [][3]string{
		{"POST", "/Users", `{"userName":"bob","password":"hunter2hunter2"}`},
		{"PUT", "/Users/" + id, `{"userName":"ada","password":"hunter2hunter2"}`},
		{"PATCH", "/Users/" + id, patch(`{"op":"replace","path":"password","value":"hunter2hunter2"}`)},
		{"DELETE", "/Users/" + id, ""},
		{"POST", "/Groups", `{"displayName":"Others"}`},
		{"PATCH", "/Groups/" + group, patch(`{"op":"replace","path":"displayName","value":"Makers"}`)},
		{"DELETE", "/Groups/" + group, ""},
	} {
		a := h.do(r[0], r[1], r[2]).fails(500, "")
		if strings.Contains(string(a.body), "sdx9") {
			t.Errorf("%s %s tells what is wrong: %s", r[0], r[1], a.body)
		}
		if text := h.log.String(); !strings.Contains(text, "sdx9") || !strings.Contains(text, "test scim") {
			t.Errorf("%s %s: the log does not say what is wrong and for whom: %s", r[0], r[1], text)
		}
	}
	h.store.broken.Store(nil)
	if after := h.feed().at; after != at {
		t.Errorf("the feed moved from %v to %v", at, after)
	}
}

func TestWhoHasNoTokenIsToldSo(t *testing.T) {
	t.Parallel()
	h := open(t)
	user := h.newUser("ada")
	good := h.token[scimserver.ScopeSCIM]
	expired := h.newToken("expired", scimserver.ScopeSCIM, time.Now().Add(-2*time.Hour), time.Hour)
	revoked := h.newToken("revoked", scimserver.ScopeSCIM, time.Now(), 0)
	h.send("GET", "/scim/v2/Users", "", "Authorization", "Bearer "+revoked).ok(200)
	h.update(func(tx scimserver.Tx) error { return tx.DeleteToken("revoked") })
	secret := strings.SplitN(good, "_", 3)[2]
	id := strings.TrimSuffix(good, "_"+secret)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	paths := [][3]string{
		{"GET", "/Users", ""}, {"POST", "/Users", `{"userName":"eve"}`}, {"GET", "/Users/" + user, ""}, {"PUT", "/Users/" + user, `{"userName":"eve"}`},
		{"PATCH", "/Users/" + user, patch(`{"op":"remove","path":"active"}`)}, {"DELETE", "/Users/" + user, ""},
		{"GET", "/Groups", ""}, {"POST", "/Groups", `{"displayName":"eve"}`}, {"GET", "/Groups/x", ""}, {"DELETE", "/Groups/x", ""},
		{"GET", "/Me", ""}, {"POST", "/Bulk", "{}"}, {"POST", "/.search", "{}"}, {"GET", "/Widgets", ""}, {"TRACE", "/Users", ""},
	}
	for sentence, authorization := range map[string]string{
		"nothing":                     "",
		"a word":                      "Bearer",
		"an empty token":              "Bearer ",
		"a token that is none":        "Bearer hunter2",
		"the good token cut":          "Bearer " + good[:len(good)-1],
		"the good token prolonged":    "Bearer " + good + "A",
		"the good token's id alone":   "Bearer " + id,
		"the good id, another secret": "Bearer " + id + "_" + strings.Repeat("A", 43),
		"another scheme":              "Digest " + good,
		"a token that has expired":    "Bearer " + expired,
		"a token that was revoked":    "Bearer " + revoked,
		"a token as Basic user":       basic(good, ""),
		"a Basic password of no use":  basic("admin", "admin"),
		"SQL":                         "Bearer pwb_' OR '1'='1_x",
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, p := range paths {
				a := h.send(p[0], "/scim/v2"+p[1], p[2], "Authorization", authorization).fails(401, "")
				if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer realm=") {
					t.Errorf("%v: WWW-Authenticate %q", p, got)
				}
			}
		})
	}
	for sentence, authorization := range map[string]string{
		"Bearer in small letters":       "bearer " + good,
		"the token as a Basic password": basic("admin", good),
		"a Basic password without user": basic("", good),
	} {
		if a := h.send("GET", "/scim/v2/Users/"+user, "", "Authorization", authorization); a.status != 200 {
			t.Errorf("%s: %d", sentence, a.status)
		}
	}
}

func TestATokenOpensItsOwnDoorAlone(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	for scope, token := range h.token {
		for _, p := range [][2]string{{"GET", "/Users"}, {"POST", "/Users"}, {"DELETE", "/Users/x"}, {"GET", "/Groups"}, {"PATCH", "/Groups/x"}, {"GET", "/Me"}} {
			if scope == scimserver.ScopeSCIM {
				continue
			}
			a := h.send(p[0], "/scim/v2"+p[1], "", "Authorization", "Bearer "+token).fails(403, "")
			if got := a.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_scope"`) {
				t.Errorf("%s %v: WWW-Authenticate %q", scope, p, got)
			}
		}
		for _, path := range []string{"/sync/v1/snapshot", "/sync/v1/changes" + query(h.feed().at, "")} {
			if scope == scimserver.ScopeNodeAdmin {
				continue
			}
			a := h.send("GET", path, "", "Authorization", "Bearer "+token)
			if a.status != 403 || strings.Contains(string(a.body), "ada") {
				t.Errorf("%s reads %s: %d %s", scope, path, a.status, a.body)
			}
		}
	}
	for _, path := range []string{"/sync/v1/snapshot", "/sync/v1/changes"} {
		if a := h.send("GET", path, ""); a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("without a token %s: %d", path, a.status)
		}
	}
}

func TestDiscoveryNeedsNoToken(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, authorization := range []string{"", "Bearer of no use", "Bearer " + h.token[scimserver.ScopeSCIM]} {
		get := func(path string) *answer {
			return h.send("GET", "/scim/v2"+path, "", "Authorization", authorization).ok(200)
		}
		get("/ServiceProviderConfig").has("patch.supported", true, "filter.supported", true, "filter.maxResults", 1000, "bulk.supported", true, "etag.supported", true, "sort.supported", true)
		get("/serviceproviderconfig/").has("schemas.0", scim.ServiceProviderConfigURN)
		get("/ResourceTypes").has("totalResults", 2, "Resources.0.id", "User", "Resources.1.id", "Group", "startIndex", 1)
		get("/ResourceTypes/user").has("endpoint", "/Users", "meta.location", h.http.URL+"/scim/v2/ResourceTypes/User")
		list := get("/Schemas").has("Resources.0.id", scim.UserURN)
		if n, _ := list.get("Resources").([]any); len(n) < 6 || list.get("totalResults") != float64(len(n)) {
			t.Errorf("%d schemas of %v", len(n), list.get("totalResults"))
		}
		get("/Schemas/"+strings.ToUpper(scim.EnterpriseURN)).has("id", scim.EnterpriseURN)
	}
}

func TestAnswersNameTheConfiguredURL(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.BaseURL = "https://idp.corp.example/" })
	a := h.do("POST", "/Users", `{"userName":"ada"}`, "X-Forwarded-Host", "evil.example").ok(201)
	if want := "https://idp.corp.example/scim/v2/Users/" + a.id(); a.get("meta.location") != want || a.header.Get("Location") != want {
		t.Errorf("location %v, Location %s, want %s", a.get("meta.location"), a.header.Get("Location"), want)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	h := open(t)
	for path, want := range map[string]string{"/healthz": "alive\n", "/readyz": "ready\n"} {
		if a := h.send("GET", path, ""); a.status != 200 || string(a.body) != want || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if err := h.store.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if a := h.send("GET", "/healthz", ""); a.status != 200 {
		t.Errorf("/healthz: %d", a.status)
	}
	if a := h.send("GET", "/readyz", ""); a.status != 503 {
		t.Errorf("/readyz with the store closed: %d", a.status)
	}
	a := h.do("GET", "/Users", "").fails(503, "")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := h.sync("snapshot", ""); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("the feed with the store closed: %d", a.status)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]scimserver.Config{
		"a start uid below 1000":                   {Ledger: ledger.Config{StartUID: 999}},
		"a start uid of one":                       {Ledger: ledger.Config{StartUID: 1}},
		"a start uid that is reserved":             {Ledger: ledger.Config{StartUID: 60001}},
		"a start uid of containers":                {Ledger: ledger.Config{StartUID: 524288}},
		"a start uid over 2^31":                    {Ledger: ledger.Config{StartUID: 1 << 31}},
		"a relative home":                          {Ledger: ledger.Config{HomeDir: "home"}},
		"a home with dots":                         {Ledger: ledger.Config{HomeDir: "/home/../etc"}},
		"a home with a slash":                      {Ledger: ledger.Config{HomeDir: "/home/"}},
		"a home with a colon":                      {Ledger: ledger.Config{HomeDir: "/home:x"}},
		"homes in a directory of the system":       {Ledger: ledger.Config{HomeDir: "/usr"}},
		"homes in the root, beside the system":     {Ledger: ledger.Config{HomeDir: "/"}},
		"an end of the range before its start":     {Ledger: ledger.Config{StartUID: 2000, EndUID: 1999}},
		"a start gid below 1000":                   {Ledger: ledger.Config{StartGID: 999}},
		"a group of administrators that is root's": {Ledger: ledger.Config{AdminGroup: "wheel"}},
		"a relative shell":                         {Ledger: ledger.Config{Shell: "bash"}},
		"a shell with a newline":                   {Ledger: ledger.Config{Shell: "/bin/bash\nroot"}},
	} {
		if _, err := scimserver.New(c); err == nil {
			t.Errorf("%s was taken", sentence)
		}
	}
	if _, err := scimserver.New(scimserver.Config{Ledger: ledger.Config{StartUID: 1000, HomeDir: "/srv"}}); err != nil {
		t.Error(err)
	}
}

// slowClient is a client to whom writing takes long enough to look around.
type slowClient struct {
	*http.Request
	header http.Header
	status int
	body   strings.Builder
	during func()
}

func (c *slowClient) Header() http.Header { return c.header }
func (c *slowClient) WriteHeader(s int)   { c.status = s }
func (c *slowClient) Write(p []byte) (int, error) {
	c.during()
	return c.body.Write(p)
}

func TestAClientThatReadsSlowlyKeepsNoReaderOfTheStore(t *testing.T) {
	t.Parallel()
	h := open(t)
	id, group := h.newUser("ada"), h.newGroup("Engineers")
	for _, r := range [][3]string{
		{"GET", "/Users", ""}, {"GET", "/Users?filter=active+eq+true", ""}, {"GET", "/Users/" + id, ""},
		{"POST", "/Users", `{"userName":"bob"}`}, {"PUT", "/Users/" + id, `{"userName":"ada"}`},
		{"PATCH", "/Users/" + id, patch(`{"op":"add","path":"title","value":"Dr"}`)},
		{"GET", "/Groups/" + group, ""}, {"GET", "/Users/x", ""},
	} {
		req, err := http.NewRequest(r[0], "http://x/scim/v2"+r[1], io.NopCloser(strings.NewReader(r[2])))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+h.token[scimserver.ScopeSCIM])
		writes := 0
		client := &slowClient{Request: req, header: http.Header{}, during: func() {
			writes++
			if n := h.store.views.Load(); n != 0 {
				t.Errorf("%s %s is answered from within %d views", r[0], r[1], n)
			}
		}}
		h.server.ServeHTTP(client, req)
		if writes == 0 || client.status == 500 {
			t.Errorf("%s %s: %d %s", r[0], r[1], client.status, &client.body)
		}
	}
}
