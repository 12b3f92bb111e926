package scimserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
)

// Match says which users who are there already a person may turn out to be at
// the first login.
type Match string

// The ways to match.
const (
	// MatchUserName: whose userName is the username claim, to the letter.
	MatchUserName Match = "username"
	// MatchExternalID: whose externalId is, moreover, the sub claim.
	MatchExternalID Match = "external-id"
	// MatchNobody: who was not made by registration is never matched.
	MatchNobody Match = "nobody"
)

// ParseMatch reads the name of a way to match.
func ParseMatch(s string) (Match, error) {
	switch m := Match(s); m {
	case MatchUserName, MatchExternalID, MatchNobody:
		return m, nil
	}
	return "", fmt.Errorf("%q is not one of username, external-id, nobody", s)
}

// Once is something that registers once, such as an ID token.
type Once struct {
	Digest [sha256.Size]byte
	// Until is when it cannot be used any more in any case.
	Until time.Time
}

// Register makes the claims' person a user with an account, or brings the user
// up to date, by the operations of SCIM and in one transaction with its events.
// It fails with NotRegistered and changes nothing when that is not to be. once,
// if it is not nil, is used up with it.
//
// Whom it registered it knows again by issuer and subject, whatever the claims
// then say. Attributes are followed of those whom registration made and no
// provider changed since; of the others the provider says how they are called.
func (s *Server) Register(ctx context.Context, c Claims, once *Once) (Registration, error) {
	if err := c.check(); err != nil {
		return Registration{}, err
	}
	var done Registration
	err := s.deeds(ctx, c.actor(), func(tx Tx, did func(Event) error) error {
		r := registrar{Server: s, ctx: ctx, tx: tx, did: did, Claims: c}
		err := r.run(once)
		done = r.done
		return err
	})
	if err = asNotRegistered(err); err != nil {
		return Registration{}, err
	}
	err = s.store.View(ctx, func(v View) (err error) {
		done.Position, err = v.Position()
		return err
	})
	if len(done.Skipped) > 0 {
		s.log.Info("groups of a claim were passed over: they belong to the system, to administrators or to a provider", "name", done.Name, "groups", done.Skipped)
	}
	return done, err
}

// registrar is one registration within its update.
type registrar struct {
	*Server
	Claims
	ctx context.Context
	tx  Tx
	did func(Event) error

	done Registration
}

func (r *registrar) operation(collection, id string) *operation {
	return &operation{Server: r.Server, ctx: r.ctx, h: collections[collection], actor: r.actor(), id: id, within: r.tx, did: r.did}
}

func (r *registrar) run(once *Once) (err error) {
	if r.done.before, err = r.tx.Position(); err != nil {
		return err
	}
	if once != nil {
		err := r.tx.UseOnce(once.Digest, r.moment(), once.Until)
		if errors.Is(err, ErrTaken) {
			return notRegistered(Replayed, "the token was used before: sign the person in again")
		}
		if err != nil {
			return fmt.Errorf("remember a token: %w", err)
		}
	}
	known, err := r.tx.Identity(r.Issuer, r.Subject)
	switch {
	case err == nil:
		if err = r.stillNamed(known); err == nil {
			err = r.again(known)
		}
	case errors.Is(err, ErrNotFound):
		err = r.first()
	}
	if err != nil {
		return err
	}
	if r.Groups != nil {
		if err := r.reconcile(); err != nil {
			return fmt.Errorf("groups of %s: %w", r.done.ID, err)
		}
	}
	return r.tell()
}

// stillNamed refuses a front end that knows people by their usernames alone, when the
// name has changed hands since: which of the two is meant, nobody can tell.
func (r *registrar) stillNamed(known Identity) error {
	if r.Issuer != ProxyIssuer {
		return nil
	}
	return r.named(func(now Resource) error {
		if now.ID == known.Subject {
			return nil
		}
		return notRegistered(Taken, "the userName %q is that of another user now than of the one who was registered by it on %s: pwb-server user unbind %s lets the next registration decide, and a front end that sends subject can tell the two apart",
			r.Username, known.Bound.Format(time.DateOnly), known.Subject)
	})
}

// named calls do with the user who has the userName, if there is one.
func (r *registrar) named(do func(Resource) error) error {
	_, err := r.tx.Find(KindUser, Query{Name: scim.Fold(r.Username), Limit: 1}, do)
	return err
}

// again is a login of somebody who was registered before.
func (r *registrar) again(known Identity) error {
	user, err := r.tx.Resource(KindUser, known.Subject)
	if errors.Is(err, ErrNotFound) {
		return r.comeBack(known)
	}
	if err != nil {
		return err
	}
	if err := r.mayEnter(user.ID); err != nil {
		return err
	}
	s, err := r.tx.Subject(user.ID)
	if err != nil || !known.Made || !s.Claimed { // the provider's, or another issuer's
		return err
	}
	_, err = r.operation("users", user.ID).storeUser("", func(old scim.Resource) (scim.Resource, error) {
		said, err := scim.User.Normalize(r.body())
		if err != nil {
			return nil, err
		}
		delete(said, "active")
		user := maps.Clone(old)
		maps.Copy(user, said)
		return user, nil
	})
	return err
}

// body is the person as a provider would put it.
func (r *registrar) body() map[string]any {
	body := map[string]any{"userName": r.Username}
	if r.Name != "" {
		body["displayName"] = r.Name
	}
	if r.Email != "" {
		body["emails"] = []any{map[string]any{"value": r.Email, "primary": true}}
	}
	return body
}

// mayEnter refuses who is locked, whoever locked the account, and who has ended though
// the lock that is due has not been made.
func (r *registrar) mayEnter(id string) error {
	a, err := accountNow(r.tx, id)
	if err != nil {
		return err
	}
	s, err := r.tx.Subject(id)
	if err != nil {
		return err
	}
	r.done.ID = id
	if end := s.Ends(); a.Locked || !end.IsZero() && !r.moment().Before(end) {
		return notRegistered(Locked, "the account %s is locked: pwb-server user show %[1]s says why", a.Name)
	}
	return nil
}

// comeBack is a login of somebody whose user was deleted since. Only who was
// readmitted comes back: deprovisioning is not undone by signing in.
func (r *registrar) comeBack(known Identity) error {
	s, err := r.tx.Subject(known.Subject)
	if err != nil {
		return err
	}
	if !s.Readmit {
		name := known.Subject
		if s.Account != nil {
			name = s.Account.Name
		} else if a, err := accountNow(r.tx, known.Subject); err == nil {
			name = a.Name
		}
		return notRegistered(Departed, "the user %s was deleted on %s: pwb-server user readmit %[1]s lets the same person back in", name, s.Since.Format(time.DateOnly))
	}
	// The identity says who it is, whatever the name is by now.
	if err := r.ledger.Readmit(r.tx, known.Subject, scim.Fold(r.Username)); err != nil {
		return err
	}
	return r.create(&known)
}

// first is the first login of a person.
func (r *registrar) first() error {
	var there *Resource
	if err := r.named(func(u Resource) error {
		there = &u
		return nil
	}); err != nil {
		return err
	}
	if there != nil {
		return r.match(*there)
	}
	var gone *ledger.Subject
	if err := r.tx.Departed(scim.Fold(r.Username), func(s ledger.Subject) error {
		if gone == nil || s.Readmit {
			gone = &s
		}
		return nil
	}); err != nil {
		return err
	}
	if gone != nil && !gone.Readmit {
		return notRegistered(Departed, "a user with the userName %q was deleted on %s: pwb-server user readmit lets the same person back in, and pwb-server user add admits another one",
			r.Username, gone.Since.Format(time.DateOnly))
	}
	return r.create(nil)
}

// match binds the person to a user who is there already. The userName must be
// the claim to the letter: what is merely compared alike, or becomes the same
// POSIX name, may be somebody else's.
func (r *registrar) match(user Resource) error {
	attrs, err := attributes(user)
	if err != nil {
		return err
	}
	bound, err := r.tx.Identities(user.ID)
	if err != nil {
		return err
	}
	for _, i := range bound {
		if i.Issuer == r.Issuer {
			return notRegistered(Taken, "the userName %q is that of another person at %s, who registered on %s; when it is the same one after all, pwb-server user unbind lets the next login decide",
				r.Username, r.Issuer, i.Bound.Format(time.DateOnly))
		}
	}
	switch {
	case r.cfg.Match == MatchNobody:
		return notRegistered(Taken, "the userName %q is that of a user who was not made by registration (auth-openid-match is nobody)", r.Username)
	case text(attrs["userName"]) != r.Username:
		return notRegistered(Taken, "the claim %q is not, to the letter, the userName %q of the user who is there", r.Username, text(attrs["userName"]))
	case r.cfg.Match == MatchExternalID && !r.front() && user.ExternalID != r.Subject:
		return notRegistered(Taken, "the userName %q is that of a user whose externalId is not the sub claim (auth-openid-match is external-id)", r.Username)
	}
	if err := r.mayEnter(user.ID); err != nil {
		return err
	}
	s, err := r.tx.Subject(user.ID)
	if err != nil {
		return err
	}
	return r.bind(s.Claimed && len(bound) == 0) // one that was unbound
}

// create makes a new user, or one of a subject whom the ledger knows.
func (r *registrar) create(known *Identity) error {
	user, err := scim.User.Normalize(r.body())
	if err != nil {
		return err
	}
	wish, err := accountWish(nil, user, "")
	if err != nil {
		return err
	}
	takes, err := r.ledger.TakesOver(r.tx, wish)
	switch {
	case err != nil:
		return err
	case takes && !r.ledger.Spells(r.Username):
		return notRegistered(Taken, "%q would take over the account %q that is there already, though the two are not the same: an auth-user-rewrite-rule says whose domain may, or import the person's account with that userName's own",
			r.Username, r.ledger.UserName(r.Username))
	}
	out, err := r.operation("users", "").createUser(r.body())
	if err != nil {
		return err
	}
	r.done.Created = true
	if known != nil && known.Subject != out.resource.ID {
		return notRegistered(Taken, "the userName %q is that of another user who was readmitted", r.Username)
	}
	if err := r.mayEnter(out.resource.ID); err != nil {
		return err // one that an administrator holds stays held
	}
	if err := r.ledger.SetClaimed(r.tx, out.resource.ID, true); err != nil || known != nil {
		return err
	}
	return r.bind(true)
}

// bind remembers who the user is at the issuer.
func (r *registrar) bind(made bool) error {
	err := r.tx.Bind(Identity{Issuer: r.Issuer, Sub: r.Subject, Subject: r.done.ID, Made: made, Bound: r.moment()})
	if err != nil {
		return fmt.Errorf("bind user %s to the identity: %w", r.done.ID, err)
	}
	a, err := accountNow(r.tx, r.done.ID)
	if err != nil {
		return err
	}
	return r.did(accountEvent("user.bind", changes{"issuer": {nil, r.Issuer}, "sub": {nil, r.Subject}}, ledger.Change{Before: a, After: a}))
}

// tell reads what the account has become.
func (r *registrar) tell() error {
	a, err := accountNow(r.tx, r.done.ID)
	if err != nil {
		return err
	}
	r.done.Name, r.done.Gecos, r.done.Home, r.done.UID, r.done.GID = a.Name, a.Gecos, a.Home, a.UID, a.GID
	return r.tx.GroupsOf(a.ID, func(c roster.Change) error {
		row, err := c.Row()
		if err == nil && row.Group != nil {
			r.done.Groups = append(r.done.Groups, row.Group.Name)
		}
		return err
	})
}
