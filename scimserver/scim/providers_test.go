package scim

import (
	"slices"
	"testing"
)

// What identity providers send, one case for each thing they do in a way of
// their own. Bodies are as on the wire, shortened to what matters.

func TestProvidersCreate(t *testing.T) {
	for _, test := range []struct {
		name     string
		of       *ResourceType
		in, want string
	}{
		{"Entra creates a user with explicit nulls and an extension that is not there", User,
			`{"schemas":["` + UserURN + `","` + EnterpriseURN + `"],"externalId":"0a21f0f2","userName":"Test_User_ab6490ee","active":true,"addresses":null,"displayName":"lennay",
			  "emails":[{"type":"work","primary":true,"value":"t@example.com"}],"meta":{"resourceType":"User"},"name":{"formatted":"g f","familyName":"f","givenName":"g"},
			  "roles":[],"title":null,"department":null,"manager":null}`,
			`{"externalId":"0a21f0f2","userName":"Test_User_ab6490ee","active":true,"displayName":"lennay","emails":[{"type":"work","primary":true,"value":"t@example.com"}],"name":{"formatted":"g f","familyName":"f","givenName":"g"}}`},
		{"Entra creates a group with a schema of its own", Group,
			`{"schemas":["` + GroupURN + `","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"externalId":"8aa1a0c0","displayName":"displayName","meta":{"resourceType":"Group"}}`,
			`{"externalId":"8aa1a0c0","displayName":"displayName"}`},
		{"Okta creates a user with a password and no groups", User,
			`{"schemas":["` + UserURN + `"],"userName":"test.user@okta.local","name":{"givenName":"Test","familyName":"User"},"emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}],
			  "displayName":"Test User","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}`,
			`{"userName":"test.user@okta.local","name":{"givenName":"Test","familyName":"User"},"emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}],"displayName":"Test User","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","password":"1mz050nq","active":true}`},
		{"Okta puts the whole object back", User,
			`{"schemas":["` + UserURN + `"],"id":"23a35c27","userName":"u","active":false,"groups":[],"meta":{"resourceType":"User"}}`,
			`{"userName":"u","active":false}`},
		{"WSO2 leaves schemas empty", User,
			`{"schemas":[],"userName":"kim","password":"MyPa33w0rd","name":{"familyName":"jackson","givenName":"kim"},"emails":["kim@example.com"]}`,
			`{"userName":"kim","password":"MyPa33w0rd","name":{"familyName":"jackson","givenName":"kim"},"emails":[{"value":"kim@example.com"}]}`},
		{"OneLogin quotes active, sends id null and one e-mail as an object", User,
			`{"schemas":["urn:scim:schemas:core:1.0"],"id":null,"userName":"ol","active":"true","emails":{"value":"ol@example.com","primary":true}}`,
			`{"userName":"ol","active":true,"emails":[{"value":"ol@example.com","primary":true}]}`},
		{"JumpCloud puts emails null, its id and photos without type", User,
			`{"schemas":["` + UserURN + `"],"id":"x","userName":"jc","emails":null,"photos":[{"value":"https://example.com/p.png"}]}`,
			`{"userName":"jc","photos":[{"value":"https://example.com/p.png"}]}`},
		{"Keycloak sends groups with a PUT", User,
			`{"userName":"kc","groups":[{"value":"g","display":"G"}],"active":true}`,
			`{"userName":"kc","active":true}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.of.Normalize(object(t, test.in))
			if err != nil {
				t.Fatal(err)
			}
			wantResource(t, got, test.want)
			if want := []any{test.of.Schema.ID}; !equal(got["schemas"], want) {
				t.Errorf("schemas are %v", got["schemas"])
			}
		})
	}
}

func TestProvidersPatchUsers(t *testing.T) {
	const ent = `,"` + EnterpriseURN + `":`
	for _, c := range []patchCase{
		{name: "Entra capitalises operations and disables with a string",
			before: `,"active":true`,
			ops:    `[{"op":"Replace","path":"active","value":"False"}]`,
			after:  `,"active":false`},
		{name: "Entra changes several attributes, some of elements that do not exist",
			before: `,"emails":[{"type":"home","value":"h"}]`,
			ops: `[{"op":"Add","path":"name.familyName","value":"f"},
			       {"op":"Replace","path":"emails[type eq \"work\"].value","value":"w@example.com"},
			       {"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"1"},
			       {"op":"Add","path":"addresses[type eq \"work\"].streetAddress","value":"s"},
			       {"op":"Add","path":"addresses[type eq \"work\"].locality","value":"l"},
			       {"op":"Add","path":"` + EnterpriseURN + `:department","value":"d"}]`,
			after: `,"name":{"familyName":"f"},"emails":[{"type":"home","value":"h"},{"type":"work","value":"w@example.com"}],"phoneNumbers":[{"type":"mobile","value":"1"}],
			        "addresses":[{"type":"work","streetAddress":"s","locality":"l"}]` + ent + `{"department":"d"}`},
		{name: "Entra sets a role by primary",
			ops:   `[{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"admin"},{"op":"Add","path":"roles[primary eq \"True\"].display","value":"Admin"}]`,
			after: `,"roles":[{"primary":true,"value":"admin","display":"Admin"}]`},
		{name: "Entra with the compliance flag sends one operation with dotted and URN keys",
			before: ent + `{"division":"d"}`,
			ops:    `[{"op":"replace","value":{"displayName":"n","name.givenName":"g","name.familyName":"f","` + EnterpriseURN + `:employeeNumber":"7","` + EnterpriseURN + `":{"department":"x"}}}]`,
			after:  `,"displayName":"n","name":{"givenName":"g","familyName":"f"}` + ent + `{"division":"d","employeeNumber":"7","department":"x"}`},
		{name: "Entra sends a manager as a bare string",
			ops:   `[{"op":"Add","path":"` + EnterpriseURN + `:manager","value":"m"}]`,
			after: ent + `{"manager":{"value":"m"}}`},
		{name: "Entra sends a manager as an object",
			before: ent + `{"manager":{"value":"old"}}`,
			ops:    `[{"op":"Replace","path":"` + EnterpriseURN + `:manager","value":{"value":"m"}}]`,
			after:  ent + `{"manager":{"value":"m"}}`},
		{name: "Entra sends a manager as a list under a short path",
			ops:   `[{"op":"Add","path":"manager","value":[{"$ref":"http://localhost/scim/Users/m","value":"m"}]}]`,
			after: ent + `{"manager":{"value":"m"}}`},
		{name: "Entra clears a manager with an empty string",
			before: ent + `{"manager":{"value":"m"},"department":"d"}`,
			ops:    `[{"op":"Replace","path":"manager","value":""}]`,
			after:  ent + `{"department":"d"}`},
		{name: "Entra adds an empty manager",
			before: ent + `{"manager":{"value":"m"}}`,
			ops:    `[{"op":"Add","path":"` + EnterpriseURN + `:manager","value":{"value":""}}]`,
			after:  ``},
		{name: "Entra removes a manager",
			before: ent + `{"manager":{"value":"m"}}`,
			ops:    `[{"op":"Remove","path":"manager"}]`,
			after:  ``},
		{name: "Entra removes a manager and says which",
			before: ent + `{"manager":{"value":"m"}}`,
			ops:    `[{"op":"Remove","path":"` + EnterpriseURN + `:manager","value":{"value":"m"}}]`,
			after:  ``},
		{name: "an older job of Entra packs single values into lists",
			before: `,"active":true,"title":"t"`,
			ops: `[{"op":"Replace","path":"displayName","value":[{"$ref":null,"value":"n"}]},{"op":"Replace","path":"name.familyName","value":[{"$ref":null,"value":"f"}]},
			       {"op":"Replace","path":"active","value":[{"$ref":null,"value":"False"}]},{"op":"Replace","path":"title","value":[{"$ref":null,"value":null}]}]`,
			after: `,"displayName":"n","name":{"familyName":"f"},"active":false`},
		{name: "Entra maps an extension of the administrator's own",
			ops:   `[{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:tag","value":"x"},{"op":"Replace","path":"active","value":"False"}]`,
			after: `,"active":false`},
		{name: "Okta disables without a path",
			before: `,"active":true`,
			ops:    `[{"op":"replace","value":{"active":false}}]`,
			after:  `,"active":false`},
		{name: "Okta sets a password without a path",
			ops:   `[{"op":"replace","value":{"password":"t1meMa$heen"}}]`,
			after: `,"password":"t1meMa$heen"`},
		{name: "OneLogin quotes a boolean without a path",
			ops:   `[{"op":"replace","value":{"active":"false","id":null}}]`,
			after: `,"active":false`},
	} {
		t.Run(c.name, c.run)
	}
}

func TestProvidersPatchGroups(t *testing.T) {
	for _, test := range []struct {
		name    string
		ops     string
		group   string
		members []string
	}{
		{"Entra adds members with null references",
			`[{"op":"Add","path":"members","value":[{"$ref":null,"value":"c"},{"$ref":null,"value":"d"}]}]`,
			`{"displayName":"g"}`, []string{"a", "b", "c", "d"}},
		{"Entra removes only the member it lists",
			`[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"a"}]}]`,
			`{"displayName":"g"}`, []string{"b"}},
		{"Entra with the compliance flag removes by filter",
			`[{"op":"remove","path":"members[value eq \"a\"]"}]`,
			`{"displayName":"g"}`, []string{"b"}},
		{"Entra empties a group",
			`[{"op":"Remove","path":"members"}]`,
			`{"displayName":"g"}`, nil},
		{"Entra names a member by a bare string",
			`[{"op":"Add","path":"members","value":"c"},{"op":"Remove","path":"members","value":"b"}]`,
			`{"displayName":"g"}`, []string{"a", "c"}},
		{"Entra renames and adds in one request",
			`[{"op":"Replace","path":"displayName","value":"h"},{"op":"Add","path":"members","value":[{"value":"c"}]}]`,
			`{"displayName":"h"}`, []string{"a", "b", "c"}},
		{"Okta renames without a path and repeats the id",
			`[{"op":"replace","value":{"id":"abf4dd94","displayName":"Test SCIMv2"}}]`,
			`{"displayName":"Test SCIMv2"}`, []string{"a", "b"}},
		{"Okta removes by filter and adds in one request",
			`[{"op":"remove","path":"members[value eq \"a\"]"},{"op":"add","path":"members","value":[{"value":"c","display":"c@example.com"}]}]`,
			`{"displayName":"g"}`, []string{"b", "c"}},
		{"Okta replaces all members",
			`[{"op":"replace","path":"members","value":[{"value":"c","display":"c@example.com"}]}]`,
			`{"displayName":"g"}`, []string{"c"}},
		{"Okta replaces all members by nobody",
			`[{"op":"replace","path":"members","value":[]}]`,
			`{"displayName":"g"}`, nil},
		{"WSO2 adds members without a path",
			`[{"op":"add","value":{"members":[{"display":"kim","$ref":"https://localhost/scim2/Users/c","value":"c"}]}}]`,
			`{"displayName":"g"}`, []string{"a", "b", "c"}},
		{"authentik removes with a list",
			`[{"op":"remove","path":"members","value":[{"value":"a"},{"value":"b"}]},{"op":"add","path":"members","value":[{"value":"c"}]}]`,
			`{"displayName":"g"}`, []string{"c"}},
		{"Keycloak empties a group with null",
			`[{"op":"remove","path":"members","value":null}]`,
			`{"displayName":"g"}`, nil},
		{"JumpCloud renames without a path",
			`[{"op":"replace","value":{"displayName":"h"}}]`,
			`{"displayName":"h"}`, []string{"a", "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &roll{ids: []string{"a", "b"}}
			ops, err := ParsePatch(object(t, `{"schemas":["`+PatchURN+`"],"Operations":`+test.ops+`}`))
			if err != nil {
				t.Fatal(err)
			}
			got, changed, err := Group.Patch(resource(t, `{"displayName":"g"}`), ops, m)
			if err != nil {
				t.Fatal(err)
			}
			wantResource(t, got, test.group)
			if !slices.Equal(m.ids, test.members) {
				t.Errorf("members are %q, want %q", m.ids, test.members)
			}
			if !changed {
				t.Error("nothing changed")
			}
		})
	}
}

func TestProvidersFilter(t *testing.T) {
	user := resource(t, janet)
	group := resource(t, `{"id":"g","displayName":"Staff","externalId":"jyoung","members":[{"value":"u","type":"User"}]}`)
	for _, test := range []struct {
		name   string
		of     *ResourceType
		r      Resource
		filter string
		want   bool
	}{
		{"Entra tests the connection", User, user, `userName eq "3e1b4a3e-1c0e-4d6c-9d0a-ffffffffffff"`, false},
		{"Entra finds a user in any case", User, user, `userName eq "JANET@example.COM"`, true},
		{"Entra checks a manager", User, user, `id eq "2819c223" and manager eq "m1"`, true},
		{"Entra checks another manager", User, user, `id eq "2819c223" and manager eq "m2"`, false},
		{"Entra checks a member", Group, group, `id eq "g" and members eq "u"`, true},
		{"Entra checks another member", Group, group, `id eq "g" and members eq "U"`, false},
		{"Entra finds a group", Group, group, `displayName eq "staff"`, true},
		{"Entra finds by a work address", User, user, `emails[type eq "work"].value eq "janet@example.com"`, true},
		{"WSO2 looks up without quotes", User, user, `userName Eq janet@example.com`, true},
		{"authentik looks up without quotes", Group, group, `externalId eq jyoung`, true},
		{"a disabled user is found by a quoted boolean", User, user, `active eq "True"`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := ParseFilter(test.filter)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.of.Match(f, test.r); got != test.want {
				t.Errorf("%s: got %v", f, got)
			}
		})
	}
}
