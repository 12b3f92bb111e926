package scimserver_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// healthy demands that the administrator's check finds nothing.
func (h *house) healthy() {
	h.t.Helper()
	found, err := h.steward().Check(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range found {
		h.t.Errorf("%s: %s: %s", f.Subject, f.Problem, f.Advice)
	}
}

func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		plant func(h *house, ada, bob, group string)
		says  string
	}{
		"two accounts with one uid": {func(h *house, ada, bob, _ string) {
			h.plant(bob, func(a *roster.Account) { a.UID, a.GID = 1000, 1000 })
		}, "also that of subject"},
		"a uid that is another's": {func(h *house, ada, _, group string) {
			h.update(func(tx scimserver.Tx) error {
				return tx.GiveUID(4000, ledger.Entry{Subject: group, Name: "x"})
			})
			h.plant(ada, func(a *roster.Account) { a.UID, a.GID = 4000, 4000 })
		}, "in the ledger it is that of subject"},
		"a uid that is nobody's": {func(h *house, ada, _, _ string) { h.plant(ada, func(a *roster.Account) { a.UID = 4000 }) }, "nobody's"},
		"a name that is nobody's": {func(h *house, ada, _, _ string) { h.plant(ada, func(a *roster.Account) { a.Name = "other" }) },
			"name other is in use"},
		"an alias that is another's": {func(h *house, ada, _, _ string) {
			h.plant(ada, func(a *roster.Account) { a.Aliases = []string{"bob"} })
		}, "name bob"},
		"a uid of the system": {func(h *house, ada, _, _ string) {
			h.plant(ada, func(a *roster.Account) { a.UID, a.GID = 27, 27 })
		}, "below 1000"},
		"a key with options": {func(h *house, ada, _, _ string) {
			h.plant(ada, func(a *roster.Account) { a.Keys = []string{"no-pty " + sshKey(1)} })
		}, "SSH keys"},
		"a primary group that is none": {func(h *house, ada, _, _ string) { h.plant(ada, func(a *roster.Account) { a.GID = 4000 }) }, "no group's"},
		"a home of the system":         {func(h *house, ada, _, _ string) { h.plant(ada, func(a *roster.Account) { a.Home = "/root" }) }, "home"},
		"a missing account": {func(h *house, ada, _, _ string) {
			h.update(func(tx scimserver.Tx) error { return tx.DropRow(roster.AccountKey(ada)) })
		}, "has no account"},
		"a missing group": {func(h *house, _, _, group string) {
			h.update(func(tx scimserver.Tx) error { return tx.DropRow(roster.GroupKey(group)) })
		}, "has no row"},
		"a member without an account": {func(h *house, _, _, group string) {
			h.update(func(tx scimserver.Tx) error {
				return tx.PutRow(roster.Row{Member: &roster.Member{GroupID: group, AccountID: "nobody"}})
			})
		}, "nobody is a member"},
		"a member that the provider does not know": {func(h *house, _, bob, group string) {
			h.update(func(tx scimserver.Tx) error {
				return tx.PutRow(roster.Row{Member: &roster.Member{GroupID: group, AccountID: bob}})
			})
		}, "rows of 2 members and 1"},
		"a member without a row": {func(h *house, ada, _, group string) {
			h.update(func(tx scimserver.Tx) error { return tx.DropRow(roster.MemberKey(group, ada)) })
		}, "has no row there"},
		"a group with another's gid": {func(h *house, ada, _, group string) {
			h.update(func(tx scimserver.Tx) error {
				return tx.PutRow(roster.Row{Group: &roster.Group{ID: group, Name: "eng", GID: 1000}})
			})
		}, "gid 1000"},
		"a wrong digest": {func(h *house, _, _, _ string) { h.raw(`UPDATE meta SET sum = zeroblob(32)`) }, "digest"},
		"a row of no use": {func(h *house, ada, _, _ string) {
			h.raw(`UPDATE roster SET line = ? WHERE key = ?`, `["a/`+ada+`",7]`, "a/"+ada)
		}, "cannot be read"},
		"one buried with an account": {func(h *house, ada, _, _ string) {
			h.update(func(tx scimserver.Tx) error { return tx.PutSubject(ledger.Subject{ID: ada, State: ledger.Buried}) })
		}, "buried"},
		"one departed without an account": {func(h *house, _, _, _ string) {
			h.update(func(tx scimserver.Tx) error {
				return tx.PutSubject(ledger.Subject{ID: "ghost", State: ledger.Departed})
			})
		}, "neither account nor group"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			ada, bob := h.newUser("ada"), h.newUser("bob")
			group := h.newGroup("Eng", ada)
			h.healthy()
			c.plant(h, ada, bob, group)
			found, err := h.steward().Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(f ledger.Finding) bool { return strings.Contains(f.Problem, c.says) && f.Advice != "" }) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// plant changes an account's row past the ledger.
func (h *house) plant(id string, change func(*roster.Account)) {
	h.t.Helper()
	h.update(func(tx scimserver.Tx) error {
		row, err := tx.Row(roster.AccountKey(id))
		if err != nil {
			return err
		}
		change(row.Account)
		return tx.PutRow(row)
	})
}

func TestTheCheckFindsNothingAfterAnythingThatMayBeDone(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			clock := newHours()
			h := open(t, clock.rule, func(c *scimserver.Config) {
				c.Ledger.AliasTime, c.Ledger.Retention, c.Ledger.AdminGroup = 3*day, 5*day, "pwb-admins"
				if seed%2 == 1 {
					c.Ledger.StartGID = 1010 // the ranges meet
				}
			})
			dice := rand.New(rand.NewPCG(seed, 9))
			op, ctx := h.steward(), t.Context()
			name := func() string { return []string{"ada", "bob", "carol", "dan", "Ada@b", "eng", "ops"}[dice.IntN(7)] }
			number := func() uint32 { return 1000 + dice.Uint32N(60) }
			var users, groups []string
			one := func(of []string) string {
				if len(of) == 0 {
					return "none"
				}
				return of[dice.IntN(len(of))]
			}
			wishes := func() (string, string) {
				workbench, posix := fmt.Sprintf(`"admin":%v`, dice.IntN(2) == 0), `"loginShell":"/bin/sh"`
				if dice.IntN(3) == 0 {
					workbench += fmt.Sprintf(`,"posixUserId":%d`, number())
				}
				if dice.IntN(3) == 0 {
					workbench += fmt.Sprintf(`,"posixUserName":%q`, strings.ToLower(name())[:3])
				}
				if dice.IntN(4) == 0 {
					posix += fmt.Sprintf(`,"posixGroupId":%d`, number())
				}
				if dice.IntN(4) == 0 {
					posix += "," + keyed(sshKey(dice.IntN(5)), sshKey(dice.IntN(5)))
				}
				if dice.IntN(4) == 0 {
					posix += fmt.Sprintf(`,"endDate":%q`, clock.now().Add(time.Duration(dice.IntN(96)-24)*time.Hour).Format(time.RFC3339))
				}
				return workbench, posix
			}
			body := func() string {
				workbench, posix := wishes()
				return person(name(), workbench, posix, fmt.Sprintf(`"active":%v,"externalId":"e%d",`, dice.IntN(3) > 0, dice.IntN(3)))
			}
			done := map[int]int{}
			for range 250 {
				clock.pass(time.Duration(dice.IntN(6)) * time.Hour)
				var a *answer
				switch dice.IntN(17) {
				case 0, 1, 14, 15:
					if a = h.do("POST", "/Users", body()); a.status == 201 {
						users = append(users, a.id())
					}
				case 2, 3:
					a = h.do("PUT", "/Users/"+one(users), body())
				case 4:
					a = h.do("PATCH", "/Users/"+one(users), patch(fmt.Sprintf(`{"op":"replace","path":"userName","value":%q}`, name())))
				case 5:
					a = h.do("DELETE", "/Users/"+one(users), "")
				case 6:
					attrs := ``
					if dice.IntN(2) == 0 {
						attrs = fmt.Sprintf(`"posixGroupId":%d`, number())
					}
					if a = h.do("POST", "/Groups", team(name(), attrs)); a.status == 201 {
						groups = append(groups, a.id())
					}
				case 7:
					a = h.do("PATCH", "/Groups/"+one(groups), patch(`{"op":"add","path":"members","value":`+values(one(users), one(users))+`}`, fmt.Sprintf(`{"op":"replace","path":"displayName","value":%q}`, name())))
				case 8:
					_, _ = op.Renumber(ctx, one(users), number()*uint32(dice.IntN(2)), number()*uint32(dice.IntN(2)))
				case 9:
					_, _ = op.SetGID(ctx, one(groups), number()*uint32(dice.IntN(2)))
				case 10:
					_, _ = op.Lock(ctx, one(users))
					_, _ = op.Unlock(ctx, one(users))
				case 11:
					_, _ = op.Readmit(ctx, one(users), "")
				case 12:
					_, _ = op.ImportAccounts(ctx, []ledger.Import{{Name: strings.ToLower(name())[:3], UID: number(), GID: number() * uint32(dice.IntN(2)), Group: []string{"", "team"}[dice.IntN(2)]}}, nil)
					_, _ = op.ImportGroups(ctx, []scimserver.ImportedGroup{{"imp", number(), []string{"ada", "bob", "car"}}}, nil)
				case 13:
					h.tend()
				case 16: // of a group that is nobody's primary one: the check would tell of that
					id, f := one(groups), h.feed()
					g, primary := f.rows[roster.GroupKey(id)].Group, false
					for _, row := range f.rows {
						primary = primary || g != nil && row.Account != nil && row.Account.GID == g.GID
					}
					if !primary {
						a = h.do("DELETE", "/Groups/"+id, "")
					}
				}
				if a != nil {
					done[a.status]++
					if a.status >= 500 {
						t.Fatalf("%s: %d: %s", a.what, a.status, a.body)
					}
				}
			}
			h.healthy()
			clock.pass(30 * day)
			h.tend()
			h.healthy()
			if done[201] < 10 || done[200] < 2 || done[204] < 5 {
				t.Errorf("little was done: %v", done)
			}
		})
	}
}
