package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pwb/cmd/doctor"
	"pwb/scimserver"
)

// failed tells why the store did not say something.
func failed(r *doctor.Report, err error) bool {
	if err != nil {
		r.Skip("the store did not say: %v", oneLine(err))
	}
	return err != nil
}

// clock looks whether the store knows of a later moment than now.
func (d *serverDoctor) clock(ctx context.Context, r *doctor.Report) {
	if !d.stored(r) {
		return
	}
	var last time.Time
	err := d.operator.Audit(ctx, scimserver.EventQuery{Last: 1}, "", func(e scimserver.Event) error {
		last = e.At
		return nil
	})
	if failed(r, err) {
		return
	}
	if ahead := time.Until(last); ahead > time.Minute {
		r.Fail(doctor.Problem{What: fmt.Sprintf("the last change was made %v from now, on %s", ahead.Round(time.Second), dateOf(last)), Why: "this host's clock is wrong, or was: tokens, ends of accounts and retention go by it",
			Advice: "set the clock right (date -u; timedatectl set-ntp true)"})
		return
	}
	r.OK("it goes on from the last change")
}

// named are the names of tokens that something is true of.
func (d *serverDoctor) named(ctx context.Context, r *doctor.Report, is func(t scimserver.Token, now time.Time) bool) (names []string, ok bool) {
	if !d.stored(r) {
		return nil, false
	}
	all, err := d.operator.Tokens(ctx)
	if failed(r, err) {
		return nil, false
	}
	now := time.Now()
	for _, t := range all {
		if is(t, now) {
			names = append(names, t.Name)
		}
	}
	return names, true
}

func listed(names []string) string {
	const most = 5
	shownNames := make([]string, 0, most)
	for _, n := range names[:min(most, len(names))] {
		shownNames = append(shownNames, shown(n))
	}
	text := strings.Join(shownNames, ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

func over(t scimserver.Token, now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// each is a command for each of some names.
func (d *serverDoctor) each(names []string, args ...string) string {
	const most = 50
	var all []string
	for _, n := range names[:min(most, len(names))] {
		all = append(all, d.command(append(args, n)...))
	}
	return strings.Join(all, " && ")
}

func (d *serverDoctor) tokens(ctx context.Context, r *doctor.Report) {
	names, ok := d.named(ctx, r, func(t scimserver.Token, now time.Time) bool {
		return t.Scope != scimserver.ScopeEnroll && !t.Expires.IsZero() && !over(t, now) && t.Expires.Sub(now) < endsSoon
	})
	switch {
	case !ok:
	case len(names) > 0:
		r.Warn(doctor.Problem{What: "these tokens end soon: " + listed(names), Why: "whoever has them is refused then: a provider's changes stop, or a node's",
			Advice: "make others under new names, put them where these are, and revoke these: pwb-server token create NAME --scope SCOPE; pwb-server token list says which scope and when"})
	default:
		r.OK("none ends soon")
	}
}

func (d *serverDoctor) tokensOver(ctx context.Context, r *doctor.Report) {
	names, ok := d.named(ctx, r, over)
	switch {
	case !ok:
	case len(names) > 0:
		r.Warn(doctor.Problem{What: "these tokens are over: " + listed(names), Why: "who still sends them is refused; names of tokens are taken by them", Mend: d.each(names, "token", "revoke"),
			Advice: "first see that nobody misses them"})
	default:
		r.OK("none is over")
	}
}

func (d *serverDoctor) tokensUnused(ctx context.Context, r *doctor.Report) {
	names, ok := d.named(ctx, r, func(t scimserver.Token, now time.Time) bool {
		last := t.Created
		if t.Used.After(last) {
			last = t.Used
		}
		return !over(t, now) && now.Sub(last) > longUnused
	})
	switch {
	case !ok:
	case len(names) > 0:
		r.Warn(doctor.Problem{What: "these tokens were not used for 90 days: " + listed(names), Why: "a token that nobody needs is one that somebody may find", Mend: d.each(names, "token", "revoke"),
			Advice: "first see that nobody needs them"})
	default:
		r.OK("all are in use, or new")
	}
}

// nodes are those that something is true of.
func (d *serverDoctor) nodes(ctx context.Context, r *doctor.Report, is func(n scimserver.NodeRecord) bool) (names []string, ok bool) {
	if !d.stored(r) {
		return nil, false
	}
	err := d.operator.Nodes(ctx, func(n scimserver.NodeRecord) error {
		if is(n) {
			names = append(names, n.Name)
		}
		return nil
	})
	return names, !failed(r, err)
}

func (d *serverDoctor) nodesSeen(ctx context.Context, r *doctor.Report) {
	names, ok := d.nodes(ctx, r, func(n scimserver.NodeRecord) bool { return !n.Online })
	switch {
	case !ok:
	case len(names) > 0:
		r.Warn(doctor.Problem{What: fmt.Sprintf("not seen for %v: %s", d.cfg.NodeOfflineAfter, listed(names)), Why: "whom you lock can still log in there", Mend: d.each(names, "node", "forget"),
			Advice: "the command is for nodes that are gone for good; on others run pwb-agent doctor"})
	default:
		r.OK("all were seen")
	}
}

// behindBy is how many changes a node may be behind while they are on their way.
const behindBy = 100

func (d *serverDoctor) nodesBehind(ctx context.Context, r *doctor.Report) {
	names, ok := d.nodes(ctx, r, func(n scimserver.NodeRecord) bool { return n.Online && n.Lag != nil && *n.Lag > behindBy })
	switch {
	case !ok:
	case len(names) > 0:
		r.Warn(doctor.Problem{What: fmt.Sprintf("more than %d changes behind: %s", behindBy, listed(names)), Why: "whom you lock can still log in there", Advice: "run pwb-agent doctor on these nodes: the fuse or a pin may hold changes back"})
	default:
		r.OK("none is far behind")
	}
}

func (d *serverDoctor) nodesWell(ctx context.Context, r *doctor.Report) {
	names, ok := d.nodes(ctx, r, func(n scimserver.NodeRecord) bool { return n.Result != "" || n.Quarantined > 0 })
	switch {
	case !ok:
	case len(names) > 0:
		r.Warn(doctor.Problem{What: "nodes whose last pass did not go well, or that refuse accounts: " + listed(names), Why: "some people cannot log in there, or still can", Advice: "pwb-server node list says what they said; run pwb-agent doctor on them"})
	default:
		r.OK("none has complained")
	}
}

func (d *serverDoctor) fuse(ctx context.Context, r *doctor.Report) {
	if !d.stored(r) {
		return
	}
	st, err := d.operator.Fuse(ctx)
	switch {
	case failed(r, err):
	case !st.Enabled:
		r.OK("there is none: fuse-window, fuse-count or fuse-percent is 0")
	case st.Open && st.Released == nil:
		r.Fail(doctor.Problem{What: fmt.Sprintf("it is open: providers locked or deleted %d of %s within %v", st.Lost, plural(st.Users, "user", "users"), time.Duration(st.Window)*time.Second),
			Why: "further such requests are refused: who leaves now can still log in", Mend: d.command("fuse", "release"), Advice: "first see who was locked: " + d.command("audit", "--since", "1h")})
	default:
		r.OK("it is closed")
	}
}

// countable is the most numbers of a range that are counted here.
const countable = 20_000_000

// numbers looks whether the range of uids is nearly used up.
func (d *serverDoctor) numbers(ctx context.Context, r *doctor.Report) {
	if !d.stored(r) {
		return
	}
	size := int64(d.cfg.EndUID) - int64(d.cfg.StartUID) + 1
	if size > countable {
		r.OK("uids %d-%d are enough for everybody", d.cfg.StartUID, d.cfg.EndUID)
		return
	}
	used, err := d.operator.NumbersIn(ctx, d.cfg.StartUID, d.cfg.EndUID)
	switch {
	case failed(r, err):
	case used*10 >= size*9:
		p := doctor.Problem{What: fmt.Sprintf("of the uids %d-%d, %d of %d are given", d.cfg.StartUID, d.cfg.EndUID, used, size), Why: "when all are, new users are refused: a number is never given twice",
			Advice: "raise user-provisioning-end-uid in " + d.file + " and restart the server"}
		if used >= size {
			r.Fail(p)
		} else {
			r.Warn(p)
		}
	default:
		r.OK("%d of %d uids are given", used, size)
	}
}
