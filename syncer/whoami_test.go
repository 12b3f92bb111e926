package syncer

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestANodeHearsWhatItsTokenIs(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   Identity
		err    string
	}{
		{"one that ends", says("application/json", `{"name":"web1","scope":"node-admin","expires":"2026-03-03T12:00:00Z","now":"2026-03-01T12:00:00Z"}`),
			Identity{"web1", "node-admin", time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, ""},
		{"one that does not", says("application/json", `{"name":"web1","scope":"node-user"}`), Identity{Name: "web1", Scope: "node-user"}, ""},
		{"a server that does not know the question", status(404), Identity{}, "404"},
		{"a refusal", status(401), Identity{}, "node-admin token"},
		{"something else", says("text/html", "<html>"), Identity{}, "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r.Method + " " + r.RequestURI + " " + r.Header.Get("Authorization")
				test.answer(w, r)
			}))
			defer server.Close()
			got, err := newClient(t, server.URL, nil).WhoAmI(t.Context())
			if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%+v, %v", got, err)
			}
			if refused := (*StatusError)(nil); strings.Contains(test.err, "404") && !errors.As(err, &refused) {
				t.Errorf("%v is no *StatusError", err)
			}
			if asked != "GET /sync/v1/whoami Bearer "+testToken {
				t.Errorf("asked %s", asked)
			}
		})
	}
}
