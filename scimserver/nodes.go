package scimserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
)

// Bounds of a node's report.
const (
	maxReport     = 4 << 20 // bytes
	maxReportList = 10_000  // elements of a list
	maxReportName = 255     // bytes of a name
)

// formerFor is how long after a restore nodes are believed about what they had
// from the server before it.
const formerFor = 30 * 24 * time.Hour

// report is the body of POST /sync/v1/node: what a node has of its own, and what
// it had from this server before the server was put back from a backup.
type report struct {
	Version string          `json:"version"`
	IDs     []uint32        `json:"ids"`
	Names   []string        `json:"names"`
	Former  []ledger.Former `json:"former"`
	// Quarantined counts the rows that the node refuses; Result is why its last
	// pass did not end well.
	Quarantined int    `json:"quarantined"`
	Result      string `json:"result"`
}

func (r *report) check() error {
	if len(r.IDs) > maxReportList || len(r.Names) > maxReportList || len(r.Former) > maxReportList {
		return fmt.Errorf("a list of the report has more than %d elements", maxReportList)
	}
	if len(r.Version) > maxReportName {
		return fmt.Errorf("version has more than %d bytes", maxReportName)
	}
	if r.Quarantined < 0 {
		return fmt.Errorf("quarantined is %d, which counts nothing", r.Quarantined)
	}
	if len(r.Result) > maxReportName {
		return fmt.Errorf("result has more than %d bytes", maxReportName)
	}
	for _, name := range r.Names {
		if name == "" || len(name) > maxReportName {
			return fmt.Errorf("a name must have 1 to %d bytes", maxReportName)
		}
	}
	// What is below the floor is given to nobody anyway.
	r.IDs = slices.DeleteFunc(r.IDs, func(n uint32) bool { return n < roster.MinID })
	slices.Sort(r.IDs)
	slices.Sort(r.Names)
	r.IDs, r.Names = slices.Compact(r.IDs), slices.Compact(r.Names)
	return nil
}

// serveNode is POST /sync/v1/node: 204. The numbers and names that the node uses
// by itself are given to nobody from now on.
func (s *Server) serveNode(w http.ResponseWriter, r *http.Request, token Token) error {
	name := nodeName(r)
	if name == "" || !plainText(name) {
		return &badRequest{"a report needs the node's name in the header Pwb-Node"}
	}
	data, err := io.ReadAll(http.MaxBytesReader(unwatched(w), r.Body, maxReport))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return &badRequest{fmt.Sprintf("the report has more than %d bytes", maxReport)}
	case err != nil:
		return &badRequest{"the report did not arrive as a whole"}
	}
	arrived(w)
	var rep report
	if err := json.Unmarshal(data, &rep); err != nil {
		return &badRequest{"the report is not JSON of its form: " + err.Error()}
	}
	if err := rep.check(); err != nil {
		return &badRequest{err.Error()}
	}
	taken := 0
	err = s.deeds(r.Context(), "token "+token.Name, func(tx Tx, did func(Event) error) error {
		n := Node{Name: name, Version: rep.Version, Seen: s.moment(), IDs: rep.IDs, Names: rep.Names, Quarantined: rep.Quarantined, Result: rep.Result}
		if err := tx.PutNode(n); err != nil {
			return err
		}
		restored, err := tx.Restored()
		if err != nil || len(rep.Former) == 0 || s.now().After(restored.Add(formerFor)) {
			return err // what was not put back lately has forgotten nothing
		}
		if taken, err = s.ledger.Remember(tx, rep.Former); err != nil || taken == 0 {
			return err
		}
		return did(Event{Action: "node.remember", Name: name, Changes: changes{"entries": {nil, taken}}.encode()})
	})
	if err != nil {
		return err
	}
	if taken > 0 {
		s.log.WarnContext(r.Context(), "a node remembered names and numbers that the backup did not", "node", name, "entries", taken)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
