package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pwb/roster"
)

// CloseAccount locks the account of a user who is deleted: name and uid stay
// resolvable, so that the files that remain have an owner, until the retention
// is over. Who comes back is recognised by folded userName and externalID, and
// brings SSH keys of its own: nobody vouches for the former ones any more.
func (l *Ledger) CloseAccount(tx Tx, id, userName, externalID string) (Change, error) {
	a, known, err := l.account(tx, id)
	if err != nil {
		return Change{}, err
	}
	before, s := a, known
	s.State, s.Since, s.UserName, s.ExternalID, s.Readmit = Departed, l.moment(), userName, externalID, false
	a.Locked, a.Keys = true, nil
	if err := l.put(tx, before, &a, known, s); err != nil {
		return Change{}, err
	}
	no := false
	if err := l.setAdmin(tx, id, &no); err != nil {
		return Change{}, err
	}
	if known.JoinedImported {
		err = l.dropMemberships(tx, id)
	}
	return Change{before, a}, err
}

// dropMemberships takes an account out of the groups that it was imported with,
// which no provider knows of.
func (l *Ledger) dropMemberships(tx Tx, id string) error {
	var keys []string
	err := tx.RowsUnder("g/", func(c roster.Change) error {
		keys = append(keys, roster.MemberKey(strings.TrimPrefix(c.Key, "g/"), id))
		return nil
	})
	for _, key := range keys {
		err = errors.Join(err, tx.DropRow(key))
	}
	return err
}

// Readmit says that the next user with the (folded) userName is the subject who
// departed, whatever the provider's own id is. An empty userName keeps the one
// that the subject had.
func (l *Ledger) Readmit(tx Tx, id, userName string) error {
	s, err := tx.Subject(id)
	if err != nil {
		return err
	}
	if s.State != Departed && s.State != Buried {
		return refuse(Invalid, "", "subject %s has not departed: there is nobody to readmit", id)
	}
	known := s
	s.Readmit = true
	if userName != "" {
		s.UserName = userName
	}
	if s.UserName == "" {
		return refuse(Invalid, fieldUserName, "is not known of subject %s: say which userName comes back", id)
	}
	return l.remember(tx, known, s)
}

// Hold locks an account whatever the provider says, until Release.
func (l *Ledger) Hold(tx Tx, id string) (Change, error) {
	return l.setHeld(tx, id, true, true)
}

// Release ends Hold; active is whether the provider lets the user log in.
func (l *Ledger) Release(tx Tx, id string, active bool) (Change, error) {
	return l.setHeld(tx, id, false, active)
}

func (l *Ledger) setHeld(tx Tx, id string, held, active bool) (Change, error) {
	a, known, err := l.account(tx, id)
	if err != nil {
		return Change{}, err
	}
	before, s := a, known
	if s.Held = held; !held && ended(s.Limit, l.moment()) {
		s.Limit = time.Time{} // an administrator's word against another's
	}
	a.Locked = s.locked(active, l.moment())
	return Change{before, a}, l.put(tx, before, &a, known, s)
}

// Reschedule sets anew when something is to be done about each subject, as the
// configuration now says. It returns how many were changed.
func (l *Ledger) Reschedule(tx Tx) (changed int, err error) {
	now := l.moment()
	var others []Subject
	err = tx.Subjects(func(s Subject) error {
		if due := l.due(s, now); !due.Equal(s.Due) && (s.Due.IsZero() || s.Due.After(now)) { // what is due is Tend's
			s.Due = due
			others = append(others, s)
		}
		return nil
	})
	for _, s := range others {
		err = errors.Join(err, tx.PutSubject(s))
	}
	return len(others), err
}

// Done is something that Tend did.
type Done struct {
	// Action is "user.alias-ended", "user.ended" or "user.buried".
	Action string
	Change
}

// Tend does what is due: former names stop working, accounts end, and those of
// departed subjects go when their retention is over. It does a limited amount
// and reports whether there may be more.
func (l *Ledger) Tend(tx Tx) (done []Done, more bool, err error) {
	const limit = 100
	now := l.moment()
	due, err := tx.Due(now, limit)
	if err != nil {
		return nil, false, fmt.Errorf("look up what is due: %w", err)
	}
	for _, s := range due {
		d, err := l.tend(tx, s, now)
		if err != nil {
			// One that cannot be tended does not keep the others waiting.
			l.log.Error("what is due of a subject cannot be done; it is tried again in an hour", "subject", s.ID, "error", err)
			s.Due = now.Add(time.Hour)
			if err := tx.PutSubject(s); err != nil {
				return nil, false, fmt.Errorf("subject %s: %w", s.ID, err)
			}
		}
		done = append(done, d...)
	}
	return done, len(due) == limit, nil
}

func (l *Ledger) tend(tx Tx, known Subject, now time.Time) (done []Done, err error) {
	a, _, err := l.account(tx, known.ID)
	if errors.Is(err, ErrNotFound) { // a subject without an account has nothing to do
		s := known
		s.Aliases, s.End, s.Limit = nil, time.Time{}, time.Time{}
		return nil, tx.PutSubject(withoutDue(s))
	}
	if err != nil {
		return nil, err
	}
	s := known
	s.Aliases = slices.DeleteFunc(slices.Clone(s.Aliases), func(al Alias) bool { return !now.Before(al.Until) })
	before := a
	if len(s.Aliases) < len(known.Aliases) {
		done = append(done, Done{"user.alias-ended", Change{}})
	}
	if ended(s.Ends(), now) && !a.Locked {
		a.Locked = true
		done = append(done, Done{"user.ended", Change{}})
	}
	if s.State == Departed && l.cfg.Retention > 0 && !now.Before(s.Since.Add(l.cfg.Retention)) {
		if err := l.bury(tx, a, &s); err != nil {
			return nil, err
		}
		return []Done{{"user.buried", Change{before, a}}}, nil
	}
	if err := l.put(tx, before, &a, known, s); err != nil {
		return nil, err
	}
	for i := range done {
		done[i].Change = Change{before, a}
	}
	return done, nil
}

func withoutDue(s Subject) Subject {
	s.Due = time.Time{}
	return s
}

// bury takes an account out of the roster; the ledger remembers it.
func (l *Ledger) bury(tx Tx, a roster.Account, s *Subject) error {
	kept := a
	kept.Hash, kept.Aliases, kept.Keys = "", nil, nil
	s.State, s.Aliases, s.Account = Buried, nil, &kept
	if err := tx.DropRow(roster.AccountKey(a.ID)); err != nil {
		return err
	}
	if !a.PrivateGroup() {
		if err := tx.DropRow(roster.GroupKey(a.ID)); err != nil {
			return err
		}
	}
	return tx.PutSubject(withoutDue(*s))
}
