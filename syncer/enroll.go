package syncer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// NodeToken is a token that a node makes for itself. The server hears its id and the
// hash of its secret alone.
type NodeToken struct{ id, secret string }

// NewNodeToken makes a token of 256 random bits.
func NewNodeToken() NodeToken {
	var random [6 + 32]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	// As the server's own: an id has no '_'.
	id := strings.NewReplacer("+", "x", "/", "y").Replace(base64.StdEncoding.EncodeToString(random[:6]))
	return NodeToken{id, base64.RawURLEncoding.EncodeToString(random[6:])}
}

// ParseNodeToken reads what Text made.
func ParseNodeToken(text string) (NodeToken, error) {
	prefix, rest, _ := strings.Cut(strings.TrimSpace(text), "_")
	id, secret, _ := strings.Cut(rest, "_")
	if prefix != "pwb" || id == "" || secret == "" {
		return NodeToken{}, errors.New("that is no token of a pwb server")
	}
	return NodeToken{id, secret}, nil
}

// Text is the token as a file holds it, a secret.
func (t NodeToken) Text() string { return "pwb_" + t.id + "_" + t.secret }

type claimedToken struct {
	ID   string `json:"id"`
	Hash string `json:"hash"`
}

func (t NodeToken) claim() claimedToken {
	hash := sha256.Sum256([]byte(t.secret))
	return claimedToken{t.id, hex.EncodeToString(hash[:])}
}

// enrolTries is how often an enrolment is tried when the server asks to come back.
const enrolTries = 5

// Enroll has the server take two tokens as those of this node, of scope node-admin and
// node-user, for the enrolment token in ClientConfig.TokenFile. It may be repeated with
// the same tokens when its answer was lost. A server that asks for patience gets it,
// within a minute in all.
func (c *Client) Enroll(ctx context.Context, admin, user NodeToken) error {
	sent, err := json.Marshal(struct {
		Node  string       `json:"node"`
		Admin claimedToken `json:"admin"`
		User  claimedToken `json:"user"`
	}{c.cfg.Node, admin.claim(), user.claim()})
	if err != nil {
		return err
	}
	left := time.Minute
	for try := 1; ; try++ {
		err := c.enroll(ctx, sent)
		var refused *StatusError
		if !errors.As(err, &refused) || refused.RetryAfter <= 0 || try == enrolTries || refused.RetryAfter > left {
			return err
		}
		left -= refused.RetryAfter
		select {
		case <-time.After(refused.RetryAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Client) enroll(ctx context.Context, sent []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.HeaderTimeout, errLate)
	defer cancel()
	a, err := c.do(ctx, request{method: http.MethodPost, path: "enroll/v1", body: sent})
	if err != nil {
		return err
	}
	defer a.Close()
	if a.resp.StatusCode == http.StatusNoContent {
		return nil
	}
	e := c.refusal(a)
	switch e.Code {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.hint = "check that " + c.cfg.TokenFile + " holds an enrolment token of this server that is neither expired nor used up"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		e.hint = "check the server's address; servers before enrolment want their tokens copied here"
	}
	return e
}
