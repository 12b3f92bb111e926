package pam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"pwb/roster"
)

// Lookup finds what the agent rendered: true for what is there. An error says that
// nobody can tell.
type Lookup interface {
	Passwd(name string) (roster.Passwd, bool, error)
	Shadow(name string) (roster.Shadow, bool, error)
}

// Agent is the one that keeps what Lookup finds.
type Agent interface {
	// Fresh reports whether the files show what the server had no longer than max
	// ago, or nobody can make them fresher: asking would be no use.
	Fresh(max time.Duration) bool
	// Current returns when a pass was made for whoever has the name, or it is
	// known that none can be.
	Current(ctx context.Context, name string) error
}

// Node is what decisions rest on. Lookup and Local are needed.
type Node struct {
	Lookup Lookup
	// Local reports whether the node's own passwd file has a name, which NSS then
	// finds first.
	Local func(name string) (bool, error)
	// Agent may be nil.
	Agent Agent
	// MaxAge is how old a snapshot may be before the agent is asked, and Patience
	// bounds the time for that.
	MaxAge, Patience time.Duration
	// NologinShell is that of locked accounts, by which they are known where shadow
	// is not rendered or cannot be read.
	NologinShell string
	// Privileged says that shadow can be read. A locker of the screen runs as the user.
	Privileged bool
	Now        func() time.Time
	Log        *slog.Logger
}

// Refusal is a decision and no fault.
type Refusal struct {
	// Say is for whoever logs in: plain words, no secret.
	Say string
	// Why is for the log.
	Why string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Why }

func refuse(why, say string, args ...any) *Refusal {
	return &Refusal{Say: fmt.Sprintf(say, args...), Why: why}
}

// find is an account of the agent's. It fails for a name that could be one while
// nobody can tell.
func (n *Node) find(name string) (p roster.Passwd, ours bool, err error) {
	if roster.CheckName(name) != nil {
		return p, false, nil
	}
	local, unread := n.Local(name)
	if unread == nil && local {
		return p, false, nil
	}
	p, ours, err = n.Lookup.Passwd(name)
	switch {
	case err != nil:
		return p, false, fmt.Errorf("look %s up in what pwb-agent rendered; run pwb-agent status: %w", name, errors.Join(err, unread))
	case !ours:
		return p, false, nil
	case unread != nil:
		n.Log.Warn("the node's own passwd file cannot be read; the account is taken for the agent's", "user", name, "error", unread)
	}
	return p, true, nil
}
