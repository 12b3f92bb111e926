package scimserver

import "time"

// Meter hears what a Server does, for those who watch it. It is told at once, by
// any goroutine, so that it must neither wait nor call the server. No name of a
// user and no secret is in what it hears.
type Meter interface {
	// Served: a request is over, whatever came of it.
	Served(Request)
	// Unauthorized: a request was refused for its token, see the reasons below.
	Unauthorized(reason string)
	// Refused: a request with a good token was refused for what there is of its
	// kind, see the causes below.
	Refused(cause string)
	// Rendered: a node's files show the changes of the feed up to is, and showed
	// those up to was before. Both are positions of the present epoch.
	Rendered(was, is int64)
}

// Reasons of Unauthorized. Clients cannot tell the second to the fourth apart.
const (
	NoToken      = "missing"
	UnknownToken = "unknown"
	WrongToken   = "wrong"
	ExpiredToken = "expired"
	ScopeOfToken = "scope"
)

// Causes of Refused.
const (
	RefusedRate     = "rate"     // the token makes too many requests
	RefusedFuse     = "fuse"     // providers have locked or deleted too many users
	RefusedBusy     = "busy"     // no place was free for what costs much
	RefusedSnapshot = "snapshot" // enough snapshots are being sent
)

// Request is what there is to say of a request that is over.
type Request struct {
	// Route is the method and the pattern of the path, such as
	// "GET /scim/v2/Users/{id}"; "other" for what no route leads to.
	Route string
	// Status is the answer's; 0 when the connection ended before one was whole.
	Status int
	// Took is how long it took, without Waited: how long it waited for a change,
	// as it had asked to.
	Took, Waited time.Duration
	// Token is the name of the token, and Scope its scope; empty without one.
	Token string
	Scope Scope
	// Operations counts those of SCIM in it, as the rate limit does.
	Operations int
}

// deaf is the Meter of a Server that nobody watches.
type deaf struct{}

func (deaf) Served(Request)        {}
func (deaf) Unauthorized(string)   {}
func (deaf) Refused(string)        {}
func (deaf) Rendered(int64, int64) {}
