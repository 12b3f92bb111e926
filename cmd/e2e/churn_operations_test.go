package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/scim"
)

// step does one operation, chosen by the seed. One that finds nobody to be done
// to becomes the hiring of somebody.
func (s *script) step() {
	type choice struct {
		weight int
		do     func() bool
	}
	all := []choice{
		{14, s.hireSomebody}, {7, s.rename}, {12, s.deactivate}, {10, s.activate}, {7, s.put}, {8, s.describe},
		{3, s.password}, {7, s.dismiss}, {3, s.bulk},
		{5, s.found}, {3, s.renameTeam}, {12, s.join}, {9, s.leave}, {3, s.putTeam}, {3, s.disband},
		{4, s.hold}, {4, s.release}, {2, s.renumber}, {1, s.setGID}, {1, s.appoint}, {2, s.nonsense},
	}
	total := 0
	for _, c := range all {
		total += c.weight
	}
	n := s.rng.IntN(total)
	for _, c := range all {
		if n -= c.weight; n < 0 {
			if !c.do() && !s.hireSomebody() {
				s.nonsense()
			}
			return
		}
	}
}

func (s *script) hireSomebody() bool {
	p := s.pick(func(p *person) bool { return !p.there })
	if p == nil {
		return false
	}
	s.hire(p)
	return true
}

// hire creates a person's user: for the first time, or again, and then as the
// one before or as somebody else of the same userName.
func (s *script) hire(p *person) {
	if p.userName == "" || s.rng.IntN(4) == 0 {
		p.names++
		p.userName = fmt.Sprintf("%s.%d@acme.example", p.tag(), p.names)
	}
	body := map[string]any{"userName": p.userName, "displayName": fmt.Sprintf("Person %d, Straße: %d", p.n, s.rng.IntN(100)), "active": true}
	if s.rng.IntN(4) > 0 {
		body["externalId"] = "ext-" + p.tag()
	}
	workbench, posix := map[string]any{}, map[string]any{}
	if s.rng.IntN(12) == 0 {
		body["password"] = fmt.Sprintf("secret-%d", s.rng.Uint64())
	}
	if s.rng.IntN(6) == 0 {
		workbench["posixUserId"] = s.chosen()
	}
	if s.rng.IntN(8) == 0 {
		workbench["homeDirectory"] = fmt.Sprintf("/srv/homes/%d", s.rng.IntN(50))
	}
	if s.rng.IntN(3) == 0 {
		posix["loginShell"] = s.shell()
	}
	if s.rng.IntN(10) == 0 && p.n >= keptPeople {
		posix["endDate"] = s.server.clock.now().Add(time.Duration(s.rng.IntN(14*24)) * time.Hour).Format(time.RFC3339)
	}
	if len(workbench) > 0 {
		body[scim.WorkbenchURN] = workbench
	}
	if len(posix) > 0 {
		body[scim.PosixUserURN] = posix
	}
	s.note("hire", "%s", p.userName)
	for _, id := range p.subjects {
		s.locks.forget(id) // it may be any of them that comes back
	}
	s.upon(p, func() {
		if id := s.create("/Users", "userName", p.userName, body); id != "" {
			p.id, p.there, p.active, p.held = id, true, true, false
			p.been()
		}
	})
	for _, id := range p.subjects {
		if id != p.id {
			s.lock(id)
		}
	}
}

// shell is one that most nodes allow, or one that they refuse.
func (s *script) shell() string {
	return []string{"/bin/bash", "/bin/zsh", "/usr/bin/fish", "/bin/sh", "/opt/odd/shell"}[s.rng.IntN(5)]
}

func (s *script) rename() bool {
	p := s.pick(there)
	if p == nil {
		return false
	}
	p.names++
	name := fmt.Sprintf("%s.%d@acme.example", p.tag(), p.names)
	if s.rng.IntN(5) == 0 && p.names > 2 { // back to a name from before
		name = fmt.Sprintf("%s.%d@acme.example", p.tag(), 1+s.rng.IntN(p.names))
	}
	s.note("rename", "%s to %s", p.userName, name)
	s.upon(p, func() {
		status, _ := s.want(http.MethodPatch, "/Users/"+p.id, patch(replace("userName", name)), http.StatusOK, http.StatusConflict)
		if status == http.StatusOK {
			p.userName = name
		}
	})
	return true
}

// activity says active as one provider or the other does.
func (s *script) activity(on bool) map[string]any {
	switch s.rng.IntN(3) {
	case 0: // Entra ID
		return patch(map[string]any{"op": "Replace", "path": "active", "value": map[bool]string{true: "True", false: "False"}[on]})
	case 1: // Okta
		return patch(replace("", map[string]any{"active": on}))
	}
	return patch(replace("active", on))
}

func (s *script) deactivate() bool {
	p := s.pick(func(p *person) bool { return p.there && p.active })
	if p == nil {
		return false
	}
	body := s.activity(false)
	s.note("deactivate", "%s", p.userName)
	s.upon(p, func() {
		s.want(http.MethodPatch, "/Users/"+p.id, body, http.StatusOK, http.StatusNoContent)
		p.active = false
	})
	return true
}

func (s *script) activate() bool {
	p := s.pick(func(p *person) bool { return p.there && !p.active })
	if p == nil {
		return false
	}
	body := s.activity(true)
	s.note("activate", "%s", p.userName)
	s.upon(p, func() {
		s.want(http.MethodPatch, "/Users/"+p.id, body, http.StatusOK, http.StatusNoContent)
		p.active = true
	})
	return true
}

// put replaces a user; one that says nothing of active changes no access.
func (s *script) put() bool {
	p := s.pick(there)
	if p == nil {
		return false
	}
	body := map[string]any{"userName": p.userName, "externalId": "ext-" + p.tag(), "displayName": fmt.Sprintf("Put %d", s.rng.IntN(1000))}
	says := s.rng.IntN(2) == 0
	on := s.rng.IntN(3) > 0
	if says {
		body["active"] = on
	}
	s.note("put", "%s saying %v active %v", p.userName, says, on)
	s.upon(p, func() {
		s.want(http.MethodPut, "/Users/"+p.id, body, http.StatusOK)
		if says {
			p.active = on
		}
	})
	return true
}

// describe changes what is no access.
func (s *script) describe() bool {
	p := s.pick(there)
	if p == nil {
		return false
	}
	op := replace("displayName", fmt.Sprintf("Described %d", s.rng.IntN(1000)))
	if s.rng.IntN(2) == 0 {
		op = replace(scim.PosixUserURN+":loginShell", s.shell())
	}
	s.note("describe", "%s: %v", p.userName, op["value"])
	s.upon(p, func() { s.want(http.MethodPatch, "/Users/"+p.id, patch(op), http.StatusOK, http.StatusNoContent) })
	return true
}

func (s *script) password() bool {
	p := s.pick(there)
	if p == nil {
		return false
	}
	s.note("password", "%s", p.userName)
	s.upon(p, func() {
		s.want(http.MethodPatch, "/Users/"+p.id, patch(replace("password", fmt.Sprintf("pw-%d", s.rng.Uint64()))), http.StatusOK, http.StatusNoContent)
	})
	return true
}

func (s *script) dismiss() bool {
	p := s.pick(there)
	if p == nil {
		return false
	}
	s.note("dismiss", "%s", p.userName)
	s.upon(p, func() {
		s.want(http.MethodDelete, "/Users/"+p.id, nil, http.StatusNoContent)
		p.there = false
	})
	return true
}

// bulk deactivates a few at once.
func (s *script) bulk() bool {
	var some []*person
	for range 2 + s.rng.IntN(4) {
		if p := s.pick(func(p *person) bool { return p.there && p.active }); p != nil && !slices.Contains(some, p) {
			some = append(some, p)
		}
	}
	if len(some) == 0 {
		return false
	}
	var ops []any
	for _, p := range some {
		ops = append(ops, map[string]any{"method": "PATCH", "path": "/Users/" + p.id, "data": s.activity(false)})
		s.locks.forget(p.id)
	}
	s.note("bulk", "deactivates %d from %s on", len(some), some[0].userName)
	_, answer := s.want(http.MethodPost, "/Bulk", map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": ops}, http.StatusOK)
	for i, r := range answer["Operations"].([]any) {
		if status := fmt.Sprint(r.(map[string]any)["status"]); status != "200" && status != "204" {
			s.fatal("operation %d of a bulk request answered %s: %v", i, status, r)
		}
	}
	for _, p := range some {
		s.upon(p, func() { p.active = false })
	}
	return true
}

func (s *script) found() bool {
	g := s.pickTeam(func(g *team) bool { return !g.there })
	if g == nil {
		return false
	}
	if g.name == "" || s.rng.IntN(2) == 0 {
		g.names++
		g.name = fmt.Sprintf("team-%d %d", g.n, g.names)
	}
	body := map[string]any{"displayName": g.name, "members": s.some(30)}
	if s.rng.IntN(5) == 0 {
		body[scim.PosixGroupURN] = map[string]any{"posixGroupId": s.chosen()}
	}
	s.note("found", "%s", g.name)
	if id := s.create("/Groups", "displayName", g.name, body); id != "" {
		g.id, g.there = id, true
	}
	return true
}

// some are up to n people as a group's members.
func (s *script) some(n int) []any {
	members := []any{}
	seen := map[*person]bool{}
	for range s.rng.IntN(n + 1) {
		if p := s.pick(there); p != nil && !seen[p] {
			seen[p] = true
			members = append(members, map[string]any{"value": p.id})
		}
	}
	return members
}

func (s *script) renameTeam() bool {
	g := s.pickTeam(teamThere)
	if g == nil {
		return false
	}
	g.names++
	g.name = fmt.Sprintf("team-%d %d", g.n, g.names)
	s.note("rename-team", "%s", g.name)
	s.want(http.MethodPatch, "/Groups/"+g.id, patch(replace("displayName", g.name)), http.StatusOK, http.StatusNoContent)
	return true
}

func (s *script) join() bool {
	g := s.pickTeam(teamThere)
	if g == nil {
		return false
	}
	n := []int{1, 3, 60}[s.rng.IntN(3)]
	members := s.some(n)
	s.note("join", "%s: %d", g.name, len(members))
	s.want(http.MethodPatch, "/Groups/"+g.id, patch(map[string]any{"op": "add", "path": "members", "value": members}), http.StatusOK, http.StatusNoContent)
	return true
}

// leave takes members out as one provider or the other does.
func (s *script) leave() bool {
	g := s.pickTeam(teamThere)
	if g == nil {
		return false
	}
	ops := []any{}
	if s.rng.IntN(2) == 0 {
		ops = append(ops, map[string]any{"op": "remove", "path": "members", "value": s.some(40)})
	} else {
		for _, m := range s.some(6) {
			ops = append(ops, map[string]any{"op": "remove", "path": fmt.Sprintf("members[value eq %q]", m.(map[string]any)["value"])})
		}
	}
	s.note("leave", "%s: %d", g.name, len(ops))
	if len(ops) > 0 {
		s.want(http.MethodPatch, "/Groups/"+g.id, patch(ops...), http.StatusOK, http.StatusNoContent)
	}
	return true
}

func (s *script) putTeam() bool {
	g := s.pickTeam(teamThere)
	if g == nil {
		return false
	}
	members := s.some(50)
	s.note("put-team", "%s: %d", g.name, len(members))
	s.want(http.MethodPut, "/Groups/"+g.id, map[string]any{"displayName": g.name, "members": members}, http.StatusOK)
	return true
}

func (s *script) disband() bool {
	g := s.pickTeam(teamThere)
	if g == nil {
		return false
	}
	s.note("disband", "%s", g.name)
	s.want(http.MethodDelete, "/Groups/"+g.id, nil, http.StatusNoContent)
	g.there = false
	return true
}

// hold is the administrator's user lock, release its end.
func (s *script) hold() bool {
	p := s.pick(func(p *person) bool { return p.there && !p.held })
	if p == nil {
		return false
	}
	s.note("hold", "%s", p.userName)
	s.upon(p, func() {
		s.admin("lock "+p.userName, func(o *scimserver.Operator) error { _, err := o.Lock(s.ctx, p.id); return err })
		p.held = true
	})
	return true
}

func (s *script) release() bool {
	p := s.pick(func(p *person) bool { return p.there && p.held })
	if p == nil {
		return false
	}
	s.note("release", "%s", p.userName)
	s.upon(p, func() {
		s.admin("unlock "+p.userName, func(o *scimserver.Operator) error { _, err := o.Unlock(s.ctx, p.id); return err })
		p.held = false
	})
	return true
}

func (s *script) renumber() bool {
	p := s.pick(there)
	if p == nil {
		return false
	}
	to := uint32(0)
	if s.rng.IntN(2) == 0 {
		to = s.chosen().(uint32)
	}
	s.note("renumber", "%s to %d", p.userName, to)
	s.upon(p, func() {
		s.admin("renumber "+p.userName, func(o *scimserver.Operator) error { _, err := o.Renumber(s.ctx, p.id, to, 0); return err })
	})
	return true
}

func (s *script) setGID() bool {
	g := s.pickTeam(teamThere)
	if g == nil {
		return false
	}
	to := s.chosen().(uint32)
	s.note("set-gid", "%s to %d", g.name, to)
	s.admin("set the gid of "+g.name, func(o *scimserver.Operator) error { _, err := o.SetGID(s.ctx, g.id, to); return err })
	return true
}

func (s *script) appoint() bool {
	p := s.pick(there)
	if p == nil {
		return false
	}
	on := s.rng.IntN(3) > 0
	s.note("appoint", "%s admin %v", p.userName, on)
	s.upon(p, func() {
		s.want(http.MethodPatch, "/Users/"+p.id, patch(replace(scim.WorkbenchURN+":admin", on)), http.StatusOK, http.StatusNoContent)
	})
	return true
}

// nonsense is a request that is refused and changes nothing.
func (s *script) nonsense() bool {
	n := s.rng.IntN(4)
	s.note("nonsense", "%d", n)
	switch n {
	case 0:
		s.want(http.MethodPost, "/Users", `{"userName": `, http.StatusBadRequest)
	case 1:
		s.want(http.MethodPost, "/Users", map[string]any{"displayName": "nobody"}, http.StatusBadRequest)
	case 2:
		s.want(http.MethodDelete, "/Users/5f0c1c9e-0000-4000-8000-000000000000", nil, http.StatusNotFound)
	case 3:
		s.want(http.MethodPost, "/Users", map[string]any{"userName": s.people[0].userName}, http.StatusConflict)
	}
	return true
}
