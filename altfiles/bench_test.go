package altfiles

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pwb/roster"
)

// manyRows are n accounts with a SHA-512 hash each, and n/100 groups of 100.
func manyRows(n int) []roster.Row {
	rows := make([]roster.Row, 0, 3*n)
	hash := "$6$rounds=100000$abcdefghijklmnop$" + strings.Repeat("x", 86)
	id := func(i int) string { return fmt.Sprintf("0190c6f0-0000-7000-8000-%012d", i) }
	for i := range n {
		name := fmt.Sprintf("user%07d", i)
		rows = append(rows, roster.Row{Account: &roster.Account{
			ID: id(i), Name: name, UID: uint32(100000 + i), GID: uint32(100000 + i),
			Gecos: "Some Body", Home: "/home/" + name, Shell: "/bin/bash", Hash: hash,
		}})
	}
	for g := range n / 100 {
		rows = append(rows, roster.Row{Group: &roster.Group{ID: id(g), Name: fmt.Sprintf("team%06d", g), GID: uint32(5000000 + g)}})
	}
	for g := range n / 100 {
		for m := range 100 {
			rows = append(rows, roster.Row{Member: &roster.Member{GroupID: id(g), AccountID: id(m * (n / 100))}})
		}
	}
	return rows
}

func BenchmarkPlan100k(b *testing.B) { benchmarkPlan(b, 100_000) }
func BenchmarkPlan1M(b *testing.B)   { benchmarkPlan(b, 1_000_000) }

// BenchmarkPlan100kRenamed is the week after everybody got a new name.
func BenchmarkPlan100kRenamed(b *testing.B) {
	rows := manyRows(100_000)
	for _, row := range rows {
		if a := row.Account; a != nil {
			a.Aliases = []string{"old" + a.Name}
		}
	}
	benchmarkPlanOf(b, rows, 100_000)
}

// BenchmarkPlan100kKeyed is of people who all have two SSH keys.
func BenchmarkPlan100kKeyed(b *testing.B) {
	rows := manyRows(100_000)
	for i, row := range rows {
		if a := row.Account; a != nil {
			a.Keys = []string{sshKey(2 * i), sshKey(2*i + 1)}
		}
	}
	benchmarkPlanOf(b, rows, 100_000)
}

func benchmarkPlan(b *testing.B, n int) { benchmarkPlanOf(b, manyRows(n), n) }

// benchmarkPlanOf plans against files that differ in one account, the usual case.
func benchmarkPlanOf(b *testing.B, rows []roster.Row, n int) {
	r := newRenderer(b, b.TempDir())
	commit(b, r, rows)
	changed := *rows[n/2].Account
	changed.Locked = true
	rows[n/2].Account = &changed
	b.ReportAllocs()
	var p *Plan
	for b.Loop() {
		var err error
		p = nil // lest two are held at once
		if p, err = r.Plan(each(rows)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if e := p.Effect(); e.Locked != 1 || e.Harm() != 1 {
		b.Fatalf("effect %v", e)
	}
	size := 0
	for _, f := range p.files {
		size += len(f.data)
	}
	p = nil
	b.ReportMetric(float64(size)/float64(n), "rendered-B/account")
	defer runtime.KeepAlive(rows)
	b.ReportMetric(float64(held(func() *Plan { p, _ = r.Plan(each(rows)); return p })-int64(size))/float64(n), "held-overhead-B/account")
}

// held is how much more memory is in use after make, its result alive.
func held(make func() *Plan) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(p)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func BenchmarkCommit100k(b *testing.B)             { benchmarkCommit(b, true) }
func BenchmarkCommit100kWithoutIndex(b *testing.B) { benchmarkCommit(b, false) }

func benchmarkCommit(b *testing.B, index bool) {
	rows := manyRows(100_000)
	r := newRendererWith(b, b.TempDir(), func(c *Config) { c.Index = index })
	r.beside = both
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		b.StopTimer()
		changed := *rows[i%1000].Account
		changed.Gecos = fmt.Sprint("Changed ", i)
		rows[i%1000].Account = &changed
		i++
		p, err := r.Plan(each(rows))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := p.Commit(roster.Position{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlan100kByGroup is a node that shows the 100 of 100,000 accounts who are in a group.
func BenchmarkPlan100kByGroup(b *testing.B) {
	rows := manyRows(100_000)
	r := newRendererWith(b, b.TempDir(), func(c *Config) { c.Policy.AllowGroups = []string{"team*"} })
	commit(b, r, rows)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Plan(each(rows)); err != nil {
			b.Fatal(err)
		}
	}
}
