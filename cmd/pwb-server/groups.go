package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pwb/scimserver"
	"pwb/scimserver/scim"
)

func groupCommand() *cobra.Command {
	return family("group", "Show and change groups; GROUP is a POSIX name, gid, displayName or id",
		groupListCommand(), groupShowCommand(), groupAddCommand(), groupSetGIDCommand())
}

func groupListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the groups that are no user's own", Args: takes(0, 0)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		each := func(yield func(scimserver.GroupRecord) error) error { return j.operator.Groups(ctx, yield) }
		return list(j.out, "there are no groups", []string{"NAME", "GID", "MEMBERS", "STATE", "DISPLAY NAME"}, each, func(g scimserver.GroupRecord) []string {
			return []string{g.Name, number(g.GID), strconv.Itoa(g.Count), g.State, g.DisplayName}
		})
	})
}

func groupShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show GROUP", Short: "Show a group and its members", Args: takes(1, 1)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		g, err := j.operator.Group(ctx, args[0])
		return j.showGroup(g, err)
	})
}

func (j *job) showGroup(g scimserver.GroupRecord, err error) error {
	if err != nil {
		return err
	}
	if j.out.json {
		return j.out.object(g)
	}
	return j.out.fields([]field{
		{"name", g.Name},
		{"gid", number(g.GID)},
		{"state", g.State},
		{"display name", g.DisplayName},
		{"id", g.ID},
		{"members", strings.TrimSpace(strconv.Itoa(g.Count) + " " + strings.Join(g.Members, " "))},
	})
}

func groupAddCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "add DISPLAYNAME", Short: "Add a group, as a provider would", Args: takes(1, 1)}
	name := cmd.Flags().String("name", "", "POSIX `name`")
	gid := cmd.Flags().Uint32("gid", 0, "`gid`")
	return administer(cmd, needIDs, func(ctx context.Context, j *job, args []string) error {
		posix := map[string]any{}
		if cmd.Flags().Changed("name") {
			posix["posixGroupName"] = *name
		}
		if cmd.Flags().Changed("gid") {
			posix["posixGroupId"] = int64(*gid)
		}
		body := map[string]any{"displayName": args[0]}
		if len(posix) > 0 {
			body[scim.PosixGroupURN] = posix
		}
		g, err := j.operator.AddGroup(ctx, body)
		return j.showGroup(g, err)
	})
}
