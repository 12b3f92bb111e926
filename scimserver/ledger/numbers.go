package ledger

import (
	"fmt"
	"slices"

	"pwb/roster"
)

// maxGiven is the greatest number that is given or taken from a provider: what
// some programs read as negative begins behind it.
const maxGiven = 1<<31 - 1

// next finds the least number of a range that no subject owns or owned, as uid
// or as gid, and that nobody else is known to use, and moves the cursor behind
// it: numbers only ever become taken, so that what was passed once need not be
// looked at again.
func (l *Ledger) next(tx Tx, slot Slot) (uint32, error) {
	first, last, what, key := l.cfg.StartUID, l.cfg.EndUID, "uid", "user-provisioning-end-uid"
	if slot == GroupSlot {
		if l.cfg.StartGID == l.cfg.StartUID {
			slot = UserSlot // one sequence
		}
		first, last, what, key = l.cfg.StartGID, l.cfg.EndGID, "gid", "group-provisioning-end-gid"
	}
	local := l.local.Load()
	for n := uint64(max(tx.Cursor(slot, first), first)); n <= uint64(last); n++ {
		number := uint32(n)
		if r, ok := l.excluded(number); ok {
			n = uint64(r.Last)
			continue
		}
		if len(local.numbers[number]) > 0 {
			continue
		}
		free, err := unowned(tx, number)
		if err != nil {
			return 0, err
		}
		if free {
			tx.SetCursor(slot, first, number+1)
			return number, nil
		}
	}
	return 0, refuse(Exhausted, "", "no %s is free any more from %d to %d: raise %s, or look for room with pwb-server ids check", what, first, last, key)
}

// excluded returns the range that the number may not be given from.
func (l *Ledger) excluded(number uint32) (roster.IDRange, bool) {
	if r, ok := roster.Reserved(number); ok {
		return r, true
	}
	for _, r := range l.cfg.Excluded {
		if r.Contains(number) {
			return r, true
		}
	}
	return roster.IDRange{}, false
}

// unowned reports whether no subject and no node has the number.
func unowned(tx View, number uint32) (bool, error) {
	uid, gid, err := tx.IDOwners(number)
	if err != nil {
		return false, fmt.Errorf("look up who owns id %d: %w", number, err)
	}
	if uid.Subject != "" || gid.Subject != "" {
		return false, nil
	}
	node, err := tx.NodeWithID(number)
	if err != nil {
		return false, fmt.Errorf("look up which node has id %d: %w", number, err)
	}
	return node == "", nil
}

// CheckGivenID reports why nobody may choose the number: it is the system's,
// or one that systemd gives to others (systemd.io/UIDS-GIDS). The ranges of
// containers are allowed, since directories with large numbers are older.
func CheckGivenID(number int64) error {
	switch {
	case number < roster.MinID:
		return fmt.Errorf("%d is below %d, where the system's own accounts lie", number, roster.MinID)
	case number > maxGiven:
		return fmt.Errorf("%d is above %d, which some programs read as negative", number, maxGiven)
	case 60001 <= number && number <= 65535:
		return fmt.Errorf("%d lies in 60001-65535, which is reserved for the system", number)
	}
	return nil
}

// giveNextUID and giveNextGID make the next free number the subject's.
func (l *Ledger) giveNextUID(tx Tx, e Entry) (uint32, error) {
	uid, err := l.next(tx, UserSlot)
	if err != nil {
		return 0, err
	}
	return uid, giveUID(tx, uid, e)
}

func (l *Ledger) giveNextGID(tx Tx, e Entry) (uint32, error) {
	gid, err := l.next(tx, GroupSlot)
	if err != nil {
		return 0, err
	}
	return gid, giveGID(tx, gid, e)
}

func giveUID(tx Tx, uid uint32, e Entry) error {
	if err := tx.GiveUID(uid, e); err != nil {
		return fmt.Errorf("give %s the uid %d: %w", e.Name, uid, err)
	}
	return nil
}

func giveGID(tx Tx, gid uint32, e Entry) error {
	if err := tx.GiveGID(gid, e); err != nil {
		return fmt.Errorf("give %s the gid %d: %w", e.Name, gid, err)
	}
	return nil
}

// claimUID and claimGID make a number that somebody chose the subject's. They
// fail with a Refusal when it is another's.
func (l *Ledger) claimUID(tx Tx, uid uint32, e Entry) error {
	owner, _, err := tx.IDOwners(uid)
	if err := l.checkClaim(tx, fieldUID, "uid", uid, owner, err, e); err != nil {
		return err
	}
	return giveUID(tx, uid, e)
}

func (l *Ledger) claimGID(tx Tx, gid uint32, e Entry) error {
	_, owner, err := tx.IDOwners(gid)
	if err := l.checkClaim(tx, fieldGID, "gid", gid, owner, err, e); err != nil {
		return err
	}
	return giveGID(tx, gid, e)
}

// checkClaim reports why a number, which has that owner, cannot be claimed; err is
// of looking that up.
func (l *Ledger) checkClaim(tx View, field, what string, number uint32, owner Entry, err error, e Entry) error {
	if err := CheckGivenID(int64(number)); err != nil {
		return refuse(Invalid, field, "%v: choose another, or leave it out to be given one", err)
	}
	switch {
	case err != nil:
		return fmt.Errorf("look up who owns id %d: %w", number, err)
	case owner.Subject == e.Subject:
		return nil
	case owner.Subject != "":
		return refuse(Taken, field, "%d is the %s of %s (subject %s, since %s): choose another, or leave it out to be given one", number, what, owner.Name, owner.Subject, day(owner.Given))
	}
	return l.checkOthers(tx, field, number, e.Name)
}

// checkOthers refuses a number that the server's host or a node has for somebody
// else; under the same name it is taken for the same person.
func (l *Ledger) checkOthers(tx View, field string, number uint32, name string) error {
	if holders := l.local.Load().numbers[number]; len(holders) > 0 && !slices.Contains(holders, name) {
		return refuse(Taken, field, "%d is in use on the server's own host, and not by %s: choose another", number, name)
	}
	node, err := tx.NodeWithID(number)
	if err != nil {
		return fmt.Errorf("look up which node has id %d: %w", number, err)
	}
	if node == "" {
		return nil
	}
	same, err := tx.NodeWithName(name)
	if err != nil {
		return fmt.Errorf("look up which node has the name %s: %w", name, err)
	}
	if same == "" {
		return refuse(Taken, field, "%d is in use on the node %s, and not by %s: choose another", number, node, name)
	}
	return nil
}
