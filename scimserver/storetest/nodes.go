package storetest

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"pwb/scimserver"
)

var nodeTests = []test{
	{"a node is what it said last", nodeSaidLast},
	{"nodes are found by their own numbers and names", nodesFound},
	{"a node is as it was seen last", nodeSeenLast},
	{"a node that is deleted leaves nothing behind", nodeDeleted},
}

func (s *store) putNodes(all ...scimserver.Node) {
	s.t.Helper()
	s.update(func(tx scimserver.Tx) error {
		for _, n := range all {
			if err := tx.PutNode(n); err != nil {
				return err
			}
		}
		return nil
	})
}

func nodeSaidLast(t *testing.T, e *env) {
	s, reopen := e.fresh()
	at := s.position()
	want := func(all ...scimserver.Node) {
		t.Helper()
		s.view(func(v scimserver.View) error {
			got, err := v.Nodes()
			if !reflect.DeepEqual(got, all) {
				t.Errorf("nodes %+v, want %+v", got, all)
			}
			return err
		})
	}
	want()
	web := scimserver.Node{Name: "web", Version: "1.2", Seen: when, IDs: []uint32{1000, 2000, math.MaxUint32}, Names: []string{"Zoe", "ada", "ünal"}, Quarantined: 3, Result: "the disk is full"}
	db := scimserver.Node{Name: "db", Version: "", Seen: when.Add(time.Hour), IDs: []uint32{1000}}
	s.putNodes(web, db)
	want(db, web)
	s.putNodes(web)
	want(db, web)
	for _, n := range []scimserver.Node{
		{Name: "web", Version: "1.3", Seen: when.Add(time.Minute), IDs: []uint32{999, 2000, 2001}, Names: []string{"ada", "eda"}},
		{Name: "web", Version: "1.3", Seen: when, Names: []string{"eda"}},
		{Name: "web", Version: "1.3", Seen: when, IDs: []uint32{5}},
		{Name: "web", Version: "1.3", Seen: when},
	} {
		s.putNodes(n)
		want(db, n)
	}
	no := errors.New("no")
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return errors.Join(tx.PutNode(web), no) }); !errors.Is(err, no) {
		t.Fatal(err)
	}
	want(db, scimserver.Node{Name: "web", Version: "1.3", Seen: when})
	s.putNodes(web)
	s.close()
	s = reopen()
	want(db, web)
	if s.position() != at {
		t.Error("nodes move the feed")
	}
}

func nodesFound(t *testing.T, e *env) {
	s, _ := e.fresh()
	check := func(sentence string, number uint32, name string, want string) {
		t.Helper()
		s.view(func(v scimserver.View) error {
			byID, err1 := v.NodeWithID(number)
			byName, err2 := v.NodeWithName(name)
			if byID != want || byName != want {
				t.Errorf("%s: %d is on %q and %s on %q, want %q", sentence, number, byID, name, byName, want)
			}
			return errors.Join(err1, err2)
		})
	}
	web := scimserver.Node{Name: "web", Seen: when, IDs: []uint32{1000, 1001}, Names: []string{"ada", "eda"}}
	s.putNodes(web, scimserver.Node{Name: "db", Seen: when, IDs: []uint32{1002}, Names: []string{"bob"}})
	check("on one", 1000, "ada", "web")
	check("on another", 1002, "bob", "db")
	check("on none", 1003, "zoe", "")
	web.IDs, web.Names = []uint32{1001}, []string{"eda"}
	s.putNodes(web)
	check("that the node has no more", 1000, "ada", "")
	check("that it still has", 1001, "eda", "web")
}

func (s *store) see(all ...scimserver.Sighting) {
	s.t.Helper()
	s.update(func(tx scimserver.Tx) error {
		for _, n := range all {
			if err := tx.SeeNode(n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *store) wantSightings(all ...scimserver.Sighting) {
	s.t.Helper()
	s.view(func(v scimserver.View) error {
		var got []scimserver.Sighting
		err := v.Sightings(func(n scimserver.Sighting) error { got = append(got, n); return nil })
		if !reflect.DeepEqual(got, all) {
			s.t.Errorf("sightings %+v, want %+v", got, all)
		}
		return err
	})
}

func nodeSeenLast(t *testing.T, e *env) {
	s, reopen := e.fresh()
	at := s.position()
	s.wantSightings()
	web := scimserver.Sighting{Name: "web", Version: "1.2", Seen: when, Epoch: "one", Position: 7}
	db := scimserver.Sighting{Name: "db", Version: "1.1", Seen: when}
	s.see(web, db)
	s.wantSightings(db, web)
	older := web
	older.Seen, older.Position = when.Add(-time.Second), 3
	s.see(older)
	s.wantSightings(db, web)
	web.Seen, web.Position, web.Version = when.Add(time.Second), 3, "1.3"
	s.see(web)
	s.wantSightings(db, web)
	// A report does not speak of the position, and a sighting not of a report.
	s.putNodes(scimserver.Node{Name: "web", Version: "1.4", Seen: when.Add(time.Minute), Quarantined: 2, Result: "stopped"})
	web.Version, web.Seen, web.Quarantined, web.Result = "1.4", when.Add(time.Minute), 2, "stopped"
	s.wantSightings(db, web)
	// One that a report overtook counts all the same.
	between := web
	between.Seen, between.Epoch, between.Position = when.Add(2*time.Second), "one", 9
	s.see(between)
	web.Position = 9
	s.wantSightings(db, web)
	web.Epoch, web.Position, web.Seen = "", 0, when.Add(time.Hour)
	s.see(web)
	s.wantSightings(db, web)
	s.close()
	s = reopen()
	s.wantSightings(db, web)
	if s.position() != at {
		t.Error("sightings move the feed")
	}
}

func nodeDeleted(t *testing.T, e *env) {
	s, _ := e.fresh()
	web := scimserver.Node{Name: "web", Version: "1", Seen: when, IDs: []uint32{1000}, Names: []string{"ada"}}
	db := scimserver.Node{Name: "db", Version: "1", Seen: when, IDs: []uint32{1000}, Names: []string{"ada"}}
	s.putNodes(web, db)
	s.update(func(tx scimserver.Tx) error { return tx.DeleteNode("db") })
	s.wantSightings(scimserver.Sighting{Name: "web", Version: "1", Seen: when})
	s.update(func(tx scimserver.Tx) error { return tx.DeleteNode("web") })
	s.wantSightings()
	s.view(func(v scimserver.View) error {
		byID, err1 := v.NodeWithID(1000)
		byName, err2 := v.NodeWithName("ada")
		if byID != "" || byName != "" {
			t.Errorf("a deleted node still has 1000: %q, ada: %q", byID, byName)
		}
		return errors.Join(err1, err2)
	})
	if err := s.Update(context.Background(), func(tx scimserver.Tx) error { return tx.DeleteNode("web") }); !errors.Is(err, scimserver.ErrNotFound) {
		t.Errorf("deleted again: %v", err)
	}
}
