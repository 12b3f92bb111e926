package scimserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

// look asks /nss/v1 with a token of the scope.
func (h *house) look(scope scimserver.Scope, path string) *answer {
	h.t.Helper()
	return h.send("GET", "/nss/v1/"+path, "", "Authorization", "Bearer "+h.token[scope])
}

func TestALookupAnswersALineOfTheFile(t *testing.T) {
	clock := newHours()
	h := open(t, clock.rule, func(c *scimserver.Config) { c.Ledger.AliasTime = 30 * day })
	ada := h.admit("ada@acme.example", "", `"loginShell":"/bin/zsh"`, `"displayName":"Ada Lovelace","password":"difference engine",`)
	h.admit("bob@acme.example", `"posixUserId":4711,"homeDirectory":"/srv/bob"`, "")
	eve := h.newUser("eve@acme.example")
	eng := h.newGroup("Engines", ada, eve)
	h.newGroup("Nobody there")
	h.do("PATCH", "/Users/"+eve, `{"Operations":[{"op":"replace","path":"active","value":false}]}`).ok(200)
	h.do("PATCH", "/Users/"+ada, `{"Operations":[{"op":"replace","path":"userName","value":"countess@acme.example"}]}`).ok(200)
	hash := ""
	for _, c := range h.feed().rows {
		if c.Account != nil && c.Account.ID == ada {
			hash = c.Account.Hash
		}
	}
	if !strings.HasPrefix(hash, "$6$") {
		t.Fatalf("the hash is %q", hash)
	}
	h.secrets = append(h.secrets[:len(h.secrets):len(h.secrets)], "difference engine")

	for _, c := range []struct{ path, line string }{
		{"passwd/name/countess", "countess:x:1000:1000:Ada Lovelace:/home/ada:/bin/zsh"},
		{"passwd/name/ada", "ada:x:1000:1000:Ada Lovelace:/home/ada:/bin/zsh"},
		{"passwd/id/1000", "countess:x:1000:1000:Ada Lovelace:/home/ada:/bin/zsh"},
		{"passwd/name/bob", "bob:x:4711:4711:bob@acme.example:/srv/bob:/bin/bash"},
		{"passwd/id/4711", "bob:x:4711:4711:bob@acme.example:/srv/bob:/bin/bash"},
		{"passwd/name/eve", "eve:x:1001:1001:eve@acme.example:/home/eve:/usr/sbin/nologin"},
		{"group/name/countess", "countess:x:1000:"},
		{"group/name/ada", "ada:x:1000:"},
		{"group/id/1000", "countess:x:1000:"},
		{"group/name/engines", "engines:x:1002:countess,ada,eve"},
		{"group/id/1002", "engines:x:1002:countess,ada,eve"},
		{"group/name/nobody_there", "nobody_there:x:1003:"},
		{"initgroups/countess", "1002"},
		{"initgroups/ada", "1002"},
		{"initgroups/eve", "1002"},
		{"initgroups/bob", ""},
		{"shadow/name/countess", "countess:" + hash + ":::::::"},
		{"shadow/name/ada", "ada:" + hash + ":::::::"},
		{"shadow/id/1000", "countess:" + hash + ":::::::"},
		{"shadow/name/bob", "bob:*:::::::"},
		{"shadow/name/eve", "eve:!*::::::1:"},
	} {
		for _, scope := range []scimserver.Scope{scimserver.ScopeNodeAdmin, scimserver.ScopeNodeUser} {
			a := h.look(scope, c.path)
			if scope == scimserver.ScopeNodeUser && strings.HasPrefix(c.path, "shadow/") {
				if a.status != 403 || strings.Contains(string(a.body), "$") {
					t.Errorf("%s for everybody on a node: %d %s", c.path, a.status, a.body)
				}
				continue
			}
			if a.status != 200 || string(a.body) != c.line+"\n" || a.header.Get("Content-Type") != "text/plain; charset=utf-8" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v\n%swant\n%s", c.path, a.status, a.header, a.body, c.line)
			}
		}
	}

	// What is not there, or not any more.
	h.do("DELETE", "/Groups/"+eng, "").ok(204)
	clock.pass(31 * day)
	h.tend()
	for _, path := range []string{
		"passwd/name/nobody-knows", "passwd/name/engines", "passwd/name/ada", "passwd/id/4712", "passwd/id/1002", "passwd/id/0", "passwd/id/01000", "passwd/id/+1000",
		"passwd/id/4294967296", "passwd/id/ada", "passwd/name/1000", "passwd/name/Ada", "passwd/name/..%2f..", "passwd/name/%00", "passwd/name/" + strings.Repeat("a", 33), "passwd/name/%20",
		"group/name/engines", "group/id/1002", "group/name/ada", "shadow/name/ada", "shadow/id/7", "initgroups/engines", "initgroups/ada", "initgroups/nobody_there",
		"hosts/name/ada", "passwd/mail/ada", "passwd/id/",
	} {
		if a := h.look(scimserver.ScopeNodeAdmin, path); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		} else if len(a.body) > 0 && path != "passwd/id/" {
			t.Errorf("%s: 404 with a body: %s", path, a.body)
		}
	}
	if a := h.look(scimserver.ScopeNodeAdmin, "initgroups/countess"); string(a.body) != "\n" {
		t.Errorf("initgroups after the group went: %d %q", a.status, a.body)
	}
}

func TestALookupNeedsATokenOfANode(t *testing.T) {
	h := open(t)
	h.newUser("ada@acme.example")
	for _, c := range []struct {
		sentence, authorization string
		status                  int
	}{
		{"none", "", 401},
		{"nobody's", "Bearer pwb_abcdefgh_abcdefghabcdefghabcdefghabcdefghabcdefghabc", 401},
		{"a provider's", "Bearer " + h.token[scimserver.ScopeSCIM], 403},
		{"an operator's", "Bearer " + h.token[scimserver.ScopeOperator], 403},
		{"one for everybody on a node", "Bearer " + h.token[scimserver.ScopeNodeUser], 200},
		{"an agent's", "Bearer " + h.token[scimserver.ScopeNodeAdmin], 200},
	} {
		for _, path := range []string{"passwd/name/ada", "passwd/id/1000", "group/name/ada", "initgroups/ada"} {
			if a := h.send("GET", "/nss/v1/"+path, "", "Authorization", c.authorization); a.status != c.status {
				t.Errorf("token %s, %s: %d, want %d: %s", c.sentence, path, a.status, c.status, a.body)
			}
		}
		// Who may not know is not told whether it is there.
		if a := h.send("GET", "/nss/v1/passwd/name/grace", "", "Authorization", c.authorization); a.status != c.status && (c.status != 200 || a.status != 404) {
			t.Errorf("token %s, somebody unknown: %d", c.sentence, a.status)
		}
	}
	if a := h.send("POST", "/nss/v1/passwd/name/ada", "", "Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin]); a.status != 405 {
		t.Errorf("POST: %d", a.status)
	}
}

// counted counts what a view reads.
type counted struct {
	scimserver.View
	reads *int
}

func (c counted) Row(key string) (roster.Row, error) { *c.reads++; return c.View.Row(key) }
func (c counted) NameOwner(name string) (ledger.Entry, error) {
	*c.reads++
	return c.View.NameOwner(name)
}
func (c counted) IDOwners(n uint32) (uid, gid ledger.Entry, err error) {
	*c.reads++
	return c.View.IDOwners(n)
}

// countingStore hands out counted views.
type countingStore struct {
	scimserver.Store
	reads int
}

func (s *countingStore) View(ctx context.Context, fn func(scimserver.View) error) error {
	return s.Store.View(ctx, func(v scimserver.View) error { return fn(counted{v, &s.reads}) })
}

func TestALookupOfWhatNeverWasCostsOneRead(t *testing.T) {
	var store *countingStore
	h := open(t)
	h.newUser("ada@acme.example")
	store = &countingStore{Store: h.store}
	h.again(func(c *scimserver.Config) { c.Store = store; c.TokenLife = time.Minute })
	for _, c := range []struct {
		path  string
		reads int
	}{
		{"passwd/name/grace", 1}, {"group/name/grace", 1}, {"initgroups/grace", 1}, {"passwd/id/4711", 1}, {"group/id/4711", 1},
		{"passwd/name/G", 0}, {"passwd/id/x", 0}, {"passwd/name/ada", 2}, {"passwd/id/1000", 2}, {"group/name/ada", 3},
	} {
		store.reads = 0
		h.look(scimserver.ScopeNodeUser, c.path)
		if store.reads != c.reads {
			t.Errorf("%s took %d reads, want %d", c.path, store.reads, c.reads)
		}
	}
}

func TestAGroupOfManyIsAnsweredWithoutHoldingTheWriter(t *testing.T) {
	h := open(t)
	const n = 20_000
	h.update(func(tx scimserver.Tx) error {
		g := roster.Group{ID: "big", Name: "big", GID: 5000}
		err := errors.Join(tx.PutRow(roster.Row{Group: &g}), tx.GiveName("big", ledger.Entry{Subject: "big"}), tx.GiveGID(5000, ledger.Entry{Subject: "big"}))
		for i := range n {
			id := fmt.Sprintf("u%06d", i)
			a := roster.Account{ID: id, Name: "p" + id, UID: uint32(10_000 + i), GID: uint32(10_000 + i), Home: "/home/" + id, Shell: "/bin/sh"}
			err = errors.Join(err, tx.PutRow(roster.Row{Account: &a}), tx.PutRow(roster.Row{Member: &roster.Member{GroupID: "big", AccountID: id}}))
		}
		return err
	})
	a := h.look(scimserver.ScopeNodeUser, "group/name/big")
	if a.status != 200 || strings.Count(string(a.body), ",") != n-1 || !strings.HasPrefix(string(a.body), "big:x:5000:pu000000,pu000001,") || !strings.HasSuffix(string(a.body), ",pu019999\n") {
		t.Errorf("%d, %d bytes: %.60q", a.status, len(a.body), a.body)
	}
	if h.store.views.Load() != 0 {
		t.Error("a view is still open")
	}
}
