package pam

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pwb/roster"
)

// counted is a Throttle that counts what it is told.
type counted struct {
	begun, forgiven int
	fails           error
}

func (c *counted) Begin(string, string) (func() error, error) {
	if c.fails != nil {
		return nil, c.fails
	}
	c.begun++
	return func() error { c.forgiven++; return nil }, nil
}

// newVerifier is one whose decoy's computations are counted.
func newVerifier(t *testing.T) (v *Verifier, f *files, c *counted, decoys *int) {
	t.Helper()
	n, f, _ := newNode(t)
	f.put("ada", cryptOf(t, "c0rrect-horse", "$6$rounds=1000$salt"), 0)
	c = new(counted)
	v, err := NewVerifier(n, "$6$rounds=1000$", c)
	if err != nil {
		t.Fatal(err)
	}
	decoys = new(int)
	again := v.decoy.again
	v.decoy.again = func(password []byte) (string, error) { *decoys++; return again(password) }
	v.wait = func(context.Context, time.Duration) error { t.Error("it waits"); return nil }
	return v, f, c, decoys
}

func TestThePasswordOfAnAccountLetsInAndNothingElseDoes(t *testing.T) {
	const right = "c0rrect-horse"
	hashed := cryptOf(t, right, "$6$rounds=1000$salt")
	for _, c := range []struct {
		sentence, name, password string
		change                   func(*Node, *files)
		why                      string // empty: in
		decoys                   int    // computed in place of a hash of its own
	}{
		{sentence: "the right one", name: "ada", password: right},
		{sentence: "a wrong one", name: "ada", password: "c0rrect-horsf", why: "wrong password"},
		{sentence: "a longer one", name: "ada", password: right + " ", why: "wrong password"},
		{sentence: "of nobody", name: "grace", password: right, why: "no account", decoys: 1},
		{sentence: "of root", name: "root", password: right, why: "no account", decoys: 1},
		{sentence: "of one that the node has of its own", name: "lynn", password: right, why: "no account", decoys: 1},
		{sentence: "of a name that is none", name: "ada:x", password: right, why: "no account", decoys: 1},
		{sentence: "of a locked one", name: "ada", password: right, why: "locked", change: func(_ *Node, f *files) { f.put("ada", "!"+hashed, 1) }},
		{sentence: "of one locked twice", name: "ada", password: right, why: "locked", change: func(_ *Node, f *files) { f.put("ada", "!!"+hashed, 0) }},
		{sentence: "of a locked one without", name: "bob", password: right, why: "locked", decoys: 1},
		{sentence: "of one without", name: "tom", password: right, why: "no password", decoys: 1},
		{sentence: "of one whose hash is empty", name: "ada", password: right, why: "no password", decoys: 1, change: func(_ *Node, f *files) { f.put("ada", "", 0) }},
		{sentence: "the text of the hash", name: "ada", password: "*", why: "no password", decoys: 1, change: func(_ *Node, f *files) { f.put("ada", "*", 0) }},
		{sentence: "against a hash that would take years", name: "ada", password: right, why: "costs more", decoys: 1, change: func(_ *Node, f *files) { f.put("ada", "$6$rounds=999999999$salt$"+strings.Repeat(".", 86), 0) }},
		{sentence: "of one for whom no shadow is rendered", name: "ada", password: right, why: "no shadow", decoys: 1, change: func(_ *Node, f *files) { f.passwd["ada"] = roster.Passwd{Name: "ada", Password: "*"} }},
		{sentence: "when shadow cannot be read", name: "ada", password: right, why: "shadow entry", decoys: 1, change: func(_ *Node, f *files) { f.shadowErr = io.ErrUnexpectedEOF }},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			v, f, count, decoys := newVerifier(t)
			if c.change != nil {
				c.change(v.node, f)
			}
			err := v.Authenticate(t.Context(), c.name, "192.0.2.1", []byte(c.password))
			if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
			var refusal *Refusal
			if errors.As(err, &refusal) && refusal.Say != "" {
				t.Errorf("it tells whoever tries: %q", refusal.Say)
			}
			if *decoys != c.decoys || count.begun != 1 || (count.forgiven == 1) != (err == nil) {
				t.Errorf("%d decoys, want %d; %+v", *decoys, c.decoys, count)
			}
		})
	}
}

func TestAnAttemptThatCannotBeCountedIsDelayedAndOneTooManyIsNotMade(t *testing.T) {
	v, _, count, _ := newVerifier(t)
	var waited time.Duration
	v.wait = func(_ context.Context, d time.Duration) error { waited += d; return nil }
	count.fails = errors.New("read-only file system")
	if err := v.Authenticate(t.Context(), "ada", "", []byte("c0rrect-horse")); err != nil || waited != uncounted {
		t.Errorf("%v after %v", err, waited)
	}
	count.fails = &Refusal{Say: "Too many", Why: "too many"}
	v.decoy.again = func([]byte) (string, error) { t.Error("it verifies"); return "", nil }
	var refusal *Refusal
	if err := v.Authenticate(t.Context(), "nobody", "", []byte("x")); !errors.As(err, &refusal) {
		t.Errorf("%v", err)
	}
}

func TestAPasswordIsReadAsPamExecWritesIt(t *testing.T) {
	long := bytes.Repeat([]byte("a"), MaxPassword)
	for in, want := range map[string]string{
		"secret\x00": "secret", "secret": "secret", "secret\x00and more": "secret", " x \n\x00": " x \n", string(long) + "\x00": string(long), string(long): string(long),
		"": "", "\x00": "", "\x00secret": "", string(long) + "b": "", string(long) + "b\x00": "", strings.Repeat("x", 1<<20): "",
	} {
		got, err := ReadPassword(iotest.OneByteReader(strings.NewReader(in)))
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%.40q: %.40q, %v", in, got, err)
		}
		if err != nil && want == "" && len(in) > 8 && strings.Contains(err.Error(), in[:8]) {
			t.Errorf("the error shows it: %v", err)
		}
	}
}
