// Package ledger gives each subject, a person or a group, its POSIX name and
// its numbers, and never gives any of them to another: not after deletion, not
// after a rename, not after a restore.
//
// What a subject has now stands in its row of the roster; what it ever had, in
// the ledger's entries; what is remarkable about it (that it was imported, has
// left, is held by an administrator), in its Subject. All of them change in one
// transaction of the caller's, so that a failure leaves nothing behind.
//
// What cannot be done is a *Refusal, which names the field and the way out.
package ledger
