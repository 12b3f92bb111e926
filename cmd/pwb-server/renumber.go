package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"pwb/scimserver"
	"pwb/scimserver/transfer"
)

// renumbered is what another number came to.
type renumbered struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Before and After are the numbers; a group has no uid.
	Before numbers `json:"before"`
	After  numbers `json:"after"`
	// Commands give the files on a node to the new numbers.
	Commands []string `json:"commands"`
}

type numbers struct {
	UID uint32 `json:"uid,omitempty"`
	GID uint32 `json:"gid"`
}

func userRenumberCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renumber USER [UID]",
		Short: "Give a user another uid, and print how files follow",
		Long: "Give a user the uid UID, or the next free one. A private group's gid follows, any\n" +
			"other primary group stays, unless --gid says otherwise; with --gid and without UID\n" +
			"the uid stays. The old numbers are never given to anybody else.",
		Args: takes(1, 2),
	}
	gid := cmd.Flags().Uint32("gid", 0, "`gid` of the primary group")
	return administer(cmd, needIDs, func(ctx context.Context, j *job, args []string) error {
		if cmd.Flags().Changed("gid") && *gid == 0 {
			return fmt.Errorf("--gid is 0, which is root's: give another, or leave it out")
		}
		var uid uint32
		switch {
		case len(args) == 2:
			n, err := parseID("uid", args[1])
			if err != nil {
				return err
			}
			uid = n
		case *gid != 0:
			u, err := j.operator.User(ctx, args[0])
			if err != nil {
				return err
			}
			uid = u.UID
		}
		c, err := j.operator.Renumber(ctx, args[0], uid, *gid)
		if err != nil {
			return err
		}
		r := renumbered{ID: c.After.ID, Name: c.After.Name, Before: numbers{c.Before.UID, c.Before.GID}, After: numbers{c.After.UID, c.After.GID}, Commands: []string{}}
		if c.Before.UID != c.After.UID {
			m := transfer.Move{Name: r.Name, From: c.Before.UID, To: c.After.UID, Home: c.After.Home}
			r.Commands = append(r.Commands, m.Commands(0)...)
		}
		own, err := j.ownsGID(ctx, r.ID, c.Before.GID)
		if err != nil {
			return err
		}
		if own && c.Before.GID != c.After.GID {
			m := transfer.Move{Name: r.Name, Group: true, From: c.Before.GID, To: c.After.GID, Home: c.After.Home}
			r.Commands = append(r.Commands, m.Commands(0)...)
		}
		return j.showRenumbered(r)
	})
}

// ownsGID reports whether a gid is the subject's own: files of a group that
// others have, too, stay with it.
func (j *job) ownsGID(ctx context.Context, subject string, gid uint32) (own bool, err error) {
	err = j.store.View(ctx, func(v scimserver.View) error {
		_, owner, err := v.IDOwners(gid)
		own = owner.Subject == subject
		return err
	})
	return own, err
}

func groupSetGIDCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set-gid GROUP [GID]",
		Short: "Give a group another gid, and print how files follow",
		Long: "Give a group the gid GID, or the next free one. Users whose primary group it is\n" +
			"follow. The old gid is never given to anybody else.",
		Args: takes(1, 2),
	}
	return administer(cmd, needIDs, func(ctx context.Context, j *job, args []string) error {
		var gid uint32
		if len(args) == 2 {
			n, err := parseID("gid", args[1])
			if err != nil {
				return err
			}
			gid = n
		}
		c, err := j.operator.SetGID(ctx, args[0], gid)
		if err != nil {
			return err
		}
		r := renumbered{ID: c.After.ID, Name: c.After.Name, Before: numbers{GID: c.Before.GID}, After: numbers{GID: c.After.GID}, Commands: []string{}}
		if c.Before.GID != c.After.GID {
			r.Commands = transfer.Move{Name: r.Name, Group: true, From: c.Before.GID, To: c.After.GID}.Commands(0)
		}
		return j.showRenumbered(r)
	})
}

func (j *job) showRenumbered(r renumbered) error {
	if j.out.json {
		return j.out.object(r)
	}
	if r.Before.UID != 0 {
		j.out.say("%s: uid %s, gid %s", r.Name, became(r.Before.UID, r.After.UID), became(r.Before.GID, r.After.GID))
	} else {
		j.out.say("%s: gid %s", r.Name, became(r.Before.GID, r.After.GID))
	}
	if len(r.Commands) > 0 {
		j.out.say("\nOn each node, as root, to give the files to the new number:")
	}
	for _, line := range r.Commands {
		j.out.say("%s", line)
	}
	return nil
}

func became(before, after uint32) string {
	if before == after {
		return number(after) + " as before"
	}
	return fmt.Sprintf("%d -> %d", before, after)
}
