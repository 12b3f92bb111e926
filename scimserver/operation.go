package scimserver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"pwb/scimserver/scim"
)

// operation is one thing to do with resources of a kind, whether it came as a
// request of its own or within a bulk request.
type operation struct {
	*Server
	ctx context.Context
	h   *handlers
	// actor is who does it, for the audit log.
	actor string
	// id is the resource's; empty when it is about the whole collection.
	id string
	// ifMatch holds the versions that the resource may have (RFC 7644 §3.14);
	// empty: any.
	ifMatch string
	// newID is the id that a new resource gets; empty: one that is made for it.
	newID string
	// within is the update that the operation is a part of, and did takes its
	// event; without them it is an update of its own.
	within Tx
	did    func(Event) error
	// provider: what it takes from users counts for the fuse, which may refuse
	// it unless it is admitted.
	provider, admitted bool
}

// outcome is what an operation came to.
type outcome struct {
	status int
	// resource is as it was stored; it has no ID after a deletion.
	resource Resource
	// quiet: the answer needs no body.
	quiet bool
	// alone: the resource is in no membership, so that none is looked up.
	alone bool
}

// handlers says what is done with the resources of a kind. Each function takes
// the request's body, if its method has one.
type handlers struct {
	kind Kind
	typ  *scim.ResourceType
	// unique is the attribute that no two resources of the kind share.
	unique string

	create  func(*operation, map[string]any) (outcome, error)
	replace func(*operation, map[string]any) (outcome, error)
	patch   func(*operation, map[string]any) (outcome, error)
	remove  func(*operation) (outcome, error)
}

// collections holds the endpoints of resources under their lower-case names.
var collections = map[string]*handlers{
	"users":  {KindUser, scim.User, "userName", (*operation).createUser, (*operation).replaceUser, (*operation).patchUser, (*operation).deleteUser},
	"groups": {KindGroup, scim.Group, "displayName", (*operation).createGroup, (*operation).replaceGroup, (*operation).patchGroup, (*operation).deleteGroup},
}

// newResource makes the stored form of what a provider has sent, with a new id.
func (o *operation) newResource(attrs scim.Resource) (Resource, error) {
	id := o.newID
	if id == "" {
		made, err := newID()
		if err != nil {
			return Resource{}, err
		}
		id = made
	}
	r := Resource{Kind: o.h.kind, ID: id}
	err := o.fill(&r, attrs)
	r.Created = r.Modified
	return r, err
}

// newID makes an id: a UUID that ascends with time, so that rows are stored in
// the order in which they came.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return id.String(), nil
}

// fill puts the provider's attributes into r as its next version.
func (o *operation) fill(r *Resource, attrs scim.Resource) error {
	str := func(name string) string { v, _ := attrs[name].(string); return v }
	r.Display = scim.Fold(str("displayName"))
	r.Name = r.Display
	if r.Kind == KindUser {
		r.Name = scim.Fold(str("userName"))
	}
	r.ExternalID = str("externalId")
	r.Version++
	r.Modified = o.moment()
	delete(attrs, "schemas") // follows from the attributes
	doc, err := json.Marshal(attrs)
	if err != nil {
		return fmt.Errorf("encode resource %s: %w", r.ID, err)
	}
	if len(doc) > maxDoc {
		return scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "the resource's attributes have %d bytes, %d at most", len(doc), maxDoc)
	}
	r.Doc = doc
	return nil
}

// maxDoc is the most bytes of a resource's attributes. Real ones have a few
// thousand; a page of lists holds up to a thousand of them.
const maxDoc = 256 << 10

// attributes is the reverse of fill.
func attributes(r Resource) (scim.Resource, error) {
	attrs, err := scim.DecodeObject(r.Doc)
	if err != nil {
		return nil, fmt.Errorf("stored resource %s: %w", r.ID, err)
	}
	return attrs, nil
}

// stored finds the resource that the operation names.
func (o *operation) stored(v View) (Resource, error) {
	r, err := v.Resource(o.h.kind, o.id)
	if errors.Is(err, ErrNotFound) {
		return r, scim.Errorf(http.StatusNotFound, "", "no resource has the id %.100q here", o.id)
	}
	return r, err
}

// matched is stored for a write: it also holds ifMatch against the version.
func (o *operation) matched(tx Tx) (Resource, error) {
	r, err := o.stored(tx)
	if err == nil && !etagMatches(o.ifMatch, r, true) {
		err = scim.Errorf(http.StatusPreconditionFailed, "", "the resource has version %s by now; GET it again", etag(r))
	}
	return r, err
}

// insert stores a new resource and has follow do the same to the roster. A
// subject that recognize knows comes back under its id.
func (o *operation) insert(attrs scim.Resource, recognize func(v View) (id string, err error), follow func(tx Tx, id string) (Event, error)) (outcome, error) {
	r, err := o.newResource(attrs)
	if err != nil {
		return outcome{}, err
	}
	err = o.update(func(tx Tx) (e Event, err error) {
		known, err := recognize(tx)
		if err != nil {
			return e, err
		}
		r.ID = cmp.Or(known, r.ID)
		if err := o.conflict(tx.Insert(r), attrs); err != nil {
			return e, err
		}
		return follow(tx, r.ID)
	})
	return outcome{status: http.StatusCreated, resource: r}, err
}

// update runs fn in the store and records the event that it returns, unless that
// has no action.
func (o *operation) update(fn func(tx Tx) (Event, error)) error {
	var e Event
	if o.within != nil {
		e, err := fn(o.within)
		if err != nil || e.Action == "" {
			return refused(err)
		}
		return o.did(e)
	}
	err := o.store.Update(o.ctx, func(tx Tx) (err error) {
		if e, err = fn(tx); err != nil || e.Action == "" {
			return err
		}
		if !o.provider {
			e.Loss = LossNone
		} else if !o.admitted {
			// The last thing that can fail: what fn did is undone as a whole.
			if err := o.checkFuse(tx, e); err != nil {
				return err
			}
		}
		return record(tx, &e, o.actor, o.moment())
	})
	if err != nil {
		return refused(err)
	}
	o.logEvent(o.ctx, e)
	return nil
}

// change stores what edit makes of the resource that the operation names, and
// has follow do the same to the roster. When edit neither says that something
// changed nor makes other attributes, nothing is written and the version stays.
func (o *operation) change(
	edit func(tx Tx, old scim.Resource) (attrs scim.Resource, changed bool, err error),
	follow func(tx Tx, old, attrs scim.Resource) (Event, error),
) (outcome, error) {
	var r Resource
	err := o.update(func(tx Tx) (e Event, err error) {
		before, err := o.matched(tx)
		if err != nil {
			return e, err
		}
		old, err := attributes(before)
		if err != nil {
			return e, err
		}
		attrs, changed, err := edit(tx, old)
		if err != nil {
			return e, err
		}
		r = before
		if err := o.fill(&r, attrs); err != nil {
			return e, err
		}
		if !changed && bytes.Equal(r.Doc, before.Doc) {
			r = before
			return e, nil
		}
		if err := o.conflict(tx.Replace(r), attrs); err != nil {
			return e, err
		}
		return follow(tx, old, attrs)
	})
	return outcome{status: http.StatusOK, resource: r}, err
}

// conflict turns ErrTaken into the error that names what is taken.
func (o *operation) conflict(err error, attrs scim.Resource) error {
	if errors.Is(err, ErrTaken) {
		return scim.Errorf(http.StatusConflict, scim.Uniqueness, "%s %q is in use", o.h.unique, attrs[o.h.unique])
	}
	return err
}

// erase removes the resource that the operation names, after clear has removed
// what depends on it.
func (o *operation) erase(clear func(tx Tx, r Resource) (Event, error)) (outcome, error) {
	err := o.update(func(tx Tx) (e Event, err error) {
		r, err := o.matched(tx)
		if err != nil {
			return e, err
		}
		if e, err = clear(tx, r); err != nil {
			return e, err
		}
		return e, tx.Delete(o.h.kind, o.id)
	})
	return outcome{status: http.StatusNoContent, quiet: true}, err
}
