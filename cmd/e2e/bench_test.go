package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pwb/cmd/harness"
	"pwb/roster"
)

// each makes b.N requests from several clients and reports how many a second.
func each(b *testing.B, r *rig, clients int, unit string, do func(l *loader, i int) error) {
	all := loaders(b, clients, r, r.scim.Token)
	b.ResetTimer()
	began := time.Now()
	parallel(b, clients, b.N, func(i int) error {
		l := <-all
		err := do(l, i)
		all <- l
		return err
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), unit)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCreate creates users among 10,000; each is durable when it is
// answered.
func BenchmarkCreate(b *testing.B) {
	r := newRig(b)
	r.push(b, 16, 10_000, "before")
	var n atomic.Int64
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			each(b, r, clients, "creates/s", func(l *loader, _ int) error {
				name := fmt.Sprintf("user%d", n.Add(1))
				return l.do(http.MethodPost, "/Users", `{"userName":"`+name+`@acme.example","displayName":"User `+name+`","active":true}`, http.StatusCreated)
			})
		})
	}
}

// BenchmarkRead reads among 10,000 users with 16 clients.
func BenchmarkRead(b *testing.B) {
	r := newRig(b)
	ids := r.push(b, 16, 10_000, "user")
	b.Run("filter=userName", func(b *testing.B) {
		each(b, r, 16, "requests/s", func(l *loader, i int) error {
			return l.do(http.MethodGet, fmt.Sprintf("/Users?filter=userName%%20eq%%20%%22user%d@acme.example%%22", i%10_000), "", http.StatusOK)
		})
	})
	b.Run("id", func(b *testing.B) {
		each(b, r, 16, "requests/s", func(l *loader, i int) error {
			return l.do(http.MethodGet, "/Users/"+ids[i%10_000], "", http.StatusOK)
		})
	})
}

// BenchmarkPatchMember adds and removes one member with 16 clients, in a group of
// ten and in one of 10,000: it costs the same.
func BenchmarkPatchMember(b *testing.B) {
	r := newRig(b)
	ids := r.push(b, 16, 10_100, "user")
	for _, size := range []int{10, 10_000} {
		members := make([]map[string]string, size)
		for i := range members {
			members[i] = map[string]string{"value": ids[i]}
		}
		group, err := r.scim.Create(context.Background(), "/Groups", map[string]any{"displayName": fmt.Sprintf("Group of %d", size), "members": members})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("members=%d", size), func(b *testing.B) {
			each(b, r, 16, "patches/s", func(l *loader, i int) error {
				op := "Add"
				if i/100%2 == 1 {
					op = "Remove"
				}
				return l.do(http.MethodPatch, "/Groups/"+group,
					`{"Operations":[{"op":"`+op+`","path":"members","value":[{"value":"`+ids[10_000+i%100]+`"}]}]}`, http.StatusNoContent)
			})
		})
	}
}

// BenchmarkCreateBesideOthers measures how long a create takes while a list of
// all users is paged through again and again and 100 agents wait for changes,
// which every create is for each of them.
func BenchmarkCreateBesideOthers(b *testing.B) {
	r := newRig(b)
	r.push(b, 16, 10_000, "before")
	token, err := os.ReadFile(r.agent.TokenFile)
	if err != nil {
		b.Fatal(err)
	}
	begin := r.position(b, strings.TrimSpace(string(token)))
	var stop atomic.Bool
	var others sync.WaitGroup
	lists := loaders(b, 1, r, r.scim.Token)
	others.Go(func() {
		l := <-lists
		for start := 1; !stop.Load(); start = (start + 100) % 10_000 {
			if err := l.do(http.MethodGet, fmt.Sprintf("/Users?startIndex=%d&count=100", start), "", http.StatusOK); err != nil {
				b.Error(err)
				return
			}
		}
	})
	for agents := loaders(b, 100, r, strings.TrimSpace(string(token))); len(agents) > 0; {
		l := <-agents
		others.Go(func() {
			if err := l.follow(begin, &stop); err != nil {
				b.Error(err)
			}
		})
	}
	creator := <-loaders(b, 1, r, r.scim.Token)
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if err := creator.do(http.MethodPost, "/Users", fmt.Sprintf(`{"userName":"user%d","active":true}`, i), http.StatusCreated); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	stop.Store(true)
	if err := creator.do(http.MethodPost, "/Users", `{"userName":"last"}`, http.StatusCreated); err != nil { // wakes them all
		b.Fatal(err)
	}
	others.Wait()
	reportTimes(b, times)
}

// position is where the feed stands.
func (r *rig) position(b *testing.B, token string) roster.Position {
	b.Helper()
	req, err := http.NewRequest(http.MethodGet, r.server.URL+"/sync/v1/snapshot", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	stream, err := roster.NewReader(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return stream.Header().To
}

// follow waits for changes again and again, as an agent does.
func (l *loader) follow(at roster.Position, stop *atomic.Bool) error {
	for !stop.Load() {
		path := fmt.Sprintf("/sync/v1/changes?epoch=%s&after=%d&sum=%s&wait=30s", at.Epoch, at.Seq, at.Sum)
		status, answer, err := l.send(http.MethodGet, path, "")
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("changes after %d answered %d: %s: %w", at.Seq, status, answer, err)
		}
		var header roster.Header
		line, _, _ := bytes.Cut(answer, []byte("\n"))
		if err := json.Unmarshal(line, &header); err != nil {
			return err
		}
		at = header.To
	}
	return nil
}

// reportTimes reports the median and the 99th percentile.
func reportTimes(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(times[len(times)/2]), "p50-ms")
	b.ReportMetric(ms(times[len(times)*99/100]), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPropagation measures the time from the answer 201 to the user's line
// in passwd, with an agent that stays and 1,000 users there.
func BenchmarkPropagation(b *testing.B) {
	r := newRig(b)
	r.push(b, 16, 1000, "before")
	r.sync(b, 0)
	watch, err := harness.NewWatch(r.agent.Dir)
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Close()
	agent := r.agent.Command(context.Background(), "run", "--log-level", "error")
	if err := agent.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = agent.Cancel()
		_ = agent.Wait()
	}()
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("user%d", i)
		if _, err := r.scim.Create(context.Background(), "/Users", user(name)); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		if err := watch.Until(context.Background(), "passwd", harness.Has("\n"+name+":")); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(answered))
	}
	reportTimes(b, times)
}

// gaugeEnv makes the test binary a gauge: it runs its arguments as a command and
// prints how many nanoseconds that took and how many KiB of memory it had at
// most. A process counts what its parent had when it began, and the benchmark,
// whose memory is that of many users, would hide what it measures.
const gaugeEnv = "PWB_TEST_GAUGE"

func gauge(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(time.Since(began).Nanoseconds(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	return 0
}

// timed runs a command and reports its time and the most memory it had, in KiB.
func timed(b *testing.B, cmd *exec.Cmd) (took time.Duration, peak int64) {
	b.Helper()
	measured := exec.Command(os.Args[0], cmd.Args...)
	measured.Env = append(os.Environ(), gaugeEnv+"=1")
	var stderr strings.Builder
	measured.Stderr = &stderr
	out, err := measured.Output()
	if err != nil {
		b.Fatalf("%v: %s", err, &stderr)
	}
	if _, err := fmt.Sscan(string(out), &took, &peak); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return took, peak
}

// BenchmarkSync measures whole processes, pwb-agent sync at 100,000 users: the
// first pass, one with one change, one that mends a file, and one that finds
// nothing to do.
func BenchmarkSync(b *testing.B) {
	const users = 100_000
	r := newRig(b)
	r.push(b, 16, users, "user")
	var n atomic.Int64
	run := func(name string, prepare func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			var times []time.Duration
			var peak int64
			for b.Loop() {
				b.StopTimer()
				prepare(b)
				b.StartTimer()
				took, rss := timed(b, r.agent.Command(context.Background(), "sync", "--log-level", "error"))
				times = append(times, took)
				peak = max(peak, rss)
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(peak)/1024, "peak-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
	state := r.agent.StateDir
	run("first", func(b *testing.B) {
		r.agent.StateDir = fmt.Sprintf("%s-%d", state, n.Add(1))
		r.agent.Dir = mustMkdir(b, fmt.Sprintf("%s/files-%d", r.dir, n.Load()))
	})
	run("one-change", func(b *testing.B) {
		if _, err := r.scim.Create(context.Background(), "/Users", user(fmt.Sprintf("late%d", n.Add(1)))); err != nil {
			b.Fatal(err)
		}
	})
	run("file-deleted", func(b *testing.B) {
		if err := os.Remove(r.agent.Dir + "/group"); err != nil {
			b.Fatal(err)
		}
	})
	time.Sleep(3 * time.Second) // so that the files' times can be trusted
	timed(b, r.agent.Command(context.Background(), "sync", "--log-level", "error"))
	run("no-change", func(*testing.B) {})
}

func mustMkdir(b *testing.B, dir string) string {
	b.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir
}
