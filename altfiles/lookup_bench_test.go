package altfiles

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"pwb/roster"
)

func BenchmarkIndex100k(b *testing.B) { benchmarkIndex(b, 100_000) }
func BenchmarkIndex1M(b *testing.B)   { benchmarkIndex(b, 1_000_000) }

// benchmarkIndex lays indexes out and writes them nowhere, then asks them.
func benchmarkIndex(b *testing.B, n int) {
	p := plan(b, newRenderer(b, b.TempDir()), manyRows(n))
	for _, x := range p.indexes {
		b.Run("write/"+x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				image, err := x.layOut(p)
				if err == nil {
					err = image.writeTo(io.Discard)
				}
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(image.header.size)/float64(n), "B/account")
			}
		})
	}
	if err := p.Commit(roster.Position{}); err != nil {
		b.Fatal(err)
	}
	x, err := OpenIndex(filepath.Join(p.r.cfg.StateDir, RosterIndex))
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	random := rand.New(rand.NewPCG(1, 2))
	found := func(ok bool, err error) {
		if !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
	b.Run("passwd", func(b *testing.B) {
		for b.Loop() {
			_, ok, err := x.Passwd(fmt.Sprintf("user%07d", random.IntN(n)))
			found(ok, err)
		}
	})
	b.Run("uid", func(b *testing.B) {
		for b.Loop() {
			_, ok, err := x.PasswdByUID(uint32(100000 + random.IntN(n)))
			found(ok, err)
		}
	})
	b.Run("groups", func(b *testing.B) {
		for b.Loop() {
			_, ok, err := x.Groups(fmt.Sprintf("user%07d", random.IntN(n)))
			found(ok, err)
		}
	})
	b.Run("miss", func(b *testing.B) {
		for b.Loop() {
			_, ok, err := x.Passwd("nobody-here")
			found(!ok, err)
		}
	})
}
