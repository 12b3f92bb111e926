package scimserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"pwb/scimserver/scim"
)

// call is one SCIM request on its way through the handlers.
type call struct {
	*Server
	w     http.ResponseWriter
	r     *http.Request
	token Token
	// base is the absolute URL of the SCIM root, without a slash at its end.
	base string
	// h is set for the endpoints of resources.
	h *handlers
	// id is the resource's, empty for the whole collection.
	id string
	// wanted says which attributes the answer has.
	wanted scim.Projection
}

// serveSCIM routes a request below /scim/v2 and writes its errors, once, in the
// protocol's form (RFC 7644 §3.12). Paths are compared without regard to case,
// as some providers' spelling demands.
func (s *Server) serveSCIM(w http.ResponseWriter, r *http.Request) {
	c := &call{Server: s, w: w, r: r, base: s.base(r) + "/scim/v2"}
	if err := c.route(); err != nil {
		c.fail(err)
	}
}

func (s *Server) base(r *http.Request) string {
	if s.cfg.BaseURL != "" {
		return s.cfg.BaseURL
	}
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

func (c *call) route() error {
	path := strings.Trim(c.r.URL.Path[len("/scim/v2/"):], "/")
	collection, id, _ := strings.Cut(path, "/")
	collection = strings.ToLower(collection)
	if h, ok := collections[collection]; ok {
		if err := c.authorize(); err != nil {
			return err
		}
		c.h, c.id = h, id
		return c.serveResources()
	}
	switch collection {
	// RFC 7644 §4 lets anybody read these three.
	case "serviceproviderconfig", "resourcetypes", "schemas":
		return c.serveDiscovery(collection, id)
	}
	if err := c.authorize(); err != nil {
		return err
	}
	switch collection {
	case "me", "bulk", ".search":
		return scim.Errorf(http.StatusNotImplemented, "", "/%s is not offered; /ServiceProviderConfig says what is", path)
	}
	return scim.Errorf(http.StatusNotFound, "", "there is no endpoint /%s; /ResourceTypes lists those there are", path)
}

// authorize checks the token and sets c.token.
func (c *call) authorize() error {
	t, err := c.authenticate(c.r, ScopeSCIM)
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

// handlers says what is done with the resources of a kind.
type handlers struct {
	kind Kind
	typ  *scim.ResourceType
	// unique is the attribute that no two resources of the kind share.
	unique string

	create  func(*call) error
	replace func(*call) error
	patch   func(*call) error
	remove  func(*call) error
}

// collections holds the endpoints of resources under their lower-case names.
var collections = map[string]*handlers{
	"users":  {KindUser, scim.User, "userName", (*call).createUser, (*call).replaceUser, (*call).patchUser, (*call).deleteUser},
	"groups": {KindGroup, scim.Group, "displayName", (*call).createGroup, (*call).replaceGroup, (*call).patchGroup, (*call).deleteGroup},
}

func (c *call) serveResources() (err error) {
	// Before anything is written: an error changes nothing.
	if c.wanted, err = c.projection(); err != nil {
		return err
	}
	one := c.id != ""
	method := c.r.Method
	switch {
	case one && (method == http.MethodGet || method == http.MethodHead):
		return c.get()
	case one && method == http.MethodPut:
		return c.h.replace(c)
	case one && method == http.MethodPatch:
		return c.h.patch(c)
	case one && method == http.MethodDelete:
		return c.h.remove(c)
	case !one && (method == http.MethodGet || method == http.MethodHead):
		return c.list()
	case !one && method == http.MethodPost:
		return c.h.create(c)
	}
	allowed := "GET, HEAD, POST"
	if one {
		allowed = "GET, HEAD, PUT, PATCH, DELETE"
	}
	return c.notAllowed(allowed)
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
			MaxResults: c.cfg.MaxPageSize,
			ETag:       true,
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

// body reads the request's JSON object.
func (c *call) body() (map[string]any, error) {
	if text := c.r.Header.Get("Content-Type"); text != "" {
		media, _, err := mime.ParseMediaType(text)
		if err != nil || media != "application/scim+json" && media != "application/json" {
			return nil, scim.Errorf(http.StatusUnsupportedMediaType, "", "Content-Type %.80q is not application/scim+json or application/json", text)
		}
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.cfg.MaxBody))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return nil, scim.Errorf(http.StatusRequestEntityTooLarge, "", "the request has more than %d bytes", tooBig.Limit)
	case err != nil:
		return nil, scim.Errorf(http.StatusBadRequest, scim.InvalidSyntax, "the request could not be read to its end")
	}
	return scim.DecodeObject(data)
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
	var e *scim.Error
	switch {
	case errors.As(err, &e):
	case c.r.Context().Err() != nil && errors.Is(err, context.Cause(c.r.Context())):
		return // the client has gone
	case errors.Is(err, ErrClosed):
		c.w.Header().Set("Retry-After", "2")
		e = scim.Errorf(http.StatusServiceUnavailable, "", "the server is stopping; try again")
	case errors.Is(err, errExhausted):
		c.log.Error("cannot give a number", "error", err)
		e = scim.Errorf(http.StatusInternalServerError, "", "%v", err)
	default:
		c.log.Error("a SCIM request failed", "method", c.r.Method, "path", c.r.URL.Path, "token", c.token.Name, "error", err)
		e = scim.Errorf(http.StatusInternalServerError, "", "the server could not do this; its log says why")
	}
	c.write(e.Status, e.Body())
}
