package scimserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// Scope says what a token is for. Each has one use: a leaked token of a node
// cannot write users, and a provider's token cannot read hashes.
type Scope string

// The scopes of tokens.
const (
	// ScopeSCIM is for identity providers: all of /scim/v2.
	ScopeSCIM Scope = "scim"
	// ScopeNodeAdmin is for agents, which run as root: /sync/v1 and /nss/v1.
	ScopeNodeAdmin Scope = "node-admin"
	// ScopeNodeUser is for everybody on a node: /nss/v1 without shadow.
	ScopeNodeUser Scope = "node-user"
	// ScopeJIT is for portals that signed somebody in and bring the ID token:
	// /jit/v1/register.
	ScopeJIT Scope = "jit"
	// ScopeJITProxy is for front ends that are believed when they name a person:
	// the same endpoint, without an ID token.
	ScopeJITProxy Scope = "jit-proxy"
	// ScopeOperator is for people and tools that watch and steer the server.
	ScopeOperator Scope = "operator"
	// ScopeEnroll is for handing out to new nodes: /enroll/v1, as often as Token.Uses
	// says.
	ScopeEnroll Scope = "enroll"
)

// ParseScope reads a scope's name.
func ParseScope(s string) (Scope, error) {
	switch sc := Scope(s); sc {
	case ScopeSCIM, ScopeNodeAdmin, ScopeNodeUser, ScopeJIT, ScopeJITProxy, ScopeOperator, ScopeEnroll:
		return sc, nil
	}
	return "", fmt.Errorf("scope %q is not one of scim, node-admin, node-user, jit, jit-proxy, operator, enroll", s)
}

// Token is what the store knows of a token: never the token itself.
type Token struct {
	// ID is the public part of the token, which finds it.
	ID string
	// Name is the administrator's, unique.
	Name  string
	Scope Scope
	// Hash is the SHA-256 of the secret part. The secret has 256 random bits,
	// so that a slow hash would add nothing.
	Hash [sha256.Size]byte
	// Created and Expires; a zero Expires means never.
	Created, Expires time.Time
	// Used is when the token was used last, to about a minute; zero if never.
	Used time.Time
	// Uses is how many nodes a token of ScopeEnroll may still enrol.
	Uses int
}

const tokenPrefix = "pwb"

// NewToken makes a token: pwb_ID_SECRET, 56 characters of which 43 are the
// secret's. The text is shown once and then known to its holder only.
// A zero life means that it never expires.
func NewToken(name string, scope Scope, now time.Time, life time.Duration) (Token, string, error) {
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return Token{}, "", fmt.Errorf("token name %.120q must have 1 to 100 characters and no control characters", name)
	}
	if _, err := ParseScope(string(scope)); err != nil {
		return Token{}, "", err
	}
	var random [6 + 32]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	// The id is cut from the base64 alphabet that has no '_'.
	id := strings.NewReplacer("+", "x", "/", "y").Replace(base64.StdEncoding.EncodeToString(random[:6]))
	secret := base64.RawURLEncoding.EncodeToString(random[6:])
	t := Token{ID: id, Name: name, Scope: scope, Hash: sha256.Sum256([]byte(secret)), Created: now}
	if life > 0 {
		t.Expires = now.Add(life)
	}
	return t, tokenPrefix + "_" + id + "_" + secret, nil
}

var errBadToken = errors.New("the token is unknown, revoked or expired")

// badToken is errBadToken with what is told to nobody but the Meter.
type badToken struct{ reason string }

func (e *badToken) Error() string        { return errBadToken.Error() }
func (e *badToken) Is(target error) bool { return target == errBadToken }

// verifyToken returns the token that text is. It fails with errBadToken,
// whatever is wrong with it, or with a fault of the store.
func (s *Server) verifyToken(ctx context.Context, text string) (Token, error) {
	id, secret := tokenParts(text)
	if secret == "" || len(text) > maxToken {
		return Token{}, &badToken{UnknownToken}
	}
	now := s.now()
	t, err := s.tokens.find(ctx, s.store, id, now)
	switch {
	case errors.Is(err, ErrNotFound):
		return Token{}, &badToken{UnknownToken}
	case err != nil:
		return Token{}, fmt.Errorf("look up a token: %w", err)
	}
	got := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(got[:], t.Hash[:]) != 1 {
		return Token{}, &badToken{WrongToken}
	}
	if !t.Expires.IsZero() && !now.Before(t.Expires) {
		return Token{}, &badToken{ExpiredToken}
	}
	s.tokens.use(id, now)
	return t, nil
}

// tokenParts splits a token into what finds it and what proves it. One that was
// made elsewhere is found by a digest of its own.
func tokenParts(text string) (id, secret string) {
	prefix, rest, _ := strings.Cut(text, "_")
	id, secret, _ = strings.Cut(rest, "_")
	if prefix == tokenPrefix && id != "" && len(id) <= 32 && secret != "" {
		return id, secret
	}
	digest := sha256.Sum256([]byte("the id of the token " + text))
	return "x" + hex.EncodeToString(digest[:12]), text
}

// Bounds of a token that was made elsewhere, in bytes.
const (
	minToken = 32
	maxToken = 1024
)

// ForeignToken is a token that somebody else made, such as one from a secret of
// Kubernetes: 32 to 1024 visible ASCII characters. It never expires.
func ForeignToken(name string, scope Scope, text string, now time.Time) (Token, error) {
	if len(text) < minToken || len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Token{}, fmt.Errorf("the token must have %d to %d visible ASCII characters and no blanks", minToken, maxToken)
	}
	id, secret := tokenParts(text)
	return Token{ID: id, Name: name, Scope: scope, Hash: sha256.Sum256([]byte(secret)), Created: now}, nil
}

// tokenCache remembers tokens for a moment, since every request has one. It
// holds what the store holds, never a secret, and no more entries than there
// are tokens; a revoked one is gone when its life is over.
type tokenCache struct {
	life  time.Duration
	mu    sync.Mutex
	known map[string]*knownToken // by id
	used  map[string]time.Time   // by id; since it was last written down
}

// use remembers that a token was used. It is written down later, many uses at once.
func (c *tokenCache) use(id string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used == nil {
		c.used = map[string]time.Time{}
	}
	c.used[id] = now
}

// lastUses are the uses that are to be written down, by id.
func (c *tokenCache) lastUses() map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.used)
}

// takeUsed returns what use remembered and forgets it.
func (c *tokenCache) takeUsed() map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := c.used
	c.used = nil
	return used
}

// knownToken is what one look into the store found, shared by all who ask at
// that moment: 10,000 agents that a change wakes cost one read.
type knownToken struct {
	until time.Time
	once  sync.Once
	token Token
	err   error
}

func (c *tokenCache) find(ctx context.Context, s Store, id string, now time.Time) (Token, error) {
	if c.life <= 0 {
		return readToken(ctx, s, id)
	}
	c.mu.Lock()
	k := c.known[id]
	own := k == nil || !now.Before(k.until)
	if own {
		k = &knownToken{until: now.Add(c.life)}
		c.known[id] = k
	}
	c.mu.Unlock()
	// What others wait for, too, does not end with this request.
	k.once.Do(func() { k.token, k.err = readToken(context.WithoutCancel(ctx), s, id) })
	if k.err == nil {
		return k.token, nil
	}
	c.mu.Lock()
	if c.known[id] == k {
		delete(c.known, id)
	}
	c.mu.Unlock()
	if own {
		return k.token, k.err
	}
	return readToken(ctx, s, id) // what others found may be from before the token was made
}

func readToken(ctx context.Context, s Store, id string) (t Token, err error) {
	err = s.View(ctx, func(v View) (err error) {
		t, err = v.Token(id)
		return err
	})
	return t, err
}
