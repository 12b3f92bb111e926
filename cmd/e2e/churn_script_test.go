package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pwb/cmd/harness"
	"pwb/roster"
	"pwb/scimserver"
)

// person is somebody at the provider, who may come and go. A person's login
// names begin with the person's tag, so that a line in a file tells whose it is.
type person struct {
	n        int
	userName string   // the one now or last
	names    int      // userNames so far
	id       string   // the resource's, or that of the last one
	subjects []string // that the person ever was
	there    bool
	active   bool
	held     bool
}

func (p *person) tag() string { return fmt.Sprintf("p%03d", p.n) }

// closed reports whether nobody may log in as p, whatever else is so.
func (p *person) closed() bool { return p.id != "" && (!p.there || !p.active || p.held) }

// team is a group at the provider.
type team struct {
	n     int
	name  string
	names int
	id    string
	there bool
}

// been notes which subject the person is.
func (p *person) been() {
	if p.id != "" && !slices.Contains(p.subjects, p.id) {
		p.subjects = append(p.subjects, p.id)
	}
}

// script does at the server what providers and administrators do. All that it
// chooses is the seed's; of the answers only those count that follow from what
// was done before.
type script struct {
	*life
	rng    *rand.Rand
	ctx    context.Context
	people []*person
	teams  []*team
	number uint32 // the next that a provider or administrator chooses
	digest hash.Hash
	last   []string // the latest operations
	// refusal is why a name or number was refused last.
	refusal string
	done    int
	kinds   map[string]int // how many of each there were
}

// The people and teams from 0 up to these never leave, so that no node is ever
// without accounts, which the agent's fuse would rightly hold back.
const (
	keptPeople = 4
	keptTeam   = 0
)

func newScript(ctx context.Context, l *life) *script {
	s := &script{life: l, ctx: ctx, rng: rand.New(rand.NewPCG(l.seed, 1)), number: 300_000, digest: sha256.New(), kinds: map[string]int{}}
	for i := range l.size.people {
		s.people = append(s.people, &person{n: i})
	}
	for i := range l.size.teams {
		s.teams = append(s.teams, &team{n: i})
	}
	return s
}

// note records that an operation is about to be done.
func (s *script) note(kind, format string, args ...any) {
	line := fmt.Sprintf("%d %s ", s.done, kind) + fmt.Sprintf(format, args...)
	s.done++
	s.kinds[kind]++
	fmt.Fprintln(s.digest, line)
	if s.last = append(s.last, line); len(s.last) > 40 {
		s.last = s.last[1:]
	}
}

// send has the provider send a request until an answer is there, as providers
// do; unsure is whether one before may have been done unseen.
func (s *script) send(method, path string, body any) (status int, answer map[string]any, unsure bool) {
	for s.ctx.Err() == nil {
		p := harness.Provider{URL: "http://" + s.server.addr, Token: s.token, Client: s.client}
		status, data, err := p.Do(s.ctx, method, path, body)
		if err != nil || status == http.StatusServiceUnavailable {
			unsure = true
			if err := s.server.up(s.ctx); err != nil {
				s.fatal("wait for the server: %v", err)
			}
			continue
		}
		if status >= 500 {
			s.fatal("%s %s answered %d: %s", method, path, status, data)
		}
		if len(data) > 0 {
			if err := json.Unmarshal(data, &answer); err != nil {
				s.fatal("%s %s answered %d with what is no JSON: %v", method, path, status, err)
			}
		}
		return status, answer, unsure
	}
	s.fatal("%s %s: %v", method, path, context.Cause(s.ctx))
	return 0, nil, false
}

// want is send for a request that is answered with one of the statuses. What
// may have been done already may also be told that it has been.
func (s *script) want(method, path string, body any, statuses ...int) (int, map[string]any) {
	status, answer, unsure := s.send(method, path, body)
	if unsure && method == http.MethodDelete && status == http.StatusNotFound {
		return http.StatusNoContent, nil
	}
	if !slices.Contains(statuses, status) {
		s.fatal("%s %s of %v answered %d: %v", method, path, body, status, answer)
	}
	return status, answer
}

// create posts a resource; the id is empty when it was refused for a name or a
// number that is taken. After a try whose outcome is unknown it looks first.
func (s *script) create(path, attr, name string, body map[string]any) string {
	for {
		status, answer, unsure := s.send(http.MethodPost, path, body)
		if status == http.StatusConflict && unsure {
			_, list := s.want(http.MethodGet, path+"?filter="+url.QueryEscape(fmt.Sprintf("%s eq %q", attr, name)), nil, http.StatusOK)
			found, _ := list["Resources"].([]any)
			if len(found) == 1 {
				answer, status = found[0].(map[string]any), http.StatusCreated
			}
		}
		switch id, _ := answer["id"].(string); {
		case status == http.StatusConflict:
			s.kinds["refused "+path]++
			s.refusal = fmt.Sprint(name, ": ", answer["detail"])
			return ""
		case status == http.StatusCreated && id != "":
			return id
		default:
			s.fatal("POST %s of %v answered %d: %v", path, body, status, answer)
		}
	}
}

// patch is the body of a PATCH.
func patch(ops ...any) map[string]any {
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": ops}
}

func replace(path string, value any) map[string]any {
	op := map[string]any{"op": "replace", "value": value}
	if path != "" {
		op["path"] = path
	}
	return op
}

// admin does something that an administrator's command does, again when the
// server was stopped meanwhile.
func (s *script) admin(what string, do func(*scimserver.Operator) error) {
	for {
		err := do(s.server.operator())
		if !errors.Is(err, scimserver.ErrClosed) {
			if err != nil {
				s.fatal("%s: %v", what, err)
			}
			return
		}
		if err := s.server.up(s.ctx); err != nil {
			s.fatal("%s: wait for the server: %v", what, err)
		}
	}
}

// upon does something to a person, and has it known from which position on
// nobody may log in as that person, if that is so.
func (s *script) upon(p *person, do func()) {
	s.locks.forget(p.id)
	do()
	if p.closed() {
		s.lock(p.id)
	}
}

// lock notes that a subject's account is locked now.
func (s *script) lock(id string) {
	var u scimserver.UserRecord
	var at roster.Position
	s.admin("look at "+id, func(o *scimserver.Operator) (err error) {
		if u, err = o.User(s.ctx, id); err != nil {
			return err
		}
		at, err = s.server.position(s.ctx)
		return err
	})
	if !u.Locked {
		s.fail("the server has %s (%s, uid %d) unlocked in state %s", u.Name, u.UserName, u.UID, u.State)
		return
	}
	s.locks.note(id, lock{u.UID, at})
}

// pick chooses a person for whom ok holds; nil when there is none. The draws are
// the same whatever ok says.
func (s *script) pick(ok func(*person) bool) *person {
	from := s.rng.IntN(len(s.people))
	for i := range s.people {
		p := s.people[(from+i)%len(s.people)]
		if p.n >= keptPeople && ok(p) {
			return p
		}
	}
	return nil
}

func (s *script) pickTeam(ok func(*team) bool) *team {
	from := s.rng.IntN(len(s.teams))
	for i := range s.teams {
		g := s.teams[(from+i)%len(s.teams)]
		if g.n != keptTeam && ok(g) {
			return g
		}
	}
	return nil
}

func there(p *person) bool    { return p.there }
func teamThere(g *team) bool  { return g.there }
func (s *script) chosen() any { s.number++; return s.number }

// begin makes those who stay.
func (s *script) begin() {
	var members []any
	for _, p := range s.people[:keptPeople] {
		s.hire(p)
		members = append(members, map[string]any{"value": p.id})
	}
	g := s.teams[keptTeam]
	g.name = "keep"
	s.note("found", "keep")
	g.id = s.create("/Groups", "displayName", g.name, map[string]any{"displayName": g.name, "members": members})
	g.there = true
}

// resync makes the script's people and teams those that the server has, after a
// restore, as a provider's next full cycle would.
func (s *script) resync(after roster.Position) {
	_, list := s.want(http.MethodGet, "/Users?count=1000", nil, http.StatusOK)
	users := map[string]map[string]any{}
	for _, r := range list["Resources"].([]any) {
		users[r.(map[string]any)["id"].(string)] = r.(map[string]any)
	}
	for _, p := range s.people {
		u, ok := users[p.id]
		for id, other := range users { // a subject from before, come back
			if !ok && strings.HasPrefix(other["userName"].(string), p.tag()) {
				p.id, u, ok = id, other, true
			}
		}
		p.been()
		if p.there, p.active, p.held = ok, false, false; ok {
			p.userName = u["userName"].(string)
			p.active, _ = u["active"].(bool)
		}
	}
	_, list = s.want(http.MethodGet, "/Groups?count=1000&attributes=displayName", nil, http.StatusOK)
	groups := map[string]string{}
	for _, r := range list["Resources"].([]any) {
		g := r.(map[string]any)
		groups[g["id"].(string)] = g["displayName"].(string)
	}
	for _, g := range s.teams {
		if g.name, g.there = groups[g.id], groups[g.id] != ""; !g.there && g.n != keptTeam {
			g.id = ""
		}
	}
	// Whoever was locked is so in the new epoch, from its beginning on.
	for _, id := range s.locks.ids() {
		s.locks.forget(id)
		s.admin("look after the restore", func(o *scimserver.Operator) error {
			u, err := o.User(s.ctx, id)
			if err == nil && !u.Locked {
				s.fail("the restore unlocked %s (%s, uid %d, %s)", u.Name, id, u.UID, u.State)
			}
			if err == nil {
				s.locks.note(id, lock{u.UID, after})
			}
			return err
		})
	}
}
