package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	b.ReportMetric(median(times), "p50-ms")
	b.ReportMetric(milliseconds(times[len(times)*99/100]), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// median sorts times and returns the one in the middle, in milliseconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return milliseconds(times[len(times)/2])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
