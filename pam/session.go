package pam

import (
	"context"
)

// Session opens a session: the home is made if it is not there. Accounts that are
// not the agent's are let pass.
func (n *Node) Session(ctx context.Context, homes *Homes, name string) error {
	p, ours, err := n.find(name)
	if err != nil || !ours || !n.Privileged {
		return err
	}
	return homes.Make(ctx, p)
}
