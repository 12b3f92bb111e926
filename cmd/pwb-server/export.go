package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pwb/roster"
	"pwb/scimserver"
)

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print all users and groups, without password hashes",
		Long: "Print users and groups: as JSON, a record a line; or what is in the roster as lines\n" +
			"of passwd(5) or group(5), which pwb-server import reads. A locked account has the\n" +
			"shell /usr/sbin/nologin there, so that an import does not open it.",
		Args: takes(0, 0),
	}
	format := cmd.Flags().String("format", "json", "`form`: json, passwd or group")
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		if j.out.json && *format != "json" {
			return fmt.Errorf("--json and --format %.40q exclude each other: leave one out", *format)
		}
		switch *format {
		case "json":
			return j.exportJSON(ctx)
		case "passwd", "group":
			return j.exportLines(ctx, *format == "passwd")
		}
		return fmt.Errorf("--format %.40q is none: use json, passwd or group", *format)
	})
}

// exported are the records of an export, told apart by their type.
type (
	exportedUser struct {
		Type string `json:"type"`
		scimserver.UserRecord
	}
	exportedGroup struct {
		Type string `json:"type"`
		scimserver.GroupRecord
	}
)

func (j *job) exportJSON(ctx context.Context) error {
	err := j.operator.Users(ctx, func(u scimserver.UserRecord) error { return j.out.object(exportedUser{"user", u}) })
	if err != nil {
		return err
	}
	r, err := j.readRoster(ctx)
	if err != nil {
		return err
	}
	return j.operator.Groups(ctx, func(g scimserver.GroupRecord) error {
		g.Members = r.names(g.ID)
		g.Count = len(g.Members)
		return j.out.object(exportedGroup{"group", g})
	})
}

// nologin is the shell of a locked account, on a node as in an export.
const nologin = "/usr/sbin/nologin"

func (j *job) exportLines(ctx context.Context, passwd bool) error {
	r, err := j.readRoster(ctx)
	if err != nil {
		return err
	}
	var line []byte
	if passwd {
		for _, a := range r.accounts {
			shell := a.Shell
			if a.Locked {
				shell = nologin
			}
			line = roster.Passwd{Name: a.Name, Password: "x", UID: a.UID, GID: a.GID, Gecos: a.Gecos, Home: a.Home, Shell: shell}.Append(line[:0])
			if _, err := j.out.w.Write(line); err != nil {
				return err
			}
		}
		return nil
	}
	groups := slices.Clone(r.groups)
	for _, a := range r.accounts {
		if a.PrivateGroup() {
			groups = append(groups, roster.Group{Name: a.Name, GID: a.GID})
		}
	}
	slices.SortFunc(groups, func(a, b roster.Group) int { return cmp.Compare(a.GID, b.GID) })
	for _, g := range groups {
		line = roster.GroupLine{Name: g.Name, Password: "x", GID: g.GID, Members: r.names(g.ID)}.Append(line[:0])
		if _, err := j.out.w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// rosterNow is the roster at one moment, accounts by uid and groups by gid.
type rosterNow struct {
	accounts []roster.Account
	groups   []roster.Group
	members  map[string][]string // ids of accounts, by a group's
	byID     map[string]string   // names of accounts
}

func (j *job) readRoster(ctx context.Context) (*rosterNow, error) {
	r := &rosterNow{members: map[string][]string{}, byID: map[string]string{}}
	err := j.store.View(ctx, func(v scimserver.View) error {
		return v.Snapshot(func(c roster.Change) error {
			if rest, ok := strings.CutPrefix(c.Key, "m/"); ok {
				group, account, _ := strings.Cut(rest, "/")
				r.members[group] = append(r.members[group], account)
				return nil
			}
			row, err := c.Row()
			switch {
			case err != nil:
				return fmt.Errorf("row %.150q of the roster: %w", c.Key, err)
			case row.Account != nil:
				row.Account.Hash = ""
				r.byID[row.Account.ID] = row.Account.Name
				r.accounts = append(r.accounts, *row.Account)
			case row.Group != nil:
				r.groups = append(r.groups, *row.Group)
			}
			return nil
		})
	})
	slices.SortFunc(r.accounts, func(a, b roster.Account) int { return cmp.Compare(a.UID, b.UID) })
	return r, err
}

// names are those of a group's members, ascending.
func (r *rosterNow) names(group string) []string {
	var all []string
	for _, id := range r.members[group] {
		if name := r.byID[id]; name != "" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}
