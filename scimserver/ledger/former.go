package ledger

import (
	"fmt"
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
}

// Remember enters what nodes remember and the ledger does not, so that nobody
// else is given it. It returns how many names and numbers that were; what is
// owned, or could not have been given, is passed over.
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
	}
	return taken, nil
}
