package roster

import (
	"bytes"
	"strconv"
)

// LocalEntry reads a line of a node's own passwd or group file, passwd(5) and group(5),
// as generously as the C library does: without its last fields, with blanks around it.
// fields begin with the name, and the fifth of them is all the rest. It reports false
// for comments, the + and - lines of nss_compat, and what is no entry.
func LocalEntry(line []byte) (fields [][]byte, ok bool) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || bytes.IndexByte([]byte("#+-:"), line[0]) >= 0 {
		return nil, false
	}
	fields = bytes.SplitN(line, []byte{':'}, 5)
	return fields, len(fields) >= 2
}

// LocalID is the number in a field of such an entry, blanks around it or not: the third
// is a uid, or a group's gid, the fourth an account's gid. It reports false where there
// is none.
func LocalID(fields [][]byte, i int) (uint32, bool) {
	if i >= len(fields) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(fields[i])), 10, 32)
	return uint32(n), err == nil
}
