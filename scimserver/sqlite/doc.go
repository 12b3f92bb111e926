// Package sqlite is the embedded store: scimserver.Store in one SQLite file.
//
// The file is in WAL mode with synchronous=FULL, so that a commit has reached
// the disk when it returns. One goroutine owns the only writing connection and
// commits the updates that wait together as one; readers have a pool of their
// own and are never held up by it. Another process, such as an
// administrator's command, may open the same file at the same time.
//
// Backup and Restore copy a store to one file and put it back, also while a
// server has it open.
package sqlite
