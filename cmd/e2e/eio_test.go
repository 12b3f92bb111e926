package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// memory stands before a server and remembers the former rows that each node
// reported.
type memory struct {
	mu     sync.Mutex
	former map[string]map[string]bool // names, by node
}

func newMemory(t *testing.T, target string) (m *memory, address string) {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	m = &memory{former: map[string]map[string]bool{}}
	pass := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			m.note(r.Header.Get("Pwb-Node"), body)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return m, s.URL
}

func (m *memory) note(node string, report []byte) {
	var facts struct{ Former []struct{ Name string } }
	if json.Unmarshal(report, &facts) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.former[node] == nil {
		m.former[node] = map[string]bool{}
	}
	for _, f := range facts.Former {
		m.former[node][f.Name] = true
	}
}

func (m *memory) of(node string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.former[node]))
}

// TestAnErrorOfTheDiskAtAnyStepLeavesWholeFilesAndLosesNothing has strace(1) fail
// the nth call of each system call of the real agent with EIO, for every n until
// it gets through. The pass is one with everything in it: the server was put back,
// so that there are a new mirror, files, state, and rows to report.
func TestAnErrorOfTheDiskAtAnyStepLeavesWholeFilesAndLosesNothing(t *testing.T) {
	t.Parallel()
	need(t, "strace", "cp")
	r := newRig(t)
	memory, through := newMemory(t, r.server.URL)
	r.agent.Server = through
	r.agent.Flags = append(r.agent.Flags, "--max-change-percent", "100")
	r.push(t, 8, 10, "old")
	backup := filepath.Join(r.dir, "backup.db")
	r.administer(t, "backup", backup)
	r.push(t, 8, 5, "lost")
	r.sync(t, 0)
	before := contents(t, r.agent.Dir)
	base := r.agent
	r.administer(t, "restore", backup, "--yes")
	r.push(t, 8, 5, "new")
	lost := []string{"lost0", "lost1", "lost2", "lost3", "lost4"}

	node := func(t *testing.T, name string) *rig {
		own := *r
		own.agent = copyNode(t, base, name)
		own.agent.Flags = append(slices.Clone(base.Flags), "--node", name)
		return &own
	}
	whole := node(t, "whole")
	whole.sync(t, 0)
	after := contents(t, whole.agent.Dir)
	if maps.Equal(before, after) || !slices.Equal(memory.of("whole"), lost) {
		t.Fatalf("the change is none, or not reported: %v", memory.of("whole"))
	}

	check := func(t *testing.T, r *rig, name string, pass failedPass) {
		t.Helper()
		now := contents(t, r.agent.Dir)
		for file := range before {
			if now[file] != before[file] && now[file] != after[file] {
				t.Errorf("%s: %s is neither the old file nor the new one", name, file)
			}
		}
		// passwd comes last: whoever is in it is in the others.
		if now["passwd"] == after["passwd"] && (now["shadow"] != after["shadow"] || now["group"] != after["group"]) {
			t.Errorf("%s: passwd is ahead of the others", name)
		}
		if pass.status == 0 && !maps.Equal(now, after) {
			t.Errorf("%s: the pass says that it went well, and did not:\n%s", name, pass.out)
		}
		// The runtime's own files, and what the agent prints on, may be among those hit.
		if pass.status == 1 && !slices.Contains(pass.hit, elsewhere) {
			if !strings.Contains(pass.out, "input/output error") {
				t.Errorf("%s: it does not say why it failed:\n%s", name, pass.out)
			}
			// What keeps the state from being written cannot be in it.
			untold := strings.Contains(pass.out, "record the state") || strings.Contains(pass.out, "lock the state directory") || strings.Contains(pass.out, "state/lock")
			if said := r.showStatus(t); !untold && !strings.Contains(said, "input/output error") {
				t.Errorf("%s: the status does not say why:\n%s\n%s", name, said, pass.out)
			}
		}
		r.sync(t, 0)
		if !maps.Equal(contents(t, r.agent.Dir), after) {
			t.Errorf("%s: the next pass does not mend it", name)
		}
		r.status(t, 0, "went well")
		if got := memory.of(filepath.Base(filepath.Dir(r.agent.Dir))); !slices.Equal(got, lost) {
			t.Errorf("%s: of the rows that the server lost, only %v were reported", name, got)
		}
		if extra := strangers(t, r.agent.Dir); len(extra) > 0 {
			t.Errorf("%s: %v stay behind", name, extra)
		}
	}
	for _, c := range []struct {
		call string
		own  bool // of the node's files alone: others are the runtime's
		hits []string
	}{
		// The first call that strace sees is always hit; what is behind it, often.
		{"openat", true, []string{"lock"}}, {"read", true, []string{"state.json"}}, {"pread64", true, []string{"mirror"}}, {"flock", true, []string{"lock"}},
		{"write", false, nil}, {"fsync", false, []string{".report.json"}}, {"fchmod", false, nil}, {"renameat", false, []string{".report.json"}},
	} {
		t.Run(c.call, func(t *testing.T) {
			t.Parallel()
			hits := map[string]int{}
			for n, alive := 1, 0; alive < 2 && n < 100; n++ {
				name := fmt.Sprintf("%s-%d", c.call, n)
				r := node(t, name)
				pass := failAt(t, r, c.call, fmt.Sprint(n), c.own)
				if len(pass.hit) == 0 {
					alive++ // strace counts for each thread, so the next n may hit again
				}
				for _, h := range pass.hit {
					hits[h]++
				}
				check(t, r, fmt.Sprintf("%s of %v", name, pass.hit), pass)
				os.RemoveAll(filepath.Dir(r.agent.Dir))
			}
			for _, file := range c.hits {
				if hits[file] == 0 {
					t.Errorf("no pass failed at %s: %v", file, hits)
				}
			}
			t.Logf("failed at %v", hits)
		})
	}

	// A mirror that the disk does not give may hold rows that are nowhere else, so
	// the first pass fails; for the second it is not worth being without the server.
	t.Run("a mirror that is never read again", func(t *testing.T) {
		t.Parallel()
		r := node(t, "unreadable")
		for _, status := range []int{1, 0} {
			pass := failAt(t, r, "pread64", "1+", true)
			if pass.status != status {
				t.Fatalf("the pass ended with status %d, not %d:\n%s", pass.status, status, pass.out)
			}
			if status == 1 {
				r.status(t, 1, "the mirror is damaged", "input/output error")
				if now := contents(t, r.agent.Dir); !maps.Equal(now, before) {
					t.Errorf("the files became %v", now)
				}
			}
		}
		if now := contents(t, r.agent.Dir); !maps.Equal(now, after) {
			t.Errorf("the files are %v", now)
		}
	})
}

// failedPass is a pass of which a system call failed.
type failedPass struct {
	status int
	out    string
	hit    []string // the files of those calls
}

var (
	injected = regexp.MustCompile(`(?m)^.*\(INJECTED\)$`)
	// what calls name: a directory's descriptor with a name in it or a path, or a
	// descriptor alone
	namedAt    = regexp.MustCompile(`<(/[^>]*)>, "([^/"][^"]*)"|"(/[^"]*)"`)
	namedOne   = regexp.MustCompile(`^[^<]*<(/[^>]*)>`)
	randomPart = regexp.MustCompile(`^(\.pwb-[a-z.]+)\.[A-Z2-7]+$|^(\.[a-z.]+)[0-9]+$`)
)

// elsewhere is a file that is not the node's.
const elsewhere = "elsewhere"

// failAt runs a pass of which strace(1) fails a system call with EIO, when says which.
func failAt(t *testing.T, r *rig, call, when string, own bool) (p failedPass) {
	t.Helper()
	trace := filepath.Join(filepath.Dir(r.agent.Dir), "trace")
	args := []string{"-f", "-y", "-qq", "-s", "1000", "-o", trace, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%s", call, when)}
	if own {
		for _, dir := range []string{r.agent.StateDir, r.agent.Dir} {
			args = append(args, "-P", dir)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				args = append(args, "-P", filepath.Join(dir, e.Name()))
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "strace", append(args, r.agent.Command(t.Context(), "sync").Args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	p.out = string(out)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		p.status = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("strace: %v\n%s", err, out)
	}
	told, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range injected.FindAllString(string(told), -1) {
		file := elsewhere
		named := namedOne
		if strings.HasSuffix(call, "at") {
			named = namedAt
		}
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			path := filepath.Join(m[1:]...)
			if within := strings.HasPrefix(path, r.agent.StateDir) || strings.HasPrefix(path, r.agent.Dir); !within {
				continue
			}
			file = filepath.Base(path)
			if parts := randomPart.FindStringSubmatch(file); parts != nil {
				file = parts[1] + parts[2]
			}
			break
		}
		p.hit = append(p.hit, file)
	}
	return p
}
