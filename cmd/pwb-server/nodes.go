package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pwb/scimserver"
)

func nodeCommand() *cobra.Command {
	return family("node", "Show the nodes that follow the server, and forget those that are gone", nodeListCommand(), nodeForgetCommand())
}

func nodeListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the nodes, and how far behind each is",
		Long: "List the nodes. LAG counts the changes that a node's files do not show yet; it is\n" +
			"not known (-) of a node that has no files yet or took none since a restore.",
		Args: takes(0, 0),
	}
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		each := func(yield func(scimserver.NodeRecord) error) error { return j.operator.Nodes(ctx, yield) }
		head := []string{"NODE", "VERSION", "STATE", "LAG", "LAST SEEN", "QUARANTINED", "LAST PASS"}
		return list(j.out, "no node has asked for accounts yet", head, each, func(n scimserver.NodeRecord) []string {
			lag, result := "", n.Result
			if n.Lag != nil {
				lag = strconv.FormatInt(*n.Lag, 10)
			}
			if result == "" {
				result = "well"
			}
			return []string{n.Name, n.Version, nodeState(n), lag, timeText(&n.Seen), strconv.Itoa(n.Quarantined), result}
		})
	})
}

func nodeState(n scimserver.NodeRecord) string {
	if n.Online {
		return "online"
	}
	return "offline"
}

func nodeForgetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget NAME",
		Short: "Forget a node that is gone",
		Long: "Forget a node that is gone, and which numbers and names its own files had: they may\n" +
			"be given to users from now on. A node that comes back is listed again, and tells of\n" +
			"them anew when report.json is removed from its state directory.",
		Args: takes(1, 1),
	}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		if err := j.operator.ForgetNode(ctx, args[0]); err != nil {
			return err
		}
		if j.out.json {
			return j.out.object(map[string]string{"forgotten": args[0]})
		}
		j.out.say("forgot %s", shown(args[0]))
		return nil
	})
}

func revokeCommand() *cobra.Command {
	return family("revoke", "Follow a lock to the nodes", revokeStatusCommand())
}

func revokeStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status USER",
		Short: "Say which nodes show the last lock of a user, and which do not yet",
		Long: "Say which nodes show the last lock of a user in their files, and which do not yet;\n" +
			"while there are such, the exit status is 1. A node that is gone is left out after\n" +
			"pwb-server node forget.",
		Args: takes(1, 1),
	}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		r, err := j.operator.Revocation(ctx, args[0])
		if err != nil {
			return err
		}
		if err := j.showRevocation(r); err != nil {
			return err
		}
		if len(r.Waiting) == 0 {
			return nil
		}
		names := []string{}
		for _, n := range r.Waiting {
			names = append(names, shown(n.Name))
		}
		return fmt.Errorf("%s of %s: %s", plural(len(names), "node does not show the lock", "nodes do not show the lock"), shown(r.Name), strings.Join(names, ", "))
	})
}

func (j *job) showRevocation(r scimserver.Revocation) error {
	if j.out.json {
		return j.out.object(r)
	}
	switch {
	case r.At.IsZero():
		j.out.say("%s is locked; the audit log does not say since when", shown(r.Name))
	default:
		j.out.say("%s was locked on %s by %s (%s), change %d", shown(r.Name), timeText(&r.At), shown(r.Actor), r.Action, r.Position)
	}
	if len(r.Rendered)+len(r.Waiting) == 0 {
		fmt.Fprintln(j.out.note, "no node has asked for accounts yet")
		return nil
	}
	type line struct {
		scimserver.NodeRecord
		shows bool
	}
	each := func(yield func(line) error) error {
		for _, n := range r.Waiting {
			if err := yield(line{n, false}); err != nil {
				return err
			}
		}
		for _, n := range r.Rendered {
			if err := yield(line{n, true}); err != nil {
				return err
			}
		}
		return nil
	}
	j.out.say("")
	return list(j.out, "", []string{"NODE", "LOCK", "STATE", "LAST SEEN", "LAST PASS"}, each, func(l line) []string {
		result := l.Result
		if result == "" {
			result = "well"
		}
		return []string{l.Name, map[bool]string{true: "shown", false: "NOT YET"}[l.shows], nodeState(l.NodeRecord), timeText(&l.Seen), result}
	})
}
