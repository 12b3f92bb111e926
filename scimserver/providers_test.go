package scimserver_test

import (
	"fmt"
	"net/url"
	"testing"
)

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
