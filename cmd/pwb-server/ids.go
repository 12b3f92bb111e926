package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
)

func idsCommand() *cobra.Command {
	return family("ids", "Ask the ledger who has, and had, names and numbers", idsHistoryCommand(), idsCheckCommand())
}

func idsHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history UID|NAME",
		Short: "Say who owns a number or name, and what became of the owner's",
		Long: "A number or name is one user's or group's for ever. This says whose, and how the\n" +
			"owner's name and numbers went.",
		Args: takes(1, 1),
	}
	at := cmd.Flags().String("at", "", "only what was true at this `time`: 2026-01-31 (its beginning, UTC), \"2026-01-31 23:59\", 2026-01-31T23:59:59Z")
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		moment, err := parseTime("at", *at)
		if err != nil {
			return err
		}
		owners, err := j.operator.History(ctx, args[0], moment)
		if err != nil {
			return err
		}
		for i, o := range owners {
			if j.out.json {
				if err := j.out.object(o); err != nil {
					return err
				}
				continue
			}
			if i > 0 {
				j.out.say("")
			}
			if err := j.showOwner(args[0], o, moment); err != nil {
				return err
			}
		}
		return nil
	})
}

func (j *job) showOwner(key string, o scimserver.Owner, at time.Time) error {
	j.out.say("%s %s: given to %s on %s, for ever (subject %s)", o.What, shown(key), shown(o.Name), timeText(&o.Given), o.Subject)
	none := "the audit log has nothing of it"
	if !at.IsZero() {
		none = fmt.Sprintf("on %s the owner was not there yet, or the audit log has nothing of it", timeText(&at))
	}
	each := func(yield func(scimserver.History) error) error {
		for _, h := range o.History {
			if err := yield(h); err != nil {
				return err
			}
		}
		return nil
	}
	return list(j.out, none, []string{"FROM", "NAME", "UID", "GID", "WHAT", "BY"}, each, func(h scimserver.History) []string {
		uid := number(h.UID)
		if h.UID == 0 {
			uid = ""
		}
		return []string{timeText(&h.From), h.Name, uid, number(h.GID), h.Action, h.Actor}
	})
}

func idsCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for what is not as it must be; the exit status is 1 then",
		Args:  takes(0, 0),
	}
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		found, err := j.operator.Check(ctx)
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := j.showFinding(f); err != nil {
				return err
			}
		}
		if len(found) > 0 {
			return fmt.Errorf("ids check found %s", plural(len(found), "problem", "problems"))
		}
		if !j.out.json {
			j.out.say("all names and numbers are as they must be")
		}
		return nil
	})
}

func (j *job) showFinding(f ledger.Finding) error {
	if j.out.json {
		return j.out.object(f)
	}
	who := "the store"
	if f.Subject != "" {
		who = f.Subject
	}
	j.out.say("%s: %s: %s", shown(who), shown(f.Problem), f.Advice)
	return nil
}
