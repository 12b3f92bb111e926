package scimserver_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"pwb/scimserver"
	"pwb/scimserver/scim"
)

// seed puts users into the store as many requests would.
func (h *house) seed(n int) (ids []string) {
	h.t.Helper()
	for i := range n {
		ids = append(ids, h.newUser(fmt.Sprintf("user%03d@corp.example", i)))
	}
	return ids
}

func (h *house) list(path string) (total int, ids []string) {
	h.t.Helper()
	a := h.do("GET", path, "").ok(200).has("schemas", []any{scim.ListURN})
	list, ok := a.get("Resources").([]any)
	if !ok || a.get("itemsPerPage") != float64(len(list)) {
		h.t.Fatalf("%s: %s", path, a.body)
	}
	for _, r := range list {
		ids = append(ids, dig(r, "id").(string))
	}
	return int(a.get("totalResults").(float64)), ids
}

func TestPagesOf250UsersAreStableAndWhole(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.MaxPageSize = 120 })
	const n = 250
	want := h.seed(n)
	for _, filter := range []string{"", "&filter=" + url.QueryEscape(`userName co "corp"`)} {
		for _, size := range []int{1, 7, 100, 120, 500} {
			if size == 1 && filter != "" {
				continue // every page scans: once is enough
			}
			var got []string
			for start := 1; start <= n; {
				total, page := h.list(fmt.Sprintf("/Users?startIndex=%d&count=%d%s", start, size, filter))
				if total != n || len(page) == 0 || len(page) > min(size, 120) {
					t.Fatalf("page from %d of %d: %d resources of %d", start, size, len(page), total)
				}
				got = append(got, page...)
				start += len(page)
				// A change between two pages moves nobody.
				if start == 8 {
					h.do("PATCH", "/Users/"+want[3], patch(`{"op":"add","path":"title","value":"Dr"}`)).ok(200)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d with %q: %d users in another order or twice", size, filter, len(got))
			}
		}
	}
	for _, c := range []struct {
		query string
		n     int
	}{
		{"", 100}, {"?count=0", 0}, {"?count=-5", 0}, {"?startIndex=0&count=2", 2}, {"?startIndex=-7&count=2", 2},
		{"?startIndex=250", 1}, {"?startIndex=251", 0}, {"?startIndex=9223372036854775807", 0}, {"?STARTINDEX=249&Count=9", 2}, {"?count=", 100},
		{"?sortBy=userName&whatever=1&count=3", 3},
	} {
		if total, page := h.list("/Users" + c.query); total != n || len(page) != c.n {
			t.Errorf("%q: %d of %d, want %d", c.query, len(page), total, c.n)
		}
	}
}

func TestFiltersFindWhatTheySay(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.do("POST", "/Users", `{"userName":"Ada@corp.example","externalId":"Ext-1","displayName":"Ada L","emails":[{"value":"ada@x","type":"work"}],"`+scim.EnterpriseURN+`":{"manager":{"value":"m1"}}}`).ok(201).id()
	bob := h.do("POST", "/Users", `{"userName":"bob","externalId":"ext-1","active":false}`).ok(201).id()
	group := h.newGroup("Engineers", ada)
	for _, c := range []struct {
		path, filter string
		want         []string
	}{
		{"/Users", `userName eq "ada@CORP.example"`, []string{ada}},
		{"/Users", `USERNAME Eq "Ada@corp.example"`, []string{ada}},
		{"/Users", `userName eq bob`, []string{bob}},
		{"/Users", `userName eq "no\u0062ody"`, nil},
		{"/Users", scim.UserURN + `:userName eq "bob"`, []string{bob}},
		{"/Users", `externalId eq "Ext-1"`, []string{ada}},
		{"/Users", `id eq "` + bob + `"`, []string{bob}},
		{"/Users", `displayName eq "ada l"`, []string{ada}},
		{"/Users", `active eq "False"`, []string{bob}},
		{"/Users", `active eq true`, []string{ada}},
		{"/Users", `emails[type eq "work"].value eq "ada@x"`, []string{ada}},
		{"/Users", `not (emails pr)`, []string{bob}},
		{"/Users", `id eq "` + ada + `" and manager eq "m1"`, []string{ada}},
		{"/Users", `id eq "` + ada + `" and manager eq "m2"`, nil},
		{"/Users", `groups.value eq "` + group + `"`, []string{ada}},
		{"/Users", `userName eq ""`, nil},
		{"/Users", `shoeSize eq 40`, nil},
		{"/Users", `password pr`, nil},
		{"/Groups", `displayName eq "ENGINEERS"`, []string{group}},
		{"/Groups", `members eq "` + ada + `"`, []string{group}},
		{"/Groups", `members[value eq "` + bob + `"]`, nil},
		{"/Groups", `id eq "` + group + `" and members eq "` + ada + `"`, []string{group}},
		{"/Groups", `userName eq "bob"`, nil},
	} {
		total, got := h.list(c.path + "?filter=" + url.QueryEscape(c.filter))
		if !slices.Equal(got, c.want) || total != len(c.want) {
			t.Errorf("%s %s: %v of %d, want %v", c.path, c.filter, got, total, c.want)
		}
	}
}

func TestAttributesAreChosenOnEveryAnswer(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.do("POST", "/Users?attributes=userName", `{"userName":"ada","title":"Dr"}`).ok(201).has("userName", "ada", "title", nil, "meta", nil).id()
	group := h.newGroup("Engineers", id)
	h.do("GET", "/Users/"+id+"?excludedAttributes=title,groups", "").ok(200).has("title", nil, "groups", nil, "userName", "ada")
	h.do("GET", "/Users?attributes=id", "").ok(200).has("Resources.0", map[string]any{"id": id, "schemas": []any{scim.UserURN}})
	h.do("PUT", "/Users/"+id+"?ATTRIBUTES=TITLE", `{"userName":"ada","title":"Prof"}`).ok(200).has("title", "Prof", "userName", nil)
	h.do("GET", "/Groups/"+group+"?excludedAttributes=members", "").ok(200).has("members", nil, "displayName", "Engineers")
	h.do("GET", "/Groups/"+group+"?attributes=members.value", "").ok(200).has("members.0", map[string]any{"value": id})
}

func TestVersionsGuardAgainstLostUpdates(t *testing.T) {
	t.Parallel()
	h := open(t)
	id, group := h.newUser("ada"), h.newGroup("Engineers")
	for _, path := range []string{"/Users/" + id, "/Groups/" + group} {
		body := `{"userName":"ada","displayName":"one"}`
		for _, r := range [][2]string{{"PUT", body}, {"PATCH", patch(`{"op":"replace","path":"displayName","value":"no"}`)}, {"DELETE", ""}} {
			h.do(r[0], path, r[1], "If-Match", `W/"7"`).fails(412, "")
			h.do(r[0], path, r[1], "If-Match", `"7", W/"8"`).fails(412, "")
		}
		a := h.do("PUT", path, body, "If-Match", `W/"7", W/"1"`).ok(200).has("meta.version", `W/"2"`)
		if a.header.Get("ETag") != `W/"2"` {
			t.Errorf("ETag %s", a.header.Get("ETag"))
		}
		h.do("PUT", path, `{"userName":"ada","displayName":"two"}`, "If-Match", "*").ok(200).has("meta.version", `W/"3"`)
		for tag, status := range map[string]int{`W/"3"`: 304, `"3"`: 304, `*`: 304, `W/"2", W/"3"`: 304, `W/"2"`: 200, `3`: 200, ``: 200} {
			a := h.do("GET", path, "", "If-None-Match", tag)
			if a.status != status || a.header.Get("ETag") != `W/"3"` || (status == 304) != (len(a.body) == 0) {
				t.Errorf("If-None-Match %s: %d with ETag %s", tag, a.status, a.header.Get("ETag"))
			}
		}
		if a := h.do("HEAD", path, ""); a.status != 200 || len(a.body) != 0 || a.header.Get("ETag") != `W/"3"` || a.header.Get("Content-Length") == "0" {
			t.Errorf("HEAD: %d %v", a.status, a.header)
		}
		h.do("DELETE", path, "", "If-Match", `W/"3"`).ok(204)
	}
}
