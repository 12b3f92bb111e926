package scimserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"

	"pwb/roster"
)

// IDTokens verifies ID tokens (OpenID Connect Core §3.1.3.7).
type IDTokens interface {
	// VerifyIDToken returns the claims of a token that was issued to a portal that
	// we know, and what makes it one that registers once. It fails with
	// NotRegistered, or with ErrAway when the provider's keys are not to be had.
	VerifyIDToken(ctx context.Context, token string) (Claims, Once, error)
}

// ErrAway: the OpenID provider cannot be asked.
var ErrAway = errors.New("the OpenID provider cannot be asked")

// maxRegister is the most bytes of a registration.
const maxRegister = 128 << 10

// registerRequest is the body of POST /jit/v1/register: an ID token from a
// portal, or from a front end that is believed who the person is.
type registerRequest struct {
	IDToken  string   `json:"id_token"`
	Username string   `json:"username"`
	Subject  string   `json:"subject"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Groups   []string `json:"groups"`
}

// registerAnswer is what it is answered with.
type registerAnswer struct {
	Name     string          `json:"name"`
	UID      uint32          `json:"uid"`
	GID      uint32          `json:"gid"`
	Gecos    string          `json:"gecos"`
	Home     string          `json:"home"`
	Groups   []string        `json:"groups"`
	Skipped  []string        `json:"skipped_groups,omitempty"`
	Created  bool            `json:"created"`
	Position roster.Position `json:"position"`
	Rendered Rendering       `json:"rendered"`
}

// registerError is the answer when nothing was registered.
type registerError struct {
	Error  string `json:"error"`
	Detail string `json:"detail"`
}

// serveRegister is POST /jit/v1/register.
func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request) {
	token, err := s.authenticate(w, r, ScopeJIT, ScopeJITProxy)
	if err != nil {
		if status := authStatus(w, err); status != http.StatusInternalServerError {
			answerJSON(w, status, registerError{"token", err.Error()})
			return
		}
		s.failRegister(w, r, token, err)
		return
	}
	if wait := s.rates.take(token, s.now(), 1); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		answerJSON(w, http.StatusTooManyRequests, registerError{"rate", "this token registers more people a second than rate-limit lets through"})
		return
	}
	s.allow(w, s.cfg.RegisterWait)
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegister))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		answerJSON(w, http.StatusRequestEntityTooLarge, registerError{"size", "the request has more than " + strconv.Itoa(maxRegister) + " bytes"})
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		answerJSON(w, http.StatusRequestTimeout, registerError{"time", "the request did not arrive in time"})
		return
	case err != nil:
		answerJSON(w, http.StatusBadRequest, registerError{"request", "the request could not be read to its end"})
		return
	}
	arrived(w)
	claims, once, err := s.claimsOf(r.Context(), token, data)
	var reg Registration
	if err == nil {
		claims.By = token.Name
		reg, err = s.Register(r.Context(), claims, once)
	}
	if err != nil {
		s.failRegister(w, r, token, err)
		return
	}
	answerJSON(w, http.StatusOK, registerAnswer{
		Name: reg.Name, UID: reg.UID, GID: reg.GID, Gecos: reg.Gecos, Home: reg.Home, Groups: append([]string{}, reg.Groups...), Skipped: reg.Skipped,
		Created: reg.Created, Position: reg.Position, Rendered: s.Rendered(r.Context(), reg),
	})
}

// errBadRegister is what a front end's programmer has to mend.
type errBadRegister string

func (e errBadRegister) Error() string { return string(e) }

// claimsOf reads a registration. Each scope has its own form: who may bring ID
// tokens cannot name people, and who may name people needs no ID token.
func (s *Server) claimsOf(ctx context.Context, token Token, data []byte) (c Claims, once *Once, err error) {
	var q registerRequest
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil || d.More() {
		return c, nil, errBadRegister("the body is not one JSON object with id_token, or with username and, if there is more to say, subject, name, email, groups")
	}
	if token.Scope == ScopeJIT {
		switch {
		case q.IDToken == "" || q.Username != "" || q.Subject != "" || q.Name != "" || q.Email != "" || q.Groups != nil:
			return c, nil, errBadRegister("a token of scope jit brings id_token and nothing else: to name people takes one of scope jit-proxy")
		case s.cfg.IDTokens == nil:
			return c, nil, errBadRegister("no ID token can be verified here: auth-openid-issuer is not set")
		}
		c, o, err := s.cfg.IDTokens.VerifyIDToken(ctx, q.IDToken)
		return c, &o, err
	}
	if q.IDToken != "" || q.Username == "" {
		return c, nil, errBadRegister("a token of scope jit-proxy brings username and no id_token: to bring ID tokens takes one of scope jit")
	}
	c = Claims{Issuer: ProxyIssuer, Subject: q.Username, Username: q.Username, Name: q.Name, Email: q.Email, Groups: q.Groups}
	if q.Subject != "" {
		c.Issuer, c.Subject = ProxyIssuerOf(token.Name), q.Subject
	}
	return c, nil, nil
}

// Status is the HTTP status that tells a cause.
func (e *NotRegistered) Status() int {
	switch e.Cause {
	case Locked, Departed, Untrusted:
		return http.StatusForbidden
	case Taken, Replayed:
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

// failRegister answers a registration that came to nothing, and logs it.
func (s *Server) failRegister(w http.ResponseWriter, r *http.Request, token Token, err error) {
	var refused *NotRegistered
	var bad errBadRegister
	switch {
	case r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())):
		panic(http.ErrAbortHandler) // the client has gone
	case errors.As(err, &refused):
		s.log.Warn("nobody was registered", "token", token.Name, "cause", string(refused.Cause), "reason", refused.Error())
		answerJSON(w, refused.Status(), registerError{string(refused.Cause), refused.Error()})
	case errors.As(err, &bad):
		answerJSON(w, http.StatusBadRequest, registerError{"request", bad.Error()})
	case errors.Is(err, ErrClosed):
		w.Header().Set("Retry-After", "2")
		answerJSON(w, http.StatusServiceUnavailable, registerError{"closing", "the server is about to stop; try again"})
	case errors.Is(err, ErrAway):
		s.log.Error("an ID token cannot be verified", "token", token.Name, "error", err)
		w.Header().Set("Retry-After", "5")
		answerJSON(w, http.StatusServiceUnavailable, registerError{"provider", ErrAway.Error() + "; try again"})
	default:
		s.log.Error("a registration failed", "token", token.Name, "error", err)
		answerJSON(w, http.StatusInternalServerError, registerError{"server", "the server could not do this; its log says why"})
	}
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings, numbers and positions
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that has gone needs no answer
}
