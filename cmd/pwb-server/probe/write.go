package probe

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"pwb/cmd/doctor"
)

const (
	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"
	patchSchema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

// patch is the body of a PATCH.
func patch(operations ...map[string]any) map[string]any {
	all := make([]any, len(operations))
	for i, o := range operations {
		all[i] = o
	}
	return map[string]any{"schemas": []string{patchSchema}, "Operations": all}
}

// step is one change, and what has to be true afterwards.
type step struct {
	name, section, who string
	method, path       string
	body               any
	status             []int
	// then looks at the resource that is read again; nil: the status is all.
	then  func(resource map[string]any) bool
	wants string
	// of is the path of that resource.
	of string
}

// write makes the probes that change something.
func (p *prober) write(ctx context.Context) error {
	ok, err := p.createUser(ctx)
	if err != nil || !ok {
		return err
	}
	user := "/Users/" + url.PathEscape(p.user)
	inactive := func(r map[string]any) bool { return r["active"] == false }
	active := func(r map[string]any) bool { return r["active"] == true }
	steps := []step{
		{name: "duplicate", section: "RFC 7644, 3.3", who: "providers match who is there by it", method: http.MethodPost, path: "/Users", body: p.newUser(), status: []int{http.StatusConflict}},
		{name: "patch-entra-disable", section: "RFC 7644, 3.5.2.3", who: "Entra ID disables people so: Replace with a capital, and \"False\" as a string", method: http.MethodPatch, path: user,
			body: patch(map[string]any{"op": "Replace", "path": "active", "value": "False"}), then: inactive, wants: "active is false", of: user},
		{name: "patch-okta-enable", section: "RFC 7644, 3.5.2.3", who: "Okta enables people so: without a path", method: http.MethodPatch, path: user,
			body: patch(map[string]any{"op": "replace", "value": map[string]any{"active": true}}), then: active, wants: "active is true", of: user},
		{name: "patch-nested", section: "RFC 7644, 3.5.2.3", who: "Entra ID renames people so", method: http.MethodPatch, path: user,
			body: patch(map[string]any{"op": "Replace", "path": "name.familyName", "value": "Renamed"}, map[string]any{"op": "Add", "path": `emails[type eq "work"].value`, "value": "renamed@probe.invalid"}),
			then: func(r map[string]any) bool {
				name, _ := r["name"].(map[string]any)
				return name["familyName"] == "Renamed"
			}, wants: "name.familyName is Renamed", of: user},
		{name: "patch-wrong", section: "RFC 7644, 3.5.2", who: "half of a change is worse than none", method: http.MethodPatch, path: user, status: []int{http.StatusBadRequest},
			body: patch(map[string]any{"op": "replace", "path": "displayName", "value": "Half"}, map[string]any{"op": "jump", "path": "displayName", "value": "Half"}),
			then: func(r map[string]any) bool { return r["displayName"] != "Half" }, wants: "nothing was changed", of: user},
		{name: "put", section: "RFC 7644, 3.5.1", who: "Okta's custom apps and JumpCloud change people so", method: http.MethodPut, path: user, body: p.newUser(), then: active, wants: "active is true", of: user},
	}
	for _, s := range steps {
		if err := p.step(ctx, s); err != nil {
			return err
		}
	}
	if err := p.groups(ctx); err != nil {
		return err
	}
	return p.leaves(ctx)
}

// newUser is the body with which Okta and Entra ID create somebody: with nulls, empty
// lists and an extension that has no data.
func (p *prober) newUser() map[string]any {
	return map[string]any{
		"schemas":     []string{userSchema, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"},
		"userName":    p.userName(),
		"externalId":  "pwb-probe-" + p.id,
		"displayName": "Probe of pwb-server doctor",
		"name":        map[string]any{"givenName": "Probe", "familyName": "Of Pwb"},
		"emails":      []any{map[string]any{"primary": true, "type": "work", "value": p.userName()}},
		"groups":      []any{}, "roles": []any{}, "addresses": nil, "title": nil,
		"meta":   map[string]any{"resourceType": "User"},
		"active": true,
	}
}

func (p *prober) createUser(ctx context.Context) (bool, error) {
	const name, section = "create-user", "RFC 7644, 3.3"
	p.userAsked = true
	a, err := p.ask(ctx, http.MethodPost, "/Users", p.newUser())
	if err != nil {
		return false, err
	}
	p.user, _ = a.body["id"].(string)
	if a.status != http.StatusCreated || p.user == "" {
		p.wrong(doctor.Failure, name, section, "nobody can be created", a, "a user as Okta and Entra ID create one was not created")
		return false, nil
	}
	meta, _ := a.body["meta"].(map[string]any)
	location, _ := meta["location"].(string)
	if header := a.header.Get("Location"); header == "" || header != location {
		p.wrong(doctor.Warning, "location", "RFC 7644, 3.1 and 3.3", "clients follow it", nil, "the header Location %q is not meta.location %q", header, location)
	} else {
		p.well("location", "RFC 7644, 3.1 and 3.3")
	}
	if _, shown := a.body["password"]; shown {
		p.wrong(doctor.Failure, name, "RFC 7643, 4.1.1", "a password is never returned", nil, "the answer has a password")
	} else {
		p.well(name, section)
	}
	// By name in any case, since userName is not case-exact.
	found := p.find(ctx, "/Users", "userName", strings.ToUpper(p.userName()))
	if found != p.user {
		p.wrong(doctor.Failure, "filter-found", "RFC 7643, 4.1.1, RFC 7644, 3.4.2.2", "providers create somebody twice who is not found", nil, "a filter for the new user's name in capitals did not find it")
	} else {
		p.well("filter-found", "RFC 7643, 4.1.1, RFC 7644, 3.4.2.2")
	}
	return true, nil
}

// step makes a change, and reads again what it is of.
func (p *prober) step(ctx context.Context, s step) error {
	a, err := p.ask(ctx, s.method, s.path, s.body)
	if err != nil {
		return err
	}
	good := len(s.status) == 0 && (a.status == http.StatusOK || a.status == http.StatusNoContent)
	for _, want := range s.status {
		good = good || a.status == want
	}
	if !good {
		p.wrong(doctor.Failure, s.name, s.section, s.who, a, "%s %s was not answered as it is to be", s.method, strings.TrimSuffix(s.path, p.user))
		return nil
	}
	if s.name == "duplicate" && a.body["scimType"] != "uniqueness" {
		p.wrong(doctor.Warning, s.name, "RFC 7644, 3.3 and 3.12", s.who, a, "the error has no scimType uniqueness")
		return nil
	}
	if s.then != nil {
		now, err := p.ask(ctx, http.MethodGet, s.of, nil)
		if err != nil {
			return err
		}
		if now.status != http.StatusOK || !s.then(now.body) {
			p.wrong(doctor.Failure, s.name, s.section, s.who, now, "it was taken, and then not so that %s", s.wants)
			return nil
		}
	}
	p.well(s.name, s.section)
	return nil
}

// members are the ids of a group's.
func members(r map[string]any) (ids []string) {
	all, _ := r["members"].([]any)
	for _, m := range all {
		if object, ok := m.(map[string]any); ok {
			id, _ := object["value"].(string)
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *prober) groups(ctx context.Context) error {
	p.gAsked = true
	a, err := p.ask(ctx, http.MethodPost, "/Groups", map[string]any{
		"schemas":     []string{groupSchema, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"},
		"displayName": p.groupName(), "externalId": "pwb-probe-" + p.id, "meta": map[string]any{"resourceType": "Group"},
	})
	if err != nil {
		return err
	}
	p.group, _ = a.body["id"].(string)
	if a.status != http.StatusCreated || p.group == "" {
		p.wrong(doctor.Failure, "create-group", "RFC 7644, 3.3", "no group can be created", a, "a group as Entra ID creates one was not created")
		return nil
	}
	p.well("create-group", "RFC 7644, 3.3")
	group := "/Groups/" + url.PathEscape(p.group)
	is := func(n int) func(map[string]any) bool {
		return func(r map[string]any) bool {
			ids := members(r)
			return len(ids) == n && (n == 0 || ids[0] == p.user)
		}
	}
	entraAdd := patch(map[string]any{"op": "Add", "path": "members", "value": []any{map[string]any{"$ref": nil, "value": p.user}}})
	for _, s := range []step{
		{name: "add-member", section: "RFC 7644, 3.5.2.1", who: "Entra ID adds members so", body: entraAdd, then: is(1), wants: "the user is a member"},
		{name: "add-member-twice", section: "RFC 7644, 3.5.2.1", who: "providers repeat what they are not sure of", body: entraAdd, then: is(1), wants: "the user is a member once"},
		{name: "remove-other-member", section: "RFC 7644, 3.5.2.2", who: "Entra ID removes members so; to empty the group instead is the classic loss of data",
			body: patch(map[string]any{"op": "Remove", "path": "members", "value": []any{map[string]any{"value": "pwb-probe-nobody"}}}), status: []int{http.StatusOK, http.StatusNoContent, http.StatusBadRequest, http.StatusNotFound}, then: is(1), wants: "the others are still members"},
		{name: "remove-member", section: "RFC 7644, 3.5.2.2", who: "Okta removes members so: with a filter in the path", body: patch(map[string]any{"op": "remove", "path": `members[value eq "` + p.user + `"]`}), then: is(0), wants: "the user is no member"},
		{name: "rename-group", section: "RFC 7644, 3.5.2.3", who: "Okta renames groups so: without a path, and with the id in the value", body: patch(map[string]any{"op": "replace", "value": map[string]any{"id": p.group, "displayName": p.groupName() + "-renamed"}}),
			then: func(r map[string]any) bool { return r["displayName"] == p.groupName()+"-renamed" }, wants: "displayName is the new one"},
	} {
		s.method, s.path, s.of = http.MethodPatch, group, group
		if err := p.step(ctx, s); err != nil {
			return err
		}
	}
	return p.remove(ctx, "delete-group", group, &p.group)
}

// leaves disables and removes the user.
func (p *prober) leaves(ctx context.Context) error {
	user := "/Users/" + url.PathEscape(p.user)
	if err := p.step(ctx, step{
		name: "deactivate", section: "RFC 7643, 4.1.1", who: "who leaves is disabled first", method: http.MethodPatch, path: user,
		body: patch(map[string]any{"op": "replace", "path": "active", "value": false}), then: func(r map[string]any) bool { return r["active"] == false }, wants: "active is false", of: user,
	}); err != nil {
		return err
	}
	return p.remove(ctx, "delete-user", user, &p.user)
}

// remove deletes a resource, and looks whether it is gone.
func (p *prober) remove(ctx context.Context, name, path string, id *string) error {
	const section, who = "RFC 7644, 3.6", "WSO2 and Entra ID delete people"
	a, err := p.ask(ctx, http.MethodDelete, path, nil)
	if err != nil {
		return err
	}
	if a.status != http.StatusNoContent {
		p.wrong(doctor.Failure, name, section, who, a, "DELETE was not answered with 204")
		return nil
	}
	if a, err = p.ask(ctx, http.MethodGet, path, nil); err != nil {
		return err
	}
	if a.status != http.StatusNotFound {
		p.wrong(doctor.Failure, name, section, who, a, "what was deleted is still there")
		return nil
	}
	*id = ""
	if name == "delete-group" {
		p.gAsked = false
	} else {
		p.userAsked = false
	}
	p.well(name, section)
	return nil
}
