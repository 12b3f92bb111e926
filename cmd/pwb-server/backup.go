package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pwb/roster"
	"pwb/scimserver/sqlite"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store to a new file, also while the server runs",
		Long: "Copy the store, as it is at one moment, to a new file that only its owner can read.\n" +
			"It holds password hashes: keep it as safe as the store. pwb-server restore reads it.",
		Args: takes(1, 1),
	}
	return administer(cmd, needFiles, func(ctx context.Context, j *job, args []string) error {
		if err := checkStore(j.cfg.DataDir); err != nil {
			return err
		}
		if err := sqlite.Backup(ctx, j.cfg.DataDir, args[0]); err != nil {
			return err
		}
		info, err := os.Stat(args[0])
		if err != nil {
			return fmt.Errorf("look at the backup: %w", err)
		}
		if j.out.json {
			return j.out.object(struct {
				File  string `json:"file"`
				Bytes int64  `json:"bytes"`
			}{args[0], info.Size()})
		}
		j.out.say("%s holds the store as it is, %d bytes. It has password hashes: keep it as safe as the store.", args[0], info.Size())
		return nil
	})
}

// restored is what a restore came to.
type restored struct {
	Position   roster.Position `json:"position"`
	Users      int             `json:"users"`
	Groups     int             `json:"groups"`
	StayLocked []string        `json:"stayLocked"`
	Forgotten  []string        `json:"forgotten"`
}

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup back into the store, also while the server runs",
		Long: "Put what pwb-server backup has copied back into the store, which is made when there\n" +
			"is none. What was given, locked or held since the backup stays so, and agents take\n" +
			"everything anew.",
		Args: takes(1, 1),
	}
	margin := cmd.Flags().Uint32("margin", 1000, "how many `numbers` to leave out in a new store, for those that were given after the backup and that nobody remembers")
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	return administer(cmd, needFiles, func(ctx context.Context, j *job, args []string) error {
		if _, err := os.Stat(args[0]); err != nil {
			return fmt.Errorf("look at the backup: %w", err)
		}
		into := "the store in " + j.cfg.DataDir + ", whose users and groups become those of the backup"
		switch err := checkStore(j.cfg.DataDir); {
		case errors.Is(err, fs.ErrNotExist):
			into = "a new store in " + j.cfg.DataDir
		case err != nil:
			return err
		}
		what := fmt.Sprintf("This restores %s into %s. Numbers and names that were given stay given, accounts that are locked stay locked,\n"+
			"those that the backup does not know lose their entry. In a new store the next numbers begin %d further on.", args[0], into, *margin)
		if err := j.confirm(*yes, what); err != nil {
			return err
		}
		done, err := sqlite.Restore(ctx, j.cfg.DataDir, args[0], *margin, "administrator "+invoker(), time.Now())
		if err != nil {
			return err
		}
		r := restored{done.Position, done.Users, done.Groups, done.StayLocked, done.Forgotten}
		if j.out.json {
			r.StayLocked, r.Forgotten = orEmpty(r.StayLocked), orEmpty(r.Forgotten)
			return j.out.object(r)
		}
		j.showRestored(args[0], r)
		return nil
	})
}

func (j *job) showRestored(file string, r restored) {
	j.out.say("restored %s: %s, %s", file, plural(r.Users, "user", "users"), plural(r.Groups, "group", "groups"))
	j.out.say("position: %s", r.Position)
	if len(r.StayLocked) > 0 {
		j.out.say("unlocked in the backup and locked since, so they stay locked: %s", strings.Join(r.StayLocked, " "))
	}
	if len(r.Forgotten) > 0 {
		j.out.say("not known to the backup, so without an account now (who comes back has the old one): %s", strings.Join(r.Forgotten, " "))
	}
	j.out.say("\nNow start a full synchronisation at the identity provider, for what has changed since the backup.\n" +
		"Agents take everything anew with their next pass.")
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
