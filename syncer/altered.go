package syncer

import (
	"context"
	"errors"
	"strings"
)

// maxDifference is the most bytes of a difference that a warning shows.
const maxDifference = 2000

// alteration is what somebody else did to files that a plan is about to write.
type alteration struct {
	files      []string
	difference string
}

// findAltered looks before a commit; nil when nobody else changed anything.
func findAltered(plan Plan) (*alteration, error) {
	files, err := plan.Altered()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	var text limited
	if err := plan.WriteDiff(&text); err != nil && !errors.Is(err, errLimit) {
		return nil, err
	}
	return &alteration{files, text.String()}, nil
}

// reportAltered tells of it once it is put right.
func (s *Syncer) reportAltered(ctx context.Context, st *State, a *alteration) {
	if a == nil {
		return
	}
	st.Mends++
	st.LastMend = utcNow()
	s.log.WarnContext(ctx, "somebody else changed rendered files, which are right again; no other program should write to them",
		"files", strings.Join(a.files, "; "), "difference", a.difference)
}

// limited keeps the beginning of a text, in whole lines.
type limited struct{ strings.Builder }

var errLimit = errors.New("more than a warning shows")

func (l *limited) Write(b []byte) (int, error) {
	room := maxDifference - l.Len()
	if len(b) <= room {
		return l.Builder.Write(b)
	}
	text := string(b[:room])
	l.WriteString(text[:strings.LastIndexByte(text, '\n')+1])
	l.WriteString("…\n")
	return room, errLimit
}
