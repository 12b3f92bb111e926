package scimserver_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/scim"
	"pwb/scimserver/sqlite"
)

// hours is a clock that moves when a test says so.
type hours struct {
	mu sync.Mutex
	at time.Time
}

// newHours begins at noon of the first of March 2026, day 20513 since 1970.
func newHours() *hours { return &hours{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *hours) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *hours) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rule makes the clock the server's.
func (c *hours) rule(cfg *scimserver.Config) { cfg.Now = c.now }

const day = 24 * time.Hour

// steward is an administrator.
func (h *house) steward() *scimserver.Operator { return h.server.Operator("administrator test") }

// tend has the server do what is due.
func (h *house) tend() {
	h.t.Helper()
	if err := h.server.TendOnce(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// record is a user as administrators see it.
func (h *house) record(key string) scimserver.UserRecord {
	h.t.Helper()
	u, err := h.steward().User(h.t.Context(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

// events are the audit log's: all, or those of a subject.
func (h *house) events(subject string) (all []scimserver.Event) {
	h.t.Helper()
	err := h.store.View(h.t.Context(), func(v scimserver.View) error {
		return v.Events(scimserver.EventQuery{Subject: subject}, func(e scimserver.Event) error {
			all = append(all, e)
			return nil
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// raw runs a statement on the store's file past the store.
func (h *house) raw(statement string, args ...any) {
	h.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(h.dir, sqlite.FileName)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement, args...); err != nil {
		h.t.Fatal(err)
	}
}

// changesNothing demands that what do does leaves feed, resources and audit log
// as they are.
func (h *house) changesNothing(what string, do func()) {
	h.t.Helper()
	state := func() string {
		return fmt.Sprint(h.feed().at, len(h.events("")), string(h.do("GET", "/Users?count=1000", "").ok(200).body), string(h.do("GET", "/Groups?count=1000", "").ok(200).body))
	}
	before := state()
	do()
	if after := state(); after != before {
		h.t.Errorf("%s changed something:\n%s\n%s", what, before, after)
	}
}

// says demands words in an error's detail.
func (a *answer) says(words ...string) *answer {
	a.t.Helper()
	detail, _ := a.get("detail").(string)
	for _, word := range words {
		if !strings.Contains(detail, word) {
			a.t.Errorf("%s: %q does not say %q", a.what, detail, word)
		}
	}
	return a
}

// person is the body of a user with attributes of both extensions, which are
// given as the insides of objects, and with others, which end with a comma.
func person(userName, workbench, posix string, others ...string) string {
	return fmt.Sprintf(`{%s"userName":%q,%q:{%s},%q:{%s}}`, strings.Join(others, ""), userName, scim.WorkbenchURN, workbench, scim.PosixUserURN, posix)
}

// team is the body of a group with attributes of the extension.
func team(displayName, posix string, members ...string) string {
	return fmt.Sprintf(`{"displayName":%q,%q:{%s},"members":%s}`, displayName, scim.PosixGroupURN, posix, values(members...))
}

// admit makes a user with attributes of both extensions.
func (h *house) admit(userName, workbench, posix string, others ...string) string {
	h.t.Helper()
	return h.do("POST", "/Users", person(userName, workbench, posix, others...)).ok(201).id()
}

// hostWith is a host of these passwd(5) and group(5) lines.
func hostWith(t *testing.T, passwd, group string) *ledger.Local {
	t.Helper()
	local, err := ledger.ReadLocal(t.Context(), hostFiles(t, passwd, group))
	if err != nil {
		t.Fatal(err)
	}
	return local
}

func hostFiles(t *testing.T, passwd, group string) ledger.Sources {
	t.Helper()
	dir := t.TempDir()
	from := ledger.Sources{Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group")}
	for file, text := range map[string]string{from.Passwd: passwd, from.Group: group} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return from
}

// onHost gives the server's own host these lines, and adopts nobody.
func onHost(t *testing.T, passwd, group string) func(*scimserver.Config) {
	local := hostWith(t, passwd, group)
	return func(c *scimserver.Config) { c.Ledger.Local = local }
}

// report sends what a node has of its own.
func (h *house) report(node, body string) *answer {
	h.t.Helper()
	return h.send("POST", "/sync/v1/node", body, "Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin], "Pwb-Node", node)
}

// again is another server on the same store, as after a restart with other settings.
func (h *house) again(change ...func(*scimserver.Config)) {
	h.t.Helper()
	cfg := scimserver.Config{Store: h.store, HashRounds: 1000, TokenLife: -1}
	for _, c := range change {
		c(&cfg)
	}
	server, err := scimserver.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = server
}
