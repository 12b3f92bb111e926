package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pwb/altfiles"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys USER",
		Short: "Print the SSH keys that may log in as a user, for sshd",
		Long: `Print the SSH keys that may log in as USER, one line each: TYPE BASE64. This is
for AuthorizedKeysCommand, see sshd_config(5), and needs no rights: choose an
AuthorizedKeysCommandUser that has none, such as nobody.

It reads what the last pass left in the state directory, and asks nobody: neither
the server nor the configuration, nor the environment. Users without keys, locked
and expired ones, and those that the node does not render have none. Nor have the
accounts of the node's own passwd file.

Exit status: 0 the keys are printed, be there any or not; 1 they could not be read.`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	// Not by way of the settings: whoever logs in must not choose what is read.
	stateDir := f.String("state-dir", defaultStateDir, "`directory` of the agent's state, as the agent has it")
	passwd := f.String("local-passwd-file", "/etc/passwd", "the node's own passwd `file`, whose accounts have no keys here")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		keys, err := altfiles.ReadKeys(filepath.Join(*stateDir, altfiles.KeysFile), *passwd, args[0], time.Now())
		if err != nil || len(keys) == 0 {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(keys, "\n"))
		return err
	}
	return cmd
}
