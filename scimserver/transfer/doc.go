// Package transfer plans how local accounts of several nodes move into pwb: it
// reads their passwd(5), shadow(5) and group(5) files, finds where they clash
// with each other and with what the ledger has, takes an administrator's
// decisions, and says what to import and whose files change owner on which node.
//
// It is logic alone. It reads what it is given and asks an Owners; it opens no
// file, changes nothing and keeps nothing between calls. No password hash gets
// into an error, a note or any other text that it makes.
//
// The order is that of the commands. ReadPasswd and Accounts.Plan come first;
// once their accounts are imported, ReadShadow and ReadGroup with Groups.Plan.
// A plan with clashes is not to be imported: decide every clash, plan again.
package transfer
