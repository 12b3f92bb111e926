package checkup

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"pwb/cmd/doctor"
	"pwb/syncer"
)

func (n *Node) state() (syncer.State, error) {
	type read struct {
		st  syncer.State
		err error
	}
	s := once(n, "state", func() (s read) {
		s.st, s.err = syncer.ReadState(n.StateDir)
		return s
	})
	return s.st, s.err
}

// told is the state, if it can be read; lastPass tells why not.
func (n *Node) told(r *doctor.Report) (st syncer.State, ok bool) {
	st, err := n.state()
	if err != nil {
		r.Skip("the state cannot be read: see last-pass")
	}
	return st, err == nil
}

func (n *Node) lastPass(_ context.Context, r *doctor.Report) {
	st, err := n.state()
	switch {
	case blind(r, err):
	case err != nil:
		// Losing it loses history and nothing else.
		r.Fail(doctor.Problem{What: err.Error(), Why: "nobody can tell how this node stands", Mend: doctor.Words("rm", "-f", filepath.Join(n.StateDir, "state.json")) + " && " + n.agent("sync")})
	case st.LastError != "":
		r.Fail(doctor.Problem{
			What:   fmt.Sprintf("the last pass failed, since %s: %s", st.LastErrorSince.UTC().Format("2006-01-02 15:04 UTC"), st.LastError),
			Why:    "no change reaches this node until one goes well",
			Mend:   n.agent("sync"),
			Advice: "what else is found here may be the reason: mend that first",
		})
	case st.Rendered == nil && !n.heldBack():
		r.Warn(doctor.Problem{What: "nothing was rendered yet", Why: "nobody of the server's can log in here", Mend: n.agent("sync")})
	default:
		r.OK("went well")
	}
}

func (n *Node) hooks(_ context.Context, r *doctor.Report) {
	st, ok := n.told(r)
	if !ok {
		return
	}
	if st.LastHookError == "" {
		r.OK("what was to be done after changes was done")
		return
	}
	r.Warn(doctor.Problem{
		What: fmt.Sprintf("after the last change something failed, since %s: %s", st.LastHookErrorSince.UTC().Format("2006-01-02 15:04 UTC"), st.LastHookError),
		Why:  "caches, sessions or other programs may not know of the change", Advice: "correct the hook or the program that it names; the agent calls it again at the next pass",
	})
}

func (n *Node) oneServer(_ context.Context, r *doctor.Report) {
	st, ok := n.told(r)
	if !ok {
		return
	}
	if st.Resyncs < syncer.MaxResyncs {
		r.OK("the server knows this node's position")
		return
	}
	r.Fail(doctor.Problem{
		What: fmt.Sprintf("%d times in a row the server did not know this node's position", st.Resyncs),
		Why:  "servers with different stores seem to answer under one address: each says something else of who exists", Advice: "have one server, or one store, answer under " + n.Server,
	})
}

func (n *Node) fuse(_ context.Context, r *doctor.Report) {
	st, ok := n.told(r)
	if !ok {
		return
	}
	s := st.Stopped
	if s == nil {
		r.OK("holds nothing back")
		return
	}
	r.Fail(doctor.Problem{
		What:   fmt.Sprintf("the fuse holds change %d back since %s: of %d accounts it would remove %d, lock %d, renumber %d", s.Position.Seq, s.Since.UTC().Format("2006-01-02 15:04 UTC"), s.Before, s.Removed, s.Locked, s.Renumbered),
		Why:    "nobody is locked out, and nobody let in, until somebody has looked at it",
		Mend:   n.agent("sync", "--accept-change", strconv.FormatInt(s.Position.Seq, 10)),
		Advice: "first look at what it does: " + n.agent("plan"),
	})
}

func (n *Node) pinned(_ context.Context, r *doctor.Report) {
	pin, err := syncer.ReadPin(n.StateDir)
	switch {
	case blind(r, err):
	case err != nil:
		r.Fail(doctor.Problem{What: err.Error(), Why: "no pass can be made", Mend: n.agent("rollback", "--release")})
	case pin != nil:
		r.Warn(doctor.Problem{
			What: fmt.Sprintf("the files are pinned to generation %d since %s", pin.Generation, pin.Since.UTC().Format("2006-01-02 15:04 UTC")),
			Why:  "changes have no effect here: who was locked since can still log in", Mend: n.agent("rollback", "--release"),
		})
	default:
		r.OK("to nothing")
	}
}

func (n *Node) quarantine(_ context.Context, r *doctor.Report) {
	st, ok := n.told(r)
	if !ok {
		return
	}
	if st.QuarantinedCount == 0 {
		r.OK("empty")
		return
	}
	var few []string
	for _, q := range st.Quarantined[:min(3, len(st.Quarantined))] {
		few = append(few, fmt.Sprintf("%s: %s", q.Name, q.Reason))
	}
	what := fmt.Sprintf("%d accounts and groups of the server's are refused here: %s", st.QuarantinedCount, strings.Join(few, "; "))
	if st.QuarantinedCount > len(few) {
		what += "; …"
	}
	r.Warn(doctor.Problem{What: what, Why: "these people cannot log in on this node", Advice: "what each reason says, at the server or on this node; pwb-agent status lists all, pwb-agent explain NAME tells the whole of one"})
}
