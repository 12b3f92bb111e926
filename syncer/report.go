package syncer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"pwb/roster"
)

const (
	reportFile    = "report.json"
	maxReportFile = 32 << 20
	// maxFacts is the most ids, names and former rows, each, in a report.
	maxFacts = 10_000
	// maxFactName is the most bytes of a name in a report.
	maxFactName = 255
	// reportPause is how long Run leaves the server alone after a report that
	// failed.
	reportPause = time.Minute

	notReported = "the server could not be told of this node's own ids and names; the files are not concerned, and it is tried again"
)

// Facts are what a node says of itself.
type Facts struct {
	// Version is the agent's.
	Version string `json:"version"`
	// IDs are the uids and gids that the node's own files hold, from
	// roster.MinID on and without nobody's; Names those of their entries. Both
	// ascend, without doubles.
	IDs   []uint32 `json:"ids"`
	Names []string `json:"names"`
	// Former are rows that the server gave in an epoch before and does not hold
	// any more.
	Former []Former `json:"former,omitempty"`
	// Quarantined counts the rows that the node refuses. Result is why its last
	// pass did not end well, empty when it did.
	Quarantined int    `json:"quarantined,omitempty"`
	Result      string `json:"result,omitempty"`
}

// reports is the file report.json. Losing it costs a report that says nothing
// new, and former rows that the server had not taken yet.
type reports struct {
	// Epoch and Digest are those of the facts that the server took last.
	Epoch  string `json:"epoch,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Former are the rows that it has yet to take.
	Former []Former `json:"former,omitempty"`
}

// readReports reads the file. Without one they are the zero reports; a file that
// is none is an error.
func readReports(stateDir string) (reports, error) {
	var r reports
	if err := readJSON(filepath.Join(stateDir, reportFile), maxReportFile, &r); err != nil {
		return reports{}, fmt.Errorf("read what was reported: %w", err)
	}
	return r, nil
}

// unreadable reports whether err, of a file that holds something, says that it
// could not be read this time: what is in it must not be written over.
func unreadable(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok && !errors.Is(err, syscall.EISDIR) // a directory holds nothing of ours
}

func writeReports(stateDir string, r reports) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = replaceFile(stateDir, reportFile, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("record what is reported: %w", err)
	}
	return nil
}

// reporting reports whether anything is ever reported.
func (s *Syncer) reporting() bool {
	_, ok := s.src.(Informer)
	return ok && s.cfg.Local != nil
}

// report tells the server the facts unless it took the same in this epoch. The
// caller does not hold the lock, and has heard from the server just now.
func (s *Syncer) report(ctx context.Context, epoch string) error {
	if !s.reporting() {
		return nil
	}
	facts, left, err := s.facts()
	if err != nil {
		return err
	}
	known, err := readReports(s.cfg.StateDir)
	if err != nil {
		s.log.WarnContext(ctx, "the file of what was reported cannot be used and is begun anew", "error", err)
	}
	digest := facts.digest()
	if len(known.Former) == 0 && known.Epoch == epoch && known.Digest == digest {
		return nil
	}
	facts.Former = known.Former
	all := epoch + " " + facts.digest()
	if was := s.declined.Load(); was != nil && *was == all {
		return nil
	}
	if left > 0 {
		s.log.WarnContext(ctx, "this node has more local ids or names than a report can hold, so that the server may give them to others", "left out", left, "limit", maxFacts)
	}
	err = s.src.(Informer).Inform(ctx, facts)
	if errors.Is(err, ErrNotTaken) {
		s.declined.Store(&all)
		s.log.InfoContext(ctx, "the server is older than this agent and takes no reports of nodes; update it, so that it keeps clear of local ids and names")
		return nil
	}
	if err != nil {
		return fmt.Errorf("report this node's facts: %w", err)
	}
	s.declined.Store(nil)
	_, err = s.locked(ctx, func() (Result, error) { return Result{}, s.taken(epoch, digest, facts.Former) })
	if err != nil {
		return fmt.Errorf("after a report that the server took: %w", err)
	}
	return nil
}

// taken records that the server took the facts with a digest, and former rows;
// the caller holds the lock.
func (s *Syncer) taken(epoch, digest string, former []Former) error {
	// A pass may have added rows meanwhile. A file that is garbled holds none.
	known, err := readReports(s.cfg.StateDir)
	if unreadable(err) {
		return err
	}
	gone := make(map[Former]bool, len(former))
	for _, f := range former {
		gone[f] = true
	}
	known.Former = slices.DeleteFunc(known.Former, func(f Former) bool { return gone[f] })
	known.Epoch, known.Digest = epoch, digest
	return writeReports(s.cfg.StateDir, known)
}

// facts are those of the node's own files, within their bounds; left counts what
// went beyond them.
func (s *Syncer) facts() (f Facts, left int, err error) {
	ids, names, err := s.cfg.Local()
	if err != nil {
		return Facts{}, 0, fmt.Errorf("read the node's own ids and names: %w", err)
	}
	f = Facts{Version: validText(s.cfg.Version), IDs: []uint32{}, Names: []string{}}
	for _, id := range ids {
		if roster.CheckNumber(id) == nil {
			f.IDs = append(f.IDs, id)
		}
	}
	for _, name := range names {
		if factName(name) {
			f.Names = append(f.Names, name)
		}
	}
	slices.Sort(f.IDs)
	slices.Sort(f.Names)
	f.IDs, f.Names = slices.Compact(f.IDs), slices.Compact(f.Names)
	// A state that cannot be read was warned of by the pass, and is begun anew.
	st, _ := ReadState(s.cfg.StateDir)
	f.Quarantined, f.Result = st.QuarantinedCount, st.result()
	left = max(0, len(f.IDs)-maxFacts) + max(0, len(f.Names)-maxFacts)
	f.IDs, f.Names = f.IDs[:min(len(f.IDs), maxFacts)], f.Names[:min(len(f.Names), maxFacts)]
	return f, left, nil
}

// maxResult is the most bytes of a result in a report.
const maxResult = 255

// result is why the last pass did not end well, for those who look at many nodes.
// A server that is away is no result: nobody could be told.
func (st State) result() string {
	text := st.LastError
	if stop := st.Stopped; stop != nil {
		text = fmt.Sprintf(roster.ResultFuse+" change %d back: of %d accounts %d would be removed, %d locked, %d renumbered",
			stop.Position.Seq, stop.Before, stop.Removed, stop.Locked, stop.Renumbered)
	}
	if h := st.Held; h != nil && text == "" {
		text = fmt.Sprintf(roster.ResultPinned+" %d%s", h.Generation, h.letsIn())
	}
	if len(text) > maxResult {
		text = strings.ToValidUTF8(text[:maxResult-len("…")], "") + "…"
	}
	return text
}

func factName(name string) bool {
	return name != "" && len(name) <= maxFactName && utf8.ValidString(name)
}

// digest tells facts from others.
func (f Facts) digest() string {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// remind has keepReporting look at the facts, after what it may be at.
func (r *runner) remind(epoch string) {
	select {
	case <-r.tidings: // an older one
	default:
	}
	r.tidings <- epoch
}

// keepReporting reports whenever an epoch comes in, until ctx ends. It runs
// beside Run's steps, for a render must not wait for a report.
func (s *Syncer) keepReporting(ctx context.Context, tidings <-chan string) {
	var told string // the failure that was logged last
	var until time.Time
	for {
		var epoch string
		select {
		case <-ctx.Done():
			return
		case epoch = <-tidings:
		}
		if time.Now().Before(until) {
			continue // what comes in later will find it over
		}
		err := s.report(ctx, epoch)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			told, until = "", time.Time{}
			continue
		case err.Error() == told:
			s.log.DebugContext(ctx, notReported, "error", err)
		default:
			s.log.WarnContext(ctx, notReported, "error", err)
		}
		told, until = err.Error(), time.Now().Add(reportPause)
		if status, ok := errors.AsType[*StatusError](err); ok {
			until = time.Now().Add(max(reportPause, min(status.RetryAfter, maxRetryAfter)))
		}
	}
}
