package altfiles

import (
	"reflect"
	"testing"
)

// TestEveryKeyOfThePolicyEndsAQuietPass goes through the fields, so that a new
// one cannot be forgotten.
func TestEveryKeyOfThePolicyEndsAQuietPass(t *testing.T) {
	values := map[string]any{
		"MinID": uint32(2000), "MaxID": uint32(70000),
		"AllowUsers": []string{"ada"}, "DenyUsers": []string{"ada"}, "AllowGroups": []string{"eng"}, "DenyGroups": []string{"eng"},
		"RenderGroups": "used", "ShellMap": []string{"/bin/zsh=/bin/bash"}, "HomePattern": "/srv/%u", "ProtectNames": []string{"ada"},
		"MergeMembers": []string{"docker=eng"}, "AllowNames": []string{"docker"}, "Shells": []string{"/bin/sh"}, "NologinShell": "/bin/false", "Shadow": false,
	}
	print := func(p Policy) string {
		t.Helper()
		r, err := p.rules()
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.rules()
		if err != nil || again.fingerprint() != r.fingerprint() {
			t.Fatalf("%q and %q are of one policy, %v", r.fingerprint(), again.fingerprint(), err)
		}
		return r.fingerprint()
	}
	without := print(DefaultPolicy())
	fields := reflect.TypeFor[Policy]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		value, ok := values[name]
		if !ok {
			t.Errorf("give the field %s a value here", name)
			continue
		}
		p := DefaultPolicy()
		reflect.ValueOf(&p).Elem().Field(i).Set(reflect.ValueOf(value))
		if print(p) == without {
			t.Errorf("another %s would go unnoticed", name)
		}
	}
}
