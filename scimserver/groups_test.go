package scimserver_test

import (
	"fmt"
	"slices"
	"testing"

	"pwb/scimserver/scim"
)

// members lists the members as SCIM and as the feed have them, which must agree.
func (h *house) members(group string) (ids []string) {
	h.t.Helper()
	a := h.do("GET", "/Groups/"+group, "").ok(200)
	list, _ := a.get("members").([]any)
	f := h.feed()
	for _, m := range list {
		id, _ := dig(m, "value").(string)
		if !f.member(group, id) {
			h.t.Errorf("member %s is not in the feed", id)
		}
		if dig(m, "$ref") != h.http.URL+"/scim/v2/Users/"+id || dig(m, "type") != "User" {
			h.t.Errorf("member %v", m)
		}
		ids = append(ids, id)
	}
	inFeed := 0
	for _, row := range f.rows {
		if row.Member != nil && row.Member.GroupID == group {
			inFeed++
		}
	}
	if inFeed != len(ids) {
		h.t.Errorf("group %s has %d members and %d in the feed", group, len(ids), inFeed)
	}
	return ids
}

func (h *house) wantMembers(group string, want ...string) {
	h.t.Helper()
	got := h.members(group)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		h.t.Errorf("group %s has the members %v, want %v", group, got, want)
	}
}

func TestAGroupIsCreatedReadReplacedAndDeleted(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada, bob := h.newUser("ada"), h.newUser("bob")
	created := h.do("POST", "/Groups", `{"schemas":["`+scim.GroupURN+`"],"displayName":"R&D Berlin","externalId":"e1","members":`+values(ada)+`}`).
		ok(201).has("displayName", "R&D Berlin", "externalId", "e1", "members.0.value", ada, "members.0.display", "ada", "meta.resourceType", "Group")
	id := created.id()
	if read := h.do("GET", "/Groups/"+id, "").ok(200); string(read.body) != string(created.body) {
		t.Errorf("created:\n%s\nread:\n%s", created.body, read.body)
	}
	before := h.group(id)
	if before.Name != "r_d_berlin" || before.GID != 1002 {
		t.Errorf("group %+v", before)
	}
	h.do("GET", "/Users/"+ada, "").ok(200).has("groups.0.value", id, "groups.0.display", "R&D Berlin", "groups.0.type", "direct",
		"groups.0.$ref", h.http.URL+"/scim/v2/Groups/"+id)

	h.do("PUT", "/Groups/"+id, `{"displayName":"R&D Berlin","members":`+values(bob)+`}`).ok(200).has("members.0.value", bob, "meta.version", `W/"2"`)
	h.wantMembers(id, bob)
	h.do("PUT", "/Groups/"+id, `{"displayName":"Research"}`).ok(200).has("members", []any{})
	after := h.group(id)
	if after.Name != "research" || after.GID != before.GID {
		t.Errorf("%+v became %+v", before, after)
	}
	h.wantMembers(id)

	h.do("PUT", "/Groups/"+id, `{"displayName":"Research","members":`+values(ada, bob)+`}`).ok(200)
	h.do("DELETE", "/Groups/"+id, "").ok(204)
	h.do("DELETE", "/Groups/"+id, "").fails(404, "")
	h.do("GET", "/Groups/"+id, "").fails(404, "")
	h.do("GET", "/Users/"+ada, "").ok(200).has("groups", nil)
	for key, row := range h.feed().rows {
		if row.Account == nil {
			t.Errorf("row %s is left", key)
		}
	}
	// The number and the name are not given again.
	again := h.group(h.newGroup("Research"))
	if again.GID == before.GID || again.Name != "research-2" {
		t.Errorf("the new group got %+v", again)
	}
}

func TestGroupRenameByPatchKeepsTheGid(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newGroup("Engineers")
	before := h.group(id)
	h.do("PATCH", "/Groups/"+id, patch(`{"op":"replace","value":{"id":"`+id+`","displayName":"Makers"}}`)).ok(200)
	if after := h.group(id); after.GID != before.GID || after.Name != "makers" {
		t.Errorf("%+v became %+v", before, after)
	}
}

func TestADisplayNameIsTakenWithoutRegardToCase(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newGroup("Engineers")
	other := h.newGroup("Others")
	h.do("POST", "/Groups", `{"displayName":"ENGINEERS"}`).fails(409, "uniqueness")
	h.do("PUT", "/Groups/"+other, `{"displayName":"engineers"}`).fails(409, "uniqueness")
	h.do("PATCH", "/Groups/"+other, patch(`{"op":"replace","path":"displayName","value":"engineers"}`)).fails(409, "uniqueness")
	if got := h.group(other).Name; got != "others" {
		t.Errorf("the group became %s", got)
	}
}

func TestMembersThatAreNoUsersAreRefusedAndChangeNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada, bob := h.newUser("ada"), h.newUser("bob")
	id, other := h.newGroup("Engineers", ada), h.newGroup("Others")
	at := h.feed().at
	for _, unknown := range []string{"01930000-0000-7000-8000-000000000000", other, id, "x"} {
		list := values(bob, unknown)
		h.do("POST", "/Groups", `{"displayName":"New","members":`+list+`}`).fails(400, "invalidValue")
		h.do("PUT", "/Groups/"+id, `{"displayName":"New","members":`+list+`}`).fails(400, "invalidValue")
		h.do("PATCH", "/Groups/"+id, patch(`{"op":"replace","path":"displayName","value":"New"}`, `{"op":"add","path":"members","value":`+list+`}`)).fails(400, "invalidValue")
	}
	h.do("PUT", "/Groups/"+id, `{"displayName":"Engineers","members":[{"display":"ada"}]}`).fails(400, "invalidValue")
	if after := h.feed().at; after != at {
		t.Errorf("requests that failed moved the feed from %v to %v", at, after)
	}
	h.do("GET", "/Groups/"+id, "").ok(200).has("displayName", "Engineers", "meta.version", `W/"1"`)
	h.wantMembers(id, ada)
	h.do("GET", "/Groups", "").ok(200).has("totalResults", 2)
}

func TestWhatChangesNoMemberChangesNoVersion(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.newUser("ada")
	id := h.newGroup("Engineers", ada)
	at := h.feed().at
	h.do("PATCH", "/Groups/"+id, patch(`{"op":"add","path":"members","value":`+values(ada)+`}`)).ok(204)
	h.do("PATCH", "/Groups/"+id, patch(`{"op":"remove","path":"members[value eq \"nobody\"]"}`)).ok(204)
	h.do("PUT", "/Groups/"+id, `{"displayName":"Engineers","members":`+values(ada, ada)+`}`).ok(200)
	h.do("GET", "/Groups/"+id, "").ok(200).has("meta.version", `W/"1"`)
	if after := h.feed().at; after != at {
		t.Errorf("the feed moved from %v to %v", at, after)
	}
	h.do("PATCH", "/Groups/"+id, patch(`{"op":"remove","path":"members"}`)).ok(204)
	h.do("GET", "/Groups/"+id, "").ok(200).has("meta.version", `W/"2"`, "members", []any{})
}

func TestAGroupsPatchAnswersWithItsBodyOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newGroup("Engineers")
	a := h.do("PATCH", "/Groups/"+id, patch(`{"op":"add","path":"externalId","value":"e"}`)).ok(204)
	if a.header.Get("ETag") != `W/"2"` || len(a.body) != 0 {
		t.Errorf("ETag %s, body %s", a.header.Get("ETag"), a.body)
	}
	h.do("PATCH", "/Groups/"+id+"?attributes=displayName", patch(`{"op":"add","path":"externalId","value":"f"}`)).ok(200).
		has("displayName", "Engineers", "externalId", nil, "id", id)
}

func TestAGroupThatIsSomebodysPrimaryOneStaysWhenItIsDeleted(t *testing.T) {
	t.Parallel()
	h := open(t)
	eng := h.newGroup("Engineers")
	gid := h.group(eng).GID
	a := h.do("POST", "/Users", fmt.Sprintf(`{"userName":"ada","urn:pwb:params:scim:schemas:extension:posix:1.0:User":{"posixGroupId":%d}}`, gid)).ok(201)
	ada, _ := a.get("id").(string)
	h.do("PATCH", "/Groups/"+eng, `{"Operations":[{"op":"add","path":"members","value":[{"value":"`+ada+`"}]}]}`)
	h.do("DELETE", "/Groups/"+eng, "").ok(204)
	h.do("GET", "/Groups/"+eng, "").fails(404, "")
	if g := h.group(eng); g.GID != gid || h.account(ada).GID != gid {
		t.Errorf("the group is %+v", g)
	}
	for _, row := range h.feed().rows {
		if row.Member != nil {
			t.Errorf("member %+v is left", row.Member)
		}
	}
	// The provider's next group of that name is this one.
	if again := h.newGroup("engineers"); again != eng || h.group(again).GID != gid {
		t.Errorf("group %s came back as %s", eng, again)
	}
	// A departed account is one, too.
	h.do("DELETE", "/Users/"+ada, "").ok(204)
	h.do("DELETE", "/Groups/"+eng, "").ok(204)
	if g := h.group(eng); g.GID != gid {
		t.Errorf("a departed account's group is gone: %+v", g)
	}
}
