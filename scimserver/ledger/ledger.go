package ledger

import (
	"cmp"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"pwb/roster"
)

// Config says what a Ledger gives. Zero fields get the defaults named here.
type Config struct {
	// StartUID is the least uid to give, default and least 1000; EndUID the
	// greatest, default 2147483647.
	StartUID, EndUID uint32
	// StartGID and EndGID bound the gids of groups; default the users' range,
	// from which both are then given in one sequence.
	StartGID, EndGID uint32
	// Excluded are ranges that nothing is given from, beside those of
	// roster.ReservedIDs.
	Excluded []roster.IDRange
	// HomeDir is the directory in which homes lie, default /home.
	HomeDir string
	// Shell is the login shell of new accounts, default /bin/bash.
	Shell string
	// Rewrite changes a userName before a name is made of it; nil: nothing.
	Rewrite *Rule
	// AliasTime is how long a former name works after a rename; 0: not at all.
	AliasTime time.Duration
	// Retention is how long the account of a user who was deleted stays, locked;
	// 0: for ever.
	Retention time.Duration
	// AdminGroup is the name of the group of those whose admin attribute is
	// true; empty: there is none.
	AdminGroup string
	// Adopt lets a new user take over the account of the same name that the
	// server's own host has, if it is a person's.
	Adopt bool
	// Local is what the server's own host has; nil: nothing.
	Local *Local
	// Log hears of names that were not to be had; nil drops it.
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Ledger gives names and numbers. Its methods that take a Tx are called within
// one transaction of it; they may be called concurrently.
type Ledger struct {
	cfg   Config
	local atomic.Pointer[Local]
	log   *slog.Logger
	now   func() time.Time
}

// New checks cfg and fills in its defaults.
func New(cfg Config) (*Ledger, error) {
	cfg.StartUID = cmp.Or(cfg.StartUID, roster.MinID)
	cfg.EndUID = cmp.Or(cfg.EndUID, maxGiven)
	if cfg.StartGID == 0 {
		cfg.StartGID, cfg.EndGID = cfg.StartUID, cmp.Or(cfg.EndGID, cfg.EndUID)
	}
	cfg.EndGID = cmp.Or(cfg.EndGID, maxGiven)
	cfg.HomeDir = cmp.Or(cfg.HomeDir, "/home")
	cfg.Shell = cmp.Or(cfg.Shell, "/bin/bash")
	for _, r := range []struct {
		first, last string
		roster.IDRange
	}{
		{"user-provisioning-start-uid", "user-provisioning-end-uid", roster.IDRange{First: cfg.StartUID, Last: cfg.EndUID}},
		{"group-provisioning-start-gid", "group-provisioning-end-gid", roster.IDRange{First: cfg.StartGID, Last: cfg.EndGID}},
	} {
		if r.First < roster.MinID {
			return nil, fmt.Errorf("%s is %d: below %d lie the system's own accounts", r.first, r.First, roster.MinID)
		}
		if taken, ok := roster.Reserved(r.First); ok {
			return nil, fmt.Errorf("%s is %d: %v is reserved for the system", r.first, r.First, taken)
		}
		if r.Last < r.First || r.Last > maxGiven {
			return nil, fmt.Errorf("%s is %d, which is not from %s, %d, to %d", r.last, r.Last, r.first, r.First, maxGiven)
		}
	}
	if cfg.HomeDir == "/" {
		return nil, fmt.Errorf("user-homedir-path %q would put homes between the system's directories: choose one such as /home", cfg.HomeDir)
	}
	if err := roster.CheckPath(cfg.HomeDir); err != nil {
		return nil, fmt.Errorf("user-homedir-path %w", err)
	}
	if err := roster.CheckHome(path.Join(cfg.HomeDir, "name")); err != nil {
		return nil, fmt.Errorf("user-homedir-path %q: a home such as %w", cfg.HomeDir, err)
	}
	if err := roster.CheckPath(cfg.Shell); err != nil {
		return nil, fmt.Errorf("user-shell %w", err)
	}
	if cfg.AdminGroup != "" {
		if err := checkGivenName(cfg.AdminGroup); err != nil {
			return nil, fmt.Errorf("admin-group: %w", err)
		}
	}
	if cfg.AliasTime < 0 || cfg.Retention < 0 {
		return nil, fmt.Errorf("user-alias-days and user-retention-days must not be negative")
	}
	l := &Ledger{cfg: cfg, log: cfg.Log, now: cfg.Now}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	l.SetLocal(cfg.Local)
	return l, nil
}

// SetLocal replaces what is known of the server's own host.
func (l *Ledger) SetLocal(local *Local) {
	if local == nil {
		local = &Local{}
	}
	l.local.Store(local)
}

// moment is now in the precision that is stored.
func (l *Ledger) moment() time.Time { return l.now().UTC().Truncate(time.Millisecond) }

// Cause is why something is refused.
type Cause uint8

// The causes, with what they are in SCIM (RFC 7644 §3.12).
const (
	Invalid   Cause = iota // the value itself cannot be: invalidValue
	Taken                  // it is somebody else's: uniqueness
	Immutable              // it may not change this way: mutability
	Exhausted              // nothing is left to give
)

// Refusal is why the ledger does not do what it was asked for.
type Refusal struct {
	Cause Cause
	// Field is the SCIM attribute that it is about, or empty.
	Field string
	// Reason names the value, what is wrong with it, and the way out.
	Reason string
}

// Error implements error.
func (r *Refusal) Error() string { return strings.TrimSpace(r.Field + " " + r.Reason) }

func refuse(cause Cause, field, format string, args ...any) error {
	return &Refusal{cause, field, fmt.Sprintf(format, args...)}
}
