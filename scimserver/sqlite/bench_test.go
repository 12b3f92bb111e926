package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func benchUser(id string) scimserver.Resource {
	now := time.UnixMilli(1e12)
	return scimserver.Resource{
		Kind: scimserver.KindUser, ID: "id-" + id, Name: "name-" + id, ExternalID: "ext-" + id, Version: 1, Created: now, Modified: now,
		Doc: fmt.Appendf(nil, `{"active":true,"displayName":"User %s","emails":[{"primary":true,"type":"work","value":"%s@corp.example"}],"externalId":"ext-%s","userName":"name-%s"}`, id, id, id, id),
	}
}

// BenchmarkUpdate inserts one user an update; the callers wait for each other's
// commits, as requests do.
func BenchmarkUpdate(b *testing.B) {
	benchUpdates(b, func(tx scimserver.Tx, n int64) error { return tx.Insert(benchUser(fmt.Sprint(n))) })
}

// BenchmarkCreation does all that belongs to a new user, one an update.
func BenchmarkCreation(b *testing.B) {
	benchUpdates(b, func(tx scimserver.Tx, n int64) error {
		r := benchUser(fmt.Sprint(n))
		number := max(tx.Cursor(ledger.UserSlot, 1000), 1000)
		tx.SetCursor(ledger.UserSlot, 1000, number+1)
		e := ledger.Entry{Subject: r.ID, Name: r.Name, Given: r.Created}
		_, err := tx.Subject(r.ID)
		return errors.Join(err,
			tx.Insert(r), tx.GiveUID(number, e), tx.GiveGID(number, e), tx.GiveName(e.Name, e),
			tx.PutRow(roster.Row{Account: &roster.Account{ID: r.ID, Name: e.Name, UID: number, GID: number, Home: "/home/" + e.Name, Shell: "/bin/bash"}}),
			tx.Record(scimserver.Event{
				At: r.Created, Actor: "token entra", Action: "user.create", Subject: r.ID, Name: e.Name, UID: number, GID: number,
				Changes: []byte(`{"userName":[null,"` + r.Name + `"]}`),
			}),
		)
	})
}

func benchUpdates(b *testing.B, fn func(tx scimserver.Tx, n int64) error) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := openStore(b, newDir(b))
			var next atomic.Int64
			b.ResetTimer()
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return fn(tx, n) }); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

// BenchmarkRawCommit inserts the same rows through the driver, one a commit.
func BenchmarkRawCommit(b *testing.B) {
	dir := newDir(b)
	if err := openStore(b, dir).Close(); err != nil {
		b.Fatal(err)
	}
	db := raw(b, dir)
	db.SetMaxOpenConns(1)
	insert, err := db.Prepare(`INSERT INTO resources (kind, id, name, external_id, version, created, modified, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	b.ResetTimer()
	for n := range b.N {
		r := benchUser(fmt.Sprint(n))
		if _, err := insert.Exec(r.Kind, r.ID, r.Name, r.ExternalID, r.Version, r.Created.UnixMilli(), r.Modified.UnixMilli(), string(r.Doc)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

// BenchmarkViewByName finds one of 10,000 users, as providers do before each write.
func BenchmarkViewByName(b *testing.B) {
	const users = 10_000
	s := openStore(b, newDir(b))
	update(b, s, func(tx *tx) error {
		var errs []error
		for n := range users {
			errs = append(errs, tx.Insert(benchUser(fmt.Sprint(n))))
		}
		return errors.Join(errs...)
	})
	var next atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			q := scimserver.Query{Name: fmt.Sprintf("name-%d", next.Add(7919)%users), Limit: 1}
			if err := s.View(context.Background(), func(v scimserver.View) error {
				total, err := v.Find(scimserver.KindUser, q, func(scimserver.Resource) error { return nil })
				if err == nil && total != 1 {
					err = fmt.Errorf("%d users have the name %s", total, q.Name)
				}
				return err
			}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "views/s")
}
