package scim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// patchCase changes a User. An empty scimType means that it succeeds.
type patchCase struct {
	name     string
	before   string // without userName, which is "a"
	ops      string
	after    string
	scimType string
}

func (c patchCase) run(t *testing.T) {
	t.Helper()
	before := `{"userName":"a"` + c.before + `}`
	r := resource(t, before)
	User.SetSchemas(r)
	untouched := resource(t, before)
	User.SetSchemas(untouched)

	ops, err := ParsePatch(object(t, `{"schemas":["`+PatchURN+`"],"Operations":`+c.ops+`}`))
	var got Resource
	var changed bool
	if err == nil {
		got, changed, err = User.Patch(r, ops, nil)
	}
	if !Equal(r, untouched) {
		t.Errorf("the resource itself became %s", jsonOf(r))
	}
	if c.scimType != "" {
		wantError(t, err, c.scimType)
		if got != nil || changed {
			t.Error("there is a result beside the error")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	after := c.after
	if !strings.HasPrefix(after, "{") {
		after = `{"userName":"a"` + after + `}`
	}
	wantResource(t, got, after)
	if want := !Equal(got, untouched); changed != want {
		t.Errorf("changed = %v, want %v", changed, want)
	}
	if again, err := User.Normalize(got); err != nil || !Equal(again, got) {
		t.Errorf("the result is not normal: %s, %v", jsonOf(again), err)
	}
}

func TestPatch(t *testing.T) {
	const (
		work = `{"type":"work","value":"w"}`
		home = `{"type":"home","value":"h"}`
		two  = `,"emails":[` + work + `,` + home + `]`
		ent  = `,"` + EnterpriseURN + `":`
	)
	for _, c := range []patchCase{
		// single values
		{name: "add sets a value", ops: `[{"op":"add","path":"title","value":"t"}]`, after: `,"title":"t"`},
		{name: "add replaces a single value", before: `,"title":"s"`, ops: `[{"op":"add","path":"title","value":"t"}]`, after: `,"title":"t"`},
		{name: "replace sets what is absent", ops: `[{"op":"replace","path":"TITLE","value":"t"}]`, after: `,"title":"t"`},
		{name: "replace by the same is no change", before: `,"title":"t"`, ops: `[{"op":"replace","path":"title","value":"t"}]`, after: `,"title":"t"`},
		{name: "there and back is no change", before: `,"title":"t"`, ops: `[{"op":"remove","path":"title"},{"op":"add","path":"title","value":"t"}]`, after: `,"title":"t"`},
		{name: "replace with null clears", before: `,"title":"t"`, ops: `[{"op":"replace","path":"title","value":null}]`, after: ``},
		{name: "replace with an empty list clears", before: two, ops: `[{"op":"replace","path":"emails","value":[]}]`, after: ``},
		{name: "add of null changes nothing", before: `,"title":"t"` + two, ops: `[{"op":"add","path":"title","value":null},{"op":"add","path":"emails","value":null},{"op":"add","path":"name.givenName","value":null},{"op":"add","path":"emails[type eq \"work\"].value","value":null}]`, after: `,"title":"t"` + two},
		{name: "remove removes", before: `,"title":"t"`, ops: `[{"op":"remove","path":"title"}]`, after: ``},
		{name: "remove of what is absent is no error", ops: `[{"op":"remove","path":"title"},{"op":"remove","path":"name.givenName"},{"op":"remove","path":"emails"},{"op":"remove","path":"emails[type eq \"x\"]"},{"op":"remove","path":"emails[type eq \"x\"].value"},{"op":"remove","path":"` + EnterpriseURN + `:department"}]`, after: ``},
		{name: "remove of a single value looks at no value", before: `,"title":"t"`, ops: `[{"op":"remove","path":"title","value":"other"}]`, after: ``},

		// complex values
		{name: "a sub-attribute is set beside the others", before: `,"name":{"givenName":"g"}`, ops: `[{"op":"add","path":"name.familyName","value":"f"}]`, after: `,"name":{"givenName":"g","familyName":"f"}`},
		{name: "a complex value is merged", before: `,"name":{"givenName":"g","familyName":"f"}`, ops: `[{"op":"replace","path":"name","value":{"GivenName":"x","familyName":null,"unknown":1}}]`, after: `,"name":{"givenName":"x"}`},
		{name: "removing the last sub-attribute removes all", before: `,"name":{"givenName":"g"}`, ops: `[{"op":"remove","path":"name.givenName"}]`, after: ``},
		{name: "removing a complex value", before: `,"name":{"givenName":"g"}`, ops: `[{"op":"remove","path":"name"}]`, after: ``},

		// several values
		{name: "add appends", before: `,"emails":[` + work + `]`, ops: `[{"op":"add","path":"emails","value":[` + home + `]}]`, after: two},
		{name: "add of one object appends it", before: `,"emails":[` + work + `]`, ops: `[{"op":"add","path":"emails","value":` + home + `}]`, after: two},
		{name: "add of what is there changes nothing", before: two, ops: `[{"op":"add","path":"emails","value":[` + home + `,` + work + `]}]`, after: two},
		{name: "add of the same value and type completes it", before: two, ops: `[{"op":"add","path":"emails","value":{"type":"Home","value":"H","display":"d"}}]`, after: `,"emails":[` + work + `,{"type":"Home","value":"H","display":"d"}]`},
		{name: "replace with one object makes a list", before: two, ops: `[{"op":"replace","path":"emails","value":{"value":"n"}}]`, after: `,"emails":[{"value":"n"}]`},
		{name: "remove without a value removes all", before: two, ops: `[{"op":"remove","path":"emails"}]`, after: ``},
		{name: "remove with null removes all", before: two, ops: `[{"op":"remove","path":"emails","value":null}]`, after: ``},
		{name: "remove with a list removes those", before: two, ops: `[{"op":"remove","path":"emails","value":[{"value":"W","display":"other"}]}]`, after: `,"emails":[` + home + `]`},
		{name: "remove with a list looks at the type", before: two, ops: `[{"op":"remove","path":"emails","value":[{"value":"w","type":"home"}]}]`, after: two},
		{name: "remove with an object", before: two, ops: `[{"op":"remove","path":"emails","value":{"type":"work"}}]`, after: `,"emails":[` + home + `]`},
		{name: "remove with an empty list removes none", before: two, ops: `[{"op":"remove","path":"emails","value":[]}]`, after: two},
		{name: "remove of an address by its parts", before: `,"addresses":[{"locality":"A","country":"x"},{"locality":"B","country":"x"}]`, ops: `[{"op":"remove","path":"addresses","value":{"locality":"b"}}]`, after: `,"addresses":[{"locality":"A","country":"x"}]`},
		{name: "keys are added and removed", before: `,"` + PosixUserURN + `":{"sshPublicKeys":["a","b"]}`, ops: `[{"op":"remove","path":"` + PosixUserURN + `:sshPublicKeys","value":["a"]},{"op":"add","path":"` + PosixUserURN + `:sshPublicKeys","value":["c","b"]}]`, after: `,"` + PosixUserURN + `":{"sshPublicKeys":["b","c"]}`},
		{name: "a key is chosen by its value", before: `,"` + PosixUserURN + `":{"sshPublicKeys":["a","b","c"]}`, ops: `[{"op":"remove","path":"` + PosixUserURN + `:sshPublicKeys[value eq \"a\"]"},{"op":"replace","path":"` + PosixUserURN + `:sshPublicKeys[value eq \"b\"]","value":"x"},{"op":"add","path":"` + PosixUserURN + `:sshPublicKeys[value eq \"c\"]","value":"c"}]`, after: `,"` + PosixUserURN + `":{"sshPublicKeys":["x","c"]}`},

		// filters
		{name: "a sub-attribute of the chosen elements is set", before: two, ops: `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"n"}]`, after: `,"emails":[{"type":"work","value":"n"},` + home + `]`},
		{name: "all chosen elements are changed", before: two, ops: `[{"op":"add","path":"emails[value pr].display","value":"d"}]`, after: `,"emails":[{"type":"work","value":"w","display":"d"},{"type":"home","value":"h","display":"d"}]`},
		{name: "elements that a remove makes equal become one", before: `,"addresses":[{"type":"work","locality":"l","country":"DE"},{"type":"work","locality":"m","country":"DE"}]`, ops: `[{"op":"remove","path":"addresses[type eq \"work\"].locality"}]`, after: `,"addresses":[{"type":"work","country":"DE"}]`},
		{name: "an element is created by add", ops: `[{"op":"add","path":"emails[type eq \"work\"].value","value":"w"}]`, after: `,"emails":[` + work + `]`},
		{name: "an element is created by replace", before: `,"emails":[` + home + `]`, ops: `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"w"}]`, after: `,"emails":[` + home + `,` + work + `]`},
		{name: "two operations with one filter make one element", ops: `[{"op":"add","path":"addresses[type eq \"work\"].country","value":"c"},{"op":"add","path":"addresses[type eq \"work\"].locality","value":"l"}]`, after: `,"addresses":[{"type":"work","country":"c","locality":"l"}]`},
		{name: "an element is created from several comparisons", ops: `[{"op":"add","path":"emails[type eq \"work\" and primary eq \"true\"].value","value":"w"}]`, after: `,"emails":[{"type":"work","primary":true,"value":"w"}]`},
		{name: "a whole element is created", ops: `[{"op":"replace","path":"emails[type eq \"work\"]","value":{"value":"w"}}]`, after: `,"emails":[` + work + `]`},
		{name: "a whole element is replaced and keeps what the filter said", before: `,"emails":[{"type":"work","value":"w","display":"d"}]`, ops: `[{"op":"replace","path":"emails[type eq \"work\"]","value":{"value":"n"}}]`, after: `,"emails":[{"type":"work","value":"n"}]`},
		{name: "a whole element is replaced by any filter", before: two, ops: `[{"op":"replace","path":"emails[value sw \"w\"]","value":{"value":"n"}}]`, after: `,"emails":[{"value":"n"},` + home + `]`},
		{name: "an element may come in a list of one", before: two, ops: `[{"op":"replace","path":"emails[type eq \"work\"]","value":[{"value":"n"}]}]`, after: `,"emails":[{"value":"n","type":"work"},` + home + `]`},
		{name: "add to an element merges", before: two, ops: `[{"op":"add","path":"emails[type eq \"work\"]","value":{"display":"d"}}]`, after: `,"emails":[{"type":"work","value":"w","display":"d"},` + home + `]`},
		{name: "remove of an element", before: two, ops: `[{"op":"remove","path":"emails[type eq \"work\" or value eq \"x\"]"}]`, after: `,"emails":[` + home + `]`},
		{name: "replace of an element with null removes it", before: two, ops: `[{"op":"replace","path":"emails[type eq \"work\"]","value":null}]`, after: `,"emails":[` + home + `]`},
		{name: "an element without its value goes", before: two, ops: `[{"op":"remove","path":"emails[type eq \"work\"].value"}]`, after: `,"emails":[` + home + `]`},
		{name: "an element that keeps a part stays", before: `,"addresses":[{"type":"work","country":"c","locality":"l"}]`, ops: `[{"op":"remove","path":"addresses[type eq \"work\"].country"}]`, after: `,"addresses":[{"type":"work","locality":"l"}]`},
		{name: "replace of a sub-attribute with null removes it", before: two, ops: `[{"op":"replace","path":"emails[type eq \"work\"].type","value":null}]`, after: `,"emails":[{"value":"w"},` + home + `]`},
		{name: "a sub-attribute without a filter means all elements", before: two, ops: `[{"op":"remove","path":"emails.type"},{"op":"add","path":"roles.value","value":"r"}]`, after: `,"emails":[{"value":"w"},{"value":"h"}],"roles":[{"value":"r"}]`},
		{name: "elements that become equal become one", before: two, ops: `[{"op":"replace","path":"emails.type","value":"other"},{"op":"replace","path":"emails.value","value":"o"}]`, after: `,"emails":[{"type":"other","value":"o"}]`},

		// primary
		{name: "a new primary element replaces the old one", before: `,"emails":[{"value":"1","primary":true}]`, ops: `[{"op":"add","path":"emails","value":[{"value":"2","primary":true}]}]`, after: `,"emails":[{"value":"1","primary":false},{"value":"2","primary":true}]`},
		{name: "setting primary clears it elsewhere", before: `,"emails":[{"value":"1","type":"work"},{"value":"2","primary":true}]`, ops: `[{"op":"replace","path":"emails[type eq \"work\"].primary","value":"True"}]`, after: `,"emails":[{"value":"1","type":"work","primary":true},{"value":"2","primary":false}]`},
		{name: "adding what is there as primary makes it so", before: `,"emails":[{"value":"1","primary":true},{"value":"2"}]`, ops: `[{"op":"add","path":"emails","value":[{"value":"2","primary":true}]}]`, after: `,"emails":[{"value":"1","primary":false},{"value":"2","primary":true}]`},
		{name: "primary for all makes the first so", before: two, ops: `[{"op":"add","path":"emails.primary","value":true}]`, after: `,"emails":[{"type":"work","value":"w","primary":true},{"type":"home","value":"h","primary":false}]`},

		// without a path
		{name: "each name is an operation", before: `,"title":"t"`, ops: `[{"op":"replace","value":{"ACTIVE":"False","name.givenName":"g","name":{"familyName":"f"},"title":null,"emails[type eq \"work\"].value":"w"}}]`, after: `,"active":false,"name":{"givenName":"g","familyName":"f"},"emails":[` + work + `]`},
		{name: "readOnly and unknown names are passed over", ops: `[{"op":"replace","value":{"id":"x","meta":{},"groups":[],"schemas":[],"manager.displayName":"x","shoeSize":1,"name.nick":"x","a b":1,"urn:x:y:z":1,"urn:x:y":{},"active":true}}]`, after: `,"active":true`},
		{name: "an extension's object is merged", before: ent + `{"division":"d","department":"x"}`, ops: `[{"op":"replace","value":{"` + strings.ToUpper(EnterpriseURN) + `":{"department":"y","shoe":1,"urn:x:y":1}}}]`, after: ent + `{"division":"d","department":"y"}`},
		{name: "an extension that is null changes nothing", before: ent + `{"division":"d"}`, ops: `[{"op":"replace","value":{"` + EnterpriseURN + `":null}}]`, after: ent + `{"division":"d"}`},
		{name: "the core schema's URN works too", ops: `[{"op":"add","value":{"` + UserURN + `":{"title":"t","id":"x"},"` + UserURN + `:nickName":"n"}}]`, after: `,"title":"t","nickName":"n"`},
		{name: "an empty path is none", ops: `[{"op":"add","path":"","value":{"title":"t"}},{"op":"add","path":null,"value":{"nickName":"n"}}]`, after: `,"title":"t","nickName":"n"`},

		// extensions
		{name: "an extension's attribute by its URN", ops: `[{"op":"add","path":"` + strings.ToLower(EnterpriseURN) + `:DEPARTMENT","value":"d"}]`, after: ent + `{"department":"d"}`},
		{name: "an extension's attribute after a dot", ops: `[{"op":"add","path":"` + EnterpriseURN + `.department","value":"d"}]`, after: ent + `{"department":"d"}`},
		{name: "an enterprise attribute without URN", ops: `[{"op":"add","path":"department","value":"d"},{"op":"add","value":{"division":"x"}}]`, after: ent + `{"department":"d","division":"x"}`},
		{name: "the last attribute takes the extension along", before: ent + `{"department":"d"}`, ops: `[{"op":"remove","path":"` + EnterpriseURN + `:department"}]`, after: ``},
		{name: "a whole extension is merged by its URN", before: ent + `{"division":"d"}`, ops: `[{"op":"add","path":"` + EnterpriseURN + `","value":{"department":"x"}}]`, after: ent + `{"division":"d","department":"x"}`},
		{name: "a whole extension is removed by its URN", before: ent + `{"division":"d"}`, ops: `[{"op":"remove","path":"` + EnterpriseURN + `"}]`, after: ``},
		{name: "a path into an unknown schema is passed over", ops: `[{"op":"add","path":"urn:x:y:2.0:User:z","value":1},{"op":"replace","path":"active","value":false}]`, after: `,"active":false`},
		{name: "schemas are the server's business", ops: `[{"op":"add","path":"schemas","value":["x"]},{"op":"remove","path":"schemas"},{"op":"replace","path":"manager.$ref","value":"x"}]`, after: ``},

		// refusals
		{name: "remove without a path", ops: `[{"op":"remove"}]`, scimType: NoTarget},
		{name: "add without a value", ops: `[{"op":"add","path":"title"}]`, scimType: InvalidValue},
		{name: "no path and no object", ops: `[{"op":"add","value":"x"}]`, scimType: InvalidValue},
		{name: "no path and one name twice", ops: `[{"op":"add","value":{"title":"x","Title":"y"}}]`, scimType: InvalidValue},
		{name: "no path and a bad value", ops: `[{"op":"add","value":{"title":7}}]`, scimType: InvalidValue},
		{name: "an unknown attribute", ops: `[{"op":"add","path":"shoeSize","value":43}]`, scimType: InvalidPath},
		{name: "an unknown attribute to remove", ops: `[{"op":"remove","path":"shoeSize"}]`, scimType: InvalidPath},
		{name: "an unknown attribute of a known extension", ops: `[{"op":"add","path":"` + EnterpriseURN + `:shoe","value":43}]`, scimType: InvalidPath},
		{name: "an unknown sub-attribute", ops: `[{"op":"add","path":"name.nick","value":"x"}]`, scimType: InvalidPath},
		{name: "an unknown sub-attribute after a filter", ops: `[{"op":"add","path":"emails[type eq \"x\"].nick","value":"x"}]`, scimType: InvalidPath},
		{name: "another extension's attribute without URN", ops: `[{"op":"add","path":"admin","value":true}]`, scimType: InvalidPath},
		{name: "a malformed path", ops: `[{"op":"add","path":"emails[","value":"x"}]`, scimType: InvalidPath},
		{name: "a filter on a single value", ops: `[{"op":"add","path":"name[givenName pr]","value":{}}]`, scimType: InvalidPath},
		{name: "a filter after a sub-attribute", ops: `[{"op":"add","path":"emails.value[type pr]","value":"x"}]`, scimType: InvalidPath},
		{name: "a filter on an extension", ops: `[{"op":"add","path":"` + EnterpriseURN + `[a pr]","value":{}}]`, scimType: InvalidPath},
		{name: "a filter with an unknown name", ops: `[{"op":"remove","path":"emails[shoe eq \"x\"]"}]`, scimType: InvalidFilter},
		{name: "a filter that orders a boolean", ops: `[{"op":"remove","path":"emails[primary gt \"x\"]"}]`, scimType: InvalidFilter},
		{name: "a filter nothing can be made from", ops: `[{"op":"add","path":"emails[type sw \"x\"].value","value":"x"}]`, scimType: NoTarget},
		{name: "a filter that contradicts itself", ops: `[{"op":"add","path":"emails[type eq \"x\" and type eq \"y\"].value","value":"x"}]`, scimType: NoTarget},
		{name: "a filter of alternatives matching nothing", ops: `[{"op":"replace","path":"emails[type eq \"x\" or type eq \"y\"]","value":{"value":"x"}}]`, scimType: NoTarget},
		{name: "a key that is not there", ops: `[{"op":"replace","path":"` + PosixUserURN + `:sshPublicKeys[value eq \"b\"]","value":"x"}]`, scimType: NoTarget},
		{name: "the id", ops: `[{"op":"replace","path":"id","value":"x"}]`, scimType: Mutability},
		{name: "meta", ops: `[{"op":"remove","path":"meta.version"}]`, scimType: Mutability},
		{name: "groups", ops: `[{"op":"add","path":"groups","value":[{"value":"g"}]}]`, scimType: Mutability},
		{name: "groups by a filter", ops: `[{"op":"remove","path":"groups[value eq \"x\"]"}]`, scimType: Mutability},
		{name: "the manager's name", ops: `[{"op":"add","path":"manager.displayName","value":"x"}]`, scimType: Mutability},
		{name: "removing userName", ops: `[{"op":"remove","path":"userName"}]`, scimType: Mutability},
		{name: "removing the core schema", ops: `[{"op":"remove","path":"` + UserURN + `"}]`, scimType: Mutability},
		{name: "clearing userName", ops: `[{"op":"replace","path":"userName","value":null}]`, scimType: InvalidValue},
		{name: "a blank userName", ops: `[{"op":"replace","value":{"userName":" "}}]`, scimType: InvalidValue},
		{name: "a wrong type", ops: `[{"op":"replace","path":"active","value":"maybe"}]`, scimType: InvalidValue},
		{name: "a wrong type in an element", ops: `[{"op":"add","path":"emails[type eq \"x\"].value","value":7}]`, scimType: InvalidValue},
		{name: "an element that is not one", before: two, ops: `[{"op":"add","path":"emails[type eq \"work\"]","value":7}]`, scimType: InvalidValue},
		{name: "removing an element that says nothing", before: two, ops: `[{"op":"remove","path":"emails","value":[{}]}]`, scimType: InvalidValue},
		{name: "one bad operation after good ones", before: `,"title":"t"`, ops: `[{"op":"remove","path":"title"},{"op":"add","path":"nickName","value":"n"},{"op":"add","path":"emails","value":7}]`, scimType: InvalidValue},
	} {
		t.Run(c.name, c.run)
	}
}

func TestPatchKeepsListsWithinBounds(t *testing.T) {
	r := Resource{"userName": "a"}
	var err error
	for i := 0; err == nil; i++ {
		if i > MaxValues {
			t.Fatal("roles grow without end")
		}
		op := Op{Kind: Add, Path: &Path{Attr: AttrPath{Name: "roles"}}, Value: fmt.Sprint(i), HasValue: true}
		r, _, err = User.Patch(r, []Op{op}, nil)
	}
	wantError(t, err, InvalidValue)
}

func TestPatchErrorsNameTheOperation(t *testing.T) {
	ops, err := ParsePatch(object(t, `{"Operations":[{"op":"add","path":"title","value":"t"},{"op":"Replace","path":"emails[type eq \"work\"].primary","value":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = User.Patch(Resource{"userName": "a"}, ops, nil)
	want := `operation 2 (replace emails[type eq "work"].primary): emails.primary must be a boolean, not a string`
	if err == nil || err.(*Error).Detail != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParsePatch(t *testing.T) {
	ops, err := ParsePatch(object(t, `{"operations":{"OP":"ADD","Path":"title","VALUE":null,"name":"x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(ops) != 1 || ops[0].Kind != Add || ops[0].Path.String() != "title" || !ops[0].HasValue || ops[0].Value != nil {
		t.Errorf("got %+v", ops)
	}
	for name, test := range map[string]struct{ in, scimType string }{
		"no operations":          {`{}`, InvalidSyntax},
		"null operations":        {`{"Operations":null}`, InvalidSyntax},
		"empty operations":       {`{"Operations":[]}`, InvalidSyntax},
		"operations twice":       {`{"Operations":[],"operations":[]}`, InvalidSyntax},
		"an operation as string": {`{"Operations":["add"]}`, InvalidSyntax},
		"no op":                  {`{"Operations":[{"path":"title","value":"t"}]}`, InvalidSyntax},
		"an unknown op":          {`{"Operations":[{"op":"move","path":"title","value":"t"}]}`, InvalidSyntax},
		"op twice":               {`{"Operations":[{"op":"add","Op":"remove"}]}`, InvalidSyntax},
		"a path that is none":    {`{"Operations":[{"op":"add","path":7,"value":"t"}]}`, InvalidSyntax},
		"a malformed path":       {`{"Operations":[{"op":"add","path":"a b","value":"t"}]}`, InvalidPath},
		"too many operations":    {`{"Operations":[` + strings.Repeat(`{"op":"remove","path":"title"},`, MaxPatchOps) + `{}]}`, InvalidSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePatch(object(t, test.in))
			wantError(t, err, test.scimType)
		})
	}
}

func TestPatchRefusesOpsMadeByHandThatAreNone(t *testing.T) {
	_, _, err := User.Patch(Resource{"userName": "a"}, []Op{{}}, nil)
	wantError(t, err, InvalidSyntax)
	if s := OpKind(0).String(); s != "OpKind(0)" {
		t.Errorf("OpKind(0) is %s", s)
	}
}

func TestPatchMembers(t *testing.T) {
	for _, test := range []struct {
		name     string
		ops      string
		calls    string // separated by "; "
		members  string
		changed  bool
		scimType string
	}{
		{name: "add a list", ops: `[{"op":"add","path":"members","value":[{"value":"c"},{"value":"a"}]}]`, calls: `add ["c","a"]`, members: "a b c", changed: true},
		{name: "add a present one", ops: `[{"op":"add","path":"members","value":{"value":"a"}}]`, calls: `add ["a"]`, members: "a b"},
		{name: "add nobody", ops: `[{"op":"add","path":"members","value":[]},{"op":"add","path":"members","value":null}]`, members: "a b"},
		{name: "remove those listed", ops: `[{"op":"remove","path":"members","value":[{"value":"a"},{"value":"x"}]}]`, calls: `remove ["a","x"]`, members: "b", changed: true},
		{name: "remove a bare id", ops: `[{"op":"remove","path":"members","value":"a"}]`, calls: `remove ["a"]`, members: "b", changed: true},
		{name: "remove an empty list", ops: `[{"op":"remove","path":"members","value":[]}]`, members: "a b"},
		{name: "remove without a value", ops: `[{"op":"remove","path":"members"}]`, calls: `replace []`, members: "", changed: true},
		{name: "remove with null", ops: `[{"op":"remove","path":"members","value":null}]`, calls: `replace []`, members: "", changed: true},
		{name: "remove by id", ops: `[{"op":"remove","path":"members[value eq \"a\"]"}]`, calls: `remove ["a"]`, members: "b", changed: true},
		{name: "remove by id looks at no value", ops: `[{"op":"remove","path":"members[value eq \"a\"]","value":[{"value":"b"}]}]`, calls: `remove ["a"]`, members: "b", changed: true},
		{name: "remove by several ids", ops: `[{"op":"remove","path":"members[value eq \"a\" or value eq b]"}]`, calls: `remove ["a","b"]`, members: "", changed: true},
		{name: "remove by another filter", ops: `[{"op":"remove","path":"members[display eq \"user A\" and type eq User]"}]`, calls: `remove matching`, members: "b", changed: true},
		{name: "remove by a filter with an id in it", ops: `[{"op":"remove","path":"members[value eq \"a\" or type eq \"Group\"]"}]`, calls: `remove matching`, members: "b", changed: true},
		{name: "replace", ops: `[{"op":"replace","path":"members","value":["x","x"]}]`, calls: `replace ["x"]`, members: "x", changed: true},
		{name: "replace by nobody", ops: `[{"op":"replace","path":"members","value":[]}]`, calls: `replace []`, members: "", changed: true},
		{name: "replace by null with a path", ops: `[{"op":"replace","path":"members","value":null}]`, calls: `replace []`, members: "", changed: true},
		{name: "null without a path says nothing", ops: `[{"op":"replace","value":{"members":null,"displayName":"h"}}]`, members: "a b", changed: true},
		{name: "an empty list without a path is nobody", ops: `[{"op":"replace","value":{"members":[]}}]`, calls: `replace []`, members: "", changed: true},
		{name: "by the URN", ops: `[{"op":"add","path":"` + GroupURN + `:members","value":["c"]}]`, calls: `add ["c"]`, members: "a b c", changed: true},
		{name: "replace of a chosen member", ops: `[{"op":"replace","path":"members[value eq \"a\"]","value":{"value":"c"}}]`, calls: `remove ["a"]; add ["c"]`, members: "b c", changed: true},
		{name: "replace of members chosen by another filter", ops: `[{"op":"replace","path":"members[display eq \"user A\"]","value":[{"value":"c"},{"value":"a"}]}]`, calls: `remove matching; add ["c","a"]`, members: "b c a", changed: true},
		{name: "replace of a chosen member by nobody", ops: `[{"op":"replace","path":"members[value eq \"a\"]","value":[]}]`, calls: `remove ["a"]`, members: "b", changed: true},
		{name: "neighbours are handed over together", ops: `[{"op":"add","path":"members","value":["c"]},{"op":"add","path":"members","value":["d","c"]},{"op":"remove","path":"members[value eq \"a\"]"},{"op":"remove","path":"members","value":["b"]},{"op":"add","path":"members","value":["a"]}]`, calls: `add ["c","d"]; remove ["a","b"]; add ["a"]`, members: "c d a", changed: true},

		{name: "an object without value", ops: `[{"op":"remove","path":"members","value":[{}]}]`, scimType: InvalidValue},
		{name: "an empty string", ops: `[{"op":"remove","path":"members","value":""}]`, scimType: InvalidValue},
		{name: "a bad operation after a good one", ops: `[{"op":"add","path":"members","value":["c"]},{"op":"add","path":"shoe","value":1}]`, scimType: InvalidPath},
		{name: "a result without displayName", ops: `[{"op":"add","path":"members","value":["c"]},{"op":"replace","path":"displayName","value":""}]`, scimType: InvalidValue},
		{name: "removing displayName", ops: `[{"op":"remove","path":"displayName"}]`, scimType: Mutability},
		{name: "a member's id", ops: `[{"op":"replace","path":"members[value eq \"a\"].value","value":"c"}]`, scimType: Mutability},
		{name: "every member's id", ops: `[{"op":"remove","path":"members.value"}]`, scimType: Mutability},
		{name: "a member's name", ops: `[{"op":"replace","path":"members[value eq \"a\"].display","value":"c"}]`, scimType: Mutability},
		{name: "a chosen member, by add", ops: `[{"op":"add","path":"members[value eq \"a\"]","value":{"value":"c"}}]`, scimType: Mutability},
		{name: "a chosen member, by nobody that could be meant", ops: `[{"op":"replace","path":"members[value eq \"a\"]","value":{"display":"c"}}]`, scimType: InvalidValue},
		{name: "a filter with an unknown name", ops: `[{"op":"remove","path":"members[shoe eq \"a\"]"}]`, scimType: InvalidFilter},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := resource(t, `{"displayName":"g"}`)
			m := &roll{ids: []string{"a", "b"}}
			ops, err := ParsePatch(object(t, `{"Operations":`+test.ops+`}`))
			if err != nil {
				t.Fatal(err)
			}
			_, changed, err := Group.Patch(r, ops, m)
			if test.scimType != "" {
				wantError(t, err, test.scimType)
				if len(m.calls) > 0 {
					t.Errorf("members were touched: %s", m.calls)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(m.calls, "; "); got != test.calls {
				t.Errorf("calls: got %s, want %s", got, test.calls)
			}
			if want := strings.Fields(test.members); !slices.Equal(m.ids, want) {
				t.Errorf("members are %s, want %s", m.ids, want)
			}
			if changed != test.changed {
				t.Errorf("changed = %v", changed)
			}
		})
	}
}

func TestPatchReturnsTheErrorsOfMembers(t *testing.T) {
	full := errors.New("disk full")
	ops := []Op{{Kind: Add, Path: &Path{Attr: AttrPath{Name: "members"}}, Value: "c", HasValue: true}}
	if _, _, err := Group.Patch(Resource{"displayName": "g"}, ops, &roll{fail: full}); err != full {
		t.Errorf("got %v", err)
	}
	if _, _, err := Group.Patch(Resource{"displayName": "g"}, ops, nil); err == nil {
		t.Error("members went nowhere without an error")
	}
}
