package main

import (
	"errors"

	"github.com/spf13/cobra"

	"pwb/syncer"
)

func planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what the next pass would write, and write nothing",
		Long: `Ask the server, and print what the next pass would write. Nothing is
written. Hashes are not shown.

Exit status: 0 the files are current; 1 the plan could not be made; 2 there is
something to write; 3 there is, and the mass-change fuse would stop it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := assemble(cmd, true)
			if err != nil {
				return err
			}
			if err = a.once(cmd.Context()); errors.Is(err, syncer.ErrFuse) {
				return stopped{err}
			}
			return err
		},
	}
	addFlags(cmd.Flags())
	return cmd
}

// stopped is a dry run's error that counts as the fuse's alone.
type stopped struct{ error }

// Is makes the error syncer.ErrFuse and nothing else.
func (s stopped) Is(target error) bool { return target == syncer.ErrFuse }
