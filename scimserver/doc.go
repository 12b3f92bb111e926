// Package scimserver is the server: it takes users and groups over SCIM 2.0,
// gives each a place in the ledger, and feeds the resulting roster to agents.
//
// Data flows one way through it: a handler reads a request and checks it with
// package scim, one Update of the Store changes resource, ledger and roster
// together, and the feed wakes the agents that wait. Nothing is kept in memory
// that the Store does not hold.
package scimserver
