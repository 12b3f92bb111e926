package scimserver

import (
	"fmt"
	"net/url"
	"time"

	"pwb/scimserver/scim"
)

// presenter makes answers of stored resources.
type presenter struct {
	// base is the absolute URL of the SCIM root, without a slash at its end.
	base       string
	projection scim.Projection
}

// newPresenter reads attributes and excludedAttributes (RFC 7644 §3.9).
func newPresenter(base, attributes, excludedAttributes string) (presenter, error) {
	p, err := scim.ParseProjection(attributes, excludedAttributes)
	return presenter{base, p}, err
}

// present makes a resource's answer.
func (p presenter) present(v View, h *handlers, r Resource) (scim.Resource, error) {
	out, err := p.complete(v, h, r, p.projection.Wants)
	if err != nil {
		return nil, err
	}
	return h.typ.Project(out, p.projection), nil
}

// complete is the resource with what the server adds; of the memberships, which
// may be many, only what wants says. Without a view there are none.
func (p presenter) complete(v View, h *handlers, r Resource, wants func(attr string) bool) (scim.Resource, error) {
	out, err := attributes(r)
	if err != nil {
		return nil, err
	}
	out["id"] = r.ID
	out["meta"] = map[string]any{
		"resourceType": h.typ.Name,
		"created":      timestamp(r.Created),
		"lastModified": timestamp(r.Modified),
		"location":     p.location(h.typ, r.ID),
		"version":      etag(r),
	}
	p.referManager(out)
	switch {
	case v == nil:
	case h.kind == KindGroup && wants("members"):
		err = p.attach(out, "members", scim.User, func(yield func(Ref) error) error { return v.Members(r.ID, yield) })
	case h.kind == KindUser && wants("groups"):
		err = p.attach(out, "groups", scim.Group, func(yield func(Ref) error) error { return v.Memberships(r.ID, yield) })
	}
	if err != nil {
		return nil, fmt.Errorf("memberships of %s: %w", r.ID, err)
	}
	// authentik compares members only where the answer has a list of them.
	if h.kind == KindGroup && out["members"] == nil && wants("members") {
		out["members"] = []any{}
	}
	h.typ.SetSchemas(out)
	return out, nil
}

// referManager adds the manager's $ref, which follows from its value (RFC 7643
// §4.3).
func (p presenter) referManager(out scim.Resource) {
	enterprise, _ := out[scim.EnterpriseURN].(map[string]any)
	manager, _ := enterprise["manager"].(map[string]any)
	if id, _ := manager["value"].(string); id != "" {
		manager["$ref"] = p.location(scim.User, id)
	}
}

// attach sets attr to references to resources of type t, if there are any.
func (p presenter) attach(out scim.Resource, attr string, t *scim.ResourceType, each func(func(Ref) error) error) error {
	kind := t.Name
	if t == scim.Group {
		kind = "direct" // RFC 7643 §4.1.2: a user's groups are those that hold it itself
	}
	var list []any
	err := each(func(ref Ref) error {
		m := map[string]any{"value": ref.ID, "$ref": p.location(t, ref.ID), "type": kind}
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

func (p presenter) location(t *scim.ResourceType, id string) string {
	return p.base + t.Endpoint + "/" + id
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

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
