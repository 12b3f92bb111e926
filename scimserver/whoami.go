package scimserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// TokenIdentity is the answer of GET /sync/v1/whoami: what the server knows of the token
// that asks.
type TokenIdentity struct {
	// Name is the administrator's name for the token, Scope what it is for.
	Name  string `json:"name"`
	Scope Scope  `json:"scope"`
	// Expires is when it ends, in UTC; nil: never.
	Expires *time.Time `json:"expires,omitempty"`
	// Now is the server's clock, in UTC.
	Now time.Time `json:"now"`
}

// serveWhoAmI tells the holder of a token what it is, whatever its scope: it learns of
// nothing but itself. A node that asks does not count as seen.
func (s *Server) serveWhoAmI(w http.ResponseWriter, r *http.Request) {
	t, err := s.authenticate(w, r, ScopeSCIM, ScopeNodeAdmin, ScopeNodeUser, ScopeOperator, ScopeEnroll)
	switch {
	case err == nil:
	case authStatus(w, err) != http.StatusInternalServerError:
		plain(w, authStatus(w, err), err.Error())
		return
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // who asked has gone
	case errors.Is(err, ErrClosed):
		plain(w, http.StatusServiceUnavailable, err.Error())
		return
	default:
		s.log.Error("a token could not be looked up", "path", r.URL.Path, "error", err)
		plain(w, http.StatusInternalServerError, "the server's log says why")
		return
	}
	id := TokenIdentity{Name: t.Name, Scope: t.Scope, Now: s.now().UTC()}
	if !t.Expires.IsZero() {
		expires := t.Expires.UTC()
		id.Expires = &expires
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(id) // a client that has gone needs no answer
}
