package scimserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/scim"
)

// fused is a server with a fuse, its users, and a clock that the test moves.
type fused struct {
	*house
	ids []string
	mu  sync.Mutex
	at  time.Time
}

func openFused(t *testing.T, users int, cfg scimserver.FuseConfig) *fused {
	f := &fused{at: time.Now()}
	f.house = open(t, func(c *scimserver.Config) { c.Fuse, c.Now = cfg, f.now })
	for i := range users {
		f.ids = append(f.ids, f.newUser(fmt.Sprint("user", i)))
	}
	return f
}

func (f *fused) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fused) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

func (f *fused) deactivate(i int) *answer {
	f.t.Helper()
	return f.do("PATCH", "/Users/"+f.ids[i], patch(`{"op":"replace","path":"active","value":false}`))
}

// refused demands that a request was refused by the fuse and changed nothing.
func (f *fused) refused(send func() *answer) {
	f.t.Helper()
	before, events := f.feed().at, len(f.events(""))
	a := send().fails(503, "")
	if a.header.Get("Retry-After") != "300" {
		f.t.Errorf("%s: Retry-After %q", a.what, a.header.Get("Retry-After"))
	}
	if detail, _ := a.get("detail").(string); !strings.Contains(detail, "fuse of this server is open") || !strings.Contains(detail, "pwb-server fuse release") || !strings.Contains(detail, "pwb-server user lock") {
		f.t.Errorf("%s: detail %q", a.what, detail)
	}
	if after := f.feed().at; after != before || len(f.events("")) != events {
		f.t.Errorf("%s: was refused and moved the feed from %v to %v, %d events to %d", a.what, before, after, events, len(f.events("")))
	}
}

var smallFuse = scimserver.FuseConfig{Window: time.Hour, Count: 3, Percent: 20}

func TestTheFuseRefusesWhatTakesAccessFromTooMany(t *testing.T) {
	t.Parallel()
	f := openFused(t, 20, smallFuse) // of whom four may go
	f.deactivate(0).ok(200)
	f.do("DELETE", "/Users/"+f.ids[1], "").ok(204)
	f.do("PUT", "/Users/"+f.ids[2], `{"userName":"user2","active":false}`).ok(200)
	f.deactivate(0).ok(200) // again, which takes nothing
	f.do("PATCH", "/Users/"+f.ids[3], patch(`{"op":"replace","path":"`+scim.PosixUserURN+`:endDate","value":"2001-02-03T04:05:06Z"}`)).ok(200)
	end := patch(`{"op":"replace","path":"` + scim.PosixUserURN + `:endDate","value":"2001-02-03T04:05:06Z"}`)
	for _, send := range []func() *answer{
		func() *answer { return f.deactivate(4) },
		func() *answer { return f.do("DELETE", "/Users/"+f.ids[4], "") },
		func() *answer {
			return f.do("PUT", "/Users/"+f.ids[4], `{"userName":"renamed","active":false,"password":"new-Passw0rd"}`)
		},
		func() *answer { return f.do("PATCH", "/Users/"+f.ids[4], end) },
	} {
		f.refused(send)
	}
	if n := strings.Count(f.log.String(), "the fuse is open"); n != 1 {
		t.Errorf("%d lines of the log say that the fuse is open", n)
	}
	// All else goes on.
	f.newUser("new")
	f.do("POST", "/Users", `{"userName":"inactive","active":false}`).ok(201)
	f.do("PATCH", "/Users/"+f.ids[4], patch(`{"op":"replace","path":"displayName","value":"Five"}`)).ok(200)
	f.do("PATCH", "/Users/"+f.ids[0], patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	f.do("DELETE", "/Groups/"+f.newGroup("Engineers", f.ids[5]), "").ok(204)
	f.do("GET", "/Users", "").ok(200)
}

func TestAnAdministratorLocksWhileTheFuseIsOpen(t *testing.T) {
	t.Parallel()
	f := openFused(t, 10, smallFuse)
	for i := range 3 {
		f.deactivate(i).ok(200)
	}
	f.refused(func() *answer { return f.deactivate(3) })
	o := f.server.Operator("administrator ada")
	if u, err := o.Lock(t.Context(), "user3"); err != nil || !u.Locked {
		t.Errorf("lock: %+v, %v", u, err)
	}
	if _, err := o.Delete(t.Context(), "user4"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if st, err := o.Fuse(t.Context()); err != nil || st.Lost != 3 || !st.Open {
		t.Errorf("what administrators do counts: %+v, %v", st, err)
	}
}

func TestTheFuseClosesAsTheWindowPasses(t *testing.T) {
	t.Parallel()
	f := openFused(t, 10, smallFuse)
	for i := range 3 {
		f.deactivate(i).ok(200)
		f.pass(20*time.Minute + time.Second)
	}
	f.deactivate(3).ok(200) // the first was an hour ago
	f.refused(func() *answer { return f.deactivate(4) })
	f.pass(20*time.Minute + time.Second)
	f.deactivate(4).ok(200)
	f.refused(func() *answer { return f.deactivate(5) })
}

func TestAReleasedFuseLetsAllThroughAndCountsAnewAfterwards(t *testing.T) {
	t.Parallel()
	f := openFused(t, 15, smallFuse)
	for i := range 3 {
		f.deactivate(i).ok(200)
	}
	f.refused(func() *answer { return f.deactivate(3) })
	o := f.server.Operator("administrator ada")
	if st, err := o.ReleaseFuse(t.Context(), 10*time.Minute); err != nil || st.Open || st.Released == nil {
		t.Errorf("released: %+v, %v", st, err)
	}
	for i := range 6 {
		f.deactivate(3 + i).ok(200)
	}
	f.pass(10 * time.Minute)
	for i := range 3 {
		f.deactivate(9 + i).ok(200)
	}
	f.refused(func() *answer { return f.deactivate(12) })
	for _, life := range []time.Duration{0, -time.Second, 32 * 24 * time.Hour} {
		if _, err := o.ReleaseFuse(t.Context(), life); err == nil {
			t.Errorf("released for %v", life)
		}
	}
}

func TestAReleaseFromAClockThatWasAheadDoesNotLast(t *testing.T) {
	t.Parallel()
	f := openFused(t, 10, smallFuse)
	year := 365 * 24 * time.Hour
	f.pass(year)
	o := f.server.Operator("administrator ada")
	if _, err := o.ReleaseFuse(t.Context(), 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	f.pass(-year)
	for i := range 3 {
		f.deactivate(i).ok(200)
	}
	f.refused(func() *answer { return f.deactivate(3) })
	if st, err := o.Fuse(t.Context()); err != nil || !st.Open || st.Released != nil {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestLossesFromAClockThatWasAheadDoNotCount(t *testing.T) {
	t.Parallel()
	f := openFused(t, 10, smallFuse)
	year := 365 * 24 * time.Hour
	f.pass(year)
	for i := range 3 {
		f.deactivate(i).ok(200)
	}
	f.refused(func() *answer { return f.deactivate(3) })
	f.pass(-year + 48*time.Hour)
	for i := range 3 {
		f.deactivate(3 + i).ok(200)
	}
	f.refused(func() *answer { return f.deactivate(6) })
}

func TestTheFuseHoldsForTwoServersAndAcrossRestarts(t *testing.T) {
	t.Parallel()
	f := openFused(t, 10, smallFuse)
	for i := range 3 {
		f.deactivate(i).ok(200)
	}
	other, err := scimserver.New(scimserver.Config{Store: f.store, Fuse: smallFuse, Now: f.now, HashRounds: 1000, TokenLife: -1})
	if err != nil {
		t.Fatal(err)
	}
	f.server = other
	f.refused(func() *answer { return f.deactivate(3) })
	if _, err := other.Operator("ada").ReleaseFuse(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	f.deactivate(3).ok(200)
}

func TestManyAtOnceTakeNoMoreThanTheFuseAllows(t *testing.T) {
	t.Parallel()
	f := openFused(t, 60, scimserver.FuseConfig{Window: time.Hour, Count: 5, Percent: 20})
	var all sync.WaitGroup
	status := make([]int, len(f.ids))
	for i := range f.ids {
		all.Go(func() {
			req, err := http.NewRequest("DELETE", f.http.URL+"/scim/v2/Users/"+f.ids[i], nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+f.token[scimserver.ScopeSCIM])
			resp, err := f.http.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			status[i] = resp.StatusCode
		})
	}
	all.Wait()
	gone, now := 0, f.feed()
	for i, id := range f.ids {
		a := now.account(t, id)
		if a.Locked {
			gone++
		}
		if a.Locked != (status[i] == 204) || status[i] != 204 && status[i] != 503 {
			t.Errorf("user %d was answered %d and is locked: %v", i, status[i], a.Locked)
		}
	}
	if gone != 12 {
		t.Errorf("%d of 60 users are gone", gone)
	}
}

func TestABulkRequestIsDoneAsAWholeOrRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	f := openFused(t, 20, smallFuse) // of whom four may go
	bulk := func(ops ...string) *answer {
		return f.do("POST", "/Bulk", `{"schemas":["`+scim.BulkRequestURN+`"],"Operations":[`+strings.Join(ops, ",")+`]}`)
	}
	remove := func(i int) string { return `{"method":"DELETE","path":"/Users/` + f.ids[i] + `"}` }
	edit := func(i int, op string) string {
		return `{"method":"PATCH","path":"/Users/` + f.ids[i] + `","data":{"Operations":[` + op + `]}}`
	}
	create := `{"method":"POST","path":"/Users","bulkId":"b","data":{"userName":"made-in-bulk"}}`
	f.refused(func() *answer { return bulk(create, remove(0), remove(1), remove(2), remove(3), remove(4)) })
	for _, op := range []string{
		`{"op":"replace","path":"active","value":false}`, `{"op":"replace","path":"active","value":"False"}`, `{"op":"Replace","value":{"active":false}}`,
		`{"op":"remove","path":"active"}`, `{"op":"add","value":{"` + scim.PosixUserURN + `":{"endDate":"2001-02-03T04:05:06Z"}}}`,
		`{"op":"add","path":"` + scim.PosixUserURN + `:endDate","value":"2001-02-03T04:05:06Z"}`,
	} {
		f.refused(func() *answer { return bulk(edit(5, op), create, remove(0), remove(1), remove(2), remove(3)) })
	}
	f.refused(func() *answer {
		put := `{"method":"PUT","path":"/users/` + f.ids[5] + `","data":{"userName":"user5","ACTIVE":false}}`
		return bulk(put, create, remove(0), remove(1), remove(2), remove(3))
	})
	bulk(create, remove(0), remove(1), remove(2), remove(3)).ok(200).has("Operations.4.status", "204")
	f.refused(func() *answer { return bulk(edit(6, `{"op":"replace","path":"displayName","value":"Six"}`), remove(7)) })
	bulk(edit(6, `{"op":"replace","path":"displayName","value":"Six"}`), edit(7, `{"op":"replace","path":"active","value":"True"}`)).ok(200).has("Operations.1.status", "200")
}

func TestWhoComesBackInactiveLosesNothing(t *testing.T) {
	t.Parallel()
	f := openFused(t, 10, smallFuse)
	for i := range 3 {
		f.deactivate(i).ok(200)
	}
	// Somebody who departed comes back inactive: there was no access to take.
	o := f.server.Operator("ada")
	if _, err := o.Delete(t.Context(), "user5"); err != nil {
		t.Fatal(err)
	}
	f.do("POST", "/Users", `{"userName":"user5","active":false}`).ok(201)
	if !f.feed().account(t, f.ids[5]).Locked {
		t.Error("the account is open")
	}
}

func TestAFuseWithAZeroIsNone(t *testing.T) {
	t.Parallel()
	for _, cfg := range []scimserver.FuseConfig{{}, {Count: 1, Percent: 1}, {Window: time.Hour, Percent: 1}, {Window: time.Hour, Count: 1}} {
		f := openFused(t, 5, cfg)
		for i := range 5 {
			f.deactivate(i).ok(200)
		}
	}
	for _, cfg := range []scimserver.FuseConfig{{Window: -1}, {Count: -1}, {Percent: -1}, {Percent: 101}, {Window: 1000 * time.Hour}} {
		if _, err := scimserver.New(scimserver.Config{Fuse: cfg}); err == nil || !strings.Contains(err.Error(), "fuse-") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
