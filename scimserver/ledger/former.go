package ledger

import (
	"fmt"
	"path"
	"strings"

	"pwb/roster"
)

// Former is an account or group that a node had from this server before the
// server was put back from a backup, and that the backup does not know.
type Former struct {
	// Key is the row's key: a/ID or g/ID.
	Key  string `json:"key"`
	Name string `json:"name"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Home string `json:"home"`
}

// Remember enters what nodes remember and the ledger does not, so that nobody
// else is given it. It returns how many names and numbers that were; what is
// owned, or could not have been given, is passed over. An account that is the
// subject's as a whole comes back with the first user of its name.
func (l *Ledger) Remember(tx Tx, former []Former) (taken int, err error) {
	for _, f := range former {
		kind, id, _ := strings.Cut(f.Key, "/")
		if kind != "a" && kind != "g" || roster.CheckID(id) != nil || roster.CheckName(f.Name) != nil {
			continue
		}
		e := Entry{Subject: id, Name: f.Name, Given: l.moment()}
		owner, err := tx.NameOwner(f.Name)
		if err != nil {
			return 0, err
		}
		if owner.Subject == "" {
			if err := l.giveName(tx, f.Name, e); err != nil {
				return 0, err
			}
			taken++
		}
		for _, n := range []struct {
			number uint32
			uid    bool
		}{{f.UID, true}, {f.GID, false}} {
			if n.uid && kind == "g" || CheckGivenID(int64(n.number)) != nil {
				continue
			}
			uid, gid, err := tx.IDOwners(n.number)
			if err != nil {
				return 0, err
			}
			switch {
			case n.uid && uid.Subject == "":
				err = tx.GiveUID(n.number, e)
			case !n.uid && gid.Subject == "":
				err = tx.GiveGID(n.number, e)
			default:
				continue
			}
			if err != nil {
				return 0, fmt.Errorf("remember id %d: %w", n.number, err)
			}
			taken++
		}
		if kind == "a" {
			if err := l.bringBack(tx, id, f); err != nil {
				return 0, err
			}
		}
	}
	return taken, nil
}

// bringBack makes a subject of which only nodes know one that is buried, and to
// be readmitted.
func (l *Ledger) bringBack(tx Tx, id string, f Former) error {
	name, err := tx.NameOwner(f.Name)
	if err != nil {
		return err
	}
	uid, _, err := tx.IDOwners(f.UID)
	if err != nil {
		return err
	}
	_, gid, err := tx.IDOwners(f.GID)
	if err != nil {
		return err
	}
	if name.Subject != id || uid.Subject != id || gid.Subject != id || roster.Protected(f.Name) {
		return nil
	}
	if account, err := Has(tx, roster.AccountKey(id)); err != nil || account {
		return err
	}
	s, err := tx.Subject(id)
	if err != nil || s.State != Present || s.Account != nil {
		return err
	}
	home := f.Home
	if roster.CheckHome(home) != nil {
		home = path.Join(l.cfg.HomeDir, f.Name)
	}
	s.State, s.Since, s.Readmit = Buried, l.moment(), true
	s.Account = &roster.Account{ID: id, Name: f.Name, UID: f.UID, GID: f.GID, Home: home, Shell: l.cfg.Shell}
	return tx.PutSubject(s)
}
