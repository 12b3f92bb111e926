package scimserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"pwb/scimserver/scim"
)

// call is one SCIM request over HTTP.
type call struct {
	*Server
	w     http.ResponseWriter
	r     *http.Request
	token Token
	presenter
	// bodyBytes is what the body holds of the server's budget.
	bodyBytes int64
}

// serveSCIM routes a request below /scim/v2 and writes its errors, once, in the
// protocol's form (RFC 7644 §3.12). Paths are compared without regard to case,
// as some providers' spelling demands.
func (s *Server) serveSCIM(w http.ResponseWriter, r *http.Request, path string) {
	c := &call{Server: s, w: w, r: r}
	defer func() { s.bodies.Release(c.bodyBytes) }()
	if err := c.route(path); err != nil {
		c.fail(err)
	}
}

func (s *Server) origin(r *http.Request) string {
	if s.cfg.BaseURL != "" {
		return s.cfg.BaseURL
	}
	if q := watchedOf(r.Context()); q != nil && !q.secure {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

func (c *call) route(path string) error {
	if err := c.checkHeader(); err != nil {
		return err
	}
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "the query string is malformed: %%, ; and & in a value are written %%25, %%3B and %%26")
	}
	if c.presenter, err = newPresenter(c.origin(c.r)+scimRoot, param(q, "attributes"), param(q, "excludedAttributes")); err != nil {
		return err
	}
	path = strings.Trim(path, "/")
	collection, id, _ := strings.Cut(path, "/")
	collection = strings.ToLower(collection)
	switch collection {
	// RFC 7644 §4 lets anybody read these three.
	case "serviceproviderconfig", "resourcetypes", "schemas":
		return c.serveDiscovery(collection, id)
	}
	if err := c.authorize(); err != nil {
		return err
	}
	if collection != "bulk" { // counts its operations
		if err := c.spend(1); err != nil {
			return err
		}
	}
	if h, ok := collections[collection]; ok {
		if strings.EqualFold(id, ".search") {
			return c.search(h)
		}
		return c.serveResources(h, id)
	}
	switch {
	case collection == ".search" && id == "":
		return c.search(collections["users"], collections["groups"])
	case collection == "bulk" && id == "":
		if c.r.Method != http.MethodPost {
			return c.notAllowed("POST")
		}
		return c.bulk()
	case collection == "me":
		return scim.Errorf(http.StatusNotImplemented, "", "/Me is not offered: a token stands for a provider, not for a person")
	}
	return scim.Errorf(http.StatusNotFound, "", "there is no endpoint /%.100s; /ResourceTypes lists those there are", path)
}

// authorize checks the token and sets c.token.
func (c *call) authorize() error {
	t, err := c.authenticate(c.w, c.r, ScopeSCIM)
	if err == nil {
		c.token = t
		return nil
	}
	status := authStatus(c.w, err)
	if status == http.StatusInternalServerError {
		return err
	}
	return scim.Errorf(status, "", "%v", err)
}

func (c *call) serveResources(h *handlers, id string) error {
	o := &operation{Server: c.Server, ctx: c.r.Context(), h: h, actor: "token " + c.token.Name, id: id, ifMatch: c.r.Header.Get("If-Match"), provider: true}
	write := func(do func(*operation, map[string]any) (outcome, error)) error {
		body, err := c.body()
		if err != nil {
			return err
		}
		out, err := do(o, body)
		if err != nil {
			return err
		}
		return c.respond(h, out)
	}
	method := c.r.Method
	switch {
	case id != "" && (method == http.MethodGet || method == http.MethodHead):
		return c.get(o)
	case id != "" && method == http.MethodPut:
		return write(h.replace)
	case id != "" && method == http.MethodPatch:
		return write(h.patch)
	case id != "" && method == http.MethodDelete:
		out, err := h.remove(o)
		if err != nil {
			return err
		}
		return c.respond(h, out)
	case id == "" && (method == http.MethodGet || method == http.MethodHead):
		l, err := c.newListRequest(c.base, []*handlers{h}, fromURL(c.r.URL.Query()))
		if err != nil {
			return err
		}
		return c.answerList(l)
	case id == "" && method == http.MethodPost:
		return write(h.create)
	}
	if id != "" {
		return c.notAllowed("GET, HEAD, PUT, PATCH, DELETE")
	}
	return c.notAllowed("GET, HEAD, POST")
}

// search answers POST …/.search (RFC 7644 §3.4.3).
func (c *call) search(in ...*handlers) error {
	if c.r.Method != http.MethodPost {
		return c.notAllowed("POST")
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	l, err := c.newListRequest(c.base, in, fromSearch(body))
	if err != nil {
		return err
	}
	return c.answerList(l)
}

func (c *call) answerList(l listRequest) error {
	body, err := c.list(c.r.Context(), l)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, body)
}

// get answers GET of one resource.
func (c *call) get(o *operation) error {
	return c.answerResource(o.h, http.StatusOK, o.stored)
}

// respond answers a write.
func (c *call) respond(h *handlers, out outcome) error {
	r := out.resource
	if r.ID == "" {
		c.w.WriteHeader(out.status)
		return nil
	}
	if out.quiet && !c.wantsBody() {
		c.w.Header().Set("ETag", etag(r))
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if out.alone {
		body, err := c.present(nil, h, r)
		if err != nil {
			return err
		}
		return c.sendResource(h, out.status, r, body)
	}
	return c.answerResource(h, out.status, func(View) (Resource, error) { return r, nil })
}

// wantsBody reports whether a write that needs no answer gets one: whoever asks
// for attributes does (RFC 7644 §3.5.2), and so does who comes with Basic
// authentication, which is WSO2's way; it parses every answer.
func (c *call) wantsBody() bool {
	q := c.r.URL.Query()
	_, _, basic := c.r.BasicAuth()
	return basic || param(q, "attributes") != "" || param(q, "excludedAttributes") != ""
}

// answerResource answers with the resource that find finds. The answer is made
// in the view and sent after it, so that a client that reads slowly keeps no
// reader of the store.
func (c *call) answerResource(h *handlers, status int, find func(View) (Resource, error)) error {
	var r Resource
	var body scim.Resource // nil: the client has this version
	reads := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
	err := c.store.View(c.r.Context(), func(v View) (err error) {
		if r, err = find(v); err != nil || reads && etagMatches(c.r.Header.Get("If-None-Match"), r, false) {
			return err
		}
		body, err = c.present(v, h, r)
		return err
	})
	if err != nil {
		return err
	}
	return c.sendResource(h, status, r, body)
}

// sendResource sends an answer with the headers of RFC 7644 §3.3 and §3.14; a
// nil body says that the client has this version.
func (c *call) sendResource(h *handlers, status int, r Resource, body scim.Resource) error {
	c.w.Header().Set("ETag", etag(r))
	c.w.Header().Set("Location", c.location(h.typ, r.ID))
	if body == nil {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.answer(status, body)
}

func (c *call) notAllowed(allowed string) error {
	c.w.Header().Set("Allow", allowed)
	return scim.Errorf(http.StatusMethodNotAllowed, "", "%.20q is not a method of %s; allowed are %s", c.r.Method, c.r.URL.Path, allowed)
}

// serveDiscovery answers the three endpoints that describe the service.
func (c *call) serveDiscovery(collection, id string) error {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return c.notAllowed("GET, HEAD")
	}
	var docs []scim.Resource
	switch collection {
	case "serviceproviderconfig":
		return c.answer(http.StatusOK, scim.ServiceProviderConfigDocument(c.base, scim.ProviderOptions{
			MaxResults:        c.cfg.MaxPageSize,
			Bulk:              true,
			BulkMaxOperations: maxBulkOperations,
			BulkMaxPayload:    int(c.cfg.MaxBody),
			Sort:              true,
			ETag:              true,
			ChangePassword:    true,
		}))
	case "resourcetypes":
		docs = scim.ResourceTypeDocuments(c.base)
	case "schemas":
		docs = scim.SchemaDocuments(c.base)
	}
	if id == "" {
		all := make([]any, len(docs))
		for i, d := range docs {
			all[i] = d
		}
		return c.answer(http.StatusOK, listResponse(all, len(all), 1))
	}
	for _, d := range docs {
		// A schema has its URN as id, a resource type its name.
		if name, _ := d["id"].(string); strings.EqualFold(name, id) {
			return c.answer(http.StatusOK, d)
		}
	}
	return scim.Errorf(http.StatusNotFound, "", "there is no %.100q here", id)
}

// answer writes a JSON body. For HEAD the http package leaves it out.
func (c *call) answer(status int, body scim.Resource) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	c.write(status, data)
	return nil
}

func (c *call) write(status int, data []byte) {
	h := c.w.Header()
	h.Set("Content-Type", "application/scim+json")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(data) // a client that has gone needs no answer
}

// fail answers with an error. What is not the client's to mend is logged here
// and nowhere else, and told without its details.
func (c *call) fail(err error) {
	if c.r.Context().Err() != nil && errors.Is(err, context.Cause(c.r.Context())) {
		panic(http.ErrAbortHandler) // the client has gone; nothing is to look like an answer
	}
	e := c.told(err)
	c.write(e.Status, e.Body())
}

// told is what a client is told of an error.
func (c *call) told(err error) (e *scim.Error) {
	var fuse *errFuse
	switch {
	case errors.As(err, &e):
	case errors.As(err, &fuse):
		c.meter.Refused(RefusedFuse)
		c.tellFuse(c.r.Context(), fuse)
		c.w.Header().Set("Retry-After", strconv.Itoa(int(fuseRetry.Seconds())))
		e = scim.Errorf(http.StatusServiceUnavailable, "", "%v", fuse)
	case errors.Is(err, ErrClosed), errors.Is(err, errNoPlace):
		if errors.Is(err, errNoPlace) {
			c.meter.Refused(RefusedBusy)
		}
		c.w.Header().Set("Retry-After", "2")
		e = scim.Errorf(http.StatusServiceUnavailable, "", "%v", err)
	case errors.Is(err, errExhausted):
		c.log.ErrorContext(c.r.Context(), "cannot give a number", "error", err)
		e = scim.Errorf(http.StatusInternalServerError, "", "%v", err)
	default:
		c.log.ErrorContext(c.r.Context(), "a SCIM request failed", "method", c.r.Method, "path", c.r.URL.Path, "error", err)
		e = scim.Errorf(http.StatusInternalServerError, "", "the server could not do this; its log says why")
	}
	return e
}
