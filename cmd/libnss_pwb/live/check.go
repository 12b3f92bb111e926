package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pwb/altfiles"
	"pwb/cmd/libnss_pwb/question"
	"pwb/roster"
)

var (
	// errRefused: the line is what was asked for, and no node may show it.
	errRefused = errors.New("refused on this node")
	// errAnswer: the answer is none to what was asked.
	errAnswer = errors.New("the server's answer is none to this question")
)

func refused(err error) error { return fmt.Errorf("%w: %w", errRefused, err) }

// check returns the line that an answer is, made anew of what was understood of
// it, without what this node would not show.
func (l *live) check(q question.Question, answer []byte) ([]byte, error) {
	text, ok := strings.CutSuffix(string(answer), "\n")
	if !ok || strings.ContainsAny(text, "\n\x00") {
		return nil, fmt.Errorf("%w: it is not one line", errAnswer)
	}
	gate, err := altfiles.NewGate(altfiles.DefaultPolicy(), l.passwd, l.group)
	if err != nil {
		return nil, err
	}
	switch q.Database {
	case question.Passwd:
		return checkPasswd(gate, q, text)
	case question.Group:
		return checkGroup(gate, q, text)
	case question.Shadow:
		return checkShadow(gate, q, text)
	}
	return checkInitgroups(gate, q, text)
}

func checkPasswd(gate *altfiles.Gate, q question.Question, text string) ([]byte, error) {
	p, err := roster.ParsePasswd(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if !is(q, p.Name, p.UID) {
		return nil, fmt.Errorf("%w: it has the name %.80q and the uid %d", errAnswer, p.Name, p.UID)
	}
	if err := gate.Account(p); err != nil {
		return nil, refused(err)
	}
	return p.Append(nil), nil
}

func checkGroup(gate *altfiles.Gate, q question.Question, text string) ([]byte, error) {
	g, err := roster.ParseGroup(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if !is(q, g.Name, g.GID) {
		return nil, fmt.Errorf("%w: it has the name %.80q and the gid %d", errAnswer, g.Name, g.GID)
	}
	if err := gate.Group(g.Name, g.GID); err != nil {
		return nil, refused(err)
	}
	g.Password = "x"
	members := g.Members[:0]
	for _, m := range g.Members {
		if gate.Member(m) == nil {
			members = append(members, m)
		}
	}
	g.Members = members
	return g.Append(nil), nil
}

func checkShadow(gate *altfiles.Gate, q question.Question, text string) ([]byte, error) {
	s, err := roster.ParseShadow(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if s.Name != q.Name {
		return nil, fmt.Errorf("%w: it has the name %.80q", errAnswer, s.Name)
	}
	if err := gate.Shadow(s); err != nil {
		return nil, refused(err)
	}
	return s.Append(nil), nil
}

func checkInitgroups(gate *altfiles.Gate, q question.Question, text string) ([]byte, error) {
	if err := gate.Member(q.Name); err != nil {
		return nil, refused(err)
	}
	var line bytes.Buffer
	for field := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(field, 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != field {
			return nil, fmt.Errorf("%w: %.80q is no gid", errAnswer, field)
		}
		if gate.GID(uint32(n)) != nil {
			continue // the others are rendered, too
		}
		if line.Len() > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(field)
	}
	return line.Bytes(), nil
}

// is reports whether an entry is the one that was asked for.
func is(q question.Question, name string, id uint32) bool {
	return name == q.Name || q.Name == "" && id == q.ID
}
