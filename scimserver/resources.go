package scimserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"pwb/scimserver/scim"
)

// newResource makes the stored form of what a provider has sent, with a new id.
func (c *call) newResource(attrs scim.Resource) (Resource, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Resource{}, fmt.Errorf("make an id: %w", err)
	}
	r := Resource{Kind: c.h.kind, ID: id.String()}
	err = c.fill(&r, attrs)
	r.Created = r.Modified
	return r, err
}

// fill puts the provider's attributes into r as its next version.
func (s *Server) fill(r *Resource, attrs scim.Resource) error {
	str := func(name string) string { v, _ := attrs[name].(string); return v }
	r.Display = scim.Fold(str("displayName"))
	r.Name = r.Display
	if r.Kind == KindUser {
		r.Name = scim.Fold(str("userName"))
	}
	r.ExternalID = str("externalId")
	r.Version++
	r.Modified = s.now().UTC().Truncate(time.Millisecond)
	delete(attrs, "schemas") // follows from the attributes
	doc, err := json.Marshal(attrs)
	r.Doc = doc
	return err
}

// attributes is the reverse of fill.
func attributes(r Resource) (scim.Resource, error) {
	attrs, err := scim.DecodeObject(r.Doc)
	if err != nil {
		return nil, fmt.Errorf("stored resource %s: %w", r.ID, err)
	}
	return attrs, nil
}

// stored finds the resource that the call names.
func (c *call) stored(v View) (Resource, error) {
	r, err := v.Resource(c.h.kind, c.id)
	if errors.Is(err, ErrNotFound) {
		return r, scim.Errorf(http.StatusNotFound, "", "no resource has the id %.100q here", c.id)
	}
	return r, err
}

// matched is stored for a write: it also holds If-Match (RFC 7644 §3.14)
// against the resource's version.
func (c *call) matched(tx Tx) (Resource, error) {
	r, err := c.stored(tx)
	if err == nil && !etagMatches(c.r.Header.Get("If-Match"), r, true) {
		err = scim.Errorf(http.StatusPreconditionFailed, "", "the resource has version %s by now; GET it again", etag(r))
	}
	return r, err
}

// insert stores a new resource; a name in use is the client's error.
func (c *call) insert(tx Tx, r Resource, attrs scim.Resource) error {
	return c.conflict(tx.Insert(r), attrs)
}

// change stores what edit makes of the resource that the call names, and has
// follow do the same to the roster. When edit neither says that something
// changed nor makes other attributes, nothing is written and the version stays.
func (c *call) change(
	edit func(tx Tx, old scim.Resource) (attrs scim.Resource, changed bool, err error),
	follow func(tx Tx, attrs scim.Resource) error,
) (r Resource, err error) {
	err = c.store.Update(c.r.Context(), func(tx Tx) error {
		before, err := c.matched(tx)
		if err != nil {
			return err
		}
		old, err := attributes(before)
		if err != nil {
			return err
		}
		attrs, changed, err := edit(tx, old)
		if err != nil {
			return err
		}
		r = before
		if err := c.fill(&r, attrs); err != nil {
			return err
		}
		if !changed && bytes.Equal(r.Doc, before.Doc) {
			r = before
			return nil
		}
		if err := c.conflict(tx.Replace(r), attrs); err != nil {
			return err
		}
		return follow(tx, attrs)
	})
	return r, err
}

// conflict turns ErrTaken into the error that names what is taken.
func (c *call) conflict(err error, attrs scim.Resource) error {
	if errors.Is(err, ErrTaken) {
		return scim.Errorf(http.StatusConflict, scim.Uniqueness, "%s %q is in use", c.h.unique, attrs[c.h.unique])
	}
	return err
}

// describe makes a resource's answer: its attributes and what the server adds.
func (c *call) describe(v View, r Resource, p scim.Projection) (scim.Resource, error) {
	out, err := attributes(r)
	if err != nil {
		return nil, err
	}
	out["id"] = r.ID
	out["meta"] = map[string]any{
		"resourceType": c.h.typ.Name,
		"created":      timestamp(r.Created),
		"lastModified": timestamp(r.Modified),
		"location":     c.location(c.h.typ, r.ID),
		"version":      etag(r),
	}
	switch {
	case c.h.kind == KindGroup && p.Wants("members"):
		err = c.attach(out, "members", scim.User, func(yield func(Ref) error) error { return v.Members(r.ID, yield) })
	case c.h.kind == KindUser && p.Wants("groups"):
		err = c.attach(out, "groups", scim.Group, func(yield func(Ref) error) error { return v.Memberships(r.ID, yield) })
	}
	if err != nil {
		return nil, fmt.Errorf("memberships of %s: %w", r.ID, err)
	}
	c.h.typ.SetSchemas(out)
	return c.h.typ.Project(out, p), nil
}

// attach sets attr to references to resources of type t, if there are any.
func (c *call) attach(out scim.Resource, attr string, t *scim.ResourceType, each func(func(Ref) error) error) error {
	kind := t.Name
	if t == scim.Group {
		kind = "direct" // RFC 7643 §4.1.2: a user's groups are those that hold it itself
	}
	var list []any
	err := each(func(ref Ref) error {
		m := map[string]any{"value": ref.ID, "$ref": c.location(t, ref.ID), "type": kind}
		if ref.Display != "" {
			m["display"] = ref.Display
		}
		list = append(list, m)
		return nil
	})
	if len(list) > 0 {
		out[attr] = list
	}
	return err
}

func (c *call) location(t *scim.ResourceType, id string) string {
	return c.base + t.Endpoint + "/" + id
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// projection reads attributes and excludedAttributes (RFC 7644 §3.9).
func (c *call) projection() (scim.Projection, error) {
	return scim.ParseProjection(param(c.r.URL.Query(), "attributes"), param(c.r.URL.Query(), "excludedAttributes"))
}

// param returns a query parameter by its name in any case.
func param(q url.Values, name string) string {
	if v, ok := q[name]; ok {
		return v[0]
	}
	for key, v := range q {
		if scim.Fold(key) == scim.Fold(name) {
			return v[0]
		}
	}
	return ""
}

// respond answers with the resource that find finds. Its headers are those of
// RFC 7644 §3.3 and §3.14. The answer is made in the view and sent after it, so
// that a client that reads slowly keeps no reader of the store.
func (c *call) respond(status int, find func(v View) (Resource, error)) error {
	var (
		r    Resource
		body scim.Resource
		same bool
	)
	err := c.store.View(c.r.Context(), func(v View) (err error) {
		if r, err = find(v); err != nil {
			return err
		}
		if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
			if same = etagMatches(c.r.Header.Get("If-None-Match"), r, false); same {
				return nil
			}
		}
		body, err = c.describe(v, r, c.wanted)
		return err
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", etag(r))
	c.w.Header().Set("Location", c.location(c.h.typ, r.ID))
	if same {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.answer(status, body)
}

// respondNow is respond after an Update.
func (c *call) respondNow(status int, r Resource) error {
	return c.respond(status, func(View) (Resource, error) { return r, nil })
}

func (c *call) get() error { return c.respond(http.StatusOK, c.stored) }

// list answers a query (RFC 7644 §3.4.2). A filter that is one equality is
// looked up in an index; any other is held against every resource, of which
// only one page is kept.
func (c *call) list() error {
	q := c.r.URL.Query()
	start, err := intParam(q, "startIndex", 1)
	if err != nil {
		return err
	}
	count, err := intParam(q, "count", c.cfg.PageSize)
	if err != nil {
		return err
	}
	// RFC 7644 §3.4.2.4: what is too small is read as the least there is.
	start, count = max(start, 1), min(max(count, 0), c.cfg.MaxPageSize)
	var filter scim.Filter
	if text := param(q, "filter"); text != "" {
		if filter, err = scim.ParseFilter(text); err != nil {
			return err
		}
		if err := c.h.typ.CheckFilter(filter); err != nil {
			return err
		}
	}
	page := pager{start: start, count: count}
	err = c.store.View(c.r.Context(), func(v View) error {
		keep := func(r Resource) error {
			body, err := c.describe(v, r, c.wanted)
			page.resources = append(page.resources, body)
			return err
		}
		query, indexed := c.indexedQuery(filter)
		if indexed {
			query.Offset, query.Limit = start-1, count
			page.total, err = v.Find(c.h.kind, query, keep)
			return err
		}
		return c.scan(v, filter, &page, keep)
	})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, listResponse(page.resources, page.total, start))
}

// pager counts the matches of a list and knows which of them are its page.
type pager struct {
	start, count, total int
	resources           []any
}

// scan holds the filter against all resources, in batches.
func (c *call) scan(v View, filter scim.Filter, page *pager, keep func(Resource) error) error {
	// Memberships are looked up only for a filter that looks at them.
	unread := []string{}
	for _, attr := range []string{"members", "groups"} {
		if !scim.Mentions(filter, attr) {
			unread = append(unread, attr)
		}
	}
	all, err := scim.ParseProjection("", strings.Join(unread, ","))
	if err != nil {
		return err
	}
	const batch = 500
	for offset := 0; ; offset += batch {
		var found []Resource
		if _, err := v.Find(c.h.kind, Query{Offset: offset, Limit: batch}, func(r Resource) error {
			found = append(found, r)
			return nil
		}); err != nil {
			return err
		}
		if err := c.r.Context().Err(); err != nil || len(found) == 0 {
			return err
		}
		for _, r := range found {
			body, err := c.describe(v, r, all)
			if err != nil {
				return err
			}
			if !c.h.typ.Match(filter, body) {
				continue
			}
			page.total++
			if page.total >= page.start && len(page.resources) < page.count {
				if err := keep(r); err != nil {
					return err
				}
			}
		}
	}
}

// indexedQuery is the query that finds what the filter matches by an index. It
// is all resources when there is no filter.
func (c *call) indexedQuery(filter scim.Filter) (Query, bool) {
	if filter == nil {
		return Query{}, true
	}
	attr, value, ok := c.h.typ.Equality(filter)
	text, isString := value.(string)
	if !ok || !isString || text == "" {
		return Query{}, false
	}
	switch {
	case attr == "id":
		return Query{ID: text}, true
	case attr == "externalId":
		return Query{ExternalID: text}, true
	case attr == "displayName":
		return Query{Display: scim.Fold(text)}, true
	case attr == "userName" && c.h.kind == KindUser:
		return Query{Name: scim.Fold(text)}, true
	}
	return Query{}, false
}

func intParam(q url.Values, name string, otherwise int) (int, error) {
	text := param(q, name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s %.20q is not a number", name, text)
	}
	return n, nil
}
