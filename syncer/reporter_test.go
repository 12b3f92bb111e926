package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

var _ Informer = (*origin)(nil)

// Inform implements Informer; refuse decides what becomes of a report.
func (o *origin) Inform(ctx context.Context, f Facts) error {
	o.mu.Lock()
	o.told, o.toldAt = append(o.told, f), append(o.toldAt, time.Now())
	refuse := o.refuse
	o.mu.Unlock()
	if refuse != nil {
		return refuse(ctx)
	}
	return nil
}

// serveNode is Inform over HTTP: it takes what the protocol says and nothing else.
func (o *origin) serveNode(w http.ResponseWriter, r *http.Request) {
	var f Facts
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, fmt.Sprintf("no report: %v", err), http.StatusBadRequest)
		return
	}
	status, ok := errors.AsType[*StatusError](o.Inform(r.Context(), f))
	if !ok {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Error(w, status.Text, status.Code)
}

func (o *origin) refuseWith(f func(context.Context) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refuse = f
}

func answers(code int) func(context.Context) error {
	return func(context.Context) error { return &StatusError{Code: code, Text: "not today"} }
}

func (o *origin) reports() []Facts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.told)
}

// locals are a node's own files, for Config.Local.
type locals struct {
	mu    sync.Mutex
	ids   []uint32
	names []string
	err   error
	count int // of readings
}

func (l *locals) read() ([]uint32, []string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	return l.ids, l.names, l.err
}

func (l *locals) set(ids []uint32, names []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids, l.names, l.err = ids, names, err
}

func (l *locals) reads() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// newReporter is a node with local files.
func newReporter(t testing.TB) (*node, *locals) {
	t.Helper()
	l := &locals{ids: []uint32{1001, 1000}, names: []string{"bob", "ada"}}
	n := newNode(t)
	n.cfg.Local, n.cfg.Version = l.read, "1.2.3"
	return n, l
}

func (n *node) reports() reports {
	n.t.Helper()
	r, err := readReports(n.cfg.StateDir)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

func checkReports(t *testing.T, o *origin, want ...Facts) {
	t.Helper()
	if got := o.reports(); !reflect.DeepEqual(got, want) {
		t.Errorf("reported %+v\nwant %+v", got, want)
	}
}

var adaAndBob = Facts{Version: "1.2.3", IDs: []uint32{1000, 1001}, Names: []string{"ada", "bob"}}
