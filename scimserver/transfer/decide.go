package transfer

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"pwb/roster"
)

// Verb is what a decision does.
type Verb string

// The verbs.
const (
	// SkipIt leaves the name out, on one node or on all: `skip NAME[@NODE]`.
	SkipIt Verb = "skip"
	// TakeIt says whose number, home, shell and gecos count where several nodes
	// have the name: `take NAME NODE`. It also brings a service account in.
	TakeIt Verb = "take"
	// Renumber gives the name, on one node or on all, another number:
	// `renumber NAME[@NODE] NUMBER`, or `new` to let the ledger choose.
	Renumber Verb = "renumber"
	// Private gives an account a group of its own in place of its primary one:
	// `private NAME`.
	Private Verb = "private"
)

// Decision is a line of the administrator's.
type Decision struct {
	Verb Verb
	Name string
	// Node is empty where the decision is for all nodes; TakeIt always has one.
	Node string
	// Number is Renumber's, 0 for `new`.
	Number uint32
	// Line is where it was read, from 1; 0 where it was not.
	Line int
}

// String writes the decision as ParseDecisions reads it.
func (d Decision) String() string {
	who := d.Name
	if d.Node != "" && d.Verb != TakeIt {
		who += "@" + d.Node
	}
	switch d.Verb {
	case TakeIt:
		return "take " + who + " " + d.Node
	case Renumber:
		return "renumber " + who + " " + numberText(d.Number)
	}
	return string(d.Verb) + " " + who
}

func numberText(n uint32) string {
	if n == 0 {
		return "new"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// ParseDecisions reads decisions, one a line of up to 64 KiB; what follows a #
// is a comment. Errors name the line.
func ParseDecisions(r io.Reader) ([]Decision, error) {
	var all []Decision
	err := eachLine(r, maxLine, func(n int, line string) error {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			return nil
		}
		d, err := parseDecision(f)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		d.Line = n
		all = append(all, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decisions: %w", err)
	}
	return all, nil
}

func parseDecision(f []string) (Decision, error) {
	d := Decision{Verb: Verb(f[0])}
	form, words := "", 2
	switch d.Verb {
	case SkipIt:
		form = "skip NAME or skip NAME@NODE"
	case TakeIt:
		form, words = "take NAME NODE", 3
	case Renumber:
		form, words = "renumber NAME NUMBER or renumber NAME@NODE NUMBER, where NUMBER may be new", 3
	case Private:
		form = "private NAME"
	default:
		return d, fmt.Errorf("%.80q is no decision: write skip, take, renumber or private", f[0])
	}
	if len(f) != words {
		return d, fmt.Errorf("%s has %d words behind it, not %d: write %s", d.Verb, len(f)-1, words-1, form)
	}
	var at bool
	if d.Name, d.Node, at = strings.Cut(f[1], "@"); at {
		if d.Verb == TakeIt || d.Verb == Private {
			return d, fmt.Errorf("%s has no use for @NODE: write %s", d.Verb, form)
		}
		if err := checkNode(d.Node); err != nil {
			return d, err
		}
	}
	if d.Verb == TakeIt {
		d.Node = f[2]
	}
	if d.Verb == Renumber && f[2] != "new" {
		n, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			return d, fmt.Errorf("%.80q is no number: write %s", f[2], form)
		}
		if n == 0 {
			return d, errors.New("id 0 is root's: choose another number, or new")
		}
		d.Number = uint32(n)
	}
	return d, d.check()
}

// check finds what no parsed decision has, for those that were not parsed.
func (d Decision) check() error {
	if err := roster.CheckName(d.Name); err != nil {
		return err
	}
	if d.Node != "" || d.Verb == TakeIt {
		if err := checkNode(d.Node); err != nil {
			return err
		}
	}
	if d.Verb == Renumber && d.Number != 0 {
		if err := roster.CheckNumber(d.Number); err != nil {
			return fmt.Errorf("%w: choose another number, or new", err)
		}
	}
	return nil
}

// fault is an error about the decision.
func (d Decision) fault(format string, args ...any) error {
	where := ""
	if d.Line > 0 {
		where = fmt.Sprintf("line %d: ", d.Line)
	}
	return fmt.Errorf("decisions: %s`%s` %w", where, d, fmt.Errorf(format, args...))
}

// idle is the error of a decision without effect.
func (d Decision) idle(format string, args ...any) error {
	return d.fault("settles nothing: %s: take it out or correct it", fmt.Sprintf(format, args...))
}

// place is how a text refers to the decision.
func (d Decision) place() string {
	if d.Line > 0 {
		return fmt.Sprintf("`%s` (line %d)", d, d.Line)
	}
	return fmt.Sprintf("`%s`", d)
}
