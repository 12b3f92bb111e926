package scimserver_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

const issuer = "https://id.example"

// registering opens /jit/v1/register.
func registering(c *scimserver.Config) { c.Registers = true }

// vouched is what the provider says of somebody.
func vouched(sub, username string, groups ...string) scimserver.Claims {
	return scimserver.Claims{Issuer: issuer, Subject: sub, Username: username, Name: "Name of " + username, Groups: groups}
}

func (h *house) register(c scimserver.Claims) scimserver.Registration {
	h.t.Helper()
	reg, err := h.server.Register(h.t.Context(), c, nil)
	if err != nil {
		h.t.Fatalf("register %s: %v", c.Username, err)
	}
	return reg
}

// refuses demands that somebody is not registered, for a cause and with words for
// administrators, and that nothing changes.
func (h *house) refuses(c scimserver.Claims, cause scimserver.Cause, words ...string) {
	h.t.Helper()
	h.changesNothing("a registration that is refused", func() {
		h.t.Helper()
		_, err := h.server.Register(h.t.Context(), c, nil)
		var not *scimserver.NotRegistered
		if !errors.As(err, &not) || not.Cause != cause {
			h.t.Fatalf("register %.80s: %v, want a refusal as %s", c.Username, err, cause)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				h.t.Errorf("%q does not say %q", err, word)
			}
		}
	})
}

func TestAFirstLoginMakesTheAccountThatSCIMWouldMake(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	reg := h.register(vouched("1", "ada@acme.example"))
	if !reg.Created || reg.Name != "ada" || reg.UID != 1000 || reg.GID != 1000 || reg.Home != "/home/ada" || len(reg.Groups) != 0 {
		t.Errorf("registered as %+v", reg)
	}
	f := h.feed()
	if a := f.account(t, reg.ID); a.Gecos != "Name of ada@acme.example" || a.Locked || a.Hash != "" || f.at != reg.Position {
		t.Errorf("account %+v at %v, want %v", a, f.at, reg.Position)
	}
	h.do("GET", "/Users/"+reg.ID, "").ok(200).has("userName", "ada@acme.example", "active", true, "externalId", nil)
	var actions []string
	for _, e := range h.events(reg.ID) {
		if e.Actor != "jit:"+issuer {
			t.Errorf("%s is written to %q", e.Action, e.Actor)
		}
		actions = append(actions, e.Action)
	}
	if want := []string{"user.create", "user.bind"}; !slices.Equal(actions, want) {
		t.Errorf("events %v, want %v", actions, want)
	}
	h.changesNothing("the same login once more", func() {
		if again := h.register(vouched("1", "ada@acme.example")); again.Created || again.UID != 1000 || again.Position != reg.Position {
			t.Errorf("once more: %+v", again)
		}
	})
}

func TestALaterLoginFollowsTheClaimsAndKeepsTheNumbers(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	first := h.register(vouched("1", "ada@acme.example", "Engine", "Poetry"))
	if want := []string{"engine", "poetry"}; !slices.Equal(first.Groups, want) {
		t.Fatalf("groups %v, want %v", first.Groups, want)
	}
	second := vouched("1", "ada.lovelace@acme.example", "poetry", "Mathematics", "POETRY")
	second.Name, second.Email = "Ada Lovelace", "ada@acme.example"
	reg := h.register(second)
	if reg.ID != first.ID || reg.UID != first.UID || reg.Home != first.Home || reg.Name != "ada.lovelace" || reg.Gecos != "Ada Lovelace" || reg.Created {
		t.Errorf("the second login came to %+v, the first to %+v", reg, first)
	}
	if want := []string{"poetry", "mathematics"}; !slices.Equal(reg.Groups, want) {
		t.Errorf("groups %v, want %v", reg.Groups, want)
	}
	h.do("GET", "/Users/"+reg.ID, "").ok(200).has("emails.0.value", "ada@acme.example", "displayName", "Ada Lovelace")
	// Nothing is said of groups: they stay. None are claimed: none stay.
	silent := second
	silent.Groups = nil
	if reg = h.register(silent); len(reg.Groups) != 2 {
		t.Errorf("a login that says nothing of groups left %v", reg.Groups)
	}
	silent.Groups = []string{}
	if reg = h.register(silent); len(reg.Groups) != 0 {
		t.Errorf("a login without groups left %v", reg.Groups)
	}
	h.checkStore()
}

// checkStore demands that store, ledger and roster agree.
func (h *house) checkStore() {
	h.t.Helper()
	found, err := h.steward().Check(h.t.Context())
	if err != nil || len(found) > 0 {
		h.t.Errorf("ids check: %v %v", found, err)
	}
}

func TestClaimsTouchNoGroupThatRegistrationDidNotMake(t *testing.T) {
	t.Parallel()
	h := open(t, registering, func(c *scimserver.Config) { c.Ledger.AdminGroup = "pwb-admins" })
	grace := h.newUser("grace")
	pushed := h.newGroup("Pushed", grace)
	named := h.do("POST", "/Groups", team("Harmless", `"posixGroupName":"docker"`)).ok(201).id()
	reg := h.register(vouched("1", "ada", "Pushed", "Harmless", "sudo", "Wheel", "PWB-admins", "Ours"))
	if want := []string{"ours"}; !slices.Equal(reg.Groups, want) {
		t.Errorf("groups %v, want %v", reg.Groups, want)
	}
	if want := []string{"Pushed", "Harmless", "sudo", "Wheel", "PWB-admins"}; !slices.Equal(reg.Skipped, want) {
		t.Errorf("skipped %v, want %v", reg.Skipped, want)
	}
	// What the provider pushes stays whatever the claims say, and a group that it
	// takes is the provider's from then on.
	h.do("PATCH", "/Groups/"+pushed, patch(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, reg.ID))).ok(204)
	if reg = h.register(vouched("1", "ada", "ours")); !slices.Equal(reg.Groups, []string{"pushed", "ours"}) && !slices.Equal(reg.Groups, []string{"ours", "pushed"}) {
		t.Errorf("groups %v, want both", reg.Groups)
	}
	ours := h.do("GET", "/Groups?filter=displayName%20eq%20%22Ours%22", "").ok(200).get("Resources.0.id").(string)
	h.do("PATCH", "/Groups/"+ours, patch(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, grace))).ok(204)
	if reg = h.register(scimserver.Claims{Issuer: issuer, Subject: "1", Username: "ada", Groups: []string{}}); len(reg.Groups) != 2 {
		t.Errorf("groups %v, want those of the provider", reg.Groups)
	}
	if f := h.feed(); f.member(named, reg.ID) || !f.member(ours, grace) || !f.member(pushed, reg.ID) {
		t.Error("memberships are not what the provider says")
	}
	h.checkStore()
}

func TestAUserOfTheProviderIsMatchedAndNotDoubled(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	id := h.do("POST", "/Users", `{"userName":"ada@acme.example","externalId":"x1","displayName":"As pushed"}`).ok(201).id()
	reg := h.register(vouched("1", "ada@acme.example", "Ours"))
	if reg.ID != id || reg.Created || reg.Gecos != "As pushed" || !slices.Equal(reg.Groups, []string{"ours"}) {
		t.Errorf("matched as %+v", reg)
	}
	// The provider renames; the login says the old name still, and is hers.
	h.do("PATCH", "/Users/"+id, patch(`{"op":"replace","path":"userName","value":"lovelace@acme.example"}`)).ok(200)
	if reg = h.register(vouched("1", "ada@acme.example")); reg.ID != id || reg.Name != "lovelace" {
		t.Errorf("after a rename by the provider: %+v", reg)
	}
	h.refuses(vouched("2", "lovelace@acme.example"), scimserver.Taken, "another person", "user unbind")
}

func TestAUserWhomTheProviderTakesIsTheProviders(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	reg := h.register(vouched("1", "ada"))
	h.do("PATCH", "/Users/"+reg.ID, patch(`{"op":"replace","path":"displayName","value":"As pushed"}`)).ok(200)
	if reg = h.register(vouched("1", "ada")); reg.Gecos != "As pushed" {
		t.Errorf("after the provider spoke: %+v", reg)
	}
	// Of one that was unbound the next login's claims count again, and a front end
	// that names the same person does not rename.
	h.register(vouched("2", "grace"))
	if _, err := h.steward().Unbind(t.Context(), "grace"); err != nil {
		t.Fatal(err)
	}
	h.register(vouched("3", "grace"))
	front := scimserver.Claims{Issuer: scimserver.ProxyIssuer, Subject: "grace", Username: "grace", Name: "As the front end says"}
	h.register(front)
	renamed := vouched("3", "hopper")
	if reg = h.register(renamed); reg.Name != "hopper" {
		t.Errorf("after unbind: %+v", reg)
	}
	if reg = h.register(front); reg.Name != "hopper" || reg.Gecos != renamed.Name {
		t.Errorf("after the front end: %+v", reg)
	}
}

func TestNobodyIsMatchedByLessThanTheWholeName(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	h.newUser("kim@acme.example")
	// The sign of Kelvin, which compares like a k, and capitals.
	h.refuses(vouched("1", "\u212aim@acme.example"), scimserver.Taken, "to the letter")
	h.refuses(vouched("1", "KIM@acme.example"), scimserver.Taken, "to the letter")
	if reg := h.register(vouched("1", "kim@evil.example")); reg.Name != "kim-2" || !reg.Created {
		t.Errorf("a Kim of another domain is %+v", reg)
	}
	h.again(registering, func(c *scimserver.Config) { c.Match = scimserver.MatchNobody })
	h.refuses(vouched("2", "kim@acme.example"), scimserver.Taken, "auth-openid-match")
	h.again(registering, func(c *scimserver.Config) { c.Match = scimserver.MatchExternalID })
	h.refuses(vouched("2", "kim@acme.example"), scimserver.Taken, "externalId")
	h.do("POST", "/Users", `{"userName":"lee@acme.example","externalId":"3"}`).ok(201)
	if reg := h.register(vouched("3", "lee@acme.example")); reg.Created {
		t.Errorf("who has the externalId is made anew: %+v", reg)
	}
}

func TestASecondPersonOfAUserNameIsRefusedUntilAnAdministratorUnbinds(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	first := h.register(vouched("1", "ada"))
	h.refuses(vouched("2", "ada"), scimserver.Taken, "another person", "user unbind")
	h.register(vouched("3", "grace"))
	h.refuses(vouched("3", "ada"), scimserver.Taken, "in use") // Grace takes her name
	if _, err := h.steward().Unbind(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	if reg := h.register(vouched("2", "ada")); reg.ID != first.ID {
		t.Errorf("after unbind %+v, want the account of %s", reg, first.ID)
	}
	h.refuses(vouched("1", "ada"), scimserver.Taken, "another person")
	if _, err := h.steward().Unbind(t.Context(), "nobody"); err == nil {
		t.Error("nobody was unbound")
	}
	// The same name at another issuer is another matter.
	front := vouched("ada", "ada")
	front.Issuer = scimserver.ProxyIssuer
	if reg := h.register(front); reg.ID != first.ID {
		t.Errorf("a front end named %+v", reg)
	}
}

func TestWhoIsLockedStaysLocked(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, registering, clock.rule)
	ada := h.register(vouched("1", "ada"))
	h.do("PATCH", "/Users/"+ada.ID, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	h.refuses(vouched("1", "ada", "Ours"), scimserver.Locked, "ada is locked")
	grace := h.register(vouched("2", "grace"))
	if _, err := h.steward().Lock(t.Context(), "grace"); err != nil {
		t.Fatal(err)
	}
	h.refuses(vouched("2", "grace"), scimserver.Locked)
	if _, err := h.steward().Unlock(t.Context(), "grace"); err != nil {
		t.Fatal(err)
	}
	if reg := h.register(vouched("2", "grace")); reg.UID != grace.UID {
		t.Errorf("unlocked, she is %+v", reg)
	}
	pushed := h.do("POST", "/Users", `{"userName":"edsger","active":false}`).ok(201).id()
	h.refuses(vouched("3", "edsger"), scimserver.Locked)
	h.do("PATCH", "/Users/"+pushed, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	h.register(vouched("3", "edsger"))
	h.admit("mayfly", "", `"endDate":"2026-03-02T00:00:00Z"`)
	h.register(vouched("4", "mayfly"))
	clock.pass(day)
	h.refuses(vouched("4", "mayfly"), scimserver.Locked) // also before what is due was done
	h.tend()
	h.refuses(vouched("4", "mayfly"), scimserver.Locked)
}

func TestSigningInUndoesNoDeletion(t *testing.T) {
	t.Parallel()
	clock := newHours()
	h := open(t, registering, clock.rule, func(c *scimserver.Config) { c.Ledger.Retention = 10 * day })
	ada := h.register(vouched("1", "ada"))
	h.do("DELETE", "/Users/"+ada.ID, "").ok(204)
	h.refuses(vouched("1", "ada"), scimserver.Departed, "user readmit ada")
	h.refuses(vouched("2", "ada"), scimserver.Departed, "userName \"ada\"")
	pushed := h.newUser("grace")
	h.do("DELETE", "/Users/"+pushed, "").ok(204)
	h.refuses(vouched("3", "grace"), scimserver.Departed)
	clock.pass(11 * day)
	h.tend() // the account is buried
	h.refuses(vouched("1", "ada"), scimserver.Departed, "user readmit ada")
	if _, err := h.steward().Readmit(t.Context(), "ada", ""); err != nil {
		t.Fatal(err)
	}
	if reg := h.register(vouched("1", "ada.new")); reg.ID != ada.ID || reg.UID != ada.UID || !reg.Created {
		t.Errorf("readmitted, she is %+v and was %+v", reg, ada)
	}
	h.checkStore()
}

func TestAnAccountThatIsThereIsTakenOverByItsWholeNameAlone(t *testing.T) {
	t.Parallel()
	h := open(t, registering, func(c *scimserver.Config) {
		c.Ledger.Adopt = true
		c.Ledger.Local = hostWith(t, "ada:x:2001:2001:Ada:/home/ada:/bin/bash\ngrace:x:2002:2002:Grace:/home/grace:/bin/bash\nkiss:x:2003:2003:Kiss:/home/kiss:/bin/bash\n", "ada:x:2001:\ngrace:x:2002:\nkiss:x:2003:\n")
	})
	h.refuses(vouched("1", "ada@evil.example"), scimserver.Taken, "auth-user-rewrite-rule")
	// Letters that only compare alike: the sign of Kelvin, and a long s.
	h.refuses(vouched("1", "\u212aiss"), scimserver.Taken, "auth-user-rewrite-rule")
	h.refuses(vouched("1", "kis\u017f"), scimserver.Taken, "auth-user-rewrite-rule")
	if reg := h.register(vouched("1", "ada")); reg.UID != 2001 {
		t.Errorf("the person of the host's name is %+v", reg)
	}
	rule, err := ledger.ParseRule(`^(.*)@acme\.example$ $1`)
	if err != nil {
		t.Fatal(err)
	}
	local := hostWith(t, "grace:x:2002:2002:Grace:/home/grace:/bin/bash\n", "grace:x:2002:\n")
	h.again(registering, func(c *scimserver.Config) {
		c.Ledger.Adopt, c.Ledger.Local, c.Ledger.Rewrite = true, local, rule
	})
	h.refuses(vouched("2", "grace@evil.example"), scimserver.Taken)
	if reg := h.register(vouched("2", "grace@acme.example")); reg.UID != 2002 {
		t.Errorf("the person of the rule's domain is %+v", reg)
	}
}

func TestClaimsThatMakeNoAccountAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprint("group", i)
	}
	for sentence, c := range map[string]scimserver.Claims{
		"no sub":                   vouched("", "ada"),
		"no issuer":                {Subject: "1", Username: "ada"},
		"no username":              vouched("1", ""),
		"a name of the system":     vouched("1", "root"),
		"the domain's system":      vouched("1", "daemon@acme.example"),
		"a sub that is too long":   vouched(strings.Repeat("1", 256), "ada"),
		"a username too long":      vouched("1", strings.Repeat("a", 257)),
		"a line break":             vouched("1", "ada\nroot:x:0:0"),
		"a NUL":                    vouched("1", "ada\x00"),
		"blanks":                   vouched("1", " ada"),
		"bytes that are no text":   vouched("1", "ada\xff"),
		"too many groups":          vouched("1", "ada", many...),
		"a group that is too long": vouched("1", "ada", strings.Repeat("g", 257)),
		"a group without a name":   vouched("1", "ada", ""),
		"a group of two lines":     vouched("1", "ada", "a\nb"),
	} {
		t.Run(sentence, func(t *testing.T) {
			h := *h
			h.t = t
			h.refuses(c, scimserver.Unfit)
		})
	}
	h.register(vouched("1", "ada", many[:200]...))
}

func TestTwoFirstLoginsAtOnceMakeOneAccount(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	const logins = 16
	var wg sync.WaitGroup
	all := make([]scimserver.Registration, logins)
	for i := range all {
		wg.Go(func() {
			reg, err := h.server.Register(context.Background(), vouched("1", "ada", "One", "Two"), nil)
			if err != nil {
				t.Error(err)
			}
			all[i] = reg
		})
	}
	wg.Wait()
	made := 0
	for _, reg := range all {
		if reg.Created {
			made++
		}
		if reg.ID != all[0].ID || reg.UID != 1000 || len(reg.Groups) != 2 {
			t.Errorf("one of them is %+v, another %+v", reg, all[0])
		}
	}
	if made != 1 {
		t.Errorf("%d of them made the account", made)
	}
	h.checkStore()
}

func TestARegistrationThatFailsAtItsEndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	h := open(t, registering)
	once := &scimserver.Once{Digest: sha256.Sum256([]byte("token")), Until: time.Now().Add(time.Hour)}
	no := errors.New("the disk is full")
	h.changesNothing("a registration whose commit fails", func() {
		h.store.broken.Store(&no)
		if _, err := h.server.Register(t.Context(), vouched("1", "ada", "Ours"), once); !errors.Is(err, no) {
			t.Errorf("it ended with %v", err)
		}
		h.store.broken.Store(nil)
	})
	if _, err := h.server.Register(t.Context(), vouched("1", "ada"), once); err != nil {
		t.Errorf("the token of the one that failed: %v", err)
	}
	var not *scimserver.NotRegistered
	if _, err := h.server.Register(t.Context(), vouched("1", "ada"), once); !errors.As(err, &not) || not.Cause != scimserver.Replayed {
		t.Errorf("the token once more: %v", err)
	}
}
