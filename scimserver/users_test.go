package scimserver_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pwb/scimserver/scim"
)

func TestAUserIsCreatedReadReplacedAndDeleted(t *testing.T) {
	t.Parallel()
	h := open(t)
	created := h.do("POST", "/Users", `{
		"schemas": ["`+scim.UserURN+`", "`+scim.EnterpriseURN+`"],
		"id": "mine", "meta": {"resourceType": "User"},
		"userName": "Ada@corp.example", "externalId": "00u1",
		"name": {"givenName": "Ada", "familyName": "Lovelace"},
		"emails": [{"value": "ada@corp.example", "type": "work", "primary": true}],
		"`+scim.EnterpriseURN+`": {"department": "Analysis"},
		"groups": [{"value": "x"}], "shoeSize": 40
	}`).ok(201).has(
		"userName", "Ada@corp.example", "externalId", "00u1", "active", true, "name.familyName", "Lovelace",
		"emails.0.value", "ada@corp.example", "meta.resourceType", "User", "meta.version", `W/"1"`,
		"schemas", []any{scim.UserURN, scim.EnterpriseURN}, "groups", nil, "shoeSize", nil,
	)
	id := created.id()
	if id == "mine" {
		t.Error("the client has chosen the id")
	}
	location := h.http.URL + "/scim/v2/Users/" + id
	if created.header.Get("Location") != location || created.get("meta.location") != location {
		t.Errorf("Location %q, meta.location %v, want %q", created.header.Get("Location"), created.get("meta.location"), location)
	}
	if _, err := time.Parse(time.RFC3339, created.get("meta.created").(string)); err != nil || created.get("meta.created") != created.get("meta.lastModified") {
		t.Errorf("created %v, lastModified %v, %v", created.get("meta.created"), created.get("meta.lastModified"), err)
	}
	read := h.do("GET", "/Users/"+id, "").ok(200)
	if string(read.body) != string(created.body) {
		t.Errorf("created:\n%s\nread:\n%s", created.body, read.body)
	}
	account := h.account(id)
	if account.Name != "ada" || account.UID != 1000 || account.GID != 1000 || account.Gecos != "Ada Lovelace" ||
		account.Home != "/home/ada" || account.Shell != "/bin/bash" || account.Locked || account.Hash != "" {
		t.Errorf("account %+v", account)
	}

	h.do("PUT", "/Users/"+id, `{"userName":"ada@corp.example","displayName":"Countess"}`).ok(200).has(
		"displayName", "Countess", "externalId", nil, "name", nil, "emails", nil, "meta.version", `W/"2"`, "id", id, "active", true,
		"schemas", []any{scim.UserURN}, "meta.created", created.get("meta.created"))
	h.do("PATCH", "/Users/"+id, patch(`{"op":"add","path":"title","value":"Dr"}`)).ok(200).has("title", "Dr", "displayName", "Countess")
	if account := h.account(id); account.Gecos != "Countess" || account.UID != 1000 {
		t.Errorf("account %+v", account)
	}

	if gone := h.do("DELETE", "/Users/"+id, "").ok(204); len(gone.body) != 0 {
		t.Errorf("DELETE answers %s", gone.body)
	}
	h.do("DELETE", "/Users/"+id, "").fails(404, "")
	h.do("GET", "/Users/"+id, "").fails(404, "")
	h.do("PUT", "/Users/"+id, `{"userName":"ada"}`).fails(404, "")
	h.do("PATCH", "/Users/"+id, patch(`{"op":"add","path":"title","value":"Dr"}`)).fails(404, "")
	h.do("GET", `/Users?filter=userName+eq+"ada@corp.example"`, "").ok(200).has("totalResults", 0, "Resources", []any{})
}

func TestLeavingLocksAndComingBackUnlocks(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.do("POST", "/Users", `{"userName":"ada","password":"correct horse"}`).ok(201).id()
	h.secrets = append(h.secrets, "correct horse")
	before := h.account(id)
	for i, step := range []struct {
		method, body string
		locked       bool
	}{
		{"PATCH", patch(`{"op":"Replace","path":"active","value":"False"}`), true},
		{"PATCH", patch(`{"op":"replace","value":{"active":true}}`), false},
		{"PUT", `{"userName":"ada","active":false}`, true},
		{"PUT", `{"userName":"ada","title":"locked I stay"}`, true},
		{"PATCH", patch(`{"op":"remove","path":"title"}`), true},
		{"PATCH", patch(`{"op":"remove","path":"active"}`), true},
		{"PUT", `{"userName":"ada","active":null}`, true},
		{"PUT", `{"userName":"ada","active":"True"}`, false},
		{"PUT", `{"userName":"ada","title":"unlocked I stay"}`, false},
	} {
		h.do(step.method, "/Users/"+id, step.body).ok(200).has("active", !step.locked)
		account := h.account(id)
		if account.Locked != step.locked {
			t.Errorf("step %d, %s %s: locked %v", i+1, step.method, step.body, account.Locked)
		}
		account.Locked = before.Locked
		if !reflect.DeepEqual(account, before) {
			t.Errorf("step %d, %s %s: %+v became %+v", i+1, step.method, step.body, before, account)
		}
		h.do("GET", `/Users?filter=userName+eq+"ada"`, "").ok(200).has("totalResults", 1, "Resources.0.active", !step.locked)
	}
}

func TestAUserIsCreatedLockedWhenTheProviderSaysSo(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.do("POST", "/Users", `{"userName":"ada","active":false}`).ok(201).has("active", false).id()
	if !h.account(id).Locked {
		t.Error("the account is not locked")
	}
}

func TestDeletingKeepsTheAccountLockedAndFreesTheUserName(t *testing.T) {
	t.Parallel()
	h := open(t)
	first := h.newUser("ada")
	group := h.newGroup("Engineers", first)
	before := h.account(first)
	h.do("DELETE", "/Users/"+first, "").ok(204)

	f := h.feed()
	locked := before
	locked.Locked = true
	if got := f.account(t, first); !reflect.DeepEqual(got, locked) {
		t.Errorf("account %+v, want %+v", got, locked)
	}
	if f.member(group, first) {
		t.Error("who has left is still a member")
	}
	h.do("GET", "/Groups/"+group, "").ok(200).has("members", []any{})

	second := h.newUser("ada")
	f = h.feed()
	if got := f.account(t, second); second == first || got.UID == before.UID || got.GID == before.GID || got.Name != "ada-2" || got.Home != "/home/ada-2" || got.Locked {
		t.Errorf("the new subject %s got %+v", second, got)
	}
	if got := f.account(t, first); !reflect.DeepEqual(got, locked) {
		t.Errorf("the old account became %+v", got)
	}
}

func TestARenameKeepsNumberAndHome(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	before := h.account(id)
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"countess"}`)).ok(200).has("userName", "countess")
	after := h.account(id)
	if after.Name != "countess" || after.UID != before.UID || after.GID != before.GID || after.Home != before.Home {
		t.Errorf("%+v became %+v", before, after)
	}
	// The old name stays the subject's: nobody else gets it, it may have it back.
	other := h.newUser("ada")
	if got := h.account(other); got.Name != "ada-2" {
		t.Errorf("the old name went to another: %+v", got)
	}
	h.do("DELETE", "/Users/"+other, "").ok(204)
	h.do("PUT", "/Users/"+id, `{"userName":"Ada"}`).ok(200)
	if got := h.account(id); got.Name != "ada" {
		t.Errorf("the subject did not get its own name back: %+v", got)
	}
}

func TestAUserNameIsTakenWithoutRegardToCase(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada, bob := h.newUser("ada@corp.example"), h.newUser("bob")
	before := h.feed().at
	h.do("POST", "/Users", `{"userName":"ADA@corp.example"}`).fails(409, "uniqueness")
	h.do("PUT", "/Users/"+bob, `{"userName":"Ada@Corp.Example"}`).fails(409, "uniqueness")
	h.do("PATCH", "/Users/"+bob, patch(`{"op":"replace","path":"userName","value":"ada@CORP.example"}`)).fails(409, "uniqueness")
	if after := h.feed().at; after != before {
		t.Errorf("requests that failed moved the feed from %v to %v", before, after)
	}
	h.do("PUT", "/Users/"+ada, `{"userName":"ADA@CORP.EXAMPLE"}`).ok(200).has("userName", "ADA@CORP.EXAMPLE")
	h.do("GET", "/Users/"+bob, "").ok(200).has("userName", "bob", "meta.version", `W/"1"`)
}

func TestAPatchIsDoneAsAWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	before, at := h.do("GET", "/Users/"+id, "").ok(200), h.feed().at
	for _, c := range []struct{ scimType, op string }{
		{"invalidPath", `{"op":"replace","path":"no such","value":1}`},
		{"invalidPath", `{"op":"replace","path":"emails[","value":1}`},
		{"invalidPath", `{"op":"replace","path":"shoeSize","value":1}`},
		{"mutability", `{"op":"replace","path":"id","value":"x"}`},
		{"mutability", `{"op":"remove","path":"userName"}`},
		{"noTarget", `{"op":"remove"}`},
		{"invalidValue", `{"op":"replace","path":"active","value":"perhaps"}`},
		{"invalidSyntax", `{"op":"rename","path":"title","value":"x"}`},
		{"invalidSyntax", `7`},
	} {
		h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`, c.op)).fails(400, c.scimType)
	}
	h.do("PATCH", "/Users/"+id, `{"Operations":[]}`).fails(400, "invalidSyntax")
	h.do("PATCH", "/Users/"+id, `{}`).fails(400, "invalidSyntax")
	if after := h.do("GET", "/Users/"+id, "").ok(200); string(after.body) != string(before.body) || h.feed().at != at {
		t.Errorf("before:\n%s\nafter:\n%s", before.body, after.body)
	}
}

func TestUsersThatAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	for sentence, body := range map[string]string{
		"without userName":         `{"displayName":"Ada"}`,
		"with an empty userName":   `{"userName":""}`,
		"with a blank userName":    `{"userName":"  "}`,
		"with a number as name":    `{"userName":{"a":1}}`,
		"with userName null":       `{"userName":null}`,
		"with a name twice":        `{"userName":"ada","USERNAME":"bob"}`,
		"with too long a name":     `{"userName":"` + strings.Repeat("a", 2000) + `"}`,
		"with a newline in it":     `{"userName":"ada\nroot"}`,
		"with active of no use":    `{"userName":"ada","active":"maybe"}`,
		"with a list as name":      `{"userName":"ada","name":["a","b"]}`,
		"with too long a password": `{"userName":"ada","password":"` + strings.Repeat("p", 513) + `"}`,
		"with lines in a password": `{"userName":"ada","password":"a\nb"}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			h.do("POST", "/Users", body).fails(400, "invalidValue")
		})
	}
	if f := h.feed(); f.at.Seq != 0 {
		t.Errorf("the feed moved to %v", f.at)
	}
}

func TestGecosIsTheBestNameThereIs(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i, c := range []struct{ attributes, want string }{
		{`"displayName":"Shown: as\tthis","name":{"formatted":"F"}`, "Shown as this"},
		{`"displayName":" ","name":{"formatted":"Formatted","givenName":"G"}`, "Formatted"},
		{`"name":{"givenName":"Given","familyName":"Family"}`, "Given Family"},
		{`"name":{"familyName":"Family"}`, "Family"},
		{`"title":"Dr"`, "user4@x"},
	} {
		name := fmt.Sprintf("user%d@x", i)
		id := h.do("POST", "/Users", fmt.Sprintf(`{"userName":%q,%s}`, name, c.attributes)).ok(201).id()
		if got := h.account(id).Gecos; got != c.want {
			t.Errorf("%s: gecos %q, want %q", c.attributes, got, c.want)
		}
	}
}
