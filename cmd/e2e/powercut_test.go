package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pwb/cmd/harness"
)

// known is what a writer knows of one of its users: it is there or not, and how.
type known struct {
	there   bool
	active  bool
	display string
}

// writer changes users of its own, one request at a time, and writes down what
// was answered. When the server is killed, the last request may have been done
// as a whole or not at all.
type writer struct {
	scim  harness.Provider
	name  string
	dice  *rand.Rand
	ids   map[string]string // by user name
	state map[string]known  // as answered

	pending string // the user that the unanswered request is about, or empty
	wanted  known  // as it would be then
}

// work makes requests until one is not answered.
func (w *writer) work(t *testing.T, answered func()) {
	for n := 0; ; n++ {
		user := fmt.Sprintf("%s-%d", w.name, w.dice.IntN(40))
		was := w.state[user]
		next := known{there: true, active: w.dice.IntN(4) > 0, display: fmt.Sprintf("Display %d", w.dice.IntN(1000))}
		var method, path string
		var body any
		full := map[string]any{"userName": user, "active": next.active, "displayName": next.display}
		want := http.StatusOK
		switch roll := w.dice.IntN(4); {
		case !was.there:
			method, path, body, want = "POST", "/Users", full, http.StatusCreated
		case roll == 0:
			method, path, want, next = "DELETE", "/Users/"+w.ids[user], http.StatusNoContent, known{}
		case roll == 1:
			method, path, body = "PUT", "/Users/"+w.ids[user], full
		default:
			next.display = was.display
			method, path = "PATCH", "/Users/"+w.ids[user]
			body = map[string]any{"Operations": []any{map[string]any{"op": "replace", "path": "active", "value": next.active}}}
		}
		w.pending, w.wanted = user, next
		status, answer, err := w.scim.Do(context.Background(), method, path, body)
		if err != nil {
			return // the power is off
		}
		if status != want {
			t.Errorf("%s %s answered %d, not %d: %s", method, path, status, want, answer)
			return
		}
		w.pending = ""
		w.state[user] = next
		if method == "POST" {
			var created struct{ ID string }
			if err := json.Unmarshal(answer, &created); err != nil {
				t.Error(err)
				return
			}
			w.ids[user] = created.ID
		}
		answered()
	}
}

// check holds what the server has after the power is on again against what was
// answered, and goes on from there.
func (w *writer) check(t *testing.T, now map[string]known, ids map[string]string) {
	for i := range 40 {
		user := fmt.Sprintf("%s-%d", w.name, i)
		is, was := now[user], w.state[user]
		if is != was && !(user == w.pending && is == w.wanted) {
			t.Errorf("%s was answered to be %+v and is %+v", user, was, is)
		}
		w.state[user] = is
		w.ids[user] = ids[user]
	}
	w.pending = ""
}

// TestWhatWasAnsweredOutlivesAPowerCut kills the real server at random moments
// while eight clients write, and looks each time for every answer that was given.
func TestWhatWasAnsweredOutlivesAPowerCut(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 5
	}
	dice := rand.New(rand.NewPCG(1, uint64(rounds)))
	r := newRig(t)
	provider := r.scim
	writers := make([]*writer, 8)
	for i := range writers {
		writers[i] = &writer{name: fmt.Sprint("w", i), dice: rand.New(rand.NewPCG(2, uint64(i))), ids: map[string]string{}, state: map[string]known{}}
	}
	total := 0
	for round := range rounds {
		var answers atomic.Int64
		enough := int64(dice.IntN(200))
		cut := make(chan struct{})
		var once sync.Once
		var all sync.WaitGroup
		for _, w := range writers {
			w.scim = provider
			all.Go(func() {
				w.work(t, func() {
					if answers.Add(1) >= enough {
						once.Do(func() { close(cut) })
					}
				})
			})
		}
		<-cut
		r.server.Kill()
		all.Wait()
		total += int(answers.Load())
		r.start(t, "store", "127.0.0.1:0")
		provider.URL = r.server.URL
		now, ids := everybody(t, provider)
		for _, w := range writers {
			w.check(t, now, ids)
		}
		if round%10 == 9 || round == rounds-1 {
			checkIDs(t, r)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d answers were there after %d power cuts", total, rounds)
}

// everybody lists all users by their names, and their ids.
func everybody(t *testing.T, p harness.Provider) (map[string]known, map[string]string) {
	t.Helper()
	now, ids := map[string]known{}, map[string]string{}
	for start := 1; ; {
		status, data, err := p.Do(t.Context(), "GET", fmt.Sprintf("/Users?startIndex=%d&count=500", start), nil)
		if err != nil || status != http.StatusOK {
			t.Fatalf("list the users: %d, %v", status, err)
		}
		var list struct {
			TotalResults int
			Resources    []struct {
				ID, UserName, DisplayName string
				Active                    bool
			}
		}
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Resources {
			if _, twice := now[u.UserName]; twice {
				t.Errorf("%s is there twice", u.UserName)
			}
			now[u.UserName] = known{true, u.Active, strings.TrimSpace(u.DisplayName)}
			ids[u.UserName] = u.ID
		}
		start += len(list.Resources)
		if len(list.Resources) == 0 || start > list.TotalResults {
			return now, ids
		}
	}
}
