package roster

import "fmt"

// MinID is the least uid or gid that is ever given or rendered: below it lie
// root and the system's own accounts (login.defs(5), UID_MIN).
const MinID = 1000

// IDRange is a range of uids or gids, both ends included.
type IDRange struct {
	First, Last uint32
}

// Contains reports whether id lies in the range.
func (r IDRange) Contains(id uint32) bool { return r.First <= id && id <= r.Last }

// String writes the range as first-last.
func (r IDRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// ReservedIDs are the numbers that no account may be given by an allocator: the
// system's own, the ranges that systemd keeps for itself (systemd.io/UIDS-GIDS:
// homed, dynamic users, nobody, the 16-bit -1, containers), and everything from
// 2^31 on, which some programs read as negative.
var ReservedIDs = []IDRange{
	{0, MinID - 1},
	{60001, 65535},
	{524288, 1879048191},
	{1 << 31, 1<<32 - 1},
}

// Reserved reports the reserved range that holds id.
func Reserved(id uint32) (IDRange, bool) {
	for _, r := range ReservedIDs {
		if r.Contains(id) {
			return r, true
		}
	}
	return IDRange{}, false
}

// CheckNumber reports why no node may ever render id, whoever says so: it is below
// MinID, nobody's, or one of the two that mean "no id" to chown(2) and setuid(2).
func CheckNumber(id uint32) error {
	switch {
	case id == 0:
		return fmt.Errorf("id 0 is root's")
	case id < MinID:
		return fmt.Errorf("id %d is below %d, where the system's own accounts lie", id, MinID)
	case id == 65534:
		return fmt.Errorf("id %d is nobody's", id)
	case id == 65535, id == 1<<32-1:
		return fmt.Errorf("id %d means \"no id\" to the kernel", id)
	}
	return nil
}
