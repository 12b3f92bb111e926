package syncer

import (
	"bytes"
	"io"
	"iter"
	"os"
	"testing"
	"time"

	"pwb/roster"
)

// idle is a Sink that reads all and never has anything to do.
type idle struct{}

func (idle) Mark() (string, time.Time, error) { return "", time.Time{}, nil }

func (idle) Out(leavers []roster.Leaver) ([]roster.Leaver, error) { return leavers, nil }

func (idle) Plan(rows iter.Seq2[roster.Row, error]) (Plan, error) {
	for _, err := range rows {
		if err != nil {
			return nil, err
		}
	}
	return idle{}, nil
}
func (idle) Effect() roster.Effect        { return roster.Effect{} }
func (idle) Changed() bool                { return false }
func (idle) WriteDiff(io.Writer) error    { return nil }
func (idle) Commit(roster.Position) error { return nil }
func (idle) Altered() ([]string, error)   { return nil, nil }

// city is an origin with 100,000 accounts; its streams are made once.
func city() (snapshot []byte, from, to roster.Position, delta, after []byte) {
	o := newOrigin("city")
	o.change(func() {
		for i := range 100_000 {
			o.put(account(i).Key(), account(i).Line())
		}
	})
	from, snapshot = o.pos, o.snapshot()
	o.set(locked(50_000))
	return snapshot, from, o.pos, o.delta(from), o.snapshot()
}

func BenchmarkApplyOneChangeTo100k(b *testing.B) {
	snapshot, _, to, delta, _ := city()
	dir := b.TempDir()
	old := b.TempDir()
	must(os.WriteFile(old+"/"+mirrorFile, snapshot, 0o600))
	m, err := OpenMirror(old)
	must(err)
	defer m.Close()
	b.SetBytes(int64(len(snapshot)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := m.reader()
		must(err)
		d, err := roster.NewReader(bytes.NewReader(delta))
		must(err)
		must(writeMirror(dir, to, merged(r, d)))
	}
}

func BenchmarkFirstSnapshotOf100k(b *testing.B) {
	snapshot, from, _, _, _ := city()
	dir := b.TempDir()
	b.SetBytes(int64(len(snapshot)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := roster.NewReader(bytes.NewReader(snapshot))
		must(err)
		must(writeMirror(dir, from, whole(r)))
	}
}

func BenchmarkVerify100k(b *testing.B) {
	snapshot, _, _, _, _ := city()
	dir := b.TempDir()
	must(os.WriteFile(dir+"/"+mirrorFile, snapshot, 0o600))
	m, err := OpenMirror(dir)
	must(err)
	defer m.Close()
	b.SetBytes(int64(len(snapshot)))
	b.ReportAllocs()
	for b.Loop() {
		must(m.Verify())
	}
}

// A whole pass, as seen by the node: pull, mirror, plan, without rendering.
func BenchmarkPassWithOneChangeTo100k(b *testing.B) {
	snapshot, _, _, delta, _ := city()
	dir := b.TempDir()
	o := newOrigin("city")
	o.setFault(func(string) (io.ReadCloser, error, bool) { return io.NopCloser(bytes.NewReader(delta)), nil, true })
	s, err := New(Config{StateDir: dir}, o, idle{})
	must(err)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		must(os.WriteFile(dir+"/"+mirrorFile, snapshot, 0o600))
		b.StartTimer()
		if _, err := s.Once(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
