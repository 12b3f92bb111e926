package scimserver

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"pwb/roster"
	"pwb/scimserver/scim"
)

// Claims is what somebody whom we trust says of a person who signed in.
type Claims struct {
	// Issuer and Subject identify the person for ever: iss and sub of OpenID
	// Connect Core §2, ProxyIssuerOf and a name of the front end's own, or
	// ProxyIssuer and the username.
	Issuer, Subject string
	// Username is the whole of what becomes the userName, such as
	// ada@acme.example.
	Username string
	// Name is the full name, Email an address; empty says nothing.
	Name, Email string
	// Groups are displayNames of groups. Nil says nothing of groups; an empty
	// list says that the person is in none.
	Groups []string
	// By names the token of whoever brought the claims, for the audit log.
	By string
}

// ProxyIssuer stands for the front ends that name people by their usernames alone.
// An OpenID issuer is a URL and cannot be it.
const ProxyIssuer = "proxy"

// ProxyIssuerOf stands for a front end that has names of its own for people, by the
// name of its token: what one calls 1 is somebody else at another.
func ProxyIssuerOf(token string) string { return ProxyIssuer + ":" + token }

// front reports whether a front end names the person.
func (c *Claims) front() bool {
	return c.Issuer == ProxyIssuer || strings.HasPrefix(c.Issuer, ProxyIssuerOf(""))
}

// Bounds of claims, in bytes but for the number of groups.
const (
	maxIssuer   = 1024
	maxSubject  = 255 // OpenID Connect Core §2
	maxUsername = 256
	maxClaim    = 1024
	maxGroup    = 256
	maxGroups   = 200
)

// check refuses what cannot be a person, and removes doubled groups.
func (c *Claims) check() error {
	c.Name, c.Email = strings.TrimSpace(c.Name), strings.TrimSpace(c.Email)
	for _, f := range []struct {
		what, value string
		least, most int
	}{
		{"issuer", c.Issuer, 1, maxIssuer},
		{"sub", c.Subject, 1, maxSubject},
		{"username", c.Username, 1, maxUsername},
		{"name", c.Name, 0, maxClaim},
		{"email", c.Email, 0, maxClaim},
	} {
		if err := checkClaim(f.what, f.value, f.least, f.most); err != nil {
			return err
		}
	}
	if len(c.Groups) > maxGroups {
		return notRegistered(Unfit, "the claims name %d groups, %d at most: have the provider send those alone that matter here", len(c.Groups), maxGroups)
	}
	if c.Groups == nil {
		return nil
	}
	known := map[string]bool{}
	groups := []string{}
	for _, g := range c.Groups {
		if err := checkClaim("group", g, 1, maxGroup); err != nil {
			return err
		}
		if folded := scim.Fold(g); !known[folded] {
			known[folded] = true
			groups = append(groups, g)
		}
	}
	c.Groups = groups
	return nil
}

func checkClaim(what, value string, least, most int) error {
	switch {
	case len(value) < least:
		return notRegistered(Unfit, "the claims have no %s", what)
	case len(value) > most:
		return notRegistered(Unfit, "the claim %s has %d bytes, %d at most", what, len(value), most)
	case !utf8.ValidString(value), strings.ContainsFunc(value, unicode.IsControl), strings.TrimSpace(value) != value:
		return notRegistered(Unfit, "the claim %s has control characters, or blanks around it", what)
	}
	return nil
}

func (c *Claims) actor() string {
	if c.By == "" {
		return "jit:" + c.Issuer
	}
	return "jit:" + c.Issuer + " by token " + c.By
}

// Registration is the account of a person who signed in.
type Registration struct {
	// ID is the SCIM id of the user.
	ID string
	// Name, UID, GID, Gecos and Home are those of the account.
	Name, Gecos, Home string
	UID, GID          uint32
	// Groups are the POSIX names of the groups that the account is in, besides
	// its own. Skipped are the claimed groups that it was not put into.
	Groups, Skipped []string
	// Created: the user is new.
	Created bool
	// Position is where the feed stood when all this was so, before where it
	// stood before that.
	Position, before roster.Position
}

// NotRegistered is why somebody has no account, or not the use of it. Its text is
// for administrators, and tells nobody's secrets.
type NotRegistered struct {
	Cause  Cause
	reason string
}

// Cause sorts the reasons of NotRegistered.
type Cause string

// The causes.
const (
	// Unfit: no account can follow from the claims.
	Unfit Cause = "unfit"
	// Locked: the account is locked, for whatever reason.
	Locked Cause = "locked"
	// Departed: the user was deleted.
	Departed Cause = "departed"
	// Taken: the userName or account is somebody else's.
	Taken Cause = "taken"
	// Replayed: the token was used before.
	Replayed Cause = "replayed"
	// Untrusted: the token is not what it should be.
	Untrusted Cause = "untrusted"
)

func (e *NotRegistered) Error() string { return e.reason }

// Refuse makes a NotRegistered.
func Refuse(cause Cause, format string, args ...any) error {
	return notRegistered(cause, format, args...)
}

func notRegistered(cause Cause, format string, args ...any) error {
	return &NotRegistered{cause, fmt.Sprintf(format, args...)}
}

// asNotRegistered turns a refusal by the operations of SCIM into one of
// registration; other errors stay what they are.
func asNotRegistered(err error) error {
	var e *scim.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.ScimType == scim.Uniqueness {
		return notRegistered(Taken, "%s", e.Detail)
	}
	return notRegistered(Unfit, "%s", e.Detail)
}
