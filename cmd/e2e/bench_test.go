package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pwb/cmd/harness"
)

// each runs do b.N times from several clients and reports how many a second.
func each(b *testing.B, clients int, unit string, do func(i int) error) {
	b.ResetTimer()
	began := time.Now()
	parallel(b, clients, b.N, do)
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), unit)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCreate creates users; each is durable when it is answered.
func BenchmarkCreate(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			r := newRig(b)
			each(b, clients, "creates/s", func(i int) error {
				_, err := r.scim.Create(context.Background(), "/Users", user(fmt.Sprintf("user%d", i)))
				return err
			})
		})
	}
}

// BenchmarkRead reads among 10,000 users with 16 clients.
func BenchmarkRead(b *testing.B) {
	r := newRig(b)
	ids := r.push(b, 16, 10_000, "user")
	b.Run("filter=userName", func(b *testing.B) {
		each(b, 16, "requests/s", func(i int) error {
			path := fmt.Sprintf("/Users?filter=userName%%20eq%%20%%22user%d@acme.example%%22", i%10_000)
			_, err := r.scim.Want(context.Background(), http.StatusOK, http.MethodGet, path, nil)
			return err
		})
	})
	b.Run("id", func(b *testing.B) {
		each(b, 16, "requests/s", func(i int) error {
			_, err := r.scim.Want(context.Background(), http.StatusOK, http.MethodGet, "/Users/"+ids[i%10_000], nil)
			return err
		})
	})
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
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(times[len(times)/2]), "p50-ms")
	b.ReportMetric(ms(times[len(times)*99/100]), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// timed runs a command and reports its time and the most memory it had.
func timed(b *testing.B, cmd *exec.Cmd) (time.Duration, int64) {
	b.Helper()
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Since(began), usage.Maxrss
}

// BenchmarkSync measures whole processes, pwb-agent sync at 100,000 users: the
// first pass, one with one change, and one without.
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
	run("no-change", func(*testing.B) {})
}

func mustMkdir(b *testing.B, dir string) string {
	b.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir
}
