package scimserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
)

// agent asks the feed as the agent of a node does.
func (h *house) agent(node string, rendered roster.Position, what, query string) *answer {
	h.t.Helper()
	header := []string{"Pwb-Node", node, "Pwb-Version", "1.2.3"}
	if !rendered.IsZero() {
		header = append(header, "Pwb-Position", rendered.String())
	}
	return h.sync(what, query, header...)
}

// nodes are the nodes that commands see, by name.
func (h *house) fleet() map[string]scimserver.NodeRecord {
	h.t.Helper()
	all := map[string]scimserver.NodeRecord{}
	err := h.server.Operator("test").Nodes(context.Background(), func(n scimserver.NodeRecord) error {
		all[n.Name] = n
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestNodesAreListedWithWhatTheirRequestsSay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	h := open(t, func(c *scimserver.Config) { c.Now = func() time.Time { return now } })
	begin := h.feed().at
	h.newUser("ada")
	at := h.feed().at
	h.agent("behind", begin, "changes", query(begin, ""))
	h.agent("there", at, "changes", query(at, ""))
	h.agent("new", roster.Position{}, "snapshot", "")
	elsewhere := at
	elsewhere.Epoch = "another"
	h.agent("elsewhere", elsewhere, "changes", query(at, ""))
	h.agent("", at, "changes", query(at, ""))
	h.sync("changes", query(at, ""), "Pwb-Node", "odd", "Pwb-Position", "nonsense", "Pwb-Version", strings.Repeat("v", 300))
	if got := h.fleet(); len(got) != 0 {
		t.Errorf("requests are written down one by one: %v", got)
	}
	h.tend()
	got := h.fleet()
	lag := func(name string) string {
		if l := got[name].Lag; l != nil {
			return fmt.Sprint(*l)
		}
		return "unknown"
	}
	for name, want := range map[string]string{"behind": "1", "there": "0", "new": "unknown", "elsewhere": "unknown", "odd": "unknown"} {
		if n := got[name]; lag(name) != want || !n.Online || n.Name != name {
			t.Errorf("node %s lags %s, want %s: %+v", name, lag(name), want, n)
		}
	}
	if len(got) != 5 || got["there"].Version != "1.2.3" || got["odd"].Version != "" {
		t.Errorf("nodes %+v", got)
	}
	now = now.Add(5 * time.Minute)
	if n := h.fleet()["there"]; n.Online {
		t.Errorf("after five minutes it is %+v", n)
	}
}

func TestANodeThatHasLostItsFilesIsNotTakenToShowThem(t *testing.T) {
	t.Parallel()
	h := open(t)
	at := h.feed().at
	h.agent("web", at, "changes", query(at, ""))
	h.tend()
	h.agent("web", roster.Position{}, "snapshot", "")
	h.tend()
	if n := h.fleet()["web"]; n.Epoch != "" || n.Lag != nil {
		t.Errorf("node %+v", n)
	}
}

func TestAReportSaysHowTheLastPassEnded(t *testing.T) {
	t.Parallel()
	h := open(t)
	at := h.feed().at
	report := func(body string, status int) {
		t.Helper()
		a := h.send("POST", "/sync/v1/node", body, "Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin], "Pwb-Node", "web", "Pwb-Position", at.String())
		if a.status != status {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	report(`{"version":"2","quarantined":3,"result":"the disk is full"}`, 204)
	h.tend()
	if n := h.fleet()["web"]; n.Quarantined != 3 || n.Result != "the disk is full" || n.Epoch != at.Epoch {
		t.Errorf("node %+v", n)
	}
	report(`{"version":"2","quarantined":-1}`, 400)
	report(`{"version":"2","result":"`+strings.Repeat("x", 256)+`"}`, 400)
	report(`{"version":"2"}`, 204) // also what an older agent says
	if n := h.fleet()["web"]; n.Quarantined != 0 || n.Result != "" || n.Epoch != at.Epoch {
		t.Errorf("node %+v", n)
	}
}

// updates counts what is written.
type updates struct {
	scimserver.Store
	mu    sync.Mutex
	count int
	fail  error
}

func (u *updates) Update(ctx context.Context, fn func(scimserver.Tx) error) error {
	u.mu.Lock()
	u.count++
	err := u.fail
	u.mu.Unlock()
	if err != nil {
		return err
	}
	return u.Store.Update(ctx, fn)
}

func (u *updates) set(fail error) (count int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fail = fail
	return u.count
}

func TestManySightingsAreFewUpdatesAndNoneIsLost(t *testing.T) {
	t.Parallel()
	var u *updates
	h := open(t, func(c *scimserver.Config) {
		u = &updates{Store: c.Store}
		c.Store = u
	})
	at := h.feed().at
	for i := range 600 {
		h.agent(fmt.Sprint("node", i), at, "changes", query(at, ""))
	}
	u.set(errors.New("the disk is full"))
	if err := h.server.TendOnce(t.Context()); err == nil || len(h.fleet()) != 0 {
		t.Errorf("%v, and %d nodes", err, len(h.fleet()))
	}
	before := u.set(nil)
	h.tend()
	if got := len(h.fleet()); got != 600 {
		t.Errorf("%d nodes", got)
	}
	if n := u.set(nil) - before; n > 4 {
		t.Errorf("%d updates", n)
	}
	before = u.set(nil)
	h.tend()
	if n := u.set(nil) - before; n != 0 {
		t.Errorf("%d updates for nothing", n)
	}
}

func TestAPositionReachesTheStoreWithinSeconds(t *testing.T) {
	t.Parallel()
	h := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); h.server.Tend(ctx) }()
	defer func() { cancel(); <-ended }()
	for range 2 {
		h.newUser(fmt.Sprint("user", time.Now().UnixNano()))
		at := h.feed().at
		began := time.Now()
		h.agent("web", at, "changes", query(at, ""))
		tick := time.NewTicker(20 * time.Millisecond)
		for n := h.fleet()["web"]; n.Lag == nil || *n.Lag != 0; n = h.fleet()["web"] {
			if <-tick.C; time.Since(began) > patience {
				t.Fatal("the store never hears of it")
			}
		}
		tick.Stop()
		if took := time.Since(began); took > 5*time.Second { // two, on a machine that has nothing else to do
			t.Errorf("it took %v", took)
		}
	}
}

func TestAStartWritesDownOnlyNodesThatStandElsewhere(t *testing.T) {
	t.Parallel()
	h := open(t)
	at := h.feed().at
	h.agent("web", at, "changes", query(at, ""))
	h.tend()
	seen := h.fleet()["web"].Seen
	other, err := scimserver.New(scimserver.Config{Store: h.store, Now: func() time.Time { return seen.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.TendOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := h.fleet()["web"]; !n.Seen.Equal(seen) {
		t.Errorf("a start alone made it %v", n.Seen)
	}
}

func TestARevocationNamesTheNodesThatShowTheLockAndThoseThatDoNot(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.newUser("ada")
	before := h.feed().at
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"active","value":false}`)).ok(200)
	locked := h.feed().at
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"displayName","value":"Ada L."}`)).ok(200)
	for node, at := range map[string]roster.Position{"behind": before, "exact": locked, "now": h.feed().at} {
		h.agent(node, at, "changes", query(at, ""))
	}
	lost := locked
	lost.Epoch = "another"
	h.agent("lost", lost, "changes", query(locked, ""))
	h.tend()
	r, err := h.server.Operator("test").Revocation(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	names := func(all []scimserver.NodeRecord) (text string) {
		for _, n := range all {
			text += n.Name + " "
		}
		return text
	}
	if r.Position != locked.Seq || r.Epoch != locked.Epoch || names(r.Waiting) != "behind lost " || names(r.Rendered) != "exact now " {
		t.Errorf("shown by %s, not by %s: %+v", names(r.Rendered), names(r.Waiting), r)
	}
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"active","value":true}`)).ok(200)
	if _, err := h.server.Operator("test").Revocation(t.Context(), "ada"); err == nil || !strings.Contains(err.Error(), "not locked") {
		t.Errorf("error %v", err)
	}
}
