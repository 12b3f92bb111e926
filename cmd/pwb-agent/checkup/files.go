package checkup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"pwb/altfiles"
	"pwb/cmd/doctor"
	"pwb/roster"
	"pwb/syncer"
)

func (n *Node) stateDir(_ context.Context, r *doctor.Report) {
	fi, err := os.Stat(n.StateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Fail(doctor.Problem{What: n.StateDir + " is not there", Why: "nothing was ever pulled here", Mend: n.agent("sync")})
		return
	case blind(r, err):
		return
	case err != nil:
		r.Fail(doctor.Problem{What: err.Error(), Why: "no pass can keep what it pulls", Advice: "correct state-dir in " + n.ConfigFile})
		return
	}
	mode := fi.Mode().Perm()
	if !guarded(r, n.StateDir, 0o022, "no pass is made: whoever writes the mirror decides who logs in here") {
		return
	}
	switch {
	case n.shut():
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s has mode %04o, so that people cannot reach roster.idx in it", n.StateDir, mode), Why: "for them the NSS module finds nobody in it", Mend: doctor.Words("chmod", "0711", n.StateDir)})
	case mode&0o044 != 0:
		r.Warn(doctor.Problem{What: fmt.Sprintf("%s has mode %04o, so that others see what is in it", n.StateDir, mode), Why: "names of generations and of what failed are nobody's business", Mend: doctor.Words("chmod", fmt.Sprintf("%04o", mode&^0o044), n.StateDir)})
	default:
		r.OK("%s", n.StateDir)
	}
}

// examined is what the mirror and the files were found to be.
type examined struct {
	absent  bool            // there is no mirror
	pos     roster.Position // of the mirror
	mirror  error           // what is wrong with it
	plan    error           // why the files could not be compared with it
	altered []string        // what somebody else did to the files
	changed bool            // the files are to be others
}

// examine reads the mirror and what would be rendered of it, as a pass does.
func (n *Node) examine() examined {
	return once(n, "examined", func() (e examined) {
		for range 3 { // a pass may be at work
			if e = n.examineOnce(); !errors.Is(e.plan, altfiles.ErrStale) {
				break
			}
		}
		return e
	})
}

func (n *Node) examineOnce() (e examined) {
	m, err := syncer.OpenMirror(n.StateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.absent = true
		return e
	case err != nil:
		e.mirror = err
		return e
	}
	defer m.Close()
	e.pos = m.Position()
	renderer, err := n.Renderer()
	if err != nil {
		e.plan = err
		e.mirror = m.Verify()
		return e
	}
	plan, err := n.planned(renderer, m)
	if errors.Is(err, syncer.ErrMirror) {
		e.mirror = err
		return e
	}
	if err != nil {
		e.plan = err
		return e
	}
	e.changed = plan.Changed()
	e.altered, e.plan = plan.Altered()
	return e
}

// planned is what the next pass would write: the mirror, or the generation that the
// files are pinned to.
func (n *Node) planned(renderer *altfiles.Renderer, m *syncer.Mirror) (*altfiles.Plan, error) {
	pin, err := syncer.ReadPin(n.StateDir)
	if err != nil {
		return nil, err
	}
	if pin == nil {
		return renderer.Plan(m.Rows())
	}
	if err := m.Verify(); err != nil {
		return nil, err
	}
	return renderer.PlanGeneration(pin.Generation)
}

func (n *Node) mirror(_ context.Context, r *doctor.Report) {
	e := n.examine()
	switch {
	case e.absent && !exists(n.StateDir):
		r.Skip("there is no %s", n.StateDir)
	case e.absent:
		r.Fail(doctor.Problem{What: "nothing was pulled yet", Why: "nobody of the server's can log in here", Mend: n.agent("sync")})
	case e.mirror == nil:
		r.OK("adds up to change %d", e.pos.Seq)
	case blind(r, e.mirror):
	default:
		r.Fail(doctor.Problem{What: e.mirror.Error(), Why: "without the server's whole roster no file can be rendered anew", Mend: n.agent("sync", "--check")})
	}
}

// ofModes reports whether what was altered is but a mode or owner.
func ofModes(altered string) bool {
	return strings.Contains(altered, " has mode ") && strings.Contains(altered, " belongs to ")
}

// compared is examined, if the files could be compared with the mirror.
func (n *Node) compared(r *doctor.Report) (e examined, ok bool) {
	e = n.examine()
	switch {
	case e.absent, e.mirror != nil:
		r.Skip("there is nothing to compare with: see mirror")
	case e.plan == nil:
		return e, true
	case blind(r, e.plan):
	default:
		r.Skip("the files cannot be compared with the mirror: %v", e.plan)
	}
	return e, false
}

func (n *Node) rendered(_ context.Context, r *doctor.Report) {
	e, ok := n.compared(r)
	if !ok {
		return
	}
	var content []string
	for _, how := range e.altered {
		if !ofModes(how) {
			content = append(content, how)
		}
	}
	left, _ := n.left() // told by a check of its own
	switch {
	case len(content) > 0:
		r.Fail(doctor.Problem{What: strings.Join(content, "; "), Why: "somebody else changed what the agent wrote: a line more is an account more", Mend: n.agent("sync", "--check")})
	case len(e.altered) > 0, !e.changed:
		r.OK("what the agent wrote")
	case len(left) > 0:
		r.OK("what the agent wrote, and more: see leftovers")
	case n.shut():
		r.OK("what the agent wrote, where others cannot reach it: see state-dir")
	case n.heldBack():
		r.OK("what the agent wrote; what came since is held back")
	case len(n.clashes()) > 0:
		r.OK("what the agent wrote before local accounts got the same names or numbers: see local-clash")
	default:
		r.Warn(doctor.Problem{What: "the files do not show what was pulled", Why: "changes of the server's, or of this node's policy, have no effect yet", Mend: n.agent("sync")})
	}
}

func (n *Node) renderedModes(_ context.Context, r *doctor.Report) {
	e, ok := n.compared(r)
	if !ok {
		return
	}
	var modes []string
	for _, how := range e.altered {
		if ofModes(how) {
			modes = append(modes, how)
		}
	}
	if len(modes) == 0 {
		r.OK("those that the agent gave")
		return
	}
	r.Fail(doctor.Problem{What: strings.Join(modes, "; "), Why: "who can read shadow can guess passwords, who can write passwd is root, and who cannot read passwd finds nobody", Mend: n.agent("sync", "--check")})
}

// shut reports whether people cannot reach the index.
func (n *Node) shut() bool {
	fi, err := os.Stat(n.StateDir)
	return n.Index && err == nil && fi.Mode().Perm()&0o001 == 0
}

// heldBack reports whether the fuse or a pin keeps the files from being others.
func (n *Node) heldBack() bool {
	st, err := n.state()
	if err != nil || st.Stopped != nil {
		return true
	}
	pin, err := syncer.ReadPin(n.StateDir)
	return err != nil || pin != nil
}

// behind asks the server whether it has changes that the mirror lacks. It fails with
// syncer.ErrResync if the mirror is none of its.
func (n *Node) behind(ctx context.Context) (bool, error) {
	pos := n.examine().pos
	if m, err := syncer.OpenMirror(n.StateDir); err == nil { // a pass may have been made since
		pos = m.Position()
		m.Close()
	}
	c, err := n.client(n.TokenFile, false)
	if err != nil {
		return false, err
	}
	defer c.Close()
	c.Rendered(pos)
	body, err := c.Changes(ctx, pos, 0)
	if errors.Is(err, syncer.ErrNoChange) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, _ = io.CopyN(io.Discard, body, 1) // that there are some is all
	return true, body.Close()
}

type behind struct {
	is  bool
	err error
}

// compare asks once for the two checks below.
func (n *Node) compare(ctx context.Context, r *doctor.Report) (b behind, ok bool) {
	if e := n.examine(); e.absent || e.mirror != nil {
		r.Skip("there is nothing to compare with: see mirror")
		return b, false
	}
	if _, ok := n.accepted(new(doctor.Report), n.TokenFile, scopeAdmin); !ok {
		r.Skip("the server was not asked: see token")
		return b, false
	}
	b = once(n, "behind", func() behind {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), contactTime)
		defer cancel()
		is, err := n.behind(ctx)
		return behind{is, err}
	})
	if b.err != nil && !errors.Is(b.err, syncer.ErrResync) {
		r.Skip("the server did not say: %v", b.err)
		return b, false
	}
	return b, true
}

func (n *Node) digest(ctx context.Context, r *doctor.Report) {
	b, ok := n.compare(ctx, r)
	switch {
	case !ok:
	case b.err == nil:
		r.OK("the server's, at change %d", n.examine().pos.Seq)
	default:
		r.Fail(doctor.Problem{What: "the server does not know this node's position or digest", Why: "what this node shows is not what the server had: it was restored or replaced, or this node is too far behind", Mend: n.agent("sync")})
	}
}

// patience is how long a change may be on its way.
const patience = time.Second

func (n *Node) current(ctx context.Context, r *doctor.Report) {
	b, ok := n.compare(ctx, r)
	switch {
	case !ok:
		return
	case b.err != nil:
		r.Skip("the server does not know this node's position: see digest")
		return
	}
	if b.is { // it may be on its way
		select {
		case <-time.After(patience):
		case <-ctx.Done():
		}
		var err error
		if b.is, err = n.behind(ctx); err != nil {
			r.Skip("the server did not say: %v", err)
			return
		}
	}
	if b.is {
		r.Warn(doctor.Problem{What: "the server has changes that this node did not take yet", Why: "who was locked there can still log in here", Mend: n.agent("sync")})
		return
	}
	r.OK("nothing is missing")
}
