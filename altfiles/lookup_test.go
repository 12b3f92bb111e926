package altfiles

import (
	"bytes"
	"io"
	"testing"
)

// indexBytes is what an index of a plan holds.
func indexBytes(tb testing.TB, p *Plan, x *plannedIndex) []byte {
	tb.Helper()
	image, err := x.layOut(p)
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := image.writeTo(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func BenchmarkIndex100k(b *testing.B) { benchmarkIndex(b, 100_000) }
func BenchmarkIndex1M(b *testing.B)   { benchmarkIndex(b, 1_000_000) }

// benchmarkIndex lays an index out and writes it nowhere.
func benchmarkIndex(b *testing.B, n int) {
	p := plan(b, newRenderer(b, b.TempDir()), manyRows(n))
	for _, x := range p.indexes {
		b.Run(x.name, func(b *testing.B) {
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
}
