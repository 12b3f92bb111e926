package scim

import (
	"strings"
	"testing"
)

func TestProject(t *testing.T) {
	const (
		ent  = EnterpriseURN
		full = `{"schemas":["` + UserURN + `"],"id":"1","userName":"a","password":"p","title":"t","name":{"givenName":"g","familyName":"f"},
			"emails":[{"type":"work","value":"w"},{"value":"h"}],"meta":{"version":"v","location":"l"},"` + ent + `":{"department":"d","manager":{"value":"m"}},"urn:x:y":{"z":1},"shoe":1}`
		always = `"schemas":["` + UserURN + `"],"id":"1"`
	)
	for _, test := range []struct{ name, attributes, excluded, want string }{
		{"the default hides the password and what no schema has", "", "",
			`{` + always + `,"userName":"a","title":"t","name":{"givenName":"g","familyName":"f"},"emails":[{"type":"work","value":"w"},{"value":"h"}],"meta":{"version":"v","location":"l"},"` + ent + `":{"department":"d","manager":{"value":"m"}}}`},
		{"id alone", "id", "", `{` + always + `}`},
		{"names in any case and with spaces", " USERNAME , Title,,", "", `{` + always + `,"userName":"a","title":"t"}`},
		{"a sub-attribute", "name.GivenName", "", `{` + always + `,"name":{"givenName":"g"}}`},
		{"sub-attributes of elements that lack them", "emails.type", "", `{` + always + `,"emails":[{"type":"work"}]}`},
		{"a sub-attribute none has", "emails.display", "", `{` + always + `}`},
		{"a sub-attribute and the whole", "name.givenName,name", "", `{` + always + `,"name":{"givenName":"g","familyName":"f"}}`},
		{"the password is never shown", "password", "", `{` + always + `}`},
		{"an unknown name selects nothing", "shoe", "", `{` + always + `}`},
		{"with the core schema's URN", UserURN + ":userName," + UserURN + ":name.familyName", "", `{` + always + `,"userName":"a","name":{"familyName":"f"}}`},
		{"with an extension's URN", ent + ":department", "", `{` + always + `,"` + ent + `":{"department":"d"}}`},
		{"an extension's attribute without URN", "manager", "", `{` + always + `,"` + ent + `":{"manager":{"value":"m"}}}`},
		{"a whole extension", strings.ToUpper(ent), "", `{` + always + `,"` + ent + `":{"department":"d","manager":{"value":"m"}}}`},
		{"the wrong URN selects nothing", ent + ":userName", "", `{` + always + `}`},
		{"without some", "", "emails,NAME.givenName,meta," + ent + ":manager,userName", `{` + always + `,"title":"t","name":{"familyName":"f"},"` + ent + `":{"department":"d"}}`},
		{"without a whole extension and the core", "", ent + "," + UserURN, `{` + always + `}`},
		{"id cannot be excluded", "", "id,schemas,userName,title,name.familyName,name.givenName,emails,meta," + ent, `{` + always + `}`},
		{"both", "userName,name", "name.familyName,userName", `{` + always + `,"name":{"givenName":"g"}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParseProjection(test.attributes, test.excluded)
			if err != nil {
				t.Fatal(err)
			}
			r := resource(t, full)
			got := User.Project(r, p)
			if want := resource(t, test.want); !Equal(got, want) {
				t.Errorf("got  %s\nwant %s", jsonOf(got), jsonOf(want))
			}
			if !Equal(r, resource(t, full)) {
				t.Errorf("the resource became %s", jsonOf(r))
			}
		})
	}
}

func TestProjectObeysReturned(t *testing.T) {
	schema := newSchema(Schema{ID: "urn:t:Core", Attributes: []Attribute{
		{Name: "plain"},
		{Name: "asked", Returned: ReturnedRequest},
		{Name: "parts", Type: Complex, Sub: []Attribute{{Name: "a", Returned: ReturnedAlways}, {Name: "b"}, {Name: "c"}}},
	}})
	extension := newSchema(Schema{ID: "urn:t:Ext", Attributes: []Attribute{
		{Name: "secret", Returned: ReturnedNever},
		{Name: "firm", Returned: ReturnedAlways},
		{Name: "plain"},
	}})
	kind := newResourceType(ResourceType{Name: "T", Schema: schema, Extensions: []*Schema{extension}})
	r := resource(t, `{"plain":"1","asked":"2","parts":{"a":"3","b":"4","c":"5"},"urn:t:Ext":{"secret":"6","firm":"7","plain":"8"}}`)
	for _, test := range []struct{ attributes, excluded, want string }{
		{"", "", `{"plain":"1","parts":{"a":"3","b":"4","c":"5"},"urn:t:Ext":{"firm":"7","plain":"8"}}`},
		{"asked", "", `{"asked":"2","urn:t:Ext":{"firm":"7"}}`},
		{"", "plain", `{"parts":{"a":"3","b":"4","c":"5"},"urn:t:Ext":{"firm":"7","plain":"8"}}`},
		{"parts.b", "", `{"parts":{"a":"3","b":"4"},"urn:t:Ext":{"firm":"7"}}`},
		{"", "parts.a,parts.b,urn:t:Ext", `{"plain":"1","parts":{"a":"3","c":"5"},"urn:t:Ext":{"firm":"7"}}`},
		{`parts[a eq "3, 4"].b,plain`, "", `{"plain":"1","parts":{"a":"3","b":"4"},"urn:t:Ext":{"firm":"7"}}`},
		{"urn:t:Ext:secret,plain", "", `{"plain":"1","urn:t:Ext":{"firm":"7"}}`},
	} {
		p, err := ParseProjection(test.attributes, test.excluded)
		if err != nil {
			t.Fatal(err)
		}
		if got := kind.Project(r, p); !Equal(got, resource(t, test.want)) {
			t.Errorf("%q without %q: got %s, want %s", test.attributes, test.excluded, jsonOf(got), test.want)
		}
	}
}

func TestProjectionWants(t *testing.T) {
	for _, test := range []struct {
		attributes, excluded, attr string
		want                       bool
	}{
		{"", "", "members", true},
		{"", "Members", "members", false},
		{"", "members.display", "members", true},
		{"", "displayName", "members", true},
		{"id", "", "members", false},
		{"displayName,MEMBERS", "", "members", true},
		{"members.value", "", "Members", true},
		{GroupURN + ":members", "", "members", true},
		{GroupURN, "", "members", true},
		{"members", "members", "members", false},
		{"", "groups", "groups", false},
		{EnterpriseURN + ":department", "", EnterpriseURN + ":department", true},
	} {
		p, err := ParseProjection(test.attributes, test.excluded)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Wants(test.attr); got != test.want {
			t.Errorf("attributes=%s excludedAttributes=%s: Wants(%s) = %v", test.attributes, test.excluded, test.attr, got)
		}
	}
}

func TestParseProjectionRefuses(t *testing.T) {
	for name, list := range map[string]string{
		"an open bracket":  `emails[type eq "work"`,
		"a digit first":    "1a",
		"three parts":      "a.b.c",
		"too many names":   strings.Repeat("a,", MaxProjectionNames+1),
		"too long a list":  strings.Repeat("a", MaxProjectionLength+1),
		"a URN and no end": "urn:x:",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseProjection(list, "")
			wantError(t, err, InvalidValue)
			_, err = ParseProjection("", list)
			wantError(t, err, InvalidValue)
		})
	}
}
