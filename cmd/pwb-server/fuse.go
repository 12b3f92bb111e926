package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pwb/scimserver"
)

func fuseCommand() *cobra.Command {
	return family("fuse", "Show and release the fuse, which keeps providers from locking many users", fuseStatusCommand(), fuseReleaseCommand())
}

func fuseStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the fuse is open, and what counts for it",
		Long: "The fuse opens when providers have locked or deleted more users within fuse-window\n" +
			"than fuse-count and fuse-percent allow: further such requests are refused, and tried\n" +
			"again by the providers. It closes as the window passes on.",
		Args: takes(0, 0),
	}
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		st, err := j.operator.Fuse(ctx)
		return j.showFuse(st, err)
	})
}

func fuseReleaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Let providers lock and delete as many users as they ask for, for a while",
		Args:  takes(0, 0),
	}
	life := cmd.Flags().Duration("for", time.Hour, "for how `long`; what is locked until then does not count later")
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		st, err := j.operator.ReleaseFuse(ctx, *life)
		return j.showFuse(st, err)
	})
}

func (j *job) showFuse(st scimserver.FuseStatus, err error) error {
	if err != nil {
		return err
	}
	if j.out.json {
		return j.out.object(st)
	}
	if !st.Enabled {
		return j.out.fields([]field{{"fuse", "none: fuse-window, fuse-count or fuse-percent is 0"}})
	}
	state, next := "closed", ""
	switch {
	case st.Released != nil:
		state = "released until " + timeText(st.Released)
	case st.Open:
		state = "OPEN: requests of providers that lock or delete users are refused"
		next = "pwb-server audit --since 1h shows who was locked; pwb-server fuse release lets the rest through, pwb-server user lock a single one"
	}
	return j.out.fields([]field{
		{"fuse", state},
		{"locked or deleted", strconv.Itoa(st.Lost) + " within " + (time.Duration(st.Window) * time.Second).String()},
		{"allowed", strconv.Itoa(st.Limit) + " of " + plural(st.Users, "user", "users")},
		{"next", next},
	})
}
