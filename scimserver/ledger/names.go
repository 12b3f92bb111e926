package ledger

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"pwb/roster"
)

// Rule rewrites the userNames that a regular expression matches.
type Rule struct {
	pattern     *regexp.Regexp
	replacement string
}

// ParseRule reads "PATTERN REPLACEMENT": a regular expression (RE2) without
// blanks and what its matches become, in which $1 or ${1} is what the first
// group matched. Without REPLACEMENT matches are removed.
func ParseRule(text string) (*Rule, error) {
	fields := strings.Fields(text)
	if len(fields) != 1 && len(fields) != 2 {
		return nil, fmt.Errorf(`%.200q is not a pattern and a replacement with a blank between, such as ^(.*)@acme\.example$ $1`, text)
	}
	pattern, err := regexp.Compile(fields[0])
	if err != nil {
		return nil, fmt.Errorf("pattern %.200q: %w", fields[0], err)
	}
	r := &Rule{pattern: pattern}
	if len(fields) == 2 {
		r.replacement = fields[1]
	}
	for _, ref := range reference.FindAllStringSubmatch(r.replacement, -1) {
		group := cmp.Or(ref[1], ref[2])
		n, err := strconv.Atoi(group)
		if ref[0] != "$$" && (err != nil || n > pattern.NumSubexp()) && pattern.SubexpIndex(group) < 0 {
			return nil, fmt.Errorf("replacement %.200q: the pattern has no group %q; before letters, digits and '_' a group is written ${1}", r.replacement, group)
		}
	}
	return r, nil
}

// reference is a group in a replacement, as regexp.Regexp.Expand reads it.
var reference = regexp.MustCompile(`\$\$|\$(?:\{(\w+)\}|(\w+))`)

// Apply rewrites a userName; a nil rule changes nothing.
func (r *Rule) Apply(userName string) string {
	if r == nil {
		return userName
	}
	return r.pattern.ReplaceAllString(userName, r.replacement)
}

// UserName is the name that follows from a userName, before it is looked at
// whether it is free.
func (l *Ledger) UserName(userName string) string {
	return roster.UserName(l.cfg.Rewrite.Apply(userName))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// checkGivenName reports why no account may have a name. A group may be named as
// one of the system's: whether a node renders it is the node's to say.
func checkGivenName(name string) error {
	if err := roster.CheckName(name); err != nil {
		return err
	}
	if roster.Protected(name) {
		return fmt.Errorf("name %q belongs to the system", name)
	}
	return nil
}

// claimName makes a name that somebody chose, and that can be a name, the
// subject's. It fails with a Refusal when it is another's.
func (l *Ledger) claimName(tx Tx, field, name string, e Entry) error {
	why, err := l.nameTakenBy(tx, name, e.Subject)
	switch {
	case err != nil:
		return err
	case why != nil:
		return refuse(Taken, field, "%q %s: choose another, or %s", name, why.reason, why.wayOut)
	}
	return l.giveName(tx, name, e)
}

func (l *Ledger) giveName(tx Tx, name string, e Entry) error {
	e.Name = name
	if err := tx.GiveName(name, e); err != nil {
		return fmt.Errorf("give %s the name %s: %w", e.Subject, name, err)
	}
	return nil
}

// takeName gives the subject the name or, when that is taken, a numbered form of
// it: one that is free while the form before it is taken. A name that was the
// subject's before is free for it.
//
// The search doubles its steps and then halves them, so that the ten-thousandth
// user of a name costs a few looks more than the second, not ten thousand.
func (l *Ledger) takeName(tx Tx, name string, e Entry) (string, error) {
	form := func(n int) string {
		if n == 1 {
			return name
		}
		return roster.NumberedName(name, n)
	}
	taken, free := 0, 1
	for {
		why, err := l.nameTakenBy(tx, form(free), e.Subject)
		if err != nil {
			return "", err
		}
		if why == nil {
			break
		}
		if free == 1 {
			l.log.Warn("a name was not to be had; a number is put behind it", "name", name, "subject", e.Subject, "taken-by", why.by)
		}
		if taken = free; free < 1<<30 {
			free *= 2
		} else {
			free++ // who owns all powers of two meets no overflow
		}
	}
	for free-taken > 1 {
		middle := (taken + free) / 2
		why, err := l.nameTakenBy(tx, form(middle), e.Subject)
		if err != nil {
			return "", err
		}
		if why == nil {
			free = middle
		} else {
			taken = middle
		}
	}
	return form(free), l.giveName(tx, form(free), e)
}

// holder says who keeps a subject from having a name.
type holder struct {
	by             string // for the log
	reason, wayOut string // for a refusal
}

// nameTakenBy returns who keeps the subject from having the name; nobody: nil.
func (l *Ledger) nameTakenBy(tx View, name, subject string) (*holder, error) {
	const importIt = "import that account first"
	e, err := tx.NameOwner(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up who owns the name %s: %w", name, err)
	case e.Subject == subject:
		return nil, nil
	case e.Subject != "":
		return &holder{"subject " + e.Subject, fmt.Sprintf("is or was that of subject %s, since %s", e.Subject, day(e.Given)), "leave it out to be given one"}, nil
	case name == l.cfg.AdminGroup && subject != AdminGroupID:
		return &holder{"the group of administrators", "is the name of the administrators' group", "set admin-group"}, nil
	case l.local.Load().names[name]:
		return &holder{"the server's own host", "is in use on the server's own host", importIt}, nil
	}
	node, err := tx.NodeWithName(name)
	if err != nil {
		return nil, fmt.Errorf("look up which node has the name %s: %w", name, err)
	}
	if node != "" {
		return &holder{"the node " + node, "is in use on the node " + node, importIt}, nil
	}
	return nil, nil
}
