package scim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, test := range []struct {
		name     string
		in, want string
	}{
		{"names in any case are stored canonically",
			`{"USERNAME":"a","NAME":{"GIVENNAME":"x"},"eMails":[{"VALUE":"v","Type":"work"}]}`,
			`{"userName":"a","name":{"givenName":"x"},"emails":[{"value":"v","type":"work"}]}`},
		{"unknown attributes and schemas are ignored",
			`{"schemas":["urn:scim:schemas:core:1.0"],"userName":"a","shoeSize":43,"urn:x:y":{"z":1},"urn:x:y:z":1,"name":{"nick":"x"}}`,
			`{"userName":"a"}`},
		{"readOnly attributes are dropped whatever they hold",
			`{"userName":"a","id":null,"ID":7,"meta":"x","groups":[{"value":"g"}]}`,
			`{"userName":"a"}`},
		{"null and empty lists are unassigned",
			`{"userName":"a","title":null,"emails":[],"roles":null,"addresses":[null],"phoneNumbers":[{}],"name":{}}`,
			`{"userName":"a"}`},
		{"an empty string is a value",
			`{"userName":"a","title":""}`,
			`{"userName":"a","title":""}`},
		{"one object where a list belongs is wrapped",
			`{"userName":"a","emails":{"value":"v"}}`,
			`{"userName":"a","emails":[{"value":"v"}]}`},
		{"bare strings stand for their value",
			`{"userName":"a","emails":"v","roles":["r","s"]}`,
			`{"userName":"a","emails":[{"value":"v"}],"roles":[{"value":"r"},{"value":"s"}]}`},
		{"booleans in quotes are booleans",
			`{"userName":"a","active":"False","emails":[{"value":"v","primary":"TRUE"}]}`,
			`{"userName":"a","active":false,"emails":[{"value":"v","primary":true}]}`},
		{"an extension comes as an object under its URN in any case",
			`{"userName":"a","URN:IETF:params:scim:schemas:extension:enterprise:2.0:user":{"DEPARTMENT":"d"}}`,
			`{"userName":"a","` + EnterpriseURN + `":{"department":"d"}}`},
		{"an extension comes as flattened keys, and both ways at once",
			`{"userName":"a","` + EnterpriseURN + `:Department":"d","` + EnterpriseURN + `":{"division":"x"}}`,
			`{"userName":"a","` + EnterpriseURN + `":{"department":"d","division":"x"}}`},
		{"the core schema's URN works like an extension's",
			`{"` + UserURN + `:userName":"a","` + UserURN + `":{"title":"t","id":"no"}}`,
			`{"userName":"a","title":"t"}`},
		{"an extension without data does not appear",
			`{"userName":"a","` + EnterpriseURN + `":{"department":null,"x":1},"` + PosixUserURN + `":null}`,
			`{"userName":"a"}`},
		{"attributes of extensions need their URN in bodies",
			`{"userName":"a","department":"d","manager":"m","admin":true}`,
			`{"userName":"a"}`},
		{"a manager in all its forms is stored by value: string",
			`{"userName":"a","` + EnterpriseURN + `":{"manager":"m"}}`,
			`{"userName":"a","` + EnterpriseURN + `":{"manager":{"value":"m"}}}`},
		{"a manager in all its forms is stored by value: list",
			`{"userName":"a","` + EnterpriseURN + `":{"manager":[{"$ref":"../Users/m","value":"m","displayName":"M"}]}}`,
			`{"userName":"a","` + EnterpriseURN + `":{"manager":{"value":"m"}}}`},
		{"a manager in all its forms is stored by value: empty",
			`{"userName":"a","` + EnterpriseURN + `":{"manager":{"value":""}}}`,
			`{"userName":"a"}`},
		{"integers may come in quotes or with a point",
			`{"userName":"a","` + WorkbenchURN + `":{"posixUserId":"1001"},"` + PosixUserURN + `":{"posixGroupId":1002.0}}`,
			`{"userName":"a","` + WorkbenchURN + `":{"posixUserId":1001},"` + PosixUserURN + `":{"posixGroupId":1002}}`},
		{"the first primary stays, the others become false",
			`{"userName":"a","emails":[{"value":"1"},{"value":"2","primary":true},{"value":"3","primary":true}]}`,
			`{"userName":"a","emails":[{"value":"1"},{"value":"2","primary":true},{"value":"3","primary":false}]}`},
		{"elements equal in value and type become one",
			`{"userName":"a","emails":[{"value":"A@x","type":"work","display":"d"},{"value":"a@x","type":"Work","primary":true},{"value":"a@x","type":"home"}]}`,
			`{"userName":"a","emails":[{"value":"a@x","type":"Work","display":"d","primary":true},{"value":"a@x","type":"home"}]}`},
		{"keys stand once, a single one is wrapped",
			`{"userName":"a","` + PosixUserURN + `":{"sshPublicKeys":["k","K","k"],"loginShell":"/bin/sh"}}`,
			`{"userName":"a","` + PosixUserURN + `":{"sshPublicKeys":["k","K"],"loginShell":"/bin/sh"}}`},
		{"a password is kept for the caller to take out",
			`{"userName":"a","password":"t1!"}`,
			`{"userName":"a","password":"t1!"}`},
		{"a certificate is base64",
			`{"userName":"a","x509Certificates":[{"value":"MIIDQzCC\r\nAqyg"}]}`,
			`{"userName":"a","x509Certificates":[{"value":"MIIDQzCC\r\nAqyg"}]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := User.Normalize(object(t, test.in))
			if err != nil {
				t.Fatal(err)
			}
			wantResource(t, got, test.want)
			again, err := User.Normalize(got)
			if err != nil || !Equal(got, again) {
				t.Errorf("normalizing again gives %s, %v", jsonOf(again), err)
			}
		})
	}
}

func TestNormalizeRefuses(t *testing.T) {
	many := strings.Repeat(`"x",`, MaxValues) + `"x"`
	for name, in := range map[string]string{
		"no userName":                         `{"active":true}`,
		"a null userName":                     `{"userName":null}`,
		"a blank userName":                    `{"userName":"  "}`,
		"a userName that is a number":         `{"userName":7}`,
		"a userName with a newline":           `{"userName":"a\nb"}`,
		"a userName with a NUL":               `{"userName":"a\u0000b"}`,
		"a userName that is too long":         `{"userName":"` + strings.Repeat("x", MaxLine+1) + `"}`,
		"a userName twice":                    `{"userName":"a","username":"b"}`,
		"an attribute flattened and nested":   `{"userName":"a","` + EnterpriseURN + `:division":"d","` + EnterpriseURN + `":{"division":"e"}}`,
		"a sub-attribute twice":               `{"userName":"a","name":{"givenName":"x","GivenName":"x"}}`,
		"a title with a NUL":                  `{"userName":"a","title":"a\u0000b"}`,
		"a title that is too long":            `{"userName":"a","title":"` + strings.Repeat("x", MaxString+1) + `"}`,
		"active that is no boolean":           `{"userName":"a","active":"yes"}`,
		"active that is empty":                `{"userName":"a","active":""}`,
		"active that is a number":             `{"userName":"a","active":1}`,
		"a name that is a string":             `{"userName":"a","name":"Jo"}`,
		"a name that is a list of two":        `{"userName":"a","name":[{},{}]}`,
		"an e-mail that is a number":          `{"userName":"a","emails":[7]}`,
		"a list in a list":                    `{"userName":"a","emails":[["v"]]}`,
		"a manager in a list in a list":       `{"userName":"a","` + EnterpriseURN + `":{"manager":[[{"value":"m"}]]}}`,
		"an object for a string":              `{"userName":"a","title":{}}`,
		"an object with a value for a string": `{"userName":"a","title":{"value":"x"}}`,
		"a list of one string for a string":   `{"userName":"a","title":["x"]}`,
		"two packed values for a string":      `{"userName":"a","title":[{"value":"x"},{"value":"y"}]}`,
		"a packed value with a type":          `{"userName":"a","title":[{"value":"x","type":"work"}]}`,
		"a packed list for a string":          `{"userName":"a","title":[{"value":[{"value":"x"}]}]}`,
		"an extension that is a string":       `{"userName":"a","` + EnterpriseURN + `":"x"}`,
		"a uid with a fraction":               `{"userName":"a","` + WorkbenchURN + `":{"posixUserId":1.5}}`,
		"a uid that is a word":                `{"userName":"a","` + WorkbenchURN + `":{"posixUserId":"x"}}`,
		"a uid beyond what is exact":          `{"userName":"a","` + WorkbenchURN + `":{"posixUserId":1e300}}`,
		"a home with a newline":               `{"userName":"a","` + WorkbenchURN + `":{"homeDirectory":"/h\n"}}`,
		"a key of two lines":                  `{"userName":"a","` + PosixUserURN + `":{"sshPublicKeys":["a\nb"]}}`,
		"more values than there may be":       `{"userName":"a","roles":[` + many + `]}`,
		"a certificate that is no base64":     `{"userName":"a","x509Certificates":[{"value":"a b"}]}`,
		"a certificate with padding inside":   `{"userName":"a","x509Certificates":[{"value":"YQ==YQ=="}]}`,
		"a certificate with too much of it":   `{"userName":"a","x509Certificates":[{"value":"YQ==="}]}`,
		"a certificate of impossible length":  `{"userName":"a","x509Certificates":[{"value":"YQYQY"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := User.Normalize(object(t, in))
			wantError(t, err, InvalidValue)
		})
	}
}

func TestNormalizeErrorsNameTheField(t *testing.T) {
	for in, want := range map[string]string{
		`{"userName":"a","emails":[{"primary":"x"}]}`:                      "emails.primary must be a boolean, not a string",
		`{"userName":"a","` + EnterpriseURN + `":{"manager":{"value":1}}}`: EnterpriseURN + ":manager.value must be a string, not a number",
		`{"userName":"a","` + WorkbenchURN + `":{"posixUserId":{}}}`:       WorkbenchURN + ":posixUserId must be a whole number, not an object",
		`{"displayName":"a"}`: "userName is required",
		`{"userName":"a","` + PosixUserURN + `":{"sshPublicKeys":[["x"]]}}`: PosixUserURN + ":sshPublicKeys must be a string, not an array",
		`{"userName":"a","title":true}`:                                     "title must be a string, not a boolean",
		`{"userName":"a","title":"t","` + UserURN + `":{"title":"t"}}`:      "title is given twice",
		`{"userName":"a","password":"secret\u0000"}`:                        "password must not contain a NUL character",
	} {
		_, err := User.Normalize(object(t, in))
		if err == nil || err.(*Error).Detail != want {
			t.Errorf("Normalize(%s): %v, want %q", in, err, want)
		}
	}
}

func TestNormalizeGroup(t *testing.T) {
	got, err := Group.Normalize(object(t, `{"displayname":"g","externalId":"e","Members":[{"value":"u"}],"`+PosixGroupURN+`":{"posixGroupId":5000}}`))
	if err != nil {
		t.Fatal(err)
	}
	wantResource(t, got, `{"displayName":"g","externalId":"e","`+PosixGroupURN+`":{"posixGroupId":5000}}`)
	for name, in := range map[string]string{
		"no displayName":               `{"members":[]}`,
		"an empty displayName":         `{"displayName":""}`,
		"a displayName with a control": `{"displayName":"a\u0007"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Group.Normalize(object(t, in))
			wantError(t, err, InvalidValue)
		})
	}
}

func TestSchemasListsExtensionsThatHaveData(t *testing.T) {
	got, err := User.Normalize(object(t, `{"schemas":["`+UserURN+`","`+EnterpriseURN+`"],"userName":"a","`+PosixUserURN+`":{"loginShell":"/bin/sh"},"`+WorkbenchURN+`":{"admin":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := []any{UserURN, WorkbenchURN, PosixUserURN}; !equal(got["schemas"], want) {
		t.Errorf("schemas are %v, want %v", got["schemas"], want)
	}
}

func TestNormalizeLeavesTheBodyAlone(t *testing.T) {
	const text = `{"userName":"a","emails":[{"value":"v","primary":true},{"value":"V","primary":"true"}],"` + EnterpriseURN + `":{"manager":"m"}}`
	in := object(t, text)
	got, err := User.Normalize(in)
	if err != nil {
		t.Fatal(err)
	}
	got["emails"].([]any)[0].(map[string]any)["value"] = "other"
	if !equal(in, object(t, text)) {
		t.Errorf("the body became %s", jsonOf(in))
	}
}

func TestNumbersOfOtherDecodersAreUnderstood(t *testing.T) {
	for _, n := range []any{1001, int64(1001), 1001.0, json.Number("1001")} {
		got, err := User.Normalize(map[string]any{"userName": "a", WorkbenchURN: map[string]any{"posixUserId": n}})
		if err != nil {
			t.Errorf("%T: %v", n, err)
			continue
		}
		if id := got[WorkbenchURN].(map[string]any)["posixUserId"]; id != int64(1001) {
			t.Errorf("%T became %T %v", n, id, id)
		}
	}
}

func TestMemberIDs(t *testing.T) {
	for in, want := range map[string][]string{
		`null`:                            nil,
		`[]`:                              nil,
		`"a"`:                             {"a"},
		`["a","b","a"]`:                   {"a", "b"},
		`{"value":"a"}`:                   {"a"},
		`{"Value":"a","type":"User"}`:     {"a"},
		`[{"$ref":null,"value":"a"},"b"]`: {"a", "b"},
	} {
		got, err := MemberIDs(object(t, `{"v":`+in+`}`)["v"])
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("MemberIDs(%s) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`7`, `true`, `""`, `[""]`, `{}`, `[{}]`, `[{"$ref":"x"}]`, `{"value":null}`, `{"value":7}`, `[["a"]]`, `[null]`,
		`{"value":"a","VALUE":"b"}`, fmt.Sprintf(`%q`, strings.Repeat("x", MaxMemberID+1))} {
		_, err := MemberIDs(object(t, `{"v":`+in+`}`)["v"])
		wantError(t, err, InvalidValue)
	}
}

func TestGroupMembers(t *testing.T) {
	for _, test := range []struct {
		in    string
		ids   []string
		given bool
	}{
		{`{"displayName":"g"}`, nil, false},
		{`{"members":null}`, nil, false},
		{`{"members":[]}`, nil, true},
		{`{"MEMBERS":{"value":"a"}}`, []string{"a"}, true},
		{`{"` + GroupURN + `:members":["a"]}`, []string{"a"}, true},
		{`{"` + GroupURN + `":{"members":["a"]}}`, []string{"a"}, true},
	} {
		ids, given, err := GroupMembers(object(t, test.in))
		if err != nil || given != test.given || !slices.Equal(ids, test.ids) {
			t.Errorf("GroupMembers(%s) = %q, %v, %v", test.in, ids, given, err)
		}
	}
	for _, in := range []string{`{"members":["a"],"Members":["b"]}`, `{"members":7}`} {
		_, _, err := GroupMembers(object(t, in))
		wantError(t, err, InvalidValue)
	}
}
