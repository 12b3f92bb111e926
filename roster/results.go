package roster

// What a node reports of a pass that held the files back begins with one of
// these, so that the server can tell such a node from one whose pass failed.
const (
	ResultFuse   = "the fuse holds"
	ResultPinned = "pinned to generation"
)
