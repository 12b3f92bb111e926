package transfer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// ledger is an Owners for tests. Groups have uid 0.
type ledger map[string]struct{ uid, gid uint32 }

func (l ledger) UID(n uint32) (string, error) {
	for name, e := range l {
		if e.uid == n {
			return name, nil
		}
	}
	return "", nil
}

func (l ledger) GID(n uint32) (string, error) {
	for name, e := range l {
		if e.gid == n {
			return name, nil
		}
	}
	return "", nil
}

func (l ledger) Name(s string) (uid, gid uint32, taken bool, err error) {
	e, ok := l[s]
	return e.uid, e.gid, ok, nil
}

var errLedger = errors.New("the store is away")

// brokenLedger fails at one of the three questions.
type brokenLedger struct {
	ledger
	at string
}

func (l brokenLedger) UID(n uint32) (string, error) {
	if l.at == "uid" {
		return "", errLedger
	}
	return l.ledger.UID(n)
}

func (l brokenLedger) GID(n uint32) (string, error) {
	if l.at == "gid" {
		return "", errLedger
	}
	return l.ledger.GID(n)
}

func (l brokenLedger) Name(s string) (uint32, uint32, bool, error) {
	if l.at == "name" {
		return 0, 0, false, errLedger
	}
	return l.ledger.Name(s)
}

var rules = Rules{Floor: 1000, Protected: func(name string) bool { return name == "root" || name == "docker" }}

// sources makes node1, node2, … of texts.
func sources(texts ...string) []Source {
	var all []Source
	for i, text := range texts {
		all = append(all, Source{Node: fmt.Sprintf("node%d", i+1), File: fmt.Sprintf("f%d", i+1), Data: strings.NewReader(text)})
	}
	return all
}

// user is a line of passwd for a name with an own group.
func user(name string, uid uint32) string { return userIn(name, uid, uid) }

func userIn(name string, uid, gid uint32) string {
	return fmt.Sprintf("%s:x:%d:%d:%s:/home/%s:/bin/bash\n", name, uid, gid, name, name)
}

func decisions(t testing.TB, text string) []Decision {
	t.Helper()
	all, err := ParseDecisions(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func accounts(t testing.TB, texts ...string) *Accounts {
	t.Helper()
	a, err := ReadPasswd(sources(texts...), rules)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func plan(t testing.TB, owners Owners, decided string, texts ...string) Plan {
	t.Helper()
	p, err := accounts(t, texts...).Plan(owners, decisions(t, decided))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// brief writes what a test compares: the accounts, as name:uid:gid:home@nodes.
func brief(all []Account) string {
	var b []string
	for _, a := range all {
		b = append(b, fmt.Sprintf("%s:%d:%d:%s@%s", a.Name, a.UID, a.GID, a.Home, strings.Join(a.Nodes, ",")))
	}
	return strings.Join(b, " ")
}

// briefClashes writes kind, name or number, and what is proposed.
func briefClashes(all []Clash) string {
	var b []string
	for _, c := range all {
		what := c.Name
		if what == "" {
			what = numberText(c.Number)
		}
		var propose []string
		for _, d := range c.Propose {
			propose = append(propose, d.String())
		}
		b = append(b, fmt.Sprintf("%s %s: %s", c.Kind, what, strings.Join(propose, ", ")))
	}
	return strings.Join(b, "; ")
}

func texts[T fmt.Stringer](all []T) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}
