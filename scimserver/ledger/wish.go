package ledger

import (
	"time"

	"pwb/roster"
)

// Wish is what a provider or an administrator wants of an account. Zero fields
// say nothing: the ledger chooses, or leaves what there is.
type Wish struct {
	// UserName is as it was given, Folded the form in which userNames are
	// compared, ExternalID the provider's own id.
	UserName, Folded, ExternalID string
	// Gecos is the full name.
	Gecos string
	// Hash is a new crypt(5) hash.
	Hash string
	// Active is whether the provider lets the user log in.
	Active bool
	// Admin is whether the user belongs to the administrators' group; nil: not said.
	Admin *bool
	// Keys are the SSH keys that may log in, as roster.ParseKeys returns them.
	// Unlike other fields they are all that the account then has.
	Keys []string
	// End is when the account is to lock by itself; zero: never.
	End time.Time

	// Name, UID, GID, Home and Shell are posixUserName, posixUserId,
	// posixGroupId, homeDirectory and loginShell.
	Name        string
	UID, GID    uint32
	Home, Shell string
}

// The SCIM attributes that refusals name.
const (
	fieldUserName  = "userName"
	fieldName      = "posixUserName"
	fieldUID       = "posixUserId"
	fieldGID       = "posixGroupId"
	fieldHome      = "homeDirectory"
	fieldShell     = "loginShell"
	fieldGroupName = "posixGroupName"
)

// since is the wish without what it has in common with an earlier one: what was
// granted then, or was not, is not asked for again.
func (w Wish) since(was Wish) Wish {
	if w.Name == was.Name {
		w.Name = ""
	}
	if w.UID == was.UID {
		w.UID = 0
	}
	if w.GID == was.GID {
		w.GID = 0
	}
	if w.Home == was.Home {
		w.Home = ""
	}
	if w.Shell == was.Shell {
		w.Shell = ""
	}
	return w
}

// check reports what is wrong with the wish whatever the ledger holds.
func (w Wish) check() error {
	for _, n := range []struct {
		field  string
		number uint32
	}{{fieldUID, w.UID}, {fieldGID, w.GID}} {
		if n.number != 0 {
			if err := CheckGivenID(int64(n.number)); err != nil {
				return refuse(Invalid, n.field, "%v: choose another, or leave it out to be given one", err)
			}
		}
	}
	if w.Name != "" {
		if err := checkGivenName(w.Name); err != nil {
			return refuse(Invalid, fieldName, "%v: choose another, or leave it out to be given one", err)
		}
	}
	if w.Home != "" {
		if err := roster.CheckHome(w.Home); err != nil {
			return refuse(Invalid, fieldHome, "%v, or leave it out to be given one", err)
		}
	}
	if w.Shell != "" {
		if err := roster.CheckPath(w.Shell); err != nil {
			return refuse(Invalid, fieldShell, "%v: choose another, or leave it out to be given one", err)
		}
	}
	return nil
}

// ended reports whether the moment has come.
func ended(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// expireDay is the first whole day (shadow(5): days since 1970-01-01 UTC) on
// which an account that ends then is over: what keeps a node right that does
// not reach the server when the moment comes.
func expireDay(end time.Time) int64 {
	if end.IsZero() {
		return 0
	}
	const day = 24 * 60 * 60
	return max(1, (end.Unix()+day-1)/day)
}

// locked is whether nobody may log in to the subject's account.
func (s Subject) locked(active bool, now time.Time) bool {
	return !active || s.Held || s.State == Departed || s.State == Buried || ended(s.Ends(), now)
}

// due is when something is to be done about the subject next.
func (l *Ledger) due(s Subject, now time.Time) (due time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	for _, a := range s.Aliases {
		sooner(a.Until)
	}
	if now.Before(s.Ends()) && s.State != Buried {
		sooner(s.Ends())
	}
	if s.State == Departed && l.cfg.Retention > 0 {
		sooner(s.Since.Add(l.cfg.Retention))
	}
	return due
}

// remember stores the subject unless nothing about it is remarkable and never was.
func (l *Ledger) remember(tx Tx, before, after Subject) error {
	after.Due = l.due(after, l.moment())
	if same(before, after) {
		return nil
	}
	return tx.PutSubject(after)
}

func same(a, b Subject) bool {
	if a.State != b.State || !a.Since.Equal(b.Since) || a.UserName != b.UserName || a.ExternalID != b.ExternalID ||
		a.JoinedImported != b.JoinedImported || a.Primary != b.Primary || a.Claimed != b.Claimed || a.WasImported != b.WasImported || !a.Limit.Equal(b.Limit) || a.Held != b.Held || a.Readmit != b.Readmit || !a.End.Equal(b.End) || !a.Due.Equal(b.Due) || len(a.Aliases) != len(b.Aliases) {
		return false
	}
	for i := range a.Aliases {
		if a.Aliases[i].Name != b.Aliases[i].Name || !a.Aliases[i].Until.Equal(b.Aliases[i].Until) {
			return false
		}
	}
	return (a.Account == nil) == (b.Account == nil) && (a.Group == nil) == (b.Group == nil)
}

// names are the aliases as the roster has them.
func (s Subject) names() []string {
	var all []string
	for _, a := range s.Aliases {
		all = append(all, a.Name)
	}
	return all
}

// Change is what a method did to an account: as it was, without an ID when it
// was not there, and as it is.
type Change struct{ Before, After roster.Account }

// GroupChange is what a method did to a group.
type GroupChange struct{ Before, After roster.Group }
