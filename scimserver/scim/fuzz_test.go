package scim

import (
	"encoding/json"
	"reflect"
	"testing"
)

// Written canonically a filter can be longer than it came, and a level deeper.
const (
	againLength = 8 * MaxFilterLength
	againDepth  = 2*MaxFilterDepth + 2
)

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		`userName eq "bjensen"`, `userName Eq bob@example.com`, `not (title pr) and (active eq true or meta.lastModified ge "2026-01-01T00:00:00Z")`,
		`emails[type eq "work" or primary eq "True"].value co "@x"`, `emails[not (value pr)]`, EnterpriseURN + `:manager.value ne null`, `a eq "\u0041\ud83d\ude00\n"`,
		`id eq 1 or id gt -1.5 or id eq 1e+21`, `schemas[value sw "urn"]`, `emails.primary gt "x"`, `sshPublicKeys[value eq "k"]`, `((((a pr))))`,
	} {
		f.Add(s)
	}
	r := resource(f, janet)
	f.Fuzz(func(t *testing.T, s string) {
		filter, err := ParseFilter(s)
		if err != nil {
			wantError(t, err, InvalidFilter)
			return
		}
		written := filter.String()
		again, err := parseFilter(written, againLength, againDepth)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", s, written, err)
		}
		if !reflect.DeepEqual(filter, again) || again.String() != written {
			t.Fatalf("%q was written as %q and read as %q", s, written, again)
		}
		matched := User.Match(filter, r)
		if matched != User.Match(again, r) || matched == User.Match(Not{filter}, r) {
			t.Fatalf("%q matches and does not", s)
		}
		if err := User.CheckFilter(filter); err != nil {
			wantError(t, err, InvalidFilter)
		}
		if attr, value, ok := User.Equality(filter); ok {
			path, good := parseAttrPath(attr)
			if !good {
				t.Fatalf("%q compares %q", s, attr)
			}
			if User.Match(Compare{path, Eq, value}, r) != matched {
				t.Fatalf("%q is not %s eq %#v", s, attr, value)
			}
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{
		`userName`, `name.familyName`, `emails[type eq "work"].value`, `emails[type eq "a" or (not (b pr))]`, `members[value eq "2819"]`, EnterpriseURN, EnterpriseURN + `:manager.value`,
		UserURN + `:roles[primary eq "True"].$ref`, ` active `, `a[b eq c].d`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, err := ParsePath(s)
		if err != nil {
			wantError(t, err, InvalidPath)
			return
		}
		written := path.String()
		again, err := parsePath(written, againLength, againDepth)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", s, written, err)
		}
		if !reflect.DeepEqual(path, again) || again.String() != written {
			t.Fatalf("%q was written as %q and read as %q", s, written, again.String())
		}
	})
}

func FuzzPatch(f *testing.F) {
	for _, s := range []string{
		`[{"op":"Replace","path":"active","value":"False"}]`,
		`[{"op":"add","value":{"name.givenName":"g","` + EnterpriseURN + `":{"department":"d","manager":"m"},"emails[type eq \"x\"].value":"v","id":"x"}}]`,
		`[{"op":"Add","path":"emails[type eq \"work\"].value","value":"w"},{"op":"Add","path":"emails[type eq \"other\"].primary","value":"True"}]`,
		`[{"op":"remove","path":"emails","value":[{"value":"jan@home.example"}]},{"op":"remove","path":"emails[type eq \"work\"].value"}]`,
		`[{"op":"replace","path":"roles[primary eq \"True\"].value","value":"r"},{"op":"replace","path":"emails.type","value":"t"}]`,
		`[{"op":"add","path":"emails","value":[{"value":"JANET@example.com","type":"WORK"},{"value":"n","primary":true}]}]`,
		`[{"op":"replace","path":"` + PosixUserURN + `:sshPublicKeys[value sw \"ssh-rsa\"]","value":"k"},{"op":"remove","path":"` + EnterpriseURN + `"}]`,
		`[{"op":"replace","path":"manager","value":""},{"op":"remove","path":"name.givenName"},{"op":"replace","path":"addresses[type eq \"a\"]","value":{"country":"c"}}]`,
		`[{"op":"add","path":"members","value":[{"value":"u"}]},{"op":"remove","path":"members[display eq \"x\"]"},{"op":"replace","value":{"displayName":"n"}}]`,
		`[{"op":"replace","path":"userName","value":null}]`,
	} {
		f.Add([]byte(s))
	}
	before := resource(f, janet)
	normal, err := User.Normalize(before)
	if err != nil {
		f.Fatal(err)
	}
	group := Resource{"displayName": "g", "schemas": []any{GroupURN}}
	f.Fuzz(func(t *testing.T, operations []byte) {
		body, err := DecodeObject(append(append([]byte(`{"Operations":`), operations...), '}'))
		if err != nil {
			return
		}
		ops, err := ParsePatch(body)
		if err != nil {
			return
		}
		copied := resource(t, janet)
		sent := jsonOf(body)
		checkPatched(t, User, normal, ops)
		checkPatched(t, Group, group, ops)
		if out, changed, err := User.Patch(before, ops, &roll{}); err == nil {
			User.SetSchemas(copied)
			if changed == Equal(out, copied) {
				t.Fatalf("changed = %v, but the result is %s", changed, jsonOf(out))
			}
		}
		if !Equal(before, resource(t, janet)) {
			t.Fatalf("the resource became %s", jsonOf(before))
		}
		if got := jsonOf(body); got != sent {
			t.Fatalf("the body %s became %s", sent, got)
		}
	})
}

// checkPatched applies ops to a normalized resource. What comes out is normal
// too, and doing nothing is reported as such.
func checkPatched(t *testing.T, kind *ResourceType, r Resource, ops []Op) {
	t.Helper()
	was := jsonOf(r)
	members := &roll{ids: []string{"a", "b"}}
	out, changed, err := kind.Patch(r, ops, members)
	if got := jsonOf(r); got != was {
		t.Fatalf("the resource %s became %s", was, got)
	}
	if err != nil {
		if _, ok := err.(*Error); !ok {
			t.Fatalf("the error is no protocol error: %v", err)
		}
		if out != nil || changed || len(members.calls) > 0 {
			t.Fatalf("a failed PATCH left %s, %v, %s", jsonOf(out), changed, members.calls)
		}
		return
	}
	again, err := kind.Normalize(out)
	if err != nil || !Equal(again, out) {
		t.Fatalf("the result %s is not normal: %s, %v", jsonOf(out), jsonOf(again), err)
	}
	if !changed && !Equal(r, out) {
		t.Fatalf("no change is reported between %s and %s", was, jsonOf(out))
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		janet, `{}`, `{"a":[1,-2.5e3,true,false,null,{"b":"\u00e9\ud83d\ude00\/"}]}`, `{"a":1,"a":2}`, `{"userName":"a","name":{"givenName":1}}`,
		`{"userName":"a","emails":["v",{"value":"V","primary":"True"},{"value":"w","primary":true}],"` + EnterpriseURN + `:manager":[{"value":"m"}]}`,
		`{"displayName":"g","members":[{"value":"a"},"b"],"` + PosixGroupURN + `":{"posixGroupId":"5000"}}`, "{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeObject(data)
		if err != nil {
			wantError(t, err, InvalidSyntax)
			return
		}
		var std map[string]any
		if err := json.Unmarshal(data, &std); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if got, want := jsonOf(m), jsonOf(std); got != want && !hasNumber(m) {
			t.Fatalf("encoding/json reads %s, not %s", want, got)
		}
		again, err := DecodeObject([]byte(jsonOf(m)))
		if err != nil || jsonOf(again) != jsonOf(m) {
			t.Fatalf("decoding again gives %s, %v", jsonOf(again), err)
		}
		for _, kind := range []*ResourceType{User, Group} {
			checkNormal(t, kind, m)
		}
		if ids, given, err := GroupMembers(m); err == nil && !given && len(ids) > 0 {
			t.Fatal("members come from nowhere")
		}
	})
}

func checkNormal(t *testing.T, kind *ResourceType, m map[string]any) {
	t.Helper()
	r, err := kind.Normalize(m)
	if err != nil {
		wantError(t, err, InvalidValue)
		return
	}
	again, err := kind.Normalize(r)
	if err != nil || !Equal(r, again) {
		t.Fatalf("normalizing %s gives %s, again %s, %v", jsonOf(m), jsonOf(r), jsonOf(again), err)
	}
	if shown := kind.Project(r, Projection{}); shown["password"] != nil {
		t.Fatal("the password is shown")
	}
}

// hasNumber reports whether there is a number in v: this decoder keeps integers
// that encoding/json rounds.
func hasNumber(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			if hasNumber(x) {
				return true
			}
		}
	case []any:
		for _, x := range v {
			if hasNumber(x) {
				return true
			}
		}
	case int64, float64:
		return true
	}
	return false
}
