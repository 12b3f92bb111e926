package scimserver

import (
	"testing"

	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// FuzzWishes: no document, be it of a provider or of an older store, makes a
// wish panic, and a number that is wished for is one that may be given.
func FuzzWishes(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"userName":"ada","active":false}`,
		`{"userName":"ada","` + scim.WorkbenchURN + `":{"posixUserId":4000,"admin":true,"posixUserName":"x","homeDirectory":"/x"}}`,
		`{"userName":7,"name":[],"` + scim.WorkbenchURN + `":[],"` + scim.PosixUserURN + `":{"posixGroupId":"7","endDate":7}}`,
		`{"` + scim.WorkbenchURN + `":{"posixUserId":1e400}}`, `{"` + scim.WorkbenchURN + `":{"posixUserId":-9223372036854775808}}`,
		`{"` + scim.PosixUserURN + `":{"posixGroupId":1000.0,"endDate":"0000-01-01T00:00:00Z","loginShell":null}}`,
		`{"displayName":"Eng","` + scim.PosixGroupURN + `":{"posixGroupId":65534,"posixGroupName":1}}`,
	} {
		f.Add([]byte(s), []byte(`{"userName":"ada","`+scim.WorkbenchURN+`":{"posixUserId":5}}`))
	}
	f.Fuzz(func(t *testing.T, data, before []byte) {
		doc, err := scim.DecodeObject(data)
		if err != nil {
			return
		}
		old, err := scim.DecodeObject(before)
		if err != nil {
			old = nil
		}
		check := func(n uint32) {
			if err := ledger.CheckGivenID(int64(n)); n != 0 && err != nil {
				t.Fatalf("%s after %s wishes for %d: %v", data, before, n, err)
			}
		}
		for _, typ := range []*scim.ResourceType{nil, scim.User, scim.Group} {
			r := scim.Resource(doc)
			if typ != nil {
				if r, err = typ.Normalize(doc); err != nil {
					continue
				}
			}
			w, _ := accountWish(old, r, "")
			check(w.UID)
			check(w.GID)
			g, _ := groupWish(old, r)
			check(g.GID)
		}
	})
}
