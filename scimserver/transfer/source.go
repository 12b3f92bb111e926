package transfer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"pwb/roster"
)

// Source is one file of one node.
type Source struct {
	// Node is the node's name: letters, digits, '.', '-' and '_', at most 253
	// bytes. No two sources have the same.
	Node string
	// File is the name of the file, for messages alone.
	File string
	Data io.Reader
}

// Rules say what is never imported from passwd and group files.
type Rules struct {
	// Floor is the least uid and gid that is imported. What is below
	// roster.MinID is never imported, so 0 means that.
	Floor uint32
	// Protected reports whether a name belongs to the system. It must be set.
	Protected func(name string) bool
}

// Skip is a line that is not imported, and why.
type Skip struct {
	Node, File string
	// Line counts from 1.
	Line int
	// Name is empty where the line has none that can be imported.
	Name   string
	Reason string
}

// String writes it as node, file:line: name: reason.
func (s Skip) String() string {
	name := ""
	if s.Name != "" {
		name = s.Name + ": "
	}
	return fmt.Sprintf("%s, %s:%d: %s%s", s.Node, s.File, s.Line, name, s.Reason)
}

// Note is something that an administrator should know and need not decide.
type Note struct {
	// Node is empty for what is not about one node.
	Node string
	Name string
	Text string
}

// String writes it as node: name: text.
func (n Note) String() string {
	if n.Node == "" {
		return n.Name + ": " + n.Text
	}
	return n.Node + ": " + n.Name + ": " + n.Text
}

// The limits of the files. A line of group(5) lists members, 100,000 of them at
// 10 bytes each.
const (
	maxLine      = 64 << 10
	maxGroupLine = 1 << 20
	maxLines     = 1_000_000
	maxNode      = 253
)

var errLimit = errors.New("limit")

// eachLine calls do for every line, without its newline, counted from 1. It
// fails when a line has more than limit bytes or there are more than maxLines.
func eachLine(r io.Reader, limit int, do func(n int, line string) error) error {
	in := bufio.NewReaderSize(r, limit+1)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case errors.Is(err, bufio.ErrBufferFull), err == io.EOF && len(line) > limit:
			return fmt.Errorf("%w: line %d has more than %d bytes", errLimit, n, limit)
		case err != nil && err != io.EOF:
			return fmt.Errorf("line %d: %w", n, err)
		case n > maxLines:
			return fmt.Errorf("%w: it has more than %d lines", errLimit, maxLines)
		}
		if err := do(n, strings.TrimSuffix(string(line), "\n")); err != nil {
			return err
		}
	}
}

// eachSourceLine calls do for every line of every source that is not blank. The
// kind of the files is for the errors.
func eachSourceLine(kind string, sources []Source, limit int, do func(s Source, n int, line string)) error {
	files := map[string]string{}
	for _, s := range sources {
		if err := checkNode(s.Node); err != nil {
			return err
		}
		if other, ok := files[s.Node]; ok {
			return fmt.Errorf("node %s is given twice, with %s and %s: give each node one %s file", s.Node, other, s.File, kind)
		}
		files[s.Node] = s.File
	}
	for _, s := range sources {
		err := eachLine(s.Data, limit, func(n int, line string) error {
			if strings.Trim(line, " \t\r") != "" {
				do(s, n, line)
			}
			return nil
		})
		switch {
		case errors.Is(err, errLimit):
			return fmt.Errorf("%s file %s of node %s: over the %w: is this the right file?", kind, s.File, s.Node, err)
		case err != nil:
			return fmt.Errorf("reading %s file %s of node %s: %w", kind, s.File, s.Node, err)
		}
	}
	return nil
}

func checkNode(s string) error {
	ok := s != "" && len(s) <= maxNode
	for i := range len(s) {
		c := s[i]
		ok = ok && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(".-_", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("%.80q is no name of a node: use 1 to %d letters, digits, '.', '-' and '_'", s, maxNode)
	}
	return nil
}

// check completes the rules.
func (r Rules) check() (Rules, error) {
	if r.Protected == nil {
		return r, errors.New("the rules of the import have no list of protected names: set one")
	}
	r.Floor = max(r.Floor, roster.MinID)
	return r, nil
}

// number reports why a uid or gid is never imported.
func (r Rules) number(what string, id uint32) error {
	if err := roster.CheckNumber(id); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if id < r.Floor {
		return fmt.Errorf("%s: id %d is below %d, the least that is imported", what, id, r.Floor)
	}
	return nil
}

// name reports why a name is never imported. What looks as if it could hold a
// hash, the fields of a line having got out of place, is not shown.
func (r Rules) name(s string) error {
	if err := roster.CheckName(s); err != nil {
		if strings.ContainsAny(strings.TrimSuffix(s, "$"), "$!*/") || len(s) > roster.MaxName {
			return errors.New("its name (not shown) is no name here")
		}
		return err
	}
	if r.Protected(s) {
		return fmt.Errorf("name %q is protected, it is one of the system's own", s)
	}
	return nil
}

// noLine reports why a line is no entry at all, or "".
func noLine(line string) string {
	switch line[0] {
	case '#':
		return "it is a comment"
	case '+', '-':
		return "it is a line of nss_compat, for the entries of another service"
	}
	return ""
}

// malformed says what is wrong with a line that has not the fields it must
// have. It shows none of them, for one may be a hash.
func malformed(line string, fields int, numbers string) string {
	if n := strings.Count(line, ":") + 1; n != fields {
		return fmt.Sprintf("it has %d fields, not %d", n, fields)
	}
	return "its name is empty or its " + numbers + " is no number from 0 to 4294967295"
}
