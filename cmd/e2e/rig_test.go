package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pwb/cmd/harness"
)

// bin holds the binaries that TestMain builds, as they are shipped.
var bin harness.Bin

func TestMain(m *testing.M) {
	if os.Getenv(gaugeEnv) != "" {
		os.Exit(gauge(os.Args[1:]))
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "pwb-e2e-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if bin, err = harness.Build(context.Background(), dir); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// missing skips a test that cannot run here, loudly; in CI nothing is skipped.
func missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI must run this test, but %s: %v", what, err)
	}
	t.Skipf("NOT TESTED HERE: %s: %v", what, err)
}

// need skips without root or one of the programs.
func need(t testing.TB, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root is needed", fmt.Errorf("the effective uid is %d", os.Geteuid()))
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is needed", err)
		}
	}
}

// rig is a server, a provider that speaks to it and a node with an agent.
type rig struct {
	dir    string
	server *harness.Server
	scim   harness.Provider
	agent  harness.Agent
}

// newRig starts a server with an empty store. What it makes ends with the test.
func newRig(t testing.TB, flags ...string) *rig {
	t.Helper()
	// Short and with mode 0755: a node's directories.
	dir, err := os.MkdirTemp("", "pwb-rig-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{dir: dir}
	r.start(t, "store", "127.0.0.1:0", flags...)
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	r.agent = harness.Agent{Bin: bin, Server: r.server.URL, TokenFile: filepath.Join(dir, "node-token"), Dir: files, StateDir: filepath.Join(dir, "state")}
	if err := r.server.TokenFile(t.Context(), r.agent.TokenFile, "node", "node-admin"); err != nil {
		t.Fatal(err)
	}
	token, err := r.server.Token(t.Context(), "provider", "scim")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(client.CloseIdleConnections)
	r.scim = harness.Provider{URL: r.server.URL, Token: token, Client: client}
	return r
}

// start starts a server on the store of that name.
func (r *rig) start(t testing.TB, store, listen string, flags ...string) {
	t.Helper()
	// Not t.Context: the server outlives it and is stopped below.
	s, err := harness.StartServer(context.Background(), bin, filepath.Join(r.dir, store), listen,
		append([]string{"--password-hash-rounds", "5000", "--rate-limit", "0", "--fuse-window", "0"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	r.server = s
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// user is the body of a user.
func user(name string) map[string]any {
	return map[string]any{"userName": name + "@acme.example", "displayName": "User " + name, "active": true}
}

// push creates n users, user-0 and on, from several clients at once, and
// returns their ids.
func (r *rig) push(t testing.TB, clients, n int, prefix string) []string {
	t.Helper()
	ids := make([]string, n)
	parallel(t, clients, n, func(i int) error {
		id, err := r.scim.Create(context.Background(), "/Users", user(fmt.Sprintf("%s%d", prefix, i)))
		ids[i] = id
		return err
	})
	return ids
}

// parallel calls do for 0 to n-1 from several goroutines; an error ends it.
func parallel(t testing.TB, clients, n int, do func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
}

// sync runs one pass, which must end with the status.
func (r *rig) sync(t testing.TB, status int, flags ...string) string {
	t.Helper()
	got, out, err := r.agent.Sync(t.Context(), flags...)
	if err != nil {
		t.Fatalf("sync: %v\n%s", err, out)
	}
	if got != status {
		t.Fatalf("sync ended with status %d, not %d:\n%s", got, status, out)
	}
	return out
}

// within bounds a wait for something that happens in a moment.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
