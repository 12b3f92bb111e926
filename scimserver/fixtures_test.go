package scimserver_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/scim"
)

// fixtureRoot holds a directory for each identity provider, and in it a file
// for each request that the provider makes. The files of a directory are
// replayed in the order of their names against one server that is new at the
// first of them.
const fixtureRoot = "testdata/providers"

// fixture is one request and what has to come of it. Everywhere in the file
// {{name}} stands for what an earlier file of the directory has saved, for
// {{base}}, the URL of the SCIM root, and for {{token}} and {{basic}}, the
// credentials as Bearer and Basic want them.
type fixture struct {
	// About says who sends the request, when, and what is special about it.
	About   string  `json:"about"`
	Request request `json:"request"`
	Answer  wanted  `json:"answer"`
	// Then are requests that show what the first has changed.
	Then []reading `json:"then"`
	// Roster is what agents must see afterwards.
	Roster rosterWanted `json:"roster"`
	// Save keeps values of the answer: name to path.
	Save map[string]string `json:"save"`
}

type request struct {
	Method string `json:"method"`
	// Path is relative to the SCIM root. Its query is written for people: the
	// test encodes it.
	Path string `json:"path"`
	// Headers replace those that the test would send: Authorization is Bearer
	// if it is not given. An empty one is not sent.
	Headers map[string]string `json:"headers"`
	// Body is sent as it stands here, byte by byte; a string is what it contains.
	Body json.RawMessage `json:"body"`
}

type wanted struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	// Body is a part of the answer: of objects the attributes that are named,
	// lists and simple values as a whole.
	Body any `json:"body"`
	// Absent and Present are paths as answer.get takes them.
	Absent  []string `json:"absent"`
	Present []string `json:"present"`
}

type reading struct {
	Path   string `json:"path"`
	Answer wanted `json:"answer"`
}

type rosterWanted struct {
	Accounts map[string]accountWanted `json:"accounts"` // by id
	Groups   map[string]groupWanted   `json:"groups"`   // by id
}

type accountWanted struct {
	Name   *string `json:"name"`
	Gecos  *string `json:"gecos"`
	Locked *bool   `json:"locked"`
	UID    *uint32 `json:"uid"`
	// Password is one that the hash verifies; "" says that there is no hash.
	Password *string `json:"password"`
}

type groupWanted struct {
	Name    *string   `json:"name"`
	Members *[]string `json:"members"`
	Gone    bool      `json:"gone"`
}

// fixtureNames lists the files of a directory in their order.
func fixtureNames(t *testing.T, provider string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(path.Join(fixtureRoot, provider))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !strings.HasPrefix(name, fmt.Sprintf("%02d-", i+1)) {
			t.Errorf("%s/%s: the name must be %02d-short-name.json", provider, e.Name(), i+1)
		}
		names = append(names, name)
	}
	return names
}

func providers(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(fixtureRoot)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestProviders(t *testing.T) {
	t.Parallel()
	for _, provider := range providers(t) {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			p := newReplay(t)
			for _, name := range fixtureNames(t, provider) {
				if !t.Run(name, func(t *testing.T) { p.play(t, path.Join(fixtureRoot, provider, name+".json")) }) {
					t.Fatalf("what comes after %s rests on it", name)
				}
			}
		})
	}
}

// replay is a server while the fixtures of a provider are sent to it.
type replay struct {
	*house
	base string
	vars map[string]string
	feed feed
	// passwords that were sent, none of which may ever be answered.
	passwords map[string]bool
}

func newReplay(t *testing.T) *replay {
	h := open(t)
	token := h.token[scimserver.ScopeSCIM]
	p := &replay{house: h, base: h.http.URL + "/scim/v2", passwords: map[string]bool{}}
	p.vars = map[string]string{
		"base":  p.base,
		"token": token,
		"basic": base64.StdEncoding.EncodeToString([]byte("admin:" + token)),
	}
	p.feed = h.feed()
	return p
}

var variable = regexp.MustCompile(`\{\{\w*\}\}`)

// load reads a fixture and puts values in the place of variables.
func (p *replay) load(t *testing.T, file string) (f fixture) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var own struct{ Save map[string]string }
	if err := json.Unmarshal(data, &own); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	data = variable.ReplaceAllFunc(data, func(v []byte) []byte {
		name := v[2 : len(v)-2]
		if value, ok := p.vars[string(name)]; ok {
			return []byte(value)
		}
		if own.Save[string(name)] == "" {
			t.Fatalf("nobody has saved %s; replay the whole directory", v)
		}
		return v // until the answer is there
	})
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%s: there is more after the fixture", file)
	}
	if f.About == "" || f.Request.Method == "" || f.Request.Path == "" || f.Answer.Status == 0 {
		t.Fatalf("%s: about, method, path and status are needed", file)
	}
	return f
}

func (p *replay) play(t *testing.T, file string) {
	f := p.load(t, file)
	h := *p.house // of this subtest
	h.t = t
	body := string(f.Request.Body)
	if strings.HasPrefix(body, `"`) {
		if err := json.Unmarshal(f.Request.Body, &body); err != nil {
			t.Fatal(err)
		}
	}
	p.notePasswords(f.Request.Body)

	headers := map[string]string{"Authorization": "Bearer " + p.vars["token"]}
	if body != "" {
		headers["Content-Type"] = "application/scim+json"
	}
	maps.Copy(headers, f.Request.Headers)
	var pairs []string
	for name, value := range headers {
		if value != "" {
			pairs = append(pairs, name, value)
		}
	}
	a := h.send(f.Request.Method, "/scim/v2"+encoded(f.Request.Path), body, pairs...)
	p.check(a, f.Answer)
	for name, from := range f.Save {
		value, _ := a.get(from).(string)
		if value == "" {
			t.Fatalf("there is no %s to save as %s: %s", from, name, a.body)
		}
		p.vars[name] = value
	}
	if len(f.Save) > 0 { // what follows may name what was just saved
		again := p.load(t, file)
		f.Then, f.Roster = again.Then, again.Roster
	}
	for _, r := range f.Then {
		p.check(h.do("GET", encoded(r.Path), ""), r.Answer)
	}
	before := p.feed
	p.feed = h.feed()
	reads := f.Request.Method == "GET" || f.Request.Method == "HEAD"
	if (reads || a.status >= 400) && p.feed.at != before.at {
		t.Errorf("%s, answered with %d, moved the feed from %v to %v", a.what, a.status, before.at, p.feed.at)
	}
	keepsNumbers(t, before, p.feed)
	p.checkRoster(t, f.Roster)
	if t.Failed() {
		t.Logf("%s\n%s %s\n%s\nanswer %d %v\n%s", f.About, f.Request.Method, f.Request.Path, body, a.status, a.header, a.body)
	}
}

// encoded writes the query of a path as it stands in a URL.
func encoded(p string) string {
	p, query, ok := strings.Cut(p, "?")
	if !ok {
		return p
	}
	var parts []string
	for _, part := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		parts = append(parts, name+"="+url.QueryEscape(value))
	}
	return p + "?" + strings.Join(parts, "&")
}

// notePasswords finds what a body gives as a password, wherever that stands.
func (p *replay) notePasswords(body json.RawMessage) {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return // of a request that is malformed on purpose
	}
	walk(v, func(key string, value any) {
		if text, ok := value.(string); ok && strings.EqualFold(key, "password") && text != "" {
			p.passwords[text] = true
			p.secrets = append(p.secrets, text)
		}
	})
	walk(v, func(key string, value any) {
		if op, _ := value.(map[string]any); op != nil {
			if text, ok := op["value"].(string); ok && op["path"] == "password" {
				p.passwords[text] = true
				p.secrets = append(p.secrets, text)
			}
		}
	})
}

// walk calls visit for everything in v, list elements under their list's name.
func walk(v any, visit func(key string, value any)) {
	var in func(key string, v any)
	in = func(key string, v any) {
		visit(key, v)
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				in(k, e)
			}
		case []any:
			for _, e := range v {
				in(key, e)
			}
		}
	}
	in("", v)
}

// check holds an answer against what is wanted and against the rules that every
// answer keeps.
func (p *replay) check(a *answer, w wanted) {
	a.t.Helper()
	if a.status != w.Status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, w.Status, a.body)
	}
	for name, want := range w.Headers {
		if got := a.header.Get(name); got != want {
			a.t.Errorf("%s: header %s is %q, want %q", a.what, name, got, want)
		}
	}
	if w.Body != nil {
		if why := covers(w.Body, any(a.json), "the body"); why != "" {
			a.t.Errorf("%s: %s", a.what, why)
		}
	}
	for _, path := range w.Absent {
		if v := a.get(path); v != nil {
			a.t.Errorf("%s: %s is %v, want it absent", a.what, path, v)
		}
	}
	for _, path := range w.Present {
		if a.get(path) == nil {
			a.t.Errorf("%s: %s is absent", a.what, path)
		}
	}
	a.keepsTheRules(p.base)
	for password := range p.passwords {
		if bytes.Contains(a.body, []byte(password)) {
			a.t.Errorf("%s: the answer shows the password %q", a.what, password)
		}
	}
}

// covers says where got lacks what want has; "" says nowhere.
func covers(want, got any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		for key, w := range want {
			if why := covers(w, m[key], at+"."+key); why != "" {
				return why
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s is %v, want %d elements: %v", at, got, len(want), want)
		}
		for i, w := range want {
			if why := covers(w, list[i], at+"."+strconv.Itoa(i)); why != "" {
				return why
			}
		}
		return ""
	}
	if want != got {
		return fmt.Sprintf("%s is %#v, want %#v", at, got, want)
	}
	return ""
}

// keepsTheRules demands what holds for every answer below the SCIM root.
func (a *answer) keepsTheRules(base string) {
	a.t.Helper()
	if a.status == 204 || a.status == 304 {
		if len(a.body) > 0 {
			a.t.Errorf("%s: %d with a body: %s", a.what, a.status, a.body)
		}
		return
	}
	if got := a.header.Get("Content-Type"); got != "application/scim+json" {
		a.t.Errorf("%s: Content-Type %q", a.what, got)
	}
	if strings.HasPrefix(a.what, "HEAD ") {
		return
	}
	switch a.get("schemas.0") {
	case scim.ErrorURN:
		scimType, _ := a.get("scimType").(string)
		a.fails(a.status, scimType)
		if (a.status == 400 || a.status == 409) && scimType == "" {
			a.t.Errorf("%s: %d without scimType: %s", a.what, a.status, a.body)
		}
		return
	case scim.ListURN:
		list, ok := a.get("Resources").([]any)
		if !ok {
			a.t.Errorf("%s: no Resources: %s", a.what, a.body)
		}
		for _, name := range []string{"totalResults", "startIndex", "itemsPerPage"} {
			if _, ok := a.get(name).(float64); !ok {
				a.t.Errorf("%s: %s is %#v, want a number", a.what, name, a.get(name))
			}
		}
		if got := a.get("itemsPerPage"); got != float64(len(list)) {
			a.t.Errorf("%s: itemsPerPage %v of %d resources", a.what, got, len(list))
		}
		for _, r := range list {
			a.resourceKeepsTheRules(base, r)
		}
	case nil:
		a.t.Errorf("%s: an answer without schemas: %s", a.what, a.body)
	default:
		a.resourceKeepsTheRules(base, a.json)
		if version, ok := a.get("meta.version").(string); ok && (a.header.Get("ETag") != version || a.header.Get("Location") != a.get("meta.location")) {
			a.t.Errorf("%s: ETag %q and Location %q, want %q and %q", a.what, a.header.Get("ETag"), a.header.Get("Location"), version, a.get("meta.location"))
		}
	}
	if a.status >= 400 {
		a.t.Errorf("%s: %d is no SCIM error: %s", a.what, a.status, a.body)
	}
}

// resourceKeepsTheRules looks at one resource of an answer.
func (a *answer) resourceKeepsTheRules(base string, v any) {
	a.t.Helper()
	r, _ := v.(map[string]any)
	schemas, _ := r["schemas"].([]any)
	for _, urn := range []string{scim.EnterpriseURN, scim.WorkbenchURN, scim.PosixUserURN, scim.PosixGroupURN} {
		if data, has := r[urn]; has && (!slices.Contains(schemas, any(urn)) || len(data.(map[string]any)) == 0) {
			a.t.Errorf("%s: %s holds %v and schemas are %v", a.what, urn, data, schemas)
		}
		selected := strings.Contains(strings.ToLower(a.what), "attributes=")
		if _, has := r[urn]; !has && !selected && dig(r, "meta.resourceType") == "User" && slices.Contains(schemas, any(urn)) {
			a.t.Errorf("%s: schemas name %s, which has no data", a.what, urn)
		}
	}
	kind, _ := dig(r, "meta.resourceType").(string)
	id, _ := r["id"].(string)
	if kind == "User" || kind == "Group" {
		if want := base + "/" + kind + "s/" + id; dig(r, "meta.location") != want {
			a.t.Errorf("%s: meta.location is %v, want %s", a.what, dig(r, "meta.location"), want)
		}
		if version, _ := dig(r, "meta.version").(string); !strings.HasPrefix(version, `W/"`) {
			a.t.Errorf("%s: meta.version is %q", a.what, version)
		}
	}
	walk(r, func(key string, value any) {
		switch key {
		case "active", "primary", "supported":
			if _, ok := value.(bool); !ok {
				a.t.Errorf("%s: %s is %#v, want a boolean", a.what, key, value)
			}
		case "password":
			a.t.Errorf("%s: a password in the answer", a.what)
		}
		if list, ok := value.([]any); value == nil || ok && len(list) == 0 && key != "members" && kind != "" && r["endpoint"] == nil && kind != "Schema" {
			a.t.Errorf("%s: %s is %v, want it left out", a.what, key, value)
		}
	})
}

// keepsNumbers demands that nobody was given another number or home, and that
// no account is gone.
func keepsNumbers(t *testing.T, before, after feed) {
	t.Helper()
	for key, was := range before.rows {
		is := after.rows[key]
		switch {
		case was.Account != nil && (is.Account == nil || is.Account.UID != was.Account.UID || is.Account.GID != was.Account.GID || is.Account.Home != was.Account.Home):
			t.Errorf("account %+v became %+v", was.Account, is.Account)
		case was.Group != nil && is.Group != nil && is.Group.GID != was.Group.GID:
			t.Errorf("group %+v became %+v", was.Group, is.Group)
		}
	}
}

func (p *replay) checkRoster(t *testing.T, w rosterWanted) {
	t.Helper()
	for id, want := range w.Accounts {
		got := p.feed.account(t, id)
		if want.Name != nil && got.Name != *want.Name || want.Gecos != nil && got.Gecos != *want.Gecos ||
			want.Locked != nil && got.Locked != *want.Locked || want.UID != nil && got.UID != *want.UID {
			t.Errorf("account %+v, want %s", got, jsonOf(want))
		}
		if want.Password != nil && (*want.Password == "" && got.Hash != "" || *want.Password != "" && !verifies(got.Hash, *want.Password)) {
			t.Errorf("the hash of %s does not verify %q", got.Name, *want.Password)
		}
	}
	for id, want := range w.Groups {
		row := p.feed.rows[roster.GroupKey(id)]
		if want.Gone != (row.Group == nil) {
			t.Errorf("group %s is %+v, want it gone: %v", id, row.Group, want.Gone)
			continue
		}
		if want.Name != nil && row.Group.Name != *want.Name {
			t.Errorf("group %+v, want the name %s", *row.Group, *want.Name)
		}
		members := []string{}
		for _, row := range p.feed.rows {
			if row.Member != nil && row.Member.GroupID == id {
				members = append(members, row.Member.AccountID)
			}
		}
		slices.Sort(members)
		if want.Members != nil {
			if slices.Sort(*want.Members); !slices.Equal(members, *want.Members) {
				t.Errorf("group %s has the members %v, want %v", id, members, *want.Members)
			}
		}
		if want.Gone && len(members) > 0 {
			t.Errorf("the group %s, which is gone, has members %v", id, members)
		}
	}
}

func jsonOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
