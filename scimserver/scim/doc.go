// Package scim is the SCIM 2.0 protocol as pure functions: schema tables, JSON
// bodies, filters, PATCH and projections (RFC 7643, RFC 7644).
//
// It does no I/O, keeps no state and knows nothing of HTTP, storage or POSIX
// accounts. A caller decodes a body with [DecodeObject], turns it into a
// [Resource] with [ResourceType.Normalize], changes it with [ParsePatch] and
// [ResourceType.Patch], selects with [ParseFilter] and [ResourceType.Match],
// and answers with [ResourceType.Project].
//
// # What is accepted
//
// Identity providers bend the standard, and being strict with them leaves
// leavers unlocked. So names, URNs and operators match without regard to case,
// "True" is a boolean, one object may stand where a list belongs, null, [] and
// absence mean the same, and schemas and attributes nobody here knows are
// ignored. What would make the meaning a guess is refused instead: the same
// attribute given twice, a value of the wrong type, an unknown attribute of a
// known schema as the target of a PATCH.
//
// # Values are not written to
//
// Functions of this package never change a Resource or a body they are given.
// What they return may share values with it, so callers replace values in a
// Resource and do not write into them.
//
// # Errors
//
// Every error a client can cause is an [*Error] ready to be sent.
package scim
