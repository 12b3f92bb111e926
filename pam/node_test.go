package pam

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pwb/roster"
)

// files is a Lookup of what a test says.
type files struct {
	passwd               map[string]roster.Passwd
	shadow               map[string]roster.Shadow
	passwdErr, shadowErr error
}

func (f *files) Passwd(name string) (roster.Passwd, bool, error) {
	p, ok := f.passwd[name]
	return p, ok && f.passwdErr == nil, f.passwdErr
}

func (f *files) Shadow(name string) (roster.Shadow, bool, error) {
	s, ok := f.shadow[name]
	return s, ok && f.shadowErr == nil, f.shadowErr
}

func (f *files) put(name, hash string, expire int64) {
	f.passwd[name] = roster.Passwd{Name: name, Password: "x", UID: 1500, GID: 1500, Home: "/home/" + name, Shell: "/bin/sh"}
	f.shadow[name] = roster.Shadow{Name: name, Password: hash, Expire: expire}
}

// agent is an Agent of what a test says.
type agent struct {
	fresh bool
	pass  func(ctx context.Context) error
	asked int
}

func (a *agent) Fresh(time.Duration) bool { return a.fresh }

func (a *agent) Current(ctx context.Context, _ string) error {
	a.asked++
	return a.pass(ctx)
}

var day20000 = time.Unix(20000*86400+3600, 0)

// newNode is one with ada, who may log in, and others who may not; root and lynn
// are the node's own.
func newNode(t *testing.T) (*Node, *files, *bytes.Buffer) {
	t.Helper()
	f := &files{passwd: map[string]roster.Passwd{}, shadow: map[string]roster.Shadow{}}
	f.put("ada", "*", 0)
	f.put("bob", "!*", 1)
	f.put("eve", "*", 20000)
	f.put("tom", "*", 20001)
	f.put("lynn", "!*", 1)
	var log bytes.Buffer
	return &Node{
		Lookup: f, Local: func(name string) (bool, error) { return name == "root" || name == "lynn", nil },
		MaxAge: 30 * time.Second, Patience: 50 * time.Millisecond, NologinShell: "/usr/sbin/nologin", Privileged: true,
		Now: func() time.Time { return day20000 }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}, f, &log
}

func TestWhoIsLockedExpiredOrGoneIsRefusedAndNobodyElse(t *testing.T) {
	broken := errors.New("input/output error")
	for _, c := range []struct {
		sentence, name string
		change         func(*Node, *files)
		only           bool
		says           string // of a Refusal
		fails          error  // another error
	}{
		{sentence: "an account that is good", name: "ada"},
		{sentence: "a locked one", name: "bob", says: "bob is locked"},
		{sentence: "one that expires today", name: "eve", says: "eve expired on 2024-10-04"},
		{sentence: "one that expires tomorrow", name: "tom"},
		{sentence: "nobody of the agent's", name: "grace"},
		{sentence: "nobody of the agent's, where only those are let in", name: "grace", only: true, says: " "},
		{sentence: "one that the node's own passwd has, too", name: "lynn"},
		{sentence: "that one, where only the agent's are let in", name: "lynn", only: true, says: " "},
		{sentence: "root", name: "root"},
		{sentence: "a name that is none", name: "../../etc/passwd"},
		{sentence: "an empty name", name: ""},
		{sentence: "root, when nothing can be read", name: "root", change: func(_ *Node, f *files) { f.passwdErr = broken }},
		{sentence: "somebody, when nothing can be read", name: "ada", change: func(_ *Node, f *files) { f.passwdErr = broken }, fails: broken},
		{sentence: "shadow cannot be read", name: "ada", change: func(_ *Node, f *files) { f.shadowErr = broken }, fails: broken},
		{sentence: "shadow has no such entry", name: "ada", change: func(_ *Node, f *files) { delete(f.shadow, "ada") }, fails: errNoShadow},
		{sentence: "the node's own passwd cannot be read", name: "bob", change: func(n *Node, _ *files) { n.Local = func(string) (bool, error) { return false, broken } }, says: "bob is locked"},
		{sentence: "no shadow is rendered, and the shell is a shell", name: "ada", change: func(_ *Node, f *files) {
			f.passwd["ada"], f.shadowErr = roster.Passwd{Name: "ada", Password: "*", Shell: "/bin/sh"}, broken
		}},
		{sentence: "no shadow is rendered, and the shell is that of who left", name: "bob", change: func(_ *Node, f *files) {
			f.passwd["bob"], f.shadowErr = roster.Passwd{Name: "bob", Password: "*", Shell: "/usr/sbin/nologin"}, broken
		}, says: "bob is locked"},
		{sentence: "a locker of the screen, which is the user, may be passed", name: "ada", change: func(n *Node, f *files) { n.Privileged, f.shadowErr = false, broken }},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			n, f, _ := newNode(t)
			if c.change != nil {
				c.change(n, f)
			}
			err := n.Account(t.Context(), c.name, c.only)
			var refusal *Refusal
			switch {
			case c.fails != nil:
				if !errors.Is(err, c.fails) || errors.As(err, &refusal) {
					t.Errorf("%v", err)
				}
			case c.says != "":
				if !errors.As(err, &refusal) || !strings.Contains(refusal.Say+" ", c.says) || refusal.Why == "" {
					t.Errorf("%v", err)
				}
			case err != nil:
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTheAgentIsAskedWhenItsWordIsOldAndNobodyWaitsForIt(t *testing.T) {
	n, f, log := newNode(t)
	a := &agent{fresh: true, pass: func(context.Context) error { f.put("ada", "!*", 1); return nil }}
	n.Agent = a
	if err := n.Account(t.Context(), "ada", false); err != nil || a.asked != 0 {
		t.Errorf("while it is fresh: %v, asked %d times", err, a.asked)
	}
	a.fresh = false
	if err := n.Account(t.Context(), "root", false); err != nil || a.asked != 0 {
		t.Errorf("for root: %v, asked %d times", err, a.asked)
	}
	var refusal *Refusal
	if err := n.Account(t.Context(), "ada", false); !errors.As(err, &refusal) || a.asked != 1 {
		t.Errorf("who was locked in that pass: %v, asked %d times", err, a.asked)
	}
	f.put("ada", "*", 0)
	a.pass = func(context.Context) error { delete(f.passwd, "ada"); return nil }
	if err := n.Account(t.Context(), "ada", false); !errors.As(err, &refusal) || !strings.Contains(refusal.Say, "no longer") {
		t.Errorf("who was removed in that pass: %v", err)
	}
	f.put("ada", "*", 0)
	a.pass = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	if err := n.Account(t.Context(), "ada", false); err != nil || !strings.Contains(log.String(), "as they are") {
		t.Errorf("an agent that hangs: %v\n%s", err, log)
	}
	if err := n.Account(t.Context(), "bob", false); !errors.As(err, &refusal) {
		t.Errorf("a locked one, beside it: %v", err)
	}
	n.Privileged = false
	if err := n.Account(t.Context(), "ada", false); err != nil || a.asked != 4 {
		t.Errorf("who is not root: %v, asked %d times", err, a.asked)
	}
}
