package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/transfer"
)

func importCommand() *cobra.Command {
	return family("import", "Bring local accounts of nodes in: passwd first, then shadow and group",
		importPasswdCommand(), importShadowCommand(), importGroupCommand())
}

const importHelp = `

Each FILE is one node's. NODE is what the node is called in decisions and messages;
it is made of the file's path where it is left out. While names or numbers clash,
nothing is imported: the table of clashes says which decisions settle them, one a
line in the file that --decisions names. To repeat an import changes nothing.`

// planFlags are what imports with a plan have in common.
type planFlags struct {
	decisions *string
	dryRun    *bool
}

func newPlanFlags(cmd *cobra.Command) planFlags {
	return planFlags{
		decisions: cmd.Flags().String("decisions", "", "`file` with the decisions"),
		dryRun:    cmd.Flags().Bool("dry-run", false, "say what would be imported, and import nothing"),
	}
}

// rules are those of every import.
var rules = transfer.Rules{Floor: roster.MinID, Protected: roster.Protected}

func importPasswdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passwd [NODE=]FILE…",
		Short: "Import accounts from passwd(5) files",
		Long: "Import accounts from passwd(5) files. A primary group that is nobody's own needs a name,\n" +
			"which the files of --group have." + importHelp,
		Args: takes(1, -1),
	}
	flags := newPlanFlags(cmd)
	groups := cmd.Flags().StringArray("group", nil, "a node's group(5) `file`, [NODE=]FILE, for the names of primary groups; may be repeated")
	return administer(cmd, needIDs, func(ctx context.Context, j *job, args []string) error {
		decisions, err := readDecisions(*flags.decisions)
		if err != nil {
			return err
		}
		accounts, err := readSources(args, os.Open, func(from []transfer.Source) (*transfer.Accounts, error) { return transfer.ReadPasswd(from, rules) })
		if err != nil {
			return err
		}
		var plan transfer.Plan
		var imports []ledger.Import
		err = j.store.View(ctx, func(v scimserver.View) (err error) {
			if plan, err = accounts.Plan(owners{v}, decisions); err != nil || len(plan.Clashes) > 0 {
				return err
			}
			imports, err = withGroups(owners{v}, plan.Import, *groups)
			return err
		})
		if err != nil {
			return err
		}
		r := report{Kind: "passwd", DryRun: *flags.dryRun, plan: plan, Clashes: clashesOf(plan.Clashes), Skipped: skipsOf(plan.Skipped), Notes: notesOf(plan.Notes), Imported: []entry{}}
		for _, a := range plan.Already {
			r.Already = append(r.Already, a.Name)
		}
		if r.stops() {
			for _, a := range plan.Import {
				r.Planned = append(r.Planned, entry{a.Name, a.UID, a.GID})
			}
			r.Moves = movesOf(plan.Moves, nil)
			return j.showReport(r)
		}
		draw, end := progress(j.out.note, len(imports))
		done, err := j.operator.ImportAccounts(ctx, imports, draw)
		end()
		if err != nil {
			return partial(err, len(done))
		}
		final := map[string]uint32{}
		for _, a := range done {
			final[a.Name] = a.UID
			r.Imported = append(r.Imported, entry{a.Name, a.UID, a.GID})
		}
		r.Moves = movesOf(plan.Moves, final)
		return j.showReport(r)
	})
}

// partial is the error of an import that did not come to its end.
func partial(err error, done int) error {
	mend := "repeat the import"
	var refusal *ledger.Refusal
	if errors.As(err, &refusal) {
		mend = "decide about this one, such as `renumber NAME new` or `skip NAME`, and repeat the import"
	}
	return fmt.Errorf("%w (%d were imported before it and stay): %s", err, done, mend)
}

func importShadowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shadow [NODE=]FILE…",
		Short: "Import the password hashes, locks and ends of accounts from shadow(5) files",
		Long: "Import password hashes, locks and ends from shadow(5) files, which not everybody may be\n" +
			"able to read. The accounts must be there; those that are a provider's by now and have\n" +
			"a password stay as they are. To repeat an import changes nothing, and unlocks nobody.",
		Args: takes(1, -1),
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would be imported, and import nothing")
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		open := func(file string) (*os.File, error) { return openSecret(file, "hashes") }
		hashes, err := readSources(args, open, func(from []transfer.Source) (hashes *transfer.Hashes, err error) {
			err = j.store.View(ctx, func(v scimserver.View) (err error) {
				known, failed := accountsKnown(v, nil)
				hashes, err = transfer.ReadShadow(from, known)
				return errors.Join(err, *failed)
			})
			return hashes, err
		})
		if err != nil {
			return err
		}
		r := report{Kind: "shadow", DryRun: *dryRun, Skipped: skipsOf(hashes.Skipped), Notes: notesOf(hashes.Notes), Imported: []entry{}, Moves: []move{}}
		all := hashesOf(hashes.ByName)
		if *dryRun {
			for _, h := range all {
				r.Planned = append(r.Planned, entry{Name: h.Name})
			}
			return j.showReport(r)
		}
		draw, end := progress(j.out.note, len(all))
		set, err := j.operator.ImportHashes(ctx, all, draw)
		end()
		if err != nil {
			return partial(err, len(set))
		}
		changed := map[string]bool{}
		for _, name := range set {
			changed[name] = true
		}
		for _, h := range all {
			if changed[h.Name] {
				r.Imported = append(r.Imported, entry{Name: h.Name})
			} else {
				r.Already = append(r.Already, h.Name)
			}
		}
		return j.showReport(r)
	})
}

func importGroupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group [NODE=]FILE…",
		Short: "Import groups and their members from group(5) files",
		Long:  "Import groups and their members from group(5) files, after the accounts." + importHelp,
		Args:  takes(1, -1),
	}
	flags := newPlanFlags(cmd)
	return administer(cmd, needIDs, func(ctx context.Context, j *job, args []string) error {
		decisions, err := readDecisions(*flags.decisions)
		if err != nil {
			return err
		}
		groups, err := readSources(args, os.Open, func(from []transfer.Source) (*transfer.Groups, error) { return transfer.ReadGroup(from, rules) })
		if err != nil {
			return err
		}
		var plan transfer.GroupPlan
		unknown := map[string]bool{}
		err = j.store.View(ctx, func(v scimserver.View) (err error) {
			known, failed := accountsKnown(v, unknown)
			plan, err = groups.Plan(owners{v}, known, decisions)
			return errors.Join(err, *failed)
		})
		if err != nil {
			return err
		}
		r := report{Kind: "group", DryRun: *flags.dryRun, plan: plan, Clashes: clashesOf(plan.Clashes), Skipped: skipsOf(plan.Skipped), Notes: notesOf(plan.Notes), Imported: []entry{}}
		for name := range unknown {
			r.Unknown = append(r.Unknown, name)
		}
		slices.Sort(r.Unknown)
		if r.stops() {
			for _, g := range plan.Import {
				r.Planned = append(r.Planned, entry{Name: g.Name, GID: g.GID})
			}
			for _, g := range plan.Already {
				r.Already = append(r.Already, g.Name)
			}
			r.Moves = movesOf(plan.Moves, nil)
			return j.showReport(r)
		}
		// Those that are there may lack members.
		var all []scimserver.ImportedGroup
		for _, g := range slices.Concat(plan.Import, plan.Already) {
			all = append(all, scimserver.ImportedGroup{Name: g.Name, GID: g.GID, Members: g.Members})
		}
		draw, end := progress(j.out.note, len(all))
		done, err := j.operator.ImportGroups(ctx, all, draw)
		end()
		if err != nil {
			return partial(err, len(done))
		}
		final := map[string]uint32{}
		for _, g := range done {
			final[g.Name] = g.GID
			r.Imported = append(r.Imported, entry{Name: g.Name, GID: g.GID})
		}
		for _, g := range plan.Already {
			if _, changed := final[g.Name]; !changed {
				r.Already = append(r.Already, g.Name)
			}
		}
		r.Moves = movesOf(plan.Moves, final)
		return j.showReport(r)
	})
}

// accountsKnown reports whether an account has a name, and takes those down in
// unknown, if that is not nil, that none has. What failed is told afterwards.
func accountsKnown(v scimserver.View, unknown map[string]bool) (known func(name string) bool, failed *error) {
	failed = new(error)
	return func(name string) bool {
		a, err := owners{v}.named(name)
		if err != nil && *failed == nil {
			*failed = err
		}
		if a == nil && unknown != nil {
			unknown[name] = true
		}
		return a != nil
	}, failed
}

// hashesOf are the hashes by name.
func hashesOf(byName map[string]transfer.Hash) []scimserver.Hash {
	var all []scimserver.Hash
	for _, h := range byName {
		one := scimserver.Hash{Name: h.Name, Hash: h.Hash, Locked: h.Locked}
		if h.Expire > 0 {
			one.End = endOf(h.Expire)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b scimserver.Hash) int { return strings.Compare(a.Name, b.Name) })
	return all
}
