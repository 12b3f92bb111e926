package altfiles

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"pwb/roster"
)

// Explanation says what becomes of an account or a group on this node, and why.
// It holds no hash.
type Explanation struct {
	// Kind is "account" or "group", Key the row's. Without one there is none in
	// the roster; Name is then what was asked for.
	Kind string `json:"kind,omitempty"`
	Key  string `json:"key,omitempty"`
	Name string `json:"name"`
	// Outcome is one of the constants below, By the configuration key that left
	// it out, if one did.
	Outcome string `json:"outcome"`
	By      string `json:"by,omitempty"`
	// Steps are the rules in the order in which they are asked.
	Steps []Step `json:"steps"`
	// Now are the lines on disk, Next those of the next pass.
	Now  []Line `json:"now"`
	Next []Line `json:"next"`

	uid uint32 // of an account
}

// What can become of a row.
const (
	OutcomeRendered    = "rendered"
	OutcomeLeftOut     = "left out"
	OutcomeQuarantined = "quarantined"
	OutcomeUnknown     = "not in the roster"
)

// Step is what one rule says.
type Step struct {
	// Rule is what was asked, a configuration key where there is one.
	Rule string `json:"rule"`
	// Verdict is "passes", "leaves out", "refuses", "changes" or "says".
	Verdict string `json:"verdict"`
	Text    string `json:"text"`
}

// Line is a line of a file as a human may see it.
type Line struct {
	File string `json:"file"`
	Text string `json:"text"`
}

const (
	passes    = "passes"
	leavesOut = "leaves out"
	refuses   = "refuses"
	changes   = "changes"
	says      = "says"
)

// Explain explains every account and group of rows that has the name or number
// that is asked for. It plans with rows, and fails as Plan does.
func (r *Renderer) Explain(rows iter.Seq2[roster.Row, error], asked string) ([]Explanation, error) {
	found := findings{asked: asked}
	p, err := r.Plan(found.watch(rows))
	if err != nil {
		return nil, err
	}
	local, err := readLocal(r.cfg.PasswdFile, r.cfg.GroupFile)
	if err != nil {
		return nil, err
	}
	e := explainer{Plan: p, rules: r.rules, local: local, found: &found}
	var all []Explanation
	for _, a := range found.accounts {
		all = append(all, e.account(a))
	}
	for _, g := range found.groups {
		if g.asked {
			all = append(all, e.group(g))
		}
	}
	if len(all) == 0 {
		all = []Explanation{e.unknown(asked)}
	}
	return all, e.addNow(all)
}

// explainer explains with a plan at hand.
type explainer struct {
	*Plan
	rules *rules
	local *local
	found *findings
}

func (x *Explanation) say(rule, verdict, format string, args ...any) {
	x.Steps = append(x.Steps, Step{rule, verdict, fmt.Sprintf(format, args...)})
}

// check adds what a check says.
func (x *Explanation) check(rule string, err error, good string) {
	if err != nil {
		x.say(rule, refuses, "%v", err)
	} else {
		x.say(rule, passes, "%s", good)
	}
}

func (e *explainer) account(a *roster.Account) Explanation {
	x := Explanation{Kind: "account", Key: roster.AccountKey(a.ID), Name: a.Name, uid: a.UID}
	x.say("roster", says, "row %s: %s with uid %d, gid %d, home %s, shell %s%s", x.Key, quoted(a.Name), a.UID, a.GID, quoted(a.Home), quoted(a.Shell), aliasText(a.Aliases))
	e.explainLock(&x, a)
	e.explainSelection(&x, a)
	mine := e.explainRewrites(&x, a)
	if x.By != keyMinID && x.By != keyMaxID {
		x.check("checks", e.rules.checkAccount(mine), "name, numbers, home, shell and password field are fit to be rendered")
	}
	x.check("local files", e.local.checkAccount(mine), fmt.Sprintf("%s and %s have neither its name nor its number", e.local.passwdFile, e.local.groupFile))
	for _, q := range e.effect.Quarantined {
		if q.Key == x.Key {
			rule := cmp.Or(q.Part, "alias")
			if q.Name == a.Name && q.Part == "" {
				rule, x.Outcome = "quarantine", OutcomeQuarantined
			}
			x.say(rule, refuses, "%s", q.Reason)
		}
	}
	e.explainGroups(&x, a)
	for _, name := range namesOf(a) {
		i, ok := e.now.passwd.find([]byte(name))
		if ok && numberOf(e.now.passwd.line(i)) == a.UID && x.Outcome != OutcomeQuarantined && x.By == "" {
			x.Outcome = OutcomeRendered
			x.Next = append(x.Next, e.nextLines(name)...)
		}
	}
	x.settle()
	return x
}

// settle says what came of it, where nothing else did.
func (x *Explanation) settle() {
	if x.Outcome == "" {
		x.Outcome = OutcomeLeftOut
	}
	if x.Outcome != OutcomeLeftOut {
		x.By = ""
	}
}

func (e *explainer) explainLock(x *Explanation, a *roster.Account) {
	switch {
	case a.Locked:
		x.say("lock", changes, "the server locks it, as it does with who is deactivated, deleted or locked by an administrator: shell %s, password \"!\", expired", e.rules.nologin)
	case strings.HasPrefix(a.Hash, "!"):
		x.say("lock", says, "its password is locked (\"!\" before the hash), and its SSH keys with it")
	case a.Expire > 0 && e.r.today() >= a.Expire:
		x.say("lock", says, "it expired on day %d, today is day %d", a.Expire, e.r.today())
	default:
		x.say("lock", passes, "it is not locked")
	}
}

// explainSelection asks the rules of select.go in their order.
func (e *explainer) explainSelection(x *Explanation, a *roster.Account) {
	decide := func(key, format string, args ...any) {
		if x.By == "" {
			x.By = key
		}
		x.say(key, leavesOut, format, args...)
	}
	r := e.rules
	for _, id := range []struct {
		what string
		n    uint32
	}{{"uid", a.UID}, {"gid", a.GID}} {
		if key := r.outOfRange(id.n); key != "" && (id.what == "uid" || !a.PrivateGroup()) {
			decide(key, "%s %d lies outside of the numbers that this node renders", id.what, id.n)
		}
	}
	names := namesOf(a)
	matched := func(n *nameList, all []string) (hits []string) {
		for _, name := range all {
			n.match(name, func(i int) { hits = append(hits, fmt.Sprintf("%s is %s", name, n.list[i])) })
		}
		return hits
	}
	var groups []string
	for _, g := range e.found.groupsOf(a) {
		groups = append(groups, g.Name)
	}
	for _, rule := range []struct {
		n    *nameList
		deny bool
		of   []string
	}{{&r.denyUsers, true, names}, {&r.allowUsers, false, names}, {&r.denyGroups, true, groups}, {&r.allowGroups, false, groups}} {
		if !rule.n.set() {
			continue
		}
		hits := matched(rule.n, rule.of)
		what := strings.Join(hits, ", ")
		switch {
		case len(hits) > 0 && rule.deny:
			decide(rule.n.key, "%s", what)
		case len(hits) > 0:
			x.say(rule.n.key, passes, "%s", what)
		case rule.deny:
			x.say(rule.n.key, passes, "none of %s is listed", listText(rule.of))
		default:
			decide(rule.n.key, "none of %s is listed", listText(rule.of))
		}
	}
}

// explainRewrites is the account as home-pattern and shell-map make it.
func (e *explainer) explainRewrites(x *Explanation, a *roster.Account) *roster.Account {
	if !e.rules.rewrites() {
		return a
	}
	mine, err := e.rules.rewrite(a)
	if err != nil {
		x.say("home-pattern", refuses, "%v", err)
		return a
	}
	if _, entry := e.rules.mapShell(a.Shell); entry != "" && !a.Locked {
		x.say("shell-map", changes, "%s=%s: the shell was %s", entry, mine.Shell, quoted(a.Shell))
	}
	if mine.Home != a.Home {
		x.say("home-pattern", changes, "%s makes %s of it", e.rules.homePattern, quoted(mine.Home))
	}
	return mine
}

// explainGroups says which groups list the account.
func (e *explainer) explainGroups(x *Explanation, a *roster.Account) {
	for _, g := range e.found.groupsOf(a) {
		_, ok := e.now.group.find([]byte(g.Name))
		if ok {
			x.say("group", says, "it belongs to %s", quoted(g.Name))
		} else {
			x.say("group", says, "it belongs to %s, which has no line here", quoted(g.Name))
		}
		for _, m := range e.rules.merges {
			if slices.Contains(m.sources, g.Name) {
				x.say("merge-members", says, "%s=%s: whoever is rendered gets into the local group", m.local, g.Name)
			}
		}
	}
}

func (e *explainer) group(g foundGroup) Explanation {
	x := Explanation{Kind: "group", Key: roster.GroupKey(g.ID), Name: g.Name}
	x.say("roster", says, "row %s: %s with gid %d, %d members", x.Key, quoted(g.Name), g.GID, g.members)
	if key := e.rules.outOfRange(g.GID); key != "" {
		x.By = key
		x.say(key, leavesOut, "gid %d lies outside of the numbers that this node renders", g.GID)
	}
	for _, n := range []*nameList{&e.rules.denyGroups, &e.rules.allowGroups} {
		n.match(g.Name, func(i int) { x.say(n.key, says, "%s decides on its members", n.list[i]) })
	}
	if x.By == "" {
		x.check("checks", e.rules.checkGroup(g.Group), "name and number are fit to be rendered")
	}
	x.check("local files", e.local.checkGroup(g.Name, g.GID), fmt.Sprintf("%s has neither its name nor its number", e.local.groupFile))
	for _, q := range e.effect.Quarantined {
		if q.Key == x.Key {
			x.Outcome = OutcomeQuarantined
			x.say("quarantine", refuses, "%s", q.Reason)
		}
	}
	for _, m := range e.rules.merges {
		if slices.Contains(m.sources, g.Name) {
			x.say("merge-members", says, "%s=%s: its members get into the local group", m.local, g.Name)
			x.Next = append(x.Next, e.nextGroup(m.local)...)
		}
	}
	if i, ok := e.now.group.find([]byte(g.Name)); ok && numberOf(e.now.group.line(i)) == g.GID && x.Outcome == "" {
		x.Outcome = OutcomeRendered
		x.Next = append(e.nextGroup(g.Name), x.Next...)
	} else if x.Outcome == "" && x.By == "" {
		x.By = "render-groups"
		x.say(x.By, leavesOut, "%s: nobody is in it who is rendered here", e.rules.renderGroups)
	}
	x.settle()
	return x
}

// unknown explains a name or number that the roster does not have.
func (e *explainer) unknown(asked string) Explanation {
	x := Explanation{Name: asked, Outcome: OutcomeUnknown}
	x.say("roster", says, "no account, alias or group has this name or number")
	if uid, ok := e.local.users[asked]; ok {
		x.say("local files", says, "%s has an account of this name, with uid %d", e.local.passwdFile, uid)
	}
	if gid, ok := e.local.groups[asked]; ok {
		x.say("local files", says, "%s has a group of this name, with gid %d", e.local.groupFile, gid)
		for _, m := range e.rules.merges {
			if m.local == asked {
				x.say("merge-members", says, "it gets the members of %s", strings.Join(m.sources, ", "))
				x.Next = e.nextGroup(asked)
			}
		}
	}
	id, err := strconv.ParseUint(asked, 10, 32)
	if err == nil {
		if name, ok := e.local.uids[uint32(id)]; ok {
			x.say("local files", says, "%s has uid %d, of %q", e.local.passwdFile, id, name)
		}
	}
	return x
}
