package scimserver_test

import (
	"strings"
	"testing"

	"github.com/GehirnInc/crypt"

	"pwb/scimserver"
)

func verifies(hash, password string) bool {
	return strings.HasPrefix(hash, "$6$") && crypt.SHA512.New().Verify(hash, []byte(password)) == nil
}

func TestAPasswordIsKeptAsAHashAndShownToNobody(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.HashRounds = 1234 })
	first, second, third := "Tr0ub4dor-and-3", "c0rrect-h0rse-battery", "ünïcødé-und-länger"
	h.secrets = append(h.secrets, first, second, third)
	shown := func(a *answer, password string) {
		t.Helper()
		if strings.Contains(string(a.body), password) || strings.Contains(string(a.body), "$6$") || a.get("password") != nil {
			t.Errorf("%s shows the password: %s", a.what, a.body)
		}
	}
	created := h.do("POST", "/Users?attributes=password,userName", `{"userName":"ada","password":"`+first+`"}`).ok(201)
	shown(created, first)
	id := created.id()
	hash := h.account(id).Hash
	if !verifies(hash, first) || !strings.HasPrefix(hash, "$6$rounds=1234$") {
		t.Fatalf("hash %q", hash)
	}

	for _, keep := range [][2]string{
		{"PUT", `{"userName":"ada","title":"Dr"}`},
		{"PUT", `{"userName":"ada","password":null}`},
		{"PUT", `{"userName":"ada","password":""}`},
		{"PATCH", patch(`{"op":"add","path":"title","value":"password"}`)},
		{"PATCH", patch(`{"op":"remove","path":"password"}`)},
		{"PATCH", patch(`{"op":"replace","path":"active","value":false}`)},
	} {
		h.do(keep[0], "/Users/"+id, keep[1]).ok(200)
		if got := h.account(id).Hash; got != hash {
			t.Errorf("%v changed the hash", keep)
		}
	}
	version := h.do("GET", "/Users/"+id, "").ok(200).get("meta.version")
	shown(h.do("PUT", "/Users/"+id, `{"userName":"ada","title":"password","active":false,"PASSWORD":"`+second+`"}`).ok(200), second)
	if got := h.account(id).Hash; !verifies(got, second) {
		t.Errorf("hash %q", got)
	}
	for _, op := range []string{
		`{"op":"replace","path":"password","value":"` + third + `"}`,
		`{"op":"Add","path":"urn:ietf:params:scim:schemas:core:2.0:User:Password","value":"` + first + `"}`,
		`{"op":"replace","value":{"Password":"` + third + `"}}`,
		`{"op":"replace","path":"pass\u0077ord","value":"` + first + `"}`,
	} {
		want := third
		if strings.Contains(op, first) {
			want = first
		}
		shown(h.do("PATCH", "/Users/"+id, patch(op)).ok(200), want)
		if got := h.account(id).Hash; !verifies(got, want) {
			t.Errorf("%s: hash %q", op, got)
		}
	}
	after := h.do("GET", "/Users/"+id, "").ok(200)
	shown(after, third)
	if after.get("meta.version") == version {
		t.Error("a new password leaves the version as it was")
	}
	for _, filter := range []string{"password+eq+%22" + first + "%22", "password+pr", "password+sw+%22T%22"} {
		a := h.do("GET", "/Users?filter="+filter, "").ok(200).has("totalResults", 0)
		shown(a, "$6$")
	}
	shown(h.do("GET", "/Users?attributes=password", "").ok(200), "$6$")
	h.do("DELETE", "/Users/"+id, "").ok(204)
	if a := h.account(id); !a.Locked {
		t.Errorf("account %+v", a)
	}
}

func TestEqualPasswordsHaveDifferentHashes(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.secrets = append(h.secrets, "one-for-all-of-them")
	hash := map[string]bool{}
	for _, name := range []string{"a", "b", "c"} {
		id := h.do("POST", "/Users", `{"userName":"`+name+`","password":"one-for-all-of-them"}`).ok(201).id()
		hash[h.account(id).Hash] = true
	}
	if len(hash) != 3 {
		t.Errorf("%d hashes of three users", len(hash))
	}
}

func TestErrorsDoNotRepeatAPassword(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.newUser("ada")
	secret := "s3cret-that-is-s3cret"
	h.secrets = append(h.secrets, secret)
	for _, r := range [][3]string{
		{"POST", "/Users", `{"userName":"bob","password":"` + secret + `\u0000"}`},
		{"POST", "/Users", `{"userName":"bob","password":["` + secret + `","` + secret + `"]}`},
		{"POST", "/Users", `{"userName":"bob","password":{"value":"` + secret + `"}}`},
		{"POST", "/Users", `{"userName":"bob","password":"` + secret + strings.Repeat("x", 600) + `"}`},
		{"POST", "/Users", `{"userName":"bob","password":"` + secret + `"`},
		{"POST", "/Users", `{"userName":"bob","password":"` + secret + `","password":"` + secret + `"}`},
		{"POST", "/Users", `{"userName":"","password":"` + secret + `"}`},
		{"PATCH", "/Users/" + id, patch(`{"op":"replace","path":"password","value":["` + secret + `","` + secret + `"]}`)},
		{"PATCH", "/Users/" + id, patch(`{"op":"replace","path":"password","value":"`+secret+`"}`, `{"op":"remove","path":"userName"}`)},
		{"PATCH", "/Users/" + id, patch(`{"op":"replace","path":"password.x","value":"` + secret + `"}`)},
		{"PATCH", "/Users/" + id, patch(`{"op":"replace","path":"password","value":"` + secret + `\n"}`)},
	} {
		a := h.do(r[0], r[1], r[2])
		if a.status != 400 || strings.Contains(string(a.body), secret) {
			t.Errorf("%s %s %s: %d %s", r[0], r[1], r[2], a.status, a.body)
		}
	}
	if a := h.account(id); a.Hash != "" {
		t.Errorf("account %+v", a)
	}
}

func TestTokensAreMadeAndReadBack(t *testing.T) {
	t.Parallel()
	for _, scope := range []scimserver.Scope{"scim", "node-admin", "node-user", "operator"} {
		if got, err := scimserver.ParseScope(string(scope)); err != nil || got != scope {
			t.Errorf("scope %s: %v, %v", scope, got, err)
		}
	}
	for _, scope := range []string{"", "SCIM", "admin", "node"} {
		if got, err := scimserver.ParseScope(scope); err == nil {
			t.Errorf("scope %q is %v", scope, got)
		}
		if _, _, err := scimserver.NewToken("x", scimserver.Scope(scope), when, 0); err == nil {
			t.Errorf("a token has the scope %q", scope)
		}
	}
	for _, name := range []string{"", "a\nb", "\x7f", strings.Repeat("x", 101)} {
		if _, _, err := scimserver.NewToken(name, scimserver.ScopeSCIM, when, 0); err == nil {
			t.Errorf("a token has the name %q", name)
		}
	}
	seen := map[string]bool{}
	for range 200 { // enough to meet every letter of the alphabets
		token, text, err := scimserver.NewToken("x", scimserver.ScopeSCIM, when, 0)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(text, "_", 3)
		if len(text) != 56 || len(parts) != 3 || parts[0] != "pwb" || parts[1] != token.ID || len(parts[2]) != 43 || seen[token.ID] || !token.Expires.IsZero() {
			t.Fatalf("token %s with id %s", text, token.ID)
		}
		seen[token.ID] = true
		if strings.ContainsAny(token.ID, "_+/=") {
			t.Fatalf("id %s", token.ID)
		}
	}
}
