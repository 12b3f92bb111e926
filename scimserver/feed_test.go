package scimserver_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
)

var when = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func TestADeltaLeadsFromEachPositionToThePresent(t *testing.T) {
	t.Parallel()
	h := open(t)
	past := []feed{h.feed()}
	step := func() { past = append(past, h.feed()) }
	ada := h.newUser("ada")
	step()
	group := h.newGroup("Engineers", ada)
	step()
	h.do("PUT", "/Users/"+ada, `{"userName":"ada","displayName":"A"}`).ok(200)
	step()
	bob := h.newUser("bob")
	h.do("PATCH", "/Groups/"+group, patch(`{"op":"replace","path":"members","value":`+values(bob)+`}`)).ok(204)
	step()
	h.do("DELETE", "/Users/"+ada, "").ok(204)
	step()
	h.do("DELETE", "/Groups/"+group, "").ok(204)
	now := h.feed()
	for i, f := range past {
		keys := f.apply(t, h.sync("changes", query(f.at, "")).okStream().body, false)
		if f.at != now.at || fmt.Sprint(f.raw) != fmt.Sprint(now.raw) {
			t.Errorf("from step %d the delta %v leads to %v, not to %v", i, keys, f.raw, now.raw)
		}
	}
	// A row that changed three times comes once, as it is now.
	keys := past[1].apply(t, h.sync("changes", query(past[1].at, "")).okStream().body, false)
	if !slices.Equal(keys, slices.Compact(slices.Clone(keys))) || !slices.Contains(keys, roster.AccountKey(ada)) {
		t.Errorf("delta %v", keys)
	}
	if a := h.sync("changes", query(now.at, "")); a.status != 204 || len(a.body) != 0 {
		t.Errorf("after the present: %d %s", a.status, a.body)
	}
	if a := h.sync("changes", query(now.at, "&wait=1ms")); a.status != 204 {
		t.Errorf("after the present with a wait that ends: %d %s", a.status, a.body)
	}
}

func TestPositionsThatTheFeedDoesNotKnowAreGone(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	one := h.feed().at
	h.newGroup("Engineers")
	at := h.feed().at
	future, sum, epoch, old := at, at, at, one
	future.Seq++
	sum.Sum[0] ^= 1
	epoch.Epoch = "another"
	old.Sum = at.Sum
	for sentence, p := range map[string]roster.Position{"future": future, "wrong sum": sum, "other epoch": epoch, "old with the sum of now": old} {
		for _, wait := range []string{"", "&wait=30s"} {
			if a := h.sync("changes", query(p, wait)); a.status != 410 || !strings.Contains(string(a.body), "/sync/v1/snapshot") {
				t.Errorf("%s: %d %s", sentence, a.status, a.body)
			}
		}
	}
	for _, q := range []string{
		"", "?epoch=e", query(roster.Position{}, ""), "?epoch=" + at.Epoch + "&after=-1&sum=" + at.Sum.String(),
		"?epoch=" + at.Epoch + "&after=1&sum=ab", "?epoch=a/b&after=1&sum=" + at.Sum.String(),
		query(at, "&wait=soon"), query(at, "&wait=-1s"), query(at, "&wait=30"),
	} {
		if a := h.sync("changes", q); a.status != 400 || len(a.body) == 0 {
			t.Errorf("%q: %d %s", q, a.status, a.body)
		}
	}
	if a := h.send("POST", "/sync/v1/changes", ""); a.status != 405 {
		t.Errorf("POST: %d", a.status)
	}
}

// poll starts a long poll and returns when it has arrived. Whatever changes from
// then on must be answered, whether it waits already or is about to look.
func (h *house) poll(ctx context.Context, at roster.Position) <-chan *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", h.http.URL+"/sync/v1/changes"+query(at, "&wait=9h"), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin])
	req.Header.Set("Accept-Encoding", "identity")
	answers := make(chan *http.Response, 1)
	go func() {
		defer close(answers)
		if resp, err := h.http.Client().Do(req); err == nil {
			answers <- resp
		} else if ctx.Err() == nil {
			h.t.Errorf("long poll: %v", err)
		}
	}()
	select {
	case <-h.arrived:
	case <-time.After(patience):
		h.t.Fatal("the request does not arrive")
	}
	return answers
}

func received(t *testing.T, answers <-chan *http.Response) (status int, body []byte) {
	t.Helper()
	select {
	case resp, ok := <-answers:
		if !ok {
			return 0, nil
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	case <-time.After(patience):
		t.Fatal("the long poll does not end")
		return 0, nil
	}
}

func TestALongPollWakesWithTheChange(t *testing.T) {
	t.Parallel()
	h := open(t)
	f := h.feed()
	for i := range 3 {
		answers := h.poll(context.Background(), f.at)
		id := h.newUser(fmt.Sprint("user", i))
		status, body := received(t, answers)
		if status != 200 {
			t.Fatalf("status %d", status)
		}
		if keys := f.apply(t, body, false); !slices.Equal(keys, []string{roster.AccountKey(id)}) {
			t.Errorf("delta %v", keys)
		}
	}
}

func TestALongPollSleepsThroughWhatIsNoChangeOfTheRoster(t *testing.T) {
	t.Parallel()
	h := open(t)
	ada := h.newUser("ada")
	f := h.feed()
	answers := h.poll(context.Background(), f.at)
	h.do("PATCH", "/Users/"+ada, patch(`{"op":"add","path":"title","value":"Dr"}`)).ok(200)
	h.newToken("another", scimserver.ScopeSCIM, time.Now(), 0)
	bob := h.newUser("bob")
	_, body := received(t, answers)
	if keys := f.apply(t, body, false); !slices.Equal(keys, []string{roster.AccountKey(bob)}) {
		t.Errorf("delta %v", keys)
	}
}

func TestDrainEndsTheWaits(t *testing.T) {
	t.Parallel()
	h := open(t)
	answers := h.poll(context.Background(), h.feed().at)
	h.server.Drain()
	if status, body := received(t, answers); status != 204 {
		t.Errorf("status %d: %s", status, body)
	}
	// What needs no wait is still answered; what does is not kept.
	f := h.feed()
	h.newUser("ada")
	f.apply(t, h.sync("changes", query(f.at, "&wait=9h")).okStream().body, false)
	if a := h.sync("changes", query(f.at, "&wait=9h")); a.status != 204 || a.header.Get("Retry-After") == "" {
		t.Errorf("a wait after Drain: %d", a.status)
	}
}

func TestAClientThatGoesEndsItsWait(t *testing.T) {
	t.Parallel()
	h := open(t)
	ended := make(chan struct{})
	inner := h.http.Config.Handler
	h.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "wait") {
			defer close(ended) // also when the handler aborts
		}
		inner.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(context.Background())
	answers := h.poll(ctx, h.feed().at)
	cancel()
	received(t, answers)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the handler still waits for a client that has gone")
	}
}

func TestManyAgentsWaitAndAllWake(t *testing.T) {
	t.Parallel()
	h := open(t)
	start := h.feed()
	const agents = 40
	var all []<-chan *http.Response
	for range agents {
		all = append(all, h.poll(context.Background(), start.at))
	}
	h.newUser("ada")
	now := h.feed()
	for i, answers := range all {
		status, body := received(t, answers)
		f := feed{at: start.at, rows: map[string]roster.Row{}, raw: map[string]string{}}
		if status == 200 {
			f.apply(t, body, false)
		}
		if f.at != now.at {
			t.Errorf("agent %d: status %d, at %v", i, status, f.at)
		}
	}
}

func TestStreamsAreCompressedForThoseWhoAsk(t *testing.T) {
	t.Parallel()
	h := open(t)
	start := h.feed()
	for i := range 50 {
		h.newUser(fmt.Sprint("user", i))
	}
	plain := h.sync("snapshot", "").okStream()
	for encoding, want := range map[string]bool{
		"gzip": true, "GZip": true, "deflate, gzip;q=1.0": true, "br;q=1, gzip;q=0.2, *;q=0": true,
		"": false, "identity": false, "br": false, "gzip;q=0": false, "gzip;q=0.000": false, "gzip;q=x": false, "xgzip": false,
	} {
		for _, what := range []string{"snapshot", "changes" + query(start.at, "")} {
			a := h.sync(what, "", "Accept-Encoding", encoding).okStream()
			if got := a.header.Get("Content-Encoding") == "gzip"; got != want || !strings.Contains(a.header.Get("Vary"), "Accept-Encoding") {
				t.Errorf("%s with %q: Content-Encoding %q, Vary %q", what, encoding, a.header.Get("Content-Encoding"), a.header.Get("Vary"))
				continue
			}
			body := a.body
			if want {
				if len(body) >= len(plain.body) {
					t.Errorf("%d bytes were compressed to %d", len(plain.body), len(body))
				}
				z, err := gzip.NewReader(bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if body, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			f := feed{at: start.at, rows: map[string]roster.Row{}, raw: map[string]string{}}
			if f.apply(t, body, what == "snapshot"); len(f.rows) != 50 {
				t.Errorf("%s with %q: %d rows", what, encoding, len(f.rows))
			}
		}
	}
}

// brokenStore fails while it reads a snapshot, after some rows.
type brokenStore struct{ scimserver.Store }

type brokenView struct{ scimserver.View }

func (b brokenStore) View(ctx context.Context, fn func(scimserver.View) error) error {
	return b.Store.View(ctx, func(v scimserver.View) error { return fn(brokenView{v}) })
}

func (b brokenView) Snapshot(yield func(roster.Change) error) error {
	rows := 0
	return b.View.Snapshot(func(c roster.Change) error {
		if rows++; rows > 2 {
			return errors.New("the disk is on fire")
		}
		return yield(c)
	})
}

func TestASnapshotThatFailsHalfwayIsSeenToBeCut(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *scimserver.Config) { c.Store = brokenStore{c.Store} })
	for i := range 5 {
		h.newUser(fmt.Sprint("user", i))
	}
	for _, encoding := range []string{"identity", "gzip"} {
		for range 8 { // more than are sent at once: each gives its place back
			req, err := http.NewRequest("GET", h.http.URL+"/sync/v1/snapshot", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin])
			req.Header.Set("Accept-Encoding", encoding)
			resp, err := h.http.Client().Do(req)
			if err != nil {
				continue // cut before the header had left
			}
			if resp.StatusCode != 200 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			body, err := io.ReadAll(resp.Body)
			if err == nil {
				t.Error("the connection ends as if all had been sent")
			}
			resp.Body.Close()
			if encoding == "gzip" {
				if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
					body, _ = io.ReadAll(z)
				}
			}
			if err := whole(body); err == nil {
				t.Errorf("half a snapshot was taken: %s", body)
			}
		}
	}
}

func whole(stream []byte) error {
	r, err := roster.NewReader(bytes.NewReader(stream))
	for err == nil {
		_, err = r.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func TestOnlySoManySnapshotsAreSentAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	request := func() *http.Request {
		r := httptest.NewRequest("GET", "/sync/v1/snapshot", nil)
		r.Header.Set("Authorization", "Bearer "+h.token[scimserver.ScopeNodeAdmin])
		return r
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			first := true
			client := &slowClient{header: http.Header{}, during: func() {
				if first {
					first = false
					arrived <- struct{}{}
					<-release
				}
			}}
			h.server.ServeHTTP(client, request())
			if err := whole([]byte(client.body.String())); err != nil {
				t.Errorf("a slow client: %v", err)
			}
		})
	}
	for range 4 {
		<-arrived
	}
	fifth := httptest.NewRecorder()
	h.server.ServeHTTP(fifth, request())
	if fifth.Code != 503 || fifth.Header().Get("Retry-After") == "" {
		t.Errorf("the fifth: %d", fifth.Code)
	}
	// Slow agents hold up neither providers nor each other's deltas.
	f := feed{}
	id := h.newUser("bob")
	h.do("GET", "/Users/"+id, "").ok(200)
	close(release)
	all.Wait()
	f = h.feed()
	if len(f.rows) != 2 {
		t.Errorf("%d rows", len(f.rows))
	}
}

func TestManyCreatesAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	const callers, names = 64, 16
	start := h.feed()
	type result struct {
		name   int
		status int
		id     string
	}
	results := make([]result, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			name := i % names
			req, err := http.NewRequest("POST", h.http.URL+"/scim/v2/Users", strings.NewReader(fmt.Sprintf(`{"userName":"USER%d@corp.example"}`, name)))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+h.token[scimserver.ScopeSCIM])
			resp, err := h.http.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Error(err)
			}
			if resp.StatusCode == 409 && !bytes.Contains(body, []byte(`"scimType":"uniqueness"`)) {
				t.Errorf("409 with %s", body)
			}
			results[i] = result{name, resp.StatusCode, resp.Header.Get("Location")}
		})
	}
	all.Wait()
	created := map[int]int{}
	for _, r := range results {
		switch r.status {
		case 201:
			created[r.name]++
		case 409:
		default:
			t.Errorf("status %d", r.status)
		}
	}
	for name := range names {
		if created[name] != 1 {
			t.Errorf("user %d was created %d times", name, created[name])
		}
	}
	f := h.feed()
	if f.at.Seq != names || len(f.rows) != names {
		t.Errorf("%d rows at seq %d, want %d", len(f.rows), f.at.Seq, names)
	}
	uids := map[uint32]bool{}
	for _, row := range f.rows {
		if a := row.Account; a == nil || uids[a.UID] || a.UID < 1000 || a.UID >= 1000+names {
			t.Errorf("account %+v", a)
		} else {
			uids[a.UID] = true
		}
	}
	if keys := start.apply(t, h.sync("changes", query(start.at, "")).okStream().body, false); len(keys) != names {
		t.Errorf("delta of %d rows", len(keys))
	}
}

func TestASnapshotThatTheAgentHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.newUser("ada")
	first := h.sync("snapshot", "").okStream()
	tag := first.header.Get("ETag")
	if tag != `W/"`+h.feed().at.String()+`"` {
		t.Fatalf("ETag %q", tag)
	}
	for _, has := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag} {
		if a := h.sync("snapshot", "", "If-None-Match", has); a.status != 304 || len(a.body) != 0 || a.header.Get("ETag") != tag {
			t.Errorf("%s: %d, ETag %q: %s", has, a.status, a.header.Get("ETag"), a.body)
		}
	}
	for _, other := range []string{`"x"`, "*", h.feed().at.String()} {
		h.sync("snapshot", "", "If-None-Match", other).okStream()
	}
	h.newUser("bob")
	if again := h.sync("snapshot", "", "If-None-Match", tag).okStream(); again.header.Get("ETag") == tag {
		t.Error("another roster has the same ETag")
	}
}

func TestAnAgentIsAskedToComeBackAtATimeOfItsOwn(t *testing.T) {
	t.Parallel()
	h := open(t)
	f := h.feed()
	h.server.Drain()
	for range 20 {
		a := h.sync("changes", query(f.at, "&wait=9h"))
		if after, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != 204 || err != nil || after < 1 || after > 2 {
			t.Errorf("%d, Retry-After %q", a.status, a.header.Get("Retry-After"))
		}
	}
}

// reads counts the looks at tokens.
type reads struct {
	scimserver.Store
	tokens atomic.Int64
}

type readsView struct {
	scimserver.View
	r *reads
}

func (r *reads) View(ctx context.Context, fn func(scimserver.View) error) error {
	return r.Store.View(ctx, func(v scimserver.View) error { return fn(readsView{v, r}) })
}

func (v readsView) Token(id string) (scimserver.Token, error) {
	v.r.tokens.Add(1)
	return v.View.Token(id)
}

func TestManyAgentsThatWakeAtOnceLookUpTheirTokenTogether(t *testing.T) {
	t.Parallel()
	var r *reads
	h := open(t, func(c *scimserver.Config) {
		r = &reads{Store: c.Store}
		c.Store, c.TokenLife = r, 300*time.Millisecond
	})
	start := h.feed()
	var all []<-chan *http.Response
	for range 200 {
		all = append(all, h.poll(context.Background(), start.at))
	}
	h.newUser("ada")
	before := r.tokens.Load()
	h.newUser("bob")
	for _, answers := range all {
		if status, _ := received(t, answers); status != 200 {
			t.Errorf("status %d", status)
		}
	}
	if n := r.tokens.Load() - before; n > 20 { // a look each 300 ms
		t.Errorf("%d looks", n)
	}
}
