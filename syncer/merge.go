package syncer

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"

	"pwb/roster"
)

// changes are the rows of one roster in ascending order of their keys. A roster
// that comes to its end without an error is proven: its rows add up to the sum
// of its position. The bytes of a row hold until the next one.
type changes = iter.Seq2[roster.Change, error]

// errUnfit says that a delta is whole but does not lead from the mirror's
// roster to the one it promises.
var errUnfit = errors.New("the delta does not fit this node's mirror")

// whole yields the rows of a snapshot.
func whole(r *roster.Reader) changes {
	return func(yield func(roster.Change, error) bool) {
		var sum roster.Sum
		for {
			c, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				yield(roster.Change{}, hideContent(err))
				return
			}
			sum.Add(c.Line)
			if !yield(c, nil) {
				return
			}
		}
		if to := r.Header().To; sum != to.Sum {
			yield(roster.Change{}, fmt.Errorf("the rows add up to %v, not to the sum of position %v", sum, to))
		}
	}
}

// merged yields the rows of old after delta, reading both as it goes. Two sums are
// kept: one that is carried on from old's, which tells whether delta fits, and
// that of all rows, which tells whether old is what it says.
//
// It fails with ErrMirror when old is damaged, with errUnfit when delta is whole
// but wrong, and with what reading delta failed with when it was cut.
func merged(old, delta *roster.Reader) changes {
	return func(yield func(roster.Change, error) bool) {
		fail := func(err error) { yield(roster.Change{}, err) }
		sum := old.Header().To.Sum
		var all roster.Sum
		var o, d roster.Change
		var oEnd, dEnd bool
		nextOld := func() (err error) {
			if o, err = old.Next(); err == io.EOF {
				oEnd, err = true, nil
			}
			return damaged(err)
		}
		nextDelta := func() (err error) {
			if d, err = delta.Next(); err == io.EOF {
				dEnd, err = true, nil
			}
			return unfit(err)
		}
		if err := nextOld(); err != nil {
			fail(err)
			return
		}
		if err := nextDelta(); err != nil {
			fail(err)
			return
		}
		for !oEnd || !dEnd {
			useOld := !oEnd && (dEnd || o.Key <= d.Key)
			useDelta := !dEnd && (oEnd || d.Key <= o.Key)
			if useOld && useDelta {
				sum.Remove(o.Line)
			}
			switch {
			case !useDelta:
				all.Add(o.Line)
				if !yield(o, nil) {
					return
				}
			case d.Line != nil: // else it is gone, or came and went since
				sum.Add(d.Line)
				all.Add(d.Line)
				if !yield(d, nil) {
					return
				}
			}
			if useOld {
				if err := nextOld(); err != nil {
					fail(err)
					return
				}
			}
			if useDelta {
				if err := nextDelta(); err != nil {
					fail(err)
					return
				}
			}
		}
		if to := delta.Header().To; sum != to.Sum {
			fail(fmt.Errorf("%w: the rows add up to %v, not to the sum of position %v", errUnfit, sum, to))
		} else if all != sum {
			fail(fmt.Errorf("%w: its rows do not add up to the sum of position %v", ErrMirror, old.Header().To))
		}
	}
}

func damaged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrMirror, hideContent(err))
}

// unfit tells a delta that came whole and is wrong, which a snapshot may mend,
// from one that was cut on its way.
func unfit(err error) error {
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if _, ok := errors.AsType[*wireError](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", errUnfit, hideContent(err))
}

// wire marks the errors of a body as those of the way here, not of the content.
type wire struct{ r io.Reader }

func (w wire) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		err = &wireError{err}
	}
	return n, err
}

type wireError struct{ err error }

func (e *wireError) Error() string { return e.err.Error() }
func (e *wireError) Unwrap() error { return e.err }

// contentError is an error about a line that was not understood.
type contentError struct {
	text string
	err  error
}

func (e *contentError) Error() string { return e.text }
func (e *contentError) Unwrap() error { return e.err }

var (
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	quotedKey = regexp.MustCompile(`^"([agm]/[A-Za-z0-9._/-]*)?"$`)
)

// hideContent takes what err quotes out of its text, keys excepted: a line that
// could not be read may be any part of a row, a password hash for instance.
func hideContent(err error) error {
	text := quoted.ReplaceAllStringFunc(err.Error(), func(q string) string {
		if quotedKey.MatchString(q) {
			return q
		}
		return "(content not shown)"
	})
	if text == err.Error() {
		return err
	}
	return &contentError{text: text, err: err}
}
