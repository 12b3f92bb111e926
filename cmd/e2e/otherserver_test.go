package e2e

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// site is a server with a store of its own, and a token of it for nodes.
type site struct{ url, tokenFile string }

// newSites are servers that know other people: those of the rig, strangers, and
// those of the rig with other numbers.
func newSites(t *testing.T) (r *rig, own, strangers, renumbered site) {
	t.Helper()
	r = newRig(t)
	r.push(t, 8, 30, "user")
	own = site{r.agent.Server, r.agent.TokenFile}
	more := func(store, prefix string, flags ...string) site {
		other := *r
		other.start(t, store, "127.0.0.1:0", flags...)
		s := site{other.server.URL, filepath.Join(r.dir, store+"-token")}
		if err := other.server.TokenFile(t.Context(), s.tokenFile, "node", "node-admin"); err != nil {
			t.Fatal(err)
		}
		token, err := other.server.Token(t.Context(), "provider", "scim")
		if err != nil {
			t.Fatal(err)
		}
		other.scim.URL, other.scim.Token = s.url, token
		other.push(t, 8, 30, prefix)
		return s
	}
	return r, own, more("strangers", "stranger"), more("renumbered", "user", "--user-provisioning-start-uid", "5000")
}

// at makes the agent follow a server.
func (r *rig) at(s site) { r.agent.Server, r.agent.TokenFile = s.url, s.tokenFile }

func TestTwoServersThatAreSwappedChangeNothingAndTheRightOneHealsByItself(t *testing.T) {
	t.Parallel()
	r, own, strangers, renumbered := newSites(t)
	for _, c := range []struct {
		name         string
		right, wrong site
		says         string
	}{
		{"with other people", own, strangers, "of 30 accounts it would remove 30, lock 0, renumber 0"},
		{"the other way round", strangers, own, "of 30 accounts it would remove 30, lock 0, renumber 0"},
		{"with other numbers", own, renumbered, "of 30 accounts it would remove 0, lock 0, renumber 30"},
		{"with other numbers, the other way round", renumbered, own, "of 30 accounts it would remove 0, lock 0, renumber 30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := *r
			dir := t.TempDir()
			r.agent.Dir, r.agent.StateDir = filepath.Join(dir, "files"), filepath.Join(dir, "state")
			mkdir(t, r.agent.Dir)
			r.at(c.right)
			r.sync(t, 0)
			r.status(t, 0, "went well")
			before := filesOf(t, r.agent.Dir)
			unchanged := func() {
				t.Helper()
				if now := filesOf(t, r.agent.Dir); !maps.Equal(now, before) {
					t.Error("the files changed")
				}
			}

			r.agent.Server = c.wrong.url // with the token of the right one
			r.sync(t, 1)
			r.status(t, 1, "valid node-admin token of this server")
			unchanged()
			r.at(c.wrong)
			for range 2 {
				r.sync(t, 3)
				r.status(t, 3, c.says, "--accept-change")
				unchanged()
			}
			r.at(c.right)
			r.sync(t, 0)
			r.status(t, 0, "went well")
			unchanged()
		})
	}
}

// TestTwoStoresBehindOneAddressAreTold has a proxy ask two servers by turns, as a
// load balancer would.
func TestTwoStoresBehindOneAddressAreTold(t *testing.T) {
	t.Parallel()
	r, own, strangers, _ := newSites(t)
	var turn atomic.Int64
	var mended atomic.Bool
	var sites [2]http.Handler
	for i, s := range []site{own, strangers} {
		to, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		token := strings.TrimSpace(stateOf(t, s.tokenFile).Content)
		sites[i] = &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Header.Set("Authorization", "Bearer "+token)
		}}
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		i := int64(0)
		if !mended.Load() && req.Method == http.MethodGet {
			i = turn.Add(1) / 2 % 2 // changes and snapshot are two requests
		}
		sites[i].ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	r.sync(t, 0)
	before := filesOf(t, r.agent.Dir)
	r.agent.Server = front.URL
	for range 8 {
		if status, out, err := r.agent.Sync(t.Context()); err != nil || status != 0 && status != 3 {
			t.Fatalf("sync ended with status %d, %v:\n%s", status, err, out)
		}
	}
	if said := r.showStatus(t); !strings.Contains(said, "does not know this node's position") || !strings.Contains(said, "servers with different stores") {
		t.Errorf("the status does not tell:\n%s", said)
	}
	mended.Store(true)
	r.sync(t, 0)
	r.sync(t, 0)
	r.status(t, 0, "went well")
	if said := r.showStatus(t); strings.Contains(said, "different stores") {
		t.Errorf("the status still tells:\n%s", said)
	}
	if now := filesOf(t, r.agent.Dir); !maps.Equal(now, before) {
		t.Error("the files changed")
	}
}
