package scimserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/time/rate"
)

// Enrolment gives a node tokens of its own for one that an administrator hands out to
// many. The node makes the tokens and tells their ids and hashes: no secret of its own
// travels, and a request whose answer was lost can be repeated as it was, which costs
// nothing more and leaves nothing behind.

// MaxUses is the most nodes that a token of scope enroll may enrol.
const MaxUses = 100_000

// AddEnrolment makes a token of scope enroll for that many nodes.
func (o *Operator) AddEnrolment(ctx context.Context, name string, uses int, life time.Duration) (Token, string, error) {
	if uses < 1 || uses > MaxUses {
		return Token{}, "", fmt.Errorf("uses is %d, which is not from 1 to %d", uses, MaxUses)
	}
	return o.addToken(ctx, name, ScopeEnroll, life, uses)
}

// enrolment is the body of POST /enroll/v1.
type enrolment struct {
	// Node is the name by which the server is to know the node.
	Node string `json:"node"`
	// Admin and User are its tokens of scope node-admin and node-user.
	Admin claim `json:"admin"`
	User  claim `json:"user"`
}

// claim is what a node tells of a token that it made: pwb_ID_SECRET.
type claim struct {
	ID string `json:"id"`
	// Hash is the SHA-256 of the secret, in hexadecimal.
	Hash string `json:"hash"`
}

var (
	enrolledName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)
	claimedID    = regexp.MustCompile(`^[A-Za-z0-9]{8}$`)
)

// tokens are the two that the body describes, or what is wrong with it.
func (e *enrolment) tokens(now time.Time) (all []Token, err error) {
	if !enrolledName.MatchString(e.Node) {
		return nil, &badRequest{fmt.Sprintf("node %.100q must have 1 to 80 letters, digits, '.', '_' and '-', and begin with a letter or digit", e.Node)}
	}
	for _, c := range []struct {
		field string
		scope Scope
		claim claim
	}{{"admin", ScopeNodeAdmin, e.Admin}, {"user", ScopeNodeUser, e.User}} {
		hash, err := hex.DecodeString(c.claim.Hash)
		if err != nil || len(hash) != sha256.Size {
			return nil, &badRequest{c.field + ".hash must be a SHA-256 in hexadecimal"}
		}
		if !claimedID.MatchString(c.claim.ID) {
			return nil, &badRequest{c.field + ".id must have 8 letters and digits"}
		}
		all = append(all, Token{ID: c.claim.ID, Name: enrolledAs(c.scope) + e.Node, Scope: c.scope, Hash: [sha256.Size]byte(hash), Created: now})
	}
	return all, nil
}

// enrolledAs is how the names of tokens begin that nodes got by enrolment; the node's
// name follows.
func enrolledAs(s Scope) string { return string(s) + "@" }

// refusedError is an enrolment that is refused for good.
type refusedError struct {
	status int
	reason string
}

func (e *refusedError) Error() string { return e.reason }

// Bounds of enrolments: of a body, in bytes, and how many a second each token of scope
// enroll may make.
const (
	maxEnrolment            = 4 << 10
	enrolRate    rate.Limit = 20
	enrolBurst              = 100
)

// serveEnroll is POST /enroll/v1: 204 when the node's tokens are there, however often
// it is asked.
func (s *Server) serveEnroll(w http.ResponseWriter, r *http.Request) {
	by, err := s.authenticate(w, r, ScopeEnroll)
	if err == nil {
		if wait := s.enrolments.take(by, s.now(), 1); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
			plain(w, http.StatusTooManyRequests, "too many nodes enrol at once; try again")
			return
		}
		err = s.enroll(w, r, by)
	}
	var bad *badRequest
	var refused *refusedError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &bad):
		plain(w, http.StatusBadRequest, bad.Error())
	case errors.As(err, &refused):
		plain(w, refused.status, refused.Error())
	case authStatus(w, err) != http.StatusInternalServerError:
		plain(w, authStatus(w, err), err.Error())
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the node has gone
	case errors.Is(err, ErrClosed):
		w.Header().Set("Retry-After", strconv.Itoa(s.comeBack()))
		plain(w, http.StatusServiceUnavailable, err.Error())
	default:
		s.log.Error("an enrolment failed", "token", by.Name, "error", err)
		plain(w, http.StatusInternalServerError, "the server's log says why")
	}
}

func (s *Server) enroll(w http.ResponseWriter, r *http.Request, by Token) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEnrolment))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return &badRequest{fmt.Sprintf("the enrolment has more than %d bytes", maxEnrolment)}
	case err != nil:
		return &badRequest{"the enrolment did not arrive as a whole"}
	}
	arrived(w)
	var e enrolment
	if err := json.Unmarshal(data, &e); err != nil {
		return &badRequest{"the enrolment is not JSON of its form: " + err.Error()}
	}
	tokens, err := e.tokens(s.moment())
	if err != nil {
		return err
	}
	return s.deeds(r.Context(), "token "+by.Name, func(tx Tx, did func(Event) error) error {
		return s.enrol(tx, by.ID, e.Node, tokens, did)
	})
}

// enrol puts the node's tokens in place of those of its name that nobody ever used,
// and counts the use: all in one update, with its lines of the audit log.
func (s *Server) enrol(tx Tx, by, node string, tokens []Token, did func(Event) error) error {
	// Who enrols is looked at again: it may have been revoked or used up meanwhile.
	t, err := tx.Token(by)
	if errors.Is(err, ErrNotFound) {
		return errBadToken
	}
	if err != nil {
		return err
	}
	have := make([]*Token, len(tokens))
	same := true
	for i, k := range tokens {
		old, err := tx.TokenNamed(k.Name)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		default:
			have[i] = &old
		}
		same = same && have[i] != nil && have[i].ID == k.ID && have[i].Hash == k.Hash && have[i].Scope == k.Scope
	}
	if same {
		return nil // the answer was lost
	}
	if t.Uses < 1 {
		return &refusedError{http.StatusForbidden, fmt.Sprintf("the enrolment token %s is used up: make another with pwb-server token create --scope enroll", t.Name)}
	}
	for i, k := range tokens {
		old := have[i]
		if old == nil {
			continue
		}
		if !old.Used.IsZero() || s.tokens.usedLately(old.ID) {
			return &refusedError{http.StatusConflict, fmt.Sprintf("the node %s has tokens that are in use: if that is this node, made anew, revoke %s and the other of its tokens at the server first (pwb-server token revoke), else choose another name (--node)", node, k.Name)}
		}
		if err := errors.Join(tx.DeleteToken(k.Name), did(tokenEvent("token.revoke", *old))); err != nil {
			return err
		}
	}
	for _, k := range tokens {
		err := tx.PutToken(k)
		if errors.Is(err, ErrTaken) {
			return &refusedError{http.StatusConflict, "a token with this id is there: make others and try again"}
		}
		if err := errors.Join(err, did(tokenEvent("token.create", k))); err != nil {
			return err
		}
	}
	before := t.Uses
	t.Uses--
	if err := errors.Join(tx.DeleteToken(t.Name), tx.PutToken(t)); err != nil {
		return err
	}
	return did(Event{Action: "node.enroll", Name: node, Changes: changes{"uses": {before, t.Uses}}.encode()})
}

// usedLately reports whether a token was used since that was written down last.
func (c *tokenCache) usedLately(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, used := c.used[id]
	return used
}
