package scimserver_test

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/scim"
)

// What providers do in ways of their own and no fixture shows, since it takes
// many resources, a configuration or more than one request.

func TestEveryFormOfAFilterIsUnderstood(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.do("POST", "/Users", `{"userName":"ada@corp.example","externalId":"7","name":{"familyName":"Lovelace"},"title":"Dr \"L\"","active":true,
		"emails":[{"value":"ada@corp.example","type":"work","primary":true},{"value":"ada@home.example","type":"home"}],"roles":[{"value":"boss","primary":"True"}],
		"`+scim.EnterpriseURN+`":{"department":"Analysis","employeeNumber":"007"}}`).ok(201).id()
	bob := h.do("POST", "/Users", `{"userName":"007","externalId":"007","active":false}`).ok(201).id()
	eve := h.do("POST", "/Users", `{"userName":"eve","externalId":"E","displayName":"Eve and Eve","name":{"familyName":"Zuse"}}`).ok(201).id()
	group := h.newGroup("Staff", ada, eve)
	all := []string{ada, bob, eve}
	for _, c := range []struct {
		filter string
		want   []string
	}{
		{`userName eq ada@corp.example`, []string{ada}},
		{`userName eq 007`, []string{bob}},
		{`externalId eq 7`, []string{ada}},
		{`externalId eq 007`, []string{bob}},
		{`externalId eq "e"`, nil},
		{`userName EQ "EVE"`, []string{eve}},
		{`UserName Eq Eve`, []string{eve}},
		{`userName eq "\u0065v\u0065"`, []string{eve}},
		{`title eq "Dr \"L\""`, []string{ada}},
		{`title eq "Dr \u0022L\u0022"`, []string{ada}},
		{`emails eq "ada@home.example"`, []string{ada}},
		{`emails.value eq "ADA@home.example"`, []string{ada}},
		{`emails[type eq "work"].value eq "ada@corp.example"`, []string{ada}},
		{`emails[type eq "work"].value eq "ada@home.example"`, nil},
		{`emails[type eq work and primary eq "True"]`, []string{ada}},
		{`emails[type eq "home" and not (primary eq true)].value ew "example"`, []string{ada}},
		{`roles[primary eq "true"].value eq boss`, []string{ada}},
		{scim.UserURN + `:userName eq "eve"`, []string{eve}},
		{strings.ToUpper(scim.UserURN) + `:NAME.FAMILYNAME eq "zuse"`, []string{eve}},
		{scim.EnterpriseURN + `:department eq "analysis"`, []string{ada}},
		{scim.EnterpriseURN + `:employeeNumber eq 007`, []string{ada}},
		{`department pr`, []string{ada}},
		{`active eq "False"`, []string{bob}},
		{`active eq "TRUE"`, []string{ada, eve}},
		{`active ne true`, []string{bob}},
		{`name pr and not (emails pr)`, []string{eve}},
		{`(userName eq "eve" or userName sw "00") and active eq true`, []string{eve}},
		{`userName eq "eve" or userName sw "00" and active eq true`, []string{eve}},
		{`displayName co "and"`, []string{eve}},
		{`not (displayName co " AND ")`, []string{ada, bob}},
		{`displayName eq null`, []string{ada, bob}},
		{`name.familyName ge "M"`, []string{eve}},
		{`meta.created gt "2001-01-01T00:00:00Z"`, all},
		{`meta.lastModified lt "2001-01-01T00:00:00Z"`, nil},
		{`meta.resourceType eq "User" and id pr`, all},
		{`groups eq "` + group + `"`, []string{ada, eve}},
		{`groups.display eq "staff" and userName ne "eve"`, []string{ada}},
		{`urn:example:no:such:User:shoe eq 1 or userName eq eve`, []string{eve}},
		{`userName pr`, all},
	} {
		total, got := h.list("/Users?filter=" + url.QueryEscape(c.filter))
		if !slices.Equal(got, c.want) || total != len(c.want) {
			t.Errorf("%s: %v of %d, want %v", c.filter, got, total, c.want)
		}
		a := h.do("POST", "/Users/.search", `{"filter":`+strconv.Quote(c.filter)+`}`).ok(200)
		if got := a.get("totalResults"); got != float64(len(c.want)) {
			t.Errorf(".search %s: %v, want %d", c.filter, got, len(c.want))
		}
	}
}

func TestFiltersHaveBoundsAndReachThem(t *testing.T) {
	t.Parallel()
	h := open(t)
	nested := func(n int) string { return strings.Repeat("(", n) + "userName pr" + strings.Repeat(")", n) }
	long := func(n int) string { return `userName eq "` + strings.Repeat("a", n-len(`userName eq ""`)) + `"` }
	for filter, fits := range map[string]bool{
		nested(scim.MaxFilterDepth):       true,
		nested(scim.MaxFilterDepth + 1):   false,
		long(scim.MaxFilterLength):        true,
		long(scim.MaxFilterLength + 1):    false,
		`emails[emails[type eq "a"]]`:     false,
		`userName eq "a" userName eq "b"`: false,
	} {
		for _, a := range []*answer{
			h.do("GET", "/Users?filter="+url.QueryEscape(filter), ""),
			h.do("POST", "/.search", `{"filter":`+strconv.Quote(filter)+`}`),
		} {
			if fits {
				a.ok(200).has("totalResults", 0)
			} else {
				a.fails(400, "invalidFilter")
			}
		}
	}
}

func TestNullAndTheEmptyListUnassignOnEveryWrite(t *testing.T) {
	t.Parallel()
	h := open(t)
	full := `{"userName":"ada","title":"Dr","name":{"familyName":"L"},"emails":[{"value":"a@x"}],"` + scim.EnterpriseURN + `":{"department":"d","manager":{"value":"m"}}}`
	bare := []any{"title", nil, "name", nil, "emails", nil, strings.ReplaceAll(scim.EnterpriseURN, ".", "/"), nil, "schemas", []any{scim.UserURN}}
	id := h.do("POST", "/Users", full).ok(201).id()
	for _, w := range [][2]string{
		{"PUT", `{"userName":"ada","title":null,"name":null,"emails":null,"` + scim.EnterpriseURN + `":null}`},
		{"PUT", `{"userName":"ada","title":null,"name":[],"emails":[],"` + scim.EnterpriseURN + `":{"department":null,"manager":[]}}`},
		{"PUT", `{"userName":"ada","name":{},"emails":[null],"` + scim.EnterpriseURN + `":{}}`},
		{"PATCH", patch(`{"op":"replace","value":{"title":null,"name":null,"emails":[],"` + scim.EnterpriseURN + `":{"department":null,"manager":null}}}`)},
		{"PATCH", patch(`{"op":"replace","path":"title","value":null}`, `{"op":"replace","path":"name","value":null}`, `{"op":"replace","path":"emails","value":[]}`,
			`{"op":"remove","path":"`+scim.EnterpriseURN+`"}`)},
	} {
		h.do("PUT", "/Users/"+id, full).ok(200).has("title", "Dr")
		h.do(w[0], "/Users/"+id, w[1]).ok(200).has(bare...)
	}
}

func TestAttributesAreChosenOnPatchAndSearchToo(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.do("POST", "/Users?excludedAttributes=name,meta", `{"userName":"ada","title":"Dr","name":{"familyName":"L","givenName":"A"}}`).ok(201).has("name", nil, "meta", nil, "title", "Dr").id()
	group := h.newGroup("Staff", id)
	h.do("PATCH", "/Users/"+id+"?attributes=name.givenName", patch(`{"op":"replace","path":"title","value":"Prof"}`)).ok(200).
		has("id", id, "title", nil, "name", map[string]any{"givenName": "A"})
	h.do("PATCH", "/Users/"+id+"?excludedAttributes=name.givenName,groups", patch(`{"op":"remove","path":"title"}`)).ok(200).
		has("title", nil, "name", map[string]any{"familyName": "L"}, "groups", nil, "userName", "ada")
	h.do("PATCH", "/Groups/"+group+"?excludedAttributes=members", patch(`{"op":"replace","path":"displayName","value":"Crew"}`)).ok(200).has("displayName", "Crew", "members", nil)
	h.do("PUT", "/Groups/"+group+"?attributes=members", `{"displayName":"Crew","members":`+values(id)+`}`).ok(200).has("displayName", nil, "members.0.value", id)
	h.do("POST", "/Groups/.search", `{"attributes":["displayName"]}`).ok(200).has("Resources.0", map[string]any{"id": group, "displayName": "Crew", "schemas": []any{scim.GroupURN}})
	h.do("POST", "/Groups/.search", `{"excludedAttributes":"members,meta"}`).ok(200).has("Resources.0.members", nil, "Resources.0.meta", nil, "Resources.0.displayName", "Crew")
	h.do("GET", "/Users?attributes="+url.QueryEscape(scim.UserURN+":userName"), "").ok(200).has("Resources.0.userName", "ada", "Resources.0.name", nil)
	h.do("GET", "/Users/"+id+"?attributes=nothing,known", "").ok(200).has("id", id, "userName", nil, "schemas", []any{scim.UserURN})
}

func TestEveryOrderIsTotalInBothDirectionsAndAcrossPages(t *testing.T) {
	t.Parallel()
	h := open(t)
	type person struct {
		id, userName, family string
		nth                  int
	}
	var people []person
	for i := range 130 {
		p := person{userName: fmt.Sprintf("%c%03d@corp.example", "bAcB"[i%4], (i*37)%130), family: []string{"Young", "adams", "Adams", "", "müller"}[i%5], nth: i}
		name := ""
		if p.family != "" {
			name = `,"name":{"familyName":"` + p.family + `"}`
		}
		p.id = h.do("POST", "/Users", `{"userName":"`+p.userName+`"`+name+`}`).ok(201).id()
		people = append(people, p)
	}
	byFamily := func(p, q person) int {
		if (p.family == "") != (q.family == "") { // who has none comes last
			return cmp.Compare(len(q.family), len(p.family))
		}
		return strings.Compare(scim.Fold(p.family), scim.Fold(q.family))
	}
	byAge := func(p, q person) int { return cmp.Compare(p.nth, q.nth) }
	orders := map[string]func(p, q person) int{
		"":                byAge,
		"id":              func(p, q person) int { return strings.Compare(p.id, q.id) },
		"userName":        func(p, q person) int { return strings.Compare(scim.Fold(p.userName), scim.Fold(q.userName)) },
		"name.familyName": byFamily,
		strings.ToUpper(scim.UserURN) + ":NAME.FAMILYNAME": byFamily,
		"shoeSize": byAge, // an attribute that nobody knows orders nothing
	}
	for by, compare := range orders {
		for _, order := range []string{"", "ascending", "Descending"} {
			want := slices.Clone(people)
			slices.SortStableFunc(want, func(p, q person) int {
				if order == "Descending" {
					return compare(q, p)
				}
				return compare(p, q)
			})
			// Without a filter the store pages, with this one the server does.
			for filter, sizes := range map[string][]int{"": {17, 100}, `userName co "corp"`: {100}} {
				for _, size := range sizes {
					q := url.Values{"count": {strconv.Itoa(size)}, "attributes": {"userName"}}
					for name, value := range map[string]string{"sortBy": by, "sortOrder": order, "filter": filter} {
						if value != "" {
							q.Set(name, value)
						}
					}
					var got []string
					for len(got) < len(people) {
						q.Set("startIndex", strconv.Itoa(len(got)+1))
						total, page := h.list("/Users?" + q.Encode())
						if total != len(people) || len(page) == 0 || len(page) > size {
							t.Fatalf("%s: a page of %d of %d", q.Encode(), len(page), total)
						}
						got = append(got, page...)
					}
					for i, p := range want {
						if got[i] != p.id {
							t.Errorf("sortBy=%s sortOrder=%s filter=%s count=%d: the %d. is not %s", by, order, filter, size, i+1, p.userName)
							break
						}
					}
				}
			}
		}
	}
	h.do("GET", "/Users?sortBy=userName&sortOrder=sideways", "").fails(400, "invalidValue")
	h.do("GET", "/Users?sortBy=a%20b", "").fails(400, "invalidPath")
}

func TestAListIsNeverWithoutBounds(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.PageSize, c.MaxPageSize = 3, 5 })
	h.seed(12)
	for query, want := range map[string]int{"": 3, "?count=1000000": 5, "?count=4": 4, "?filter=userName+pr": 3, "?filter=userName+pr&count=99": 5, "?sortBy=name.familyName&count=99": 5} {
		if total, page := h.list("/Users" + query); total != 12 || len(page) != want {
			t.Errorf("%s: %d of %d, want %d", query, len(page), total, want)
		}
	}
	for body, want := range map[string]int{`{}`: 3, `{"count":1000000}`: 5, `{"count":"4"}`: 4, `{"count":null}`: 3, `{"count":0}`: 0, `{"startIndex":11}`: 2} {
		for _, path := range []string{"/Users/.search", "/.search"} {
			h.do("POST", path, body).ok(200).has("totalResults", 12, "itemsPerPage", want)
		}
	}
	h.do("POST", "/.search", `{"count":[1,2]}`).fails(400, "invalidValue")
	h.do("POST", "/.search", `{"count":true}`).fails(400, "invalidValue")
	h.do("GET", "/ServiceProviderConfig", "").ok(200).has("filter.maxResults", 5)
}

// bulk sends a bulk request and returns its results by bulkId or path.
func (h *house) bulk(failOnErrors int, ops ...string) []any {
	h.t.Helper()
	a := h.do("POST", "/Bulk", fmt.Sprintf(`{"schemas":[%q],"failOnErrors":%d,"Operations":[%s]}`, scim.BulkRequestURN, failOnErrors, strings.Join(ops, ","))).ok(200)
	a.has("schemas", []any{scim.BulkResponseURN})
	list, ok := a.get("Operations").([]any)
	if !ok {
		h.t.Fatalf("no Operations: %s", a.body)
	}
	return list
}

func statuses(list []any) (out []string) {
	for _, e := range list {
		s, _ := dig(e, "status").(string)
		out = append(out, s)
	}
	return out
}

func TestBulkResolvesReferencesInEveryDirection(t *testing.T) {
	t.Parallel()
	h := open(t)
	list := h.bulk(0,
		`{"method":"POST","path":"/Groups","bulkId":"g","data":{"displayName":"Staff","members":[{"value":"bulkId:later"},{"value":"bulkId:a"}]}}`,
		`{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"a","`+scim.EnterpriseURN+`":{"manager":{"value":"bulkId:b"}}}}`,
		`{"method":"POST","path":"/Users","bulkId":"b","data":{"userName":"b","`+scim.EnterpriseURN+`":{"manager":{"value":"bulkId:a"}}}}`,
		`{"method":"PATCH","path":"/Users/bulkId:a","data":`+patch(`{"op":"replace","path":"active","value":"False"}`)+`}`,
		`{"method":"POST","path":"/Users","bulkId":"later","data":{"userName":"later"}}`,
		`{"method":"PUT","path":"/Users/bulkId:later","version":"W/\"1\"","data":{"userName":"later","title":"Dr"}}`,
		`{"method":"PUT","path":"/Users/bulkId:later","version":"W/\"1\"","data":{"userName":"later","title":"Prof"}}`,
		`{"method":"PATCH","path":"/Groups/bulkId:g","data":`+patch(`{"op":"add","path":"members","value":[{"value":"bulkId:b"}]}`)+`}`,
	)
	if got := statuses(list); !slices.Equal(got, []string{"201", "201", "201", "200", "201", "200", "412", "200"}) {
		t.Fatalf("statuses %v: %v", got, list)
	}
	id := func(i int) string {
		location, _ := dig(list[i], "location").(string)
		kind := []string{"Groups", "Users", "Users", "Users", "Users", "Users", "Users", "Groups"}[i]
		id, ok := strings.CutPrefix(location, h.http.URL+"/scim/v2/"+kind+"/")
		if !ok {
			t.Fatalf("location %q", location)
		}
		return id
	}
	a, b, later, group := id(1), id(2), id(4), id(0)
	manager := strings.ReplaceAll(scim.EnterpriseURN, ".", "/") + ".manager.value"
	h.do("GET", "/Users/"+a, "").ok(200).has(manager, b, "active", false)
	h.do("GET", "/Users/"+b, "").ok(200).has(manager, a)
	h.do("GET", "/Users/"+later, "").ok(200).has("title", "Dr")
	h.wantMembers(group, a, b, later)
	if !h.account(a).Locked {
		t.Error("who was disabled in a bulk request is not locked")
	}
	if dig(list[6], "response.status") != "412" || dig(list[6], "response.schemas.0") != scim.ErrorURN {
		t.Errorf("the operation that failed: %v", list[6])
	}
	if dig(list[1], "bulkId") != "a" || dig(list[1], "method") != "POST" || dig(list[1], "version") != `W/"1"` {
		t.Errorf("the operation that was done: %v", list[1])
	}
	gone := h.bulk(0, `{"method":"DELETE","path":"/Users/`+b+`"}`, `{"method":"DELETE","path":"/Users/`+b+`"}`)
	if got := statuses(gone); !slices.Equal(got, []string{"204", "404"}) {
		t.Errorf("statuses %v", got)
	}
}

func TestBulkStopsAfterSoManyErrors(t *testing.T) {
	t.Parallel()
	h := open(t)
	bad := `{"method":"DELETE","path":"/Users/nobody"}`
	good := func(name string) string {
		return `{"method":"POST","path":"/Users","bulkId":"` + name + `","data":{"userName":"` + name + `"}}`
	}
	for _, c := range []struct {
		failOnErrors int
		want         []string
	}{
		{1, []string{"201", "404"}},
		{2, []string{"201", "404", "201", "404"}},
		{0, []string{"201", "404", "201", "404", "201"}},
	} {
		n := fmt.Sprint(c.failOnErrors)
		if got := statuses(h.bulk(c.failOnErrors, good("a"+n), bad, good("b"+n), bad, good("c"+n))); !slices.Equal(got, c.want) {
			t.Errorf("failOnErrors %d: %v, want %v", c.failOnErrors, got, c.want)
		}
	}
	if total, _ := h.list("/Users"); total != 6 {
		t.Errorf("%d users", total)
	}
}

func TestBulkTellsWhatIsWrongWithEachOperation(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	at := h.feed().at
	for _, c := range []struct{ status, scimType, op string }{
		{"409", "uniqueness", `{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":"ADA"}}`},
		{"400", "invalidValue", `{"method":"POST","path":"/Users","data":{"userName":"x"}}`},
		{"400", "invalidValue", `{"method":"POST","path":"/Users","bulkId":"x","data":{}}`},
		{"400", "invalidValue", `{"method":"POST","path":"/Users","bulkId":"x"}`},
		{"400", "invalidValue", `{"method":"POST","path":"/Users/` + id + `","bulkId":"x","data":{"userName":"x"}}`},
		{"400", "invalidValue", `{"method":"PUT","path":"/Users","data":{"userName":"x"}}`},
		{"400", "invalidValue", `{"method":"GET","path":"/Users/` + id + `"}`},
		{"400", "invalidPath", `{"method":"POST","path":"/Bulk","bulkId":"x","data":{}}`},
		{"400", "invalidPath", `{"method":"POST","path":"/Widgets","bulkId":"x","data":{}}`},
		{"400", "invalidPath", `{"method":"DELETE"}`},
		{"400", "invalidValue", `{"method":"DELETE","path":"/Users/bulkId:nobody"}`},
		{"400", "invalidSyntax", `{"method":"PATCH","path":"/Users/` + id + `","data":{}}`},
		{"404", "", `{"method":"PUT","path":"/Groups/` + id + `","data":{"displayName":"x"}}`},
		{"412", "", `{"method":"DELETE","path":"/Users/` + id + `","version":"W/\"9\""}`},
		{"400", "invalidValue", `{"method":"POST","path":"/Groups","bulkId":"x","data":{"displayName":"x","members":[{"value":"bulkId:x"}]}}`},
	} {
		list := h.bulk(0, c.op)
		got, _ := dig(list[0], "response.scimType").(string)
		detail, _ := dig(list[0], "response.detail").(string)
		if statuses(list)[0] != c.status || got != c.scimType || detail == "" {
			t.Errorf("%s: %v, want %s %s", c.op, list[0], c.status, c.scimType)
		}
	}
	// Who refers to what failed is told, and is not made without it.
	list := h.bulk(0, `{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":"ADA"}}`, `{"method":"POST","path":"/Groups","bulkId":"g","data":{"displayName":"g","members":[{"value":"bulkId:x"}]}}`)
	if got := statuses(list); !slices.Equal(got, []string{"409", "409"}) {
		t.Errorf("statuses %v", got)
	}
	if after := h.feed().at; after != at {
		t.Errorf("operations that failed moved the feed from %v to %v", at, after)
	}
	for _, c := range []struct{ body, scimType string }{
		{`{}`, "invalidSyntax"}, {`{"Operations":{}}`, "invalidSyntax"}, {`{"Operations":[1]}`, "invalidSyntax"}, {`{"Operations":[{"method":1}]}`, "invalidSyntax"},
		{`{"Operations":[],"failOnErrors":"x"}`, "invalidSyntax"}, {`{"Operations":[],"failOnErrors":-1}`, "invalidSyntax"},
		{`{"Operations":[{"method":"POST","path":"/Users","bulkId":"x","data":{}},{"method":"POST","path":"/Users","bulkId":"x","data":{}}]}`, "invalidValue"},
		{`{"Operations":[{"method":"POST","path":"/Users","bulkId":"x","data":[]}]}`, "invalidSyntax"},
	} {
		h.do("POST", "/Bulk", c.body).fails(400, c.scimType)
	}
	if got := h.do("GET", "/Bulk", "").fails(405, "").header.Get("Allow"); got != "POST" {
		t.Errorf("Allow %q", got)
	}
}

func TestBulkHasAsManyOperationsAsItSays(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.do("GET", "/ServiceProviderConfig", "").ok(200).has("bulk.maxOperations", 1000)
	const limit = 1000
	op := `{"method":"DELETE","path":"/Users/nobody"}`
	ops := slices.Repeat([]string{op}, limit)
	if list := h.bulk(0, ops...); len(list) != limit {
		t.Errorf("%d results", len(list))
	}
	ops = append(ops[:limit-1:limit-1], `{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":"x"}}`, op)
	h.do("POST", "/Bulk", `{"Operations":[`+strings.Join(ops, ",")+`]}`).fails(413, "")
	if total, _ := h.list("/Users"); total != 0 {
		t.Errorf("%d users of a request that was refused", total)
	}
	// authentik puts as many operations into one PATCH as bulk.maxOperations says.
	if scim.MaxPatchOps < limit {
		t.Errorf("a PATCH may have %d operations", scim.MaxPatchOps)
	}
}

func TestATokenThatIsTooBusyIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.RateLimit, c.RateBurst = 1e-4, 6 })
	other := h.newToken("other", scimserver.ScopeSCIM, time.Now(), 0)
	for range 4 {
		h.do("GET", "/Users", "").ok(200)
	}
	tooMany := func(a *answer) {
		t.Helper()
		a.fails(429, "")
		if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 60_000 {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
	}
	// A bulk request counts with each of its operations.
	add := func(name string) string {
		return `{"method":"POST","path":"/Users","bulkId":"` + name + `","data":{"userName":"` + name + `"}}`
	}
	tooMany(h.do("POST", "/Bulk", `{"Operations":[`+add("a")+`,`+add("b")+`,`+add("c")+`]}`))
	h.do("POST", "/Users", `{"userName":"ada"}`).ok(201)
	h.do("GET", "/Users", "").ok(200).has("totalResults", 1)
	for range 3 {
		tooMany(h.do("POST", "/Users", `{"userName":"bob"}`))
	}
	// Nobody else is held up, and discovery costs nothing.
	h.send("GET", "/scim/v2/Users", "", "Authorization", "Bearer "+other).ok(200).has("totalResults", 1)
	h.do("GET", "/ServiceProviderConfig", "").ok(200)
}

func TestARateOfRequestsIsUnboundedUnlessItIsConfigured(t *testing.T) {
	t.Parallel()
	h := open(t)
	for range 200 {
		h.do("GET", "/Users?count=1", "").ok(200)
	}
}

func TestHeadersThatAreTooLargeAreRefusedInTheProtocolsForm(t *testing.T) {
	t.Parallel()
	h := open(t)
	long := strings.Repeat("a", 20_000)
	h.do("GET", "/Users?filter=userName+eq+"+long, "").fails(431, "")
	h.do("GET", "/Users/"+long, "").fails(431, "")
	h.do("GET", "/Users", "", "X-Trace", long).fails(431, "")
	h.do("POST", "/Users", `{"userName":"ada"}`, "X-Trace", long).fails(431, "")
	h.do("GET", "/Schemas", "", "Authorization", "Bearer "+long).fails(431, "")
	h.do("GET", "/Users", "").ok(200).has("totalResults", 0)
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	h := open(t)
	id, group := h.newUser("ada"), h.newGroup("Staff")
	for _, path := range []string{
		"/Users", "/Users?count=1&filter=userName+pr", "/Users/" + id, "/Groups/" + group, "/Groups", "/ServiceProviderConfig", "/Schemas", "/ResourceTypes/User",
		"/Users/nobody", "/Widgets", "/Users?filter=x", "/Me",
	} {
		get, head := h.do("GET", path, ""), h.do("HEAD", path, "")
		if head.status != get.status || len(head.body) != 0 {
			t.Errorf("HEAD %s: %d with %d bytes, GET %d", path, head.status, len(head.body), get.status)
		}
		for _, name := range []string{"Content-Type", "Content-Length", "ETag", "Location"} {
			if got, want := head.header.Get(name), get.header.Get(name); got != want {
				t.Errorf("HEAD %s: %s %q, GET %q", path, name, got, want)
			}
		}
	}
	for _, path := range []string{"/.search", "/Users/.search", "/Bulk"} {
		if a := h.do("HEAD", path, ""); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("HEAD %s: %d, Allow %q", path, a.status, a.header.Get("Allow"))
		}
	}
}

func TestMeIsNotOfferedWhateverTheMethod(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		h.do(method, "/Me", `{"userName":"ada"}`).fails(501, "")
	}
}

func TestPathsThatAdministratorsMistypeStillLeadThere(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	token := []string{"Authorization", "Bearer " + h.token[scimserver.ScopeSCIM]}
	for _, path := range []string{"/scim/v2/Users/" + id, "/scim/v2//Users/" + id, "/scim/v2/Users/" + id + "/", "/SCIM/v2/users/" + id, "/Scim/V2/USERS/" + id} {
		h.send("GET", path, "", token...).ok(200).has("id", id)
	}
	for _, path := range []string{"/scim/v2", "/scim/v2/", "/scim/v2/Users/../Users", "/scim/v2/./Users", "/scim/v2/Users/" + id + "/x"} {
		h.send("GET", path, "", token...).fails(404, "")
	}
}

// fill puts users into the store at once, which many requests would do slowly.
func (h *house) fill(n int) (ids []string) {
	h.t.Helper()
	now := time.UnixMilli(1_700_000_000_000).UTC()
	h.update(func(tx scimserver.Tx) error {
		for i := range n {
			name := fmt.Sprintf("user%05d", i)
			r := scimserver.Resource{
				Kind: scimserver.KindUser, ID: fmt.Sprintf("01930000-0000-7000-8000-%012d", i), Name: name, Version: 1,
				Created: now, Modified: now, Doc: fmt.Appendf(nil, `{"userName":%q,"active":true}`, name),
			}
			ids = append(ids, r.ID)
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	})
	return ids
}

func TestAGroupOf10000Members(t *testing.T) {
	t.Parallel()
	h := open(t)
	const n = 10_000
	ids := h.fill(n + 1000)
	group := h.newGroup("Everybody", ids[:n]...)
	seq := func() int64 {
		t.Helper()
		var at roster.Position
		err := h.store.View(t.Context(), func(v scimserver.View) (err error) {
			at, err = v.Position()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return at.Seq
	}
	edit := func(changes int64, ops ...string) {
		t.Helper()
		before := seq()
		if a := h.do("PATCH", "/Groups/"+group, patch(ops...)).ok(204); len(a.body) > 0 {
			t.Errorf("the answer to a PATCH has %d bytes", len(a.body))
		}
		// A member costs one change of the feed, however many the others are.
		if after := seq(); after != before+changes {
			t.Errorf("the feed moved from %d to %d, want %d changes", before, after, changes)
		}
	}
	edit(1, `{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+ids[n]+`"}]}`)
	edit(1, `{"op":"remove","path":"members[value eq \"`+ids[n]+`\"]"}`)
	if a := h.do("GET", "/Groups/"+group+"?excludedAttributes=members", "").ok(200); len(a.body) > 1000 {
		t.Errorf("a group without its members has %d bytes", len(a.body))
	}
	h.do("GET", "/Groups?attributes=id&filter="+url.QueryEscape(`id eq "`+group+`" and members eq "`+ids[n-1]+`"`), "").ok(200).has("totalResults", 1)
	// authentik sends an operation for each member, as many as it may.
	var ops []string
	for _, id := range ids[n:] {
		ops = append(ops, `{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`)
	}
	edit(1000, ops...)
	h.do("PATCH", "/Groups/"+group, patch(append(ops, ops[0])...)).fails(400, "invalidSyntax")
	edit(1000, `{"op":"Remove","path":"members","value":`+values(ids[:1000]...)+`}`)
	h.do("PATCH", "/Groups/"+group, patch(`{"op":"remove","path":"members","value":`+values(ids[1000:1100]...)+`}`, `{"op":"add","path":"members","value":["nobody"]}`)).fails(400, "invalidValue")
	h.wantMembers(group, ids[1000:]...)
}

func TestAUserShowsMoreThan150Groups(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	want := map[string]bool{}
	for i := range 160 {
		want[h.newGroup(fmt.Sprint("group ", i), id)] = true
	}
	list, _ := h.do("GET", "/Users/"+id, "").ok(200).get("groups").([]any)
	for _, g := range list {
		delete(want, dig(g, "value").(string))
	}
	if len(list) != 160 || len(want) != 0 {
		t.Errorf("%d groups, without %d of those there are", len(list), len(want))
	}
	if total, _ := h.list("/Groups?count=1000&filter=" + url.QueryEscape(`members eq "`+id+`"`)); total != 160 {
		t.Errorf("%d groups have the member", total)
	}
}
