package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pwb/roster"
)

// follower reads the feed from the beginning, delta by delta, as agents do.
type follower struct {
	url, token string
	at         roster.Position
	rows       map[string]string
}

// follow takes the next delta, or with wait "0s" says whether there was one.
func (f *follower) follow(ctx context.Context, wait string) (more bool, err error) {
	epoch, _, _ := strings.Cut(f.at.String(), "/")
	q := url.Values{"epoch": {epoch}, "after": {fmt.Sprint(f.at.Seq)}, "sum": {f.at.Sum.String()}, "wait": {wait}}
	status, in, err := f.get(ctx, "changes?"+q.Encode())
	if err != nil || status == http.StatusNoContent {
		return false, err
	}
	defer in.Close()
	if status != http.StatusOK {
		return false, fmt.Errorf("changes after %v answered %d", f.at, status)
	}
	return true, f.apply(in)
}

func (f *follower) get(ctx context.Context, path string) (int, io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/sync/v1/"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	return res.StatusCode, res.Body, nil
}

// apply reads a stream into the rows; it must begin where they end.
func (f *follower) apply(in io.Reader) error {
	s, err := roster.NewReader(in)
	if err != nil {
		return err
	}
	if from := s.Header().From; from != nil && *from != f.at {
		return fmt.Errorf("a delta begins at %v, and the one before ended at %v", *from, f.at)
	}
	for {
		c, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if c.Line == nil {
			delete(f.rows, c.Key)
		} else {
			f.rows[c.Key] = string(c.Line)
		}
	}
	f.at = s.Header().To
	var sum roster.Sum
	for _, line := range f.rows {
		sum.Add([]byte(line))
	}
	if sum != f.at.Sum {
		return fmt.Errorf("at %v the rows have another digest", f.at)
	}
	return nil
}

// TestTwoServersOnOneStoreGiveNothingTwice has two processes serve one store to
// 64 clients that all want the same users.
func TestTwoServersOnOneStoreGiveNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one := r.server
	r.start(t, "store", "127.0.0.1:0")
	two := r.server
	token, err := os.ReadFile(r.agent.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{url: two.URL, token: strings.TrimSpace(string(token)), rows: map[string]string{}}
	_, in, err := f.get(t.Context(), "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.apply(in); err != nil {
		t.Fatal(err)
	}
	in.Close()
	following, stop := context.WithCancel(t.Context())
	defer stop()
	followed := make(chan error, 1)
	go func() {
		for {
			if _, err := f.follow(following, "30s"); err != nil {
				followed <- err
				return
			}
		}
	}()

	const names, tries, clients = 300, 4, 64
	var created [names]atomic.Int64
	parallel(t, clients, names*tries, func(i int) error {
		p := r.scim
		if p.URL = one.URL; i%2 == 0 {
			p.URL = two.URL
		}
		// The same names at the same time, in letters of their own.
		name := i / tries
		body := user(fmt.Sprintf("u%d", name))
		if i%3 == 0 {
			body["userName"] = strings.ToUpper(fmt.Sprint(body["userName"]))
		}
		status, answer, err := p.Do(context.Background(), "POST", "/Users", body)
		switch {
		case err != nil:
			return err
		case status == http.StatusCreated:
			created[name].Add(1)
		case status != http.StatusConflict:
			return fmt.Errorf("POST answered %d: %s", status, answer)
		}
		return nil
	})
	for name := range created {
		if n := created[name].Load(); n != 1 {
			t.Errorf("user %d was created %d times", name, n)
		}
	}
	stop()
	if err := <-followed; following.Err() == nil {
		t.Fatal(err)
	}
	for more := true; more; {
		if more, err = f.follow(t.Context(), "0s"); err != nil {
			t.Fatal(err)
		}
	}
	uids, accounts := map[uint32]string{}, 0
	for key, line := range f.rows {
		row, err := roster.Change{Key: key, Line: []byte(line)}.Row()
		if err != nil {
			t.Fatal(err)
		}
		if a := row.Account; a != nil {
			accounts++
			if other, twice := uids[a.UID]; twice {
				t.Errorf("uid %d is that of %s and of %s", a.UID, other, a.Name)
			}
			uids[a.UID] = a.Name
		}
	}
	if accounts != names {
		t.Errorf("the feed led to %d accounts", accounts)
	}
	whole := &follower{url: one.URL, token: f.token, rows: map[string]string{}}
	_, in, err = whole.get(t.Context(), "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := whole.apply(in); err != nil || whole.at != f.at {
		t.Errorf("the deltas of one server led to %v, the snapshot of the other is %v, %v", f.at, whole.at, err)
	}
	checkIDs(t, r)
}

// checkIDs runs the administrator's check of the ledger, which must find nothing.
func checkIDs(t *testing.T, r *rig) {
	t.Helper()
	out, err := bin.Command(t.Context(), "pwb-server", "ids", "check", "--data-dir", filepath.Join(r.dir, "store")).CombinedOutput()
	if err != nil {
		t.Errorf("ids check: %v\n%s", err, out)
	}
}
