package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pwb/altfiles"
	"pwb/pam"
	"pwb/roster"
)

func (p *program) homesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "homes",
		Short: "List the homes of who left",
		Long: `List the homes of who left: directories beside homes of accounts whose owner is
locked or expired, or is neither rendered on this node nor in its own passwd file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, _, departed, err := p.departed(cmd)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(p.stdout, 0, 8, 2, ' ', 0)
			for _, h := range departed {
				fmt.Fprintf(w, "%s\t%d\t%s\n", h.Path, h.UID, whose(h))
			}
			return w.Flush()
		},
	}
	addFlags(cmd.Flags())
	archive := &cobra.Command{
		Use:   "archive USER | --all",
		Short: "Move the home of a user who left, or of all, into archive-dir",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, homes, departed, err := p.departed(cmd)
			if err != nil {
				return err
			}
			switch {
			case cfg.All == (len(args) == 1):
				return errors.New("name one user, or give --all")
			case !cfg.All:
				departed = slices.DeleteFunc(departed, func(h pam.Home) bool { return h.User != args[0] && (h.User != "" || filepath.Base(h.Path) != args[0]) })
				if len(departed) == 0 {
					return fmt.Errorf("%s has no home that could be archived: only those of who is locked, expired or gone are, see pwb-pam homes", args[0])
				}
			}
			if cfg.All {
				departed = p.known(departed)
			}
			return p.archive(homes, departed)
		},
	}
	addFlags(archive.Flags())
	archive.Flags().Bool("all", false, "all homes that pwb-pam homes lists, but those that are nobody's: name them one by one")
	tend := &cobra.Command{
		Use:   "tend",
		Short: "Do what departed-homes says with homes of who left: leave them, or archive all; for a hook of the agent, or cron",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, homes, departed, err := p.departed(cmd)
			if err != nil || cfg.DepartedHomes == leaveHomes {
				return err
			}
			return p.archive(homes, p.known(departed))
		},
	}
	addFlags(tend.Flags())
	cmd.AddCommand(archive, tend)
	return cmd
}

func whose(h pam.Home) string {
	if h.User == "" {
		return "nobody's"
	}
	return h.User
}

// departed finds the homes of who left.
func (p *program) departed(cmd *cobra.Command) (*config, *pam.Homes, []pam.Home, error) {
	cfg, err := load(cmd.Flags())
	if err != nil {
		return nil, nil, nil, err
	}
	if !privileged() {
		return nil, nil, nil, errors.New("only root can tell who left, and move their homes")
	}
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	homes := cfg.homes(log)
	found, err := homes.Departed(everybody{cfg.node(log), cfg}, func(uid uint32) (bool, error) { return inPasswd(cfg.PasswdFile, uid, "") }, cfg.MinID, cfg.MaxID)
	return cfg, homes, found, err
}

// known leaves out homes of uids that nobody knows here: another directory may.
func (p *program) known(departed []pam.Home) []pam.Home {
	return slices.DeleteFunc(departed, func(h pam.Home) bool { return h.User == "" })
}

// archive archives homes; one that fails does not keep the others.
func (p *program) archive(homes *pam.Homes, departed []pam.Home) (err error) {
	for _, h := range departed {
		to, failed := homes.Archive(h, time.Now())
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("archive %s: %w", h.Path, failed))
			continue
		}
		fmt.Fprintf(p.stdout, "%s is now %s\n", h.Path, to)
	}
	return err
}

// everybody is a pam.Accounts of the rendered files.
type everybody struct {
	*pam.Node
	cfg *config
}

// All implements pam.Accounts.
func (e everybody) All() (all []roster.Passwd, err error) {
	name := "passwd"
	if altfiles.Layout(e.cfg.Layout) == altfiles.LayoutNsscache {
		name += ".cache"
	}
	f, err := os.Open(filepath.Join(e.cfg.Dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p, err := roster.ParsePasswd(lines.Text())
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, lines.Err()
}
