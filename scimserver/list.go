package scimserver

import (
	"cmp"
	"container/heap"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"pwb/scimserver/scim"
)

// listRequest is a query (RFC 7644 §3.4.2), from a URL or from a .search body.
type listRequest struct {
	presenter
	// in are the collections to look through, one after the other.
	in         []*handlers
	start      int // of the first resource wanted, from 1
	count      int
	filter     scim.Filter // nil: all
	sortBy     *scim.AttrPath
	descending bool
}

// maxSorted is how many resources are kept at most to sort by an attribute that
// no index is ordered by.
const maxSorted = 10_000

// newListRequest reads the parameters, which get gives by name.
func (s *Server) newListRequest(base string, in []*handlers, get func(name string) (string, error)) (l listRequest, err error) {
	text := func(name string) string {
		v, e := get(name)
		if err == nil {
			err = e
		}
		return v
	}
	attributes, excluded := text("attributes"), text("excludedAttributes")
	start, count := text("startIndex"), text("count")
	filter, sortBy, sortOrder := text("filter"), text("sortBy"), text("sortOrder")
	if err != nil {
		return l, err
	}
	l.in = in
	if l.presenter, err = newPresenter(base, attributes, excluded); err != nil {
		return l, err
	}
	// RFC 7644 §3.4.2.4: what is too small is read as the least there is.
	if l.start, err = intParam("startIndex", start, 1); err != nil {
		return l, err
	}
	if l.count, err = intParam("count", count, s.cfg.PageSize); err != nil {
		return l, err
	}
	l.start, l.count = max(l.start, 1), min(max(l.count, 0), s.cfg.MaxPageSize)
	if filter != "" {
		if l.filter, err = scim.ParseFilter(filter); err != nil {
			return l, err
		}
		for _, h := range in {
			if err := h.typ.CheckFilter(l.filter); err != nil {
				return l, err
			}
		}
	}
	if sortBy != "" {
		by, err := scim.ParseAttrPath(sortBy)
		if err != nil {
			return l, err
		}
		l.sortBy = &by
	}
	switch strings.ToLower(sortOrder) {
	case "", "ascending":
	case "descending":
		l.descending = true
	default:
		return l, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "sortOrder %.40q is not ascending or descending", sortOrder)
	}
	return l, nil
}

func intParam(name, text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s %.20q is not a number", name, text)
	}
	return n, nil
}

// fromURL gives the parameters of a query string.
func fromURL(q url.Values) func(string) (string, error) {
	return func(name string) (string, error) { return param(q, name), nil }
}

// fromSearch gives the parameters of a SearchRequest (RFC 7644 §3.4.3).
func fromSearch(in map[string]any) func(string) (string, error) {
	return func(name string) (string, error) {
		for key, value := range in {
			if !strings.EqualFold(key, name) {
				continue
			}
			switch v := value.(type) {
			case nil:
				return "", nil
			case string:
				return v, nil
			case int64:
				return strconv.FormatInt(v, 10), nil
			case []any: // attributes and excludedAttributes
				var names []string
				for _, e := range v {
					s, ok := e.(string)
					if !ok {
						return "", scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s has an element that is not a string", name)
					}
					names = append(names, s)
				}
				return strings.Join(names, ","), nil
			}
			return "", scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "%s has a value of the wrong type", name)
		}
		return "", nil
	}
}

// list answers a query. What indexes can do is left to the store: equality on
// indexed attributes, order by them, and the page. Any other condition is held
// against what they leave, one resource at a time.
func (s *Server) list(ctx context.Context, l listRequest) (scim.Resource, error) {
	if l.scans() {
		release, err := s.scans.take(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	page := &page{skip: l.start - 1, count: l.count}
	err := s.store.View(ctx, func(v View) error {
		for _, h := range l.in {
			if err := l.collect(ctx, v, h, page); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return listResponse(page.resources, page.total, l.start), nil
}

// scans reports whether the query must look at every resource.
func (l listRequest) scans() bool {
	for _, h := range l.in {
		q, rest := plan(h, l.filter)
		_, ordered := l.order(h)
		if (rest != nil || !ordered) && q.ID == "" && q.Name == "" && q.ExternalID == "" {
			return true
		}
	}
	return false
}

// page takes the matches of a list and keeps those that it wants.
type page struct {
	skip, count, total int
	resources          []any
	bytes              int // of the resources, roughly
}

// maxPage is how many bytes a page may reach before it ends early, which
// RFC 7644 §3.4.2.4 allows: the client goes on behind the last it got.
const maxPage = 8 << 20

// found counts a match; keep is called if it belongs on the page.
func (p *page) found(r Resource, keep func() (scim.Resource, error)) error {
	p.total++
	if p.total <= p.skip {
		return nil
	}
	return p.add(r, keep)
}

// add puts a resource on the page, if there is room.
func (p *page) add(r Resource, keep func() (scim.Resource, error)) error {
	if len(p.resources) >= p.count || p.bytes >= maxPage {
		return nil
	}
	body, err := keep()
	if err != nil {
		return err
	}
	members, _ := body["members"].([]any)
	p.bytes += len(r.Doc) + 200*len(members)
	p.resources = append(p.resources, body)
	return nil
}

// collect adds the matches of one collection to the page.
func (l listRequest) collect(ctx context.Context, v View, h *handlers, p *page) error {
	q, rest := plan(h, l.filter)
	order, ordered := l.order(h)
	if rest == nil && ordered {
		q.Order, q.Descending = order, l.descending
		q.Offset, q.Limit = max(p.skip-p.total, 0), p.count-len(p.resources)
		total, err := v.Find(h.kind, q, func(r Resource) error {
			return p.add(r, func() (scim.Resource, error) { return l.present(v, h, r) })
		})
		p.total += total
		return err
	}
	q.Order, q.Descending = order, l.descending && ordered
	q.Limit = -1
	match := func(r Resource) (bool, scim.Resource, error) {
		full, err := l.complete(v, h, r, func(attr string) bool { return rest != nil && scim.Mentions(rest, attr) })
		return err == nil && (rest == nil || h.typ.Match(rest, full)), full, err
	}
	if !ordered {
		return l.sorted(ctx, v, h, q, match, p)
	}
	_, err := v.Find(h.kind, q, func(r Resource) error {
		ok, _, err := match(r)
		if err != nil || !ok {
			return cmp.Or(err, ctx.Err())
		}
		return p.found(r, func() (scim.Resource, error) { return l.present(v, h, r) })
	})
	return err
}

// sorted adds the matches in the order of an attribute that no index has. It
// keeps as many of the first as the page could need and drops the others.
func (l listRequest) sorted(ctx context.Context, v View, h *handlers, q Query, match func(Resource) (bool, scim.Resource, error), p *page) error {
	want := max(p.skip-p.total, 0) + p.count - len(p.resources)
	if want > maxSorted {
		return scim.Errorf(http.StatusBadRequest, scim.TooMany, "sorting by %s reaches to the first %d resources; sort by %s or id to go further", l.sortBy, maxSorted, h.unique)
	}
	best := &ranking{less: func(a, b ranked) bool {
		c := h.typ.Compare(*l.sortBy, a.full, b.full)
		if l.descending {
			c = -c
		}
		return c < 0 || c == 0 && a.nth < b.nth
	}}
	matches, bytes := 0, 0
	_, err := v.Find(h.kind, q, func(r Resource) error {
		ok, full, err := match(r)
		if err != nil || !ok {
			return cmp.Or(err, ctx.Err())
		}
		matches++
		heap.Push(best, ranked{r, full, matches})
		bytes += len(r.Doc)
		if best.Len() > want {
			bytes -= len(heap.Pop(best).(ranked).stored.Doc)
		}
		if bytes > 4*maxPage {
			return scim.Errorf(http.StatusBadRequest, scim.TooMany, "the resources to sort have more than %d bytes; sort by %s or id", 4*maxPage, h.unique)
		}
		return nil
	})
	if err != nil {
		return err
	}
	before := p.total
	slices.SortFunc(best.all, func(a, b ranked) int {
		if best.less(a, b) {
			return -1
		}
		return 1
	})
	for _, k := range best.all {
		if err := p.found(k.stored, func() (scim.Resource, error) { return l.present(v, h, k.stored) }); err != nil {
			return err
		}
	}
	p.total = before + matches
	return nil
}

// ranked is a match with its place among equals.
type ranked struct {
	stored Resource
	full   scim.Resource
	nth    int
}

// ranking is a heap whose top is the last in the wanted order.
type ranking struct {
	all  []ranked
	less func(a, b ranked) bool
}

func (h *ranking) Len() int           { return len(h.all) }
func (h *ranking) Less(i, j int) bool { return h.less(h.all[j], h.all[i]) }
func (h *ranking) Swap(i, j int)      { h.all[i], h.all[j] = h.all[j], h.all[i] }
func (h *ranking) Push(x any)         { h.all = append(h.all, x.(ranked)) }
func (h *ranking) Pop() any {
	last := h.all[len(h.all)-1]
	h.all = h.all[:len(h.all)-1]
	return last
}

// order is the store's order for sortBy, if it has that.
func (l listRequest) order(h *handlers) (Order, bool) {
	if l.sortBy == nil {
		return ByAge, true
	}
	t, ok := h.typ.Resolve(*l.sortBy)
	if !ok {
		return ByAge, true // RFC 7644 §3.4.2.3: unknown attributes sort nothing
	}
	switch t.Path() {
	case h.unique:
		return ByName, true
	case "id":
		return ByID, true
	case "meta.created":
		return ByAge, true
	}
	return ByAge, false
}

// plan splits a filter into what indexes find and the rest, nil if there is none.
func plan(h *handlers, filter scim.Filter) (q Query, rest scim.Filter) {
	if filter == nil {
		return q, nil
	}
	var others scim.And
	for _, f := range scim.Conjuncts(filter) {
		if field := indexed(h, &q, f); field == nil {
			others = append(others, f)
		}
	}
	switch len(others) {
	case 0:
		return q, nil
	case 1:
		return q, others[0]
	}
	return q, others
}

// indexed puts an equality into the query, if there is an index for it, and
// returns the field that it set.
func indexed(h *handlers, q *Query, f scim.Filter) *string {
	attr, value, ok := h.typ.Equality(f)
	text, isString := value.(string)
	if !ok || !isString || text == "" {
		return nil
	}
	var field *string
	switch {
	case attr == "id":
		field = &q.ID
	case attr == "externalId":
		field = &q.ExternalID
	case attr == h.unique:
		field, text = &q.Name, scim.Fold(text)
	case attr == "displayName":
		field, text = &q.Display, scim.Fold(text)
	case attr == "members.value" && h.kind == KindGroup, attr == "groups.value" && h.kind == KindUser:
		field = &q.Partner
	}
	if field == nil || *field != "" {
		return nil // a second condition on one field is left to the rest
	}
	*field = text
	return field
}

func listResponse(resources []any, total, start int) scim.Resource {
	if resources == nil {
		resources = []any{}
	}
	return scim.Resource{
		"schemas":      []any{scim.ListURN},
		"totalResults": total,
		"startIndex":   start,
		"itemsPerPage": len(resources),
		"Resources":    resources,
	}
}
