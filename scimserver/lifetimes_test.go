package scimserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/sqlite"
)

// life is a store that goes through years in a moment: random steps of
// providers and administrators, and a witness who writes down who had what.
type life struct {
	*house
	ctx  context.Context
	dice *rand.Rand
	now  time.Time
	op   *scimserver.Operator

	uids, gids map[uint32]string
	names      map[string]string
	last       map[string]roster.Account // accounts as they were seen last, by subject
	seen       []sighting

	people map[string]string   // userName to externalId, of the users that there are
	ids    map[string]string   // userName to SCIM id
	left   map[string][]string // "userName externalId" to the subjects that left so, the last one last
	awaits map[string]bool     // subjects that come back with their userName alone
	backup string
	steps  map[string]int
}

// sighting is what an account was from a moment on; without a name it was gone.
type sighting struct {
	at      time.Time
	subject string
	account roster.Account
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{
		ctx: context.Background(), dice: rand.New(rand.NewPCG(seed, 4)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		uids: map[uint32]string{}, gids: map[uint32]string{}, names: map[string]string{}, last: map[string]roster.Account{},
		people: map[string]string{}, ids: map[string]string{}, left: map[string][]string{}, awaits: map[string]bool{}, steps: map[string]int{},
	}
	l.house = open(t, func(c *scimserver.Config) {
		c.Now = func() time.Time { return l.now }
		c.Ledger.AliasTime, c.Ledger.Retention, c.Ledger.AdminGroup = 40*time.Minute, 3*time.Hour, "pwb-admins"
		c.Ledger.StartGID = 50_000
	})
	l.op = l.server.Operator("administrator test")
	return l
}

// some is one of the few userNames, so that they meet again and again.
func (l *life) some() string {
	return fmt.Sprintf("%s@%s.example", []string{"ada", "Bob", "carol", "dan", "Ada", "e.ve", "frank", "ada-2"}[l.dice.IntN(8)], []string{"a", "b"}[l.dice.IntN(2)])
}

func (l *life) somebody() (userName, id string, ok bool) {
	if len(l.ids) == 0 {
		return "", "", false
	}
	n := l.dice.IntN(len(l.ids))
	for userName, id := range ordered(l.ids) {
		if n == 0 {
			return userName, id, true
		}
		n--
	}
	panic("unreachable")
}

func (l *life) step() string {
	l.now = l.now.Add(time.Duration(1+l.dice.IntN(300)) * time.Second)
	userName, id, ok := l.somebody()
	roll := l.dice.IntN(100)
	switch {
	case roll < 30 || !ok:
		return l.create()
	case roll < 42:
		l.do("PATCH", "/Users/"+id, fmt.Sprintf(`{"Operations":[{"op":"replace","path":"active","value":%v}]}`, l.dice.IntN(2) == 0)).ok(200)
		return "lock or unlock"
	case roll < 54:
		return l.rename(userName, id)
	case roll < 70:
		l.do("DELETE", "/Users/"+id, "").ok(204)
		key := strings.ToLower(userName) + " " + l.people[userName]
		l.left[key] = append(l.left[key], id)
		delete(l.people, userName)
		delete(l.ids, userName)
		return "delete"
	case roll < 76:
		return l.importSome()
	case roll < 80:
		if _, err := l.op.Renumber(l.ctx, id, 0, 0); err != nil {
			l.t.Fatal(err)
		}
		return "renumber"
	case roll < 84:
		return l.group()
	case roll < 88:
		admin := l.dice.IntN(2) == 0
		if _, err := l.op.SetAdmin(l.ctx, id, admin); err != nil {
			l.t.Fatal(err)
		}
		return "set admin"
	case roll < 96:
		if err := l.server.TendOnce(l.ctx); err != nil {
			l.t.Fatal(err)
		}
		return "tend"
	case roll < 98:
		l.backup = filepath.Join(l.t.TempDir(), "backup")
		if err := sqlite.Backup(l.ctx, l.dir, l.backup); err != nil {
			l.t.Fatal(err)
		}
		return "backup"
	}
	return l.restore()
}

func (l *life) create() string {
	userName, external := l.some(), fmt.Sprint("x", l.dice.IntN(3))
	if external == "x0" {
		external = ""
	}
	body := fmt.Sprintf(`{"userName":%q,"externalId":%q}`, userName, external)
	if l.dice.IntN(5) == 0 {
		body = fmt.Sprintf(`{"userName":%q,"externalId":%q,%q:{"posixUserId":%d}}`, userName, external, "urn:rstudio:params:scim:schemas:extension:workbench:1.0:User", 1000+l.dice.IntN(400))
	}
	a := l.do("POST", "/Users", body)
	for known := range l.ids {
		if strings.EqualFold(known, userName) {
			a.fails(409, "uniqueness")
			return "create one who is there"
		}
	}
	if a.status == 409 {
		return "create with a number that is taken"
	}
	a.ok(201)
	id, _ := a.get("id").(string)
	was, back := "", false
	if left := l.left[strings.ToLower(userName)+" "+external]; len(left) > 0 {
		was, back = left[len(left)-1], true
	}
	switch {
	case external != "" && back && was != id && !l.awaits[id]:
		l.t.Errorf("%s (%s) came back as %s and was %s", userName, external, id, was)
	case l.last[id].ID != "" && !(external != "" && back && was == id) && !l.awaits[id] && l.last[id].Gecos != "imported":
		l.t.Errorf("%s (%s) was given the account of %s", userName, external, id)
	}
	delete(l.awaits, id)
	for key, left := range l.left {
		l.left[key] = slices.DeleteFunc(left, func(gone string) bool { return gone == id })
	}
	l.people[userName], l.ids[userName] = external, id
	return "create"
}

func (l *life) rename(userName, id string) string {
	next := l.some()
	for known := range l.ids {
		if strings.EqualFold(known, next) {
			return "no rename"
		}
	}
	l.do("PATCH", "/Users/"+id, fmt.Sprintf(`{"Operations":[{"op":"replace","path":"userName","value":%q}]}`, next)).ok(200)
	l.people[next], l.ids[next] = l.people[userName], id
	delete(l.people, userName)
	delete(l.ids, userName)
	return "rename"
}

func (l *life) importSome() string {
	im := ledger.Import{Name: fmt.Sprint([]string{"ada", "gina", "hal", "bob"}[l.dice.IntN(4)], []string{"", "1", "2", "3", "4", "5"}[l.dice.IntN(6)]), UID: uint32(1000 + l.dice.IntN(3000)), Gecos: "imported"}
	var refusal *ledger.Refusal
	switch _, err := l.op.ImportAccounts(l.ctx, []ledger.Import{im}, nil); {
	case errors.As(err, &refusal):
		return "import what clashes"
	case err != nil:
		l.t.Fatal(err)
	}
	return "import"
}

func (l *life) group() string {
	name := []string{"ada", "eng", "Eng", "gina", "data science"}[l.dice.IntN(5)]
	a := l.do("POST", "/Groups", fmt.Sprintf(`{"displayName":%q}`, name))
	if a.status == 409 {
		return "create a group that is there"
	}
	a.ok(201)
	if l.dice.IntN(2) == 0 {
		id, _ := a.get("id").(string)
		l.do("DELETE", "/Groups/"+id, "").ok(204)
	}
	return "group"
}

// restore puts the last backup back, into the store that the server has open.
func (l *life) restore() string {
	if l.backup == "" {
		return "no backup to restore"
	}
	if _, err := sqlite.Restore(l.ctx, l.dir, l.backup, 50, "test", l.now); err != nil {
		l.t.Fatal(err)
	}
	// What the provider knows is what is there now.
	l.people, l.ids = map[string]string{}, map[string]string{}
	err := l.store.View(l.ctx, func(v scimserver.View) error {
		_, err := v.Find(scimserver.KindUser, scimserver.Query{Limit: -1}, func(r scimserver.Resource) error {
			l.people[r.Name], l.ids[r.Name] = r.ExternalID, r.ID
			return nil
		})
		l.left, l.awaits = map[string][]string{}, map[string]bool{}
		since := map[string]time.Time{} // by subject
		return errors.Join(err, v.Subjects(func(s ledger.Subject) error {
			key := s.UserName + " " + s.ExternalID
			if s.State == ledger.Departed || s.State == ledger.Buried {
				since[s.ID] = s.Since
				l.left[key] = append(l.left[key], s.ID)
				slices.SortStableFunc(l.left[key], func(a, b string) int { return since[a].Compare(since[b]) })
			}
			if s.Readmit {
				l.awaits[s.ID] = true
			}
			return nil
		}))
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return "restore"
}

// witness writes down what there is, and finds whoever has what is another's.
func (l *life) witness(what string) {
	gone := map[string]bool{}
	for id := range l.last {
		gone[id] = true
	}
	own := func(kind string, subject, owner string, value any) {
		if owner != "" && owner != subject {
			l.t.Fatalf("after %s, %s %v is that of %s and was that of %s", what, kind, value, subject, owner)
		}
	}
	for _, row := range l.feed().rows {
		switch {
		case row.Account != nil:
			a := *row.Account
			own("uid", a.ID, l.uids[a.UID], a.UID)
			l.uids[a.UID] = a.ID
			if a.PrivateGroup() {
				own("gid", a.ID, l.gids[a.GID], a.GID)
				l.gids[a.GID] = a.ID
			}
			for _, name := range append([]string{a.Name}, a.Aliases...) {
				own("name", a.ID, l.names[name], name)
				l.names[name] = a.ID
			}
			delete(gone, a.ID)
			if was := l.last[a.ID]; was.Name != a.Name || was.UID != a.UID {
				l.seen = append(l.seen, sighting{l.now, a.ID, a})
			}
			l.last[a.ID] = a
		case row.Group != nil:
			own("gid", row.Group.ID, l.gids[row.Group.GID], row.Group.GID)
			own("name", row.Group.ID, l.names[row.Group.Name], row.Group.Name)
			l.gids[row.Group.GID], l.names[row.Group.Name] = row.Group.ID, row.Group.ID
		}
	}
	for id := range gone {
		if l.last[id].Name != "" {
			l.seen = append(l.seen, sighting{l.now, id, roster.Account{}})
			l.last[id] = roster.Account{ID: id, Gecos: l.last[id].Gecos}
		}
	}
}

// then is what the witness saw of a subject at a moment.
func (l *life) then(subject string, at time.Time) (a roster.Account) {
	for _, s := range l.seen {
		if s.subject == subject && !s.at.After(at) {
			a = s.account
		}
	}
	return a
}

func TestOverYearsNoNumberAndNoNameIsEverInTwoHands(t *testing.T) {
	t.Parallel()
	steps, lives := 1500, uint64(3)
	if testing.Short() {
		steps, lives = 300, 1
	}
	for seed := range lives {
		t.Run(fmt.Sprint("life ", seed), func(t *testing.T) {
			t.Parallel()
			l := newLife(t, seed)
			begun := l.now
			for range steps {
				what := l.step()
				l.steps[what]++
				l.witness(what)
				if t.Failed() {
					return
				}
			}
			t.Log(l.steps)
			found, err := l.op.Check(l.ctx)
			if err != nil || len(found) > 0 {
				t.Errorf("ids check: %v, %v", found, err)
			}
			l.askHistory(begun)
		})
	}
}

// askHistory asks for moments of the past who had a uid, and under which name.
func (l *life) askHistory(begun time.Time) {
	asked := 0
	for uid, subject := range ordered(l.uids) {
		for range 5 {
			at := begun.Add(time.Duration(l.dice.Int64N(int64(l.now.Sub(begun)))))
			owners, err := l.op.History(l.ctx, fmt.Sprint(uid), at)
			if err != nil {
				l.t.Fatal(err)
			}
			want := l.then(subject, at)
			for _, o := range owners {
				if o.What != "uid" {
					continue
				}
				if o.Subject != subject {
					l.t.Errorf("uid %d was that of %s, and history says %s", uid, subject, o.Subject)
				}
				switch {
				case want.Name == "" && len(o.History) == 0:
				case want.Name == "":
					if h := o.History[0]; !strings.HasSuffix(h.Action, ".buried") && !strings.HasSuffix(h.Action, ".forgotten") {
						l.t.Errorf("at %v nobody had uid %d, and history says %+v", at, uid, h)
					}
				case len(o.History) != 1 || o.History[0].Name != want.Name || o.History[0].UID != want.UID:
					l.t.Errorf("at %v subject %s was %s with uid %d, and history says %+v", at, subject, want.Name, want.UID, o.History)
				}
				asked++
			}
		}
	}
	if asked == 0 {
		l.t.Error("history was asked for nothing")
	}
}

func TestWhatARestoreForgotComesBackWithItsName(t *testing.T) {
	t.Parallel()
	h := open(t)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := sqlite.Backup(t.Context(), h.dir, backup); err != nil {
		t.Fatal(err)
	}
	ada, eng := h.newUser("ada@a.example"), h.newGroup("Engineers")
	account, group := h.account(ada), h.group(eng)
	if _, err := sqlite.Restore(t.Context(), h.dir, backup, 0, "administrator test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if again := h.newUser("ada@a.example"); again != ada || h.account(again).UID != account.UID || h.account(again).Name != "ada" {
		t.Errorf("the account is %+v and was %+v", h.account(again), account)
	}
	if again := h.newGroup("Engineers"); again != eng || h.group(again).GID != group.GID || h.group(again).Name != "engineers" {
		t.Errorf("the group is %+v and was %+v", h.group(again), group)
	}
	if found, err := h.steward().Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("ids check: %v, %v", found, err)
	}
}
