package scimserver_test

import (
	"fmt"
	"net/url"
	"testing"

	"pwb/scimserver/scim"
)

// What Microsoft Entra ID sends day by day.
func TestEntra(t *testing.T) {
	t.Parallel()
	h := open(t)
	entra := []string{"Accept", "application/scim+json", "Content-Type", "application/scim+json; charset=utf-8"}
	do := func(method, path, body string) *answer { t.Helper(); return h.do(method, path, body, entra...) }
	filter := func(f string) string { return "?filter=" + url.QueryEscape(f) }

	t.Run("the connection is tested with a user that cannot be", func(t *testing.T) {
		do("GET", "/Users"+filter(`userName eq "f2ae4a5b-0d5c-4f6b-9f8e-3b7c1d9e2a10"`), "").ok(200).has("totalResults", 0, "Resources", []any{}, "itemsPerPage", 0)
	})
	created := do("POST", "/Users", `{
		"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef", "userName": "Test_User_ab6490ee", "active": true,
		"addresses": null, "displayName": "lennay", "emails": [{"primary": true, "type": "work", "value": "Test_User_fd0ea19b@testuser.com"}],
		"meta": {"resourceType": "User"}, "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
		"phoneNumbers": null, "roles": [], "title": null, "department": null, "manager": null
	}`).ok(201).has("userName", "Test_User_ab6490ee", "active", true, "emails.0.primary", true, "title", nil, "roles", nil,
		"schemas", []any{scim.UserURN}, "meta.resourceType", "User")
	id := created.id()

	t.Run("operations are capitalised", func(t *testing.T) {
		do("PATCH", "/Users/"+id, patch(
			`{"op":"Replace","path":"name.familyName","value":"updatedFamilyName"}`,
			`{"op":"Replace","path":"emails[type eq \"work\"].value","value":"updatedEmail@microsoft.com"}`,
			`{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+49 1"}`,
			`{"op":"Add","path":"addresses[type eq \"work\"].streetAddress","value":"Main St"}`,
			`{"op":"Add","path":"addresses[type eq \"work\"].locality","value":"Berlin"}`,
			`{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Analysis"}`,
			`{"op":"Add","path":"roles[primary eq \"True\"].value","value":"boss"}`,
		)).ok(200).has("name.familyName", "updatedFamilyName", "name.givenName", "givenName", "emails.0.value", "updatedEmail@microsoft.com",
			"emails.1", nil, "phoneNumbers.0", map[string]any{"type": "mobile", "value": "+49 1"}, "addresses.0.locality", "Berlin", "addresses.1", nil,
			"urn:ietf:params:scim:schemas:extension:enterprise:2/0:User.department", "Analysis", "roles.0.primary", true)
	})
	t.Run("with the flag one operation has no path and dotted names", func(t *testing.T) {
		do("PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"displayName":"D","name.givenName":"G","active":true,
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber":"7",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"c"}}}`)).ok(200).
			has("displayName", "D", "name.givenName", "G", "name.familyName", "updatedFamilyName",
				"urn:ietf:params:scim:schemas:extension:enterprise:2/0:User.employeeNumber", "7",
				"urn:ietf:params:scim:schemas:extension:enterprise:2/0:User.costCenter", "c",
				"urn:ietf:params:scim:schemas:extension:enterprise:2/0:User.department", "Analysis")
	})
	t.Run("a manager is set in three forms and cleared in two", func(t *testing.T) {
		const path = "urn:ietf:params:scim:schemas:extension:enterprise:2/0:User.manager.value"
		for _, value := range []string{`"m1"`, `{"value":"m1"}`, `[{"$ref":"../Users/m1","value":"m1"}]`} {
			do("PATCH", "/Users/"+id, patch(`{"op":"Add","path":"manager","value":`+value+`}`)).ok(200).has(path, "m1")
		}
		do("GET", "/Users"+filter(`id eq "`+id+`" and manager eq "m1"`)+"&attributes=id", "").ok(200).has("totalResults", 1, "Resources.0.id", id)
		do("PATCH", "/Users/"+id, patch(`{"op":"Replace","path":"manager","value":""}`)).ok(200).has(path, nil)
		do("PATCH", "/Users/"+id, patch(`{"op":"Add","path":"manager","value":"m1"}`, `{"op":"Remove","path":"manager"}`)).ok(200).has(path, nil)
	})
	t.Run("a user is disabled with a word and still found", func(t *testing.T) {
		do("PATCH", "/Users/"+id, patch(`{"op":"Replace","path":"active","value":"False"}`)).ok(200).has("active", false)
		do("GET", "/Users/"+id, "").ok(200).has("active", false)
		do("GET", "/Users"+filter(`userName eq "test_user_AB6490ee"`), "").ok(200).has("totalResults", 1, "Resources.0.active", false)
		if !h.account(id).Locked {
			t.Error("the account is not locked")
		}
		do("PATCH", "/Users/"+id, patch(`{"op":"Replace","path":"active","value":"True"}`)).ok(200).has("active", true)
	})

	group := do("POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
		"externalId":"8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159","displayName":"displayName1","meta":{"resourceType":"Group"}}`).ok(201).id()
	second := h.newUser("second")
	t.Run("groups are looked at without members", func(t *testing.T) {
		do("GET", "/Groups/"+group+"?excludedAttributes=members", "").ok(200).has("displayName", "displayName1", "members", nil)
		do("GET", "/Groups"+filter(`displayName eq "displayname1"`)+"&excludedAttributes=members", "").ok(200).has("totalResults", 1, "Resources.0.id", group)
		do("POST", "/Groups", `{"displayName":"DisplayName1"}`).fails(409, "uniqueness")
	})
	t.Run("members come and go in every form", func(t *testing.T) {
		do("PATCH", "/Groups/"+group, patch(`{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+id+`"},{"$ref":null,"value":"`+second+`"}]}`)).ok(204)
		h.wantMembers(group, id, second)
		do("PATCH", "/Groups/"+group, patch(`{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}`)).ok(204)
		h.wantMembers(group, id, second)
		do("GET", "/Groups"+filter(`id eq "`+group+`" and members eq "`+id+`"`)+"&attributes=id", "").ok(200).has("totalResults", 1)
		do("PATCH", "/Groups/"+group, patch(`{"op":"Remove","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}`)).ok(204)
		h.wantMembers(group, second)
		do("PATCH", "/Groups/"+group, patch(`{"op":"Remove","path":"members","value":[]}`)).ok(204)
		h.wantMembers(group, second)
		do("PATCH", "/Groups/"+group, patch(`{"op":"remove","path":"members[value eq \"`+second+`\"]"}`, `{"op":"add","path":"members","value":"`+id+`"}`)).ok(204)
		h.wantMembers(group, id)
		do("PATCH", "/Groups/"+group, patch(`{"op":"Remove","path":"members"}`)).ok(204)
		h.wantMembers(group)
		do("PATCH", "/Groups/"+group, patch(`{"op":"Replace","path":"displayName","value":"renamed"}`)).ok(204)
	})
	t.Run("who is deleted is gone and the name is free", func(t *testing.T) {
		do("DELETE", "/Users/"+id, "").ok(204)
		do("DELETE", "/Users/"+id, "").fails(404, "")
		do("POST", "/Users", `{"userName":"Test_User_ab6490ee"}`).ok(201)
		do("DELETE", "/Groups/"+group, "").ok(204)
	})
}

// What Okta sends day by day.
func TestOkta(t *testing.T) {
	t.Parallel()
	h := open(t)
	okta := []string{"Accept", "application/scim+json", "Accept-Charset", "utf-8", "Content-Type", "application/scim+json; charset=utf-8", "User-Agent", "Okta SCIM Client 1.0.0"}
	do := func(method, path, body string) *answer { t.Helper(); return h.do(method, path, body, okta...) }
	match := func(userName string) string {
		return "/Users?filter=" + url.QueryEscape(fmt.Sprintf("userName eq %q", userName)) + "&startIndex=1&count=100"
	}
	do("GET", "/Users?startIndex=1&count=2", "").ok(200).has("totalResults", 0, "startIndex", 1, "itemsPerPage", 0, "Resources", []any{})
	do("GET", match("test.user@okta.local"), "").ok(200).has("totalResults", 0)
	h.secrets = append(h.secrets, "1mz050nq")
	const create = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"test.user@okta.local","name":{"givenName":"Test","familyName":"User"},
		"emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}],"displayName":"Test User","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7",
		"groups":[],"password":"1mz050nq","active":true}`
	id := do("POST", "/Users", create).ok(201).has("name.familyName", "User", "active", true, "password", nil, "locale", "en-US").id()
	do("POST", "/Users", create).fails(409, "uniqueness")
	do("GET", match("TEST.user@okta.local"), "").ok(200).has("totalResults", 1, "Resources.0.id", id)
	hash := h.account(id).Hash
	if hash == "" {
		t.Fatal("the account has no hash")
	}

	t.Run("custom apps read and replace the whole", func(t *testing.T) {
		whole := string(do("GET", "/Users/"+id, "").ok(200).body)
		do("PUT", "/Users/"+id, whole).ok(200).has("meta.version", `W/"1"`, "active", true)
		do("PUT", "/Users/"+id, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"`+id+`","userName":"test.user@okta.local","name":{"givenName":"Another","familyName":"User"}}`).
			ok(200).has("name.givenName", "Another", "active", true)
		do("PUT", "/Users/"+id, `{"id":"`+id+`","userName":"test.user@okta.local","active":false,"meta":{"resourceType":"User"}}`).ok(200).has("active", false)
		if a := h.account(id); !a.Locked || a.Hash != hash {
			t.Errorf("account %+v", a)
		}
	})
	t.Run("catalogue apps patch without a path", func(t *testing.T) {
		do("PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"active":true}}`)).ok(200).has("active", true)
		h.secrets = append(h.secrets, "an0ther-0ne")
		do("PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"password":"an0ther-0ne"}}`)).ok(200).has("password", nil)
		if a := h.account(id); a.Locked || a.Hash == hash || a.Hash == "" {
			t.Errorf("account %+v", a)
		}
		do("PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"active":false}}`)).ok(200).has("active", false)
	})
	t.Run("groups are pushed", func(t *testing.T) {
		other := h.newUser("other@okta.local")
		group := do("POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[]}`).ok(201).id()
		do("PATCH", "/Groups/"+group, patch(`{"op":"replace","value":{"id":"abf4dd94-a4c0-4f67-89c9-76b03340cb9b","displayName":"Test SCIMv2 renamed"}}`)).ok(200)
		do("GET", "/Groups?filter="+url.QueryEscape(`displayName eq "Test SCIMv2 renamed"`)+"&startIndex=1&count=100", "").ok(200).has("Resources.0.id", group)
		do("PATCH", "/Groups/"+group, patch(`{"op":"add","path":"members","value":[{"value":"`+id+`","display":"test.user@okta.local"}]}`)).ok(204)
		do("PATCH", "/Groups/"+group, patch(
			`{"op":"remove","path":"members[value eq \"`+id+`\"]"}`,
			`{"op":"add","path":"members","value":[{"value":"`+other+`","display":"other"}]}`)).ok(204)
		h.wantMembers(group, other)
		do("PATCH", "/Groups/"+group, patch(`{"op":"replace","path":"members","value":[{"value":"`+id+`"},{"value":"`+other+`"}]}`)).ok(204)
		h.wantMembers(group, id, other)
		do("PUT", "/Groups/"+group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"`+group+`","displayName":"Test SCIMv2","members":[{"value":"`+other+`"}]}`).ok(200)
		h.wantMembers(group, other)
		do("PATCH", "/Groups/"+group, patch(`{"op":"replace","path":"members","value":[]}`)).ok(204)
		h.wantMembers(group)
		do("DELETE", "/Groups/"+group, "").ok(204)
	})
	do("GET", "/Users/010101001010101011001010101011", "").fails(404, "")
	h.send("GET", "/scim/v2/Users", "").fails(401, "")
}

// What holds for every provider.
func TestEverywhere(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i, body := range []string{
		`{"USERNAME":"a0","Name":{"FAMILYNAME":"F"}}`,
		`{"schemas":[],"userName":"a1","name":{"familyName":"F"}}`,
		`{"schemas":["urn:scim:schemas:core:1.0"],"userName":"a2","id":null,"name":{"familyName":"F"},"emails":{"value":"x@y"}}`,
		`{"schemas":null,"userName":"a3","name":[{"familyName":"F"}],"emails":null,"urn:no:such:schema":{"a":1},"active":"true"}`,
	} {
		h.do("POST", "/users/?unknown=1", body).ok(201).has("userName", fmt.Sprint("a", i), "name.familyName", "F", "active", true)
	}
	h.do("GET", "/USERS/?Filter="+url.QueryEscape("userName eq a3"), "").ok(200).has("totalResults", 1)
	h.do("GET", "/groups", "").ok(200).has("totalResults", 0)
}
