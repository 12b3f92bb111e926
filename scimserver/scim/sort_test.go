package scim

import "testing"

func TestCompare(t *testing.T) {
	r := resource(t, `{"id":"A","userName":"Bob","active":false,"meta":{"created":"2026-01-01T12:00:00Z"},"name":{"givenName":"x"},
		"emails":[{"value":"z"},{"value":"a","primary":true}],"`+WorkbenchURN+`":{"posixUserId":900}}`)
	s := resource(t, `{"id":"a","userName":"alice","active":true,"meta":{"created":"2026-01-01T12:00:00+01:00"},
		"emails":[{"value":"b"},{"value":"0"}],"`+WorkbenchURN+`":{"posixUserId":1000}}`)
	for by, want := range map[string]int{
		"userName":                    1,
		"id":                          -1,
		"active":                      -1,
		"meta.created":                1,
		"name.givenName":              -1,
		"emails":                      -1,
		"emails.value":                -1,
		"emails.type":                 0,
		"posixUserId":                 -1,
		WorkbenchURN + ":posixUserId": -1,
		"name":                        0,
		"title":                       0,
		"shoeSize":                    0,
	} {
		path, err := ParseAttrPath(by)
		if err != nil {
			t.Fatal(err)
		}
		if got := User.Compare(path, r, s); got != want {
			t.Errorf("by %s: got %d, want %d", by, got, want)
		}
		if got := User.Compare(path, s, r); got != -want {
			t.Errorf("by %s the other way round: got %d, want %d", by, got, -want)
		}
		if got := User.Compare(path, r, r); got != 0 {
			t.Errorf("by %s a resource is %d to itself", by, got)
		}
	}
	_, err := ParseAttrPath(`emails[type eq "work"]`)
	wantError(t, err, InvalidPath)
}
