// Package question is the language in which the NSS module asks, of the agent's
// socket and of nss-live: a line there, and back one of the file, or why there is
// none.
//
//	pwb1 passwd name ada          found 40\nada:x:1000:…
//	pwb1 passwd id 1000           notfound\n
//	pwb1 group name eng           unavail\n
//	pwb1 group id 1001            denied\n
//	pwb1 shadow name ada
//	pwb1 initgroups name ada      found 9\n1001 1002
//	pwb1 current name ada
//
// The last is for root at a login, and no question of the module's: it has the agent
// make a pass, and is answered as "pwb1 passwd name ada" is afterwards.
package question

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"pwb/roster"
)

// MaxLine is the most bytes a question may have, its newline included.
const MaxLine = 512

// The databases. Initgroups has the gids of an account's groups, in decimal, with
// blanks between.
const (
	Passwd     = "passwd"
	Group      = "group"
	Shadow     = "shadow"
	Initgroups = "initgroups"
	// Current is passwd after a pass. Only the agent answers it.
	Current = "current"
)

// Question is what is asked: one entry of a database, by name or, where that is
// empty, by ID.
type Question struct {
	Database string
	Name     string
	ID       uint32
}

// ErrNever says that nothing can have the name or number that was asked for.
var ErrNever = errors.New("no account or group can have this name or number")

var errForm = errors.New(`a question is "pwb1 DATABASE name|id KEY" and a newline`)

// Read reads one question. It fails with ErrNever, beside the question's database,
// where there can be no such entry.
func Read(r io.Reader) (Question, error) {
	// Whatever follows the line is nobody's.
	line, err := bufio.NewReaderSize(io.LimitReader(r, MaxLine), MaxLine).ReadString('\n')
	if err != nil {
		return Question{}, fmt.Errorf("%w of %d bytes at most: %w", errForm, MaxLine, err)
	}
	return Parse(line[:len(line)-1])
}

// Parse reads a line without its newline.
func Parse(line string) (Question, error) {
	f := strings.Split(line, " ")
	if len(f) != 4 || f[0] != "pwb1" || f[3] == "" {
		return Question{}, errForm
	}
	q := Question{Database: f[1]}
	switch f[1] {
	case Passwd, Group:
	case Shadow, Initgroups, Current:
		if f[2] != "name" {
			return Question{}, errForm
		}
	default:
		return Question{}, errForm
	}
	switch f[2] {
	case "name":
		if roster.CheckName(f[3]) != nil {
			return q, ErrNever
		}
		q.Name = f[3]
	case "id":
		n, err := strconv.ParseUint(f[3], 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != f[3] {
			return Question{}, errForm
		}
		q.ID = uint32(n)
		if roster.CheckNumber(q.ID) != nil {
			return q, ErrNever
		}
	default:
		return Question{}, errForm
	}
	return q, nil
}

// String is the question as a line, without a newline.
func (q Question) String() string {
	if q.Name != "" {
		return "pwb1 " + q.Database + " name " + q.Name
	}
	return "pwb1 " + q.Database + " id " + strconv.FormatUint(uint64(q.ID), 10)
}

// The answers without a line.
const (
	NotFound = "notfound\n" // there is no such entry
	Unavail  = "unavail\n"  // nobody knows
	Denied   = "denied\n"   // it is not for whoever asks
)

// Found is the answer with a line, which is given without its newline.
func Found(line []byte) []byte {
	b := make([]byte, 0, len(line)+len("found 16777216\n"))
	b = append(b, "found "...)
	b = strconv.AppendInt(b, int64(len(line)), 10)
	return append(append(b, '\n'), line...)
}
