package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pwb/cmd/settings"
	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the tokens that clients identify with",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
	return cmd
}

// withStore runs fn on the store, also while the server runs.
func withStore(cmd *cobra.Command, fn func(ctx context.Context, s scimserver.Store) error) (err error) {
	var cfg struct {
		DataDir string         `mapstructure:"data-dir"`
		Rest    map[string]any `mapstructure:",remain"` // the keys of serve
	}
	if err := settings.Load(cmd.Flags(), defaultConfigFile, &cfg); err != nil {
		return err
	}
	_, missing := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName))
	store, err := sqlite.Open(cmd.Context(), cfg.DataDir)
	if err != nil {
		return err
	}
	if missing != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "pwb-server: made a new store in %s; the server must be given the same --data-dir\n", cfg.DataDir)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return fn(cmd.Context(), store)
}

func tokenCreateCommand() *cobra.Command {
	var scope string
	var days int
	var noExpiry bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and print it; it is shown this once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sc, err := scimserver.ParseScope(scope)
			if err != nil {
				return err
			}
			life := time.Duration(days) * 24 * time.Hour
			switch {
			case noExpiry:
				life = 0
			case days < 1 || days > 36500:
				return fmt.Errorf("duration %d is not a number of days from 1 to 36500; --no-expiry makes a token that never expires", days)
			}
			t, text, err := scimserver.NewToken(args[0], sc, time.Now(), life)
			if err != nil {
				return err
			}
			err = withStore(cmd, func(ctx context.Context, s scimserver.Store) error {
				return s.Update(ctx, func(tx scimserver.Tx) error { return tx.PutToken(t) })
			})
			if errors.Is(err, scimserver.ErrTaken) {
				return fmt.Errorf("a token with the name %q is there already: revoke it first, or choose another name", args[0])
			}
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return err
		},
	}
	addCommonFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&scope, "scope", "", "what the token is for: scim, node-admin, node-user or operator")
	f.IntVar(&days, "duration", 365, "`days` until the token expires")
	f.BoolVar(&noExpiry, "no-expiry", false, "make a token that never expires")
	cmd.MarkFlagsMutuallyExclusive("duration", "no-expiry")
	if err := cmd.MarkFlagRequired("scope"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

func tokenListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tokens, never their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []scimserver.Token
			err := withStore(cmd, func(ctx context.Context, s scimserver.Store) error {
				return s.View(ctx, func(v scimserver.View) (err error) {
					all, err = v.Tokens()
					return err
				})
			})
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tSCOPE\tID\tCREATED\tEXPIRES")
			for _, t := range all {
				expires := "never"
				if !t.Expires.IsZero() {
					expires = t.Expires.Format(time.DateOnly)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Name, t.Scope, t.ID, t.Created.Format(time.DateOnly), expires)
			}
			return w.Flush()
		},
	}
	addCommonFlags(cmd)
	return cmd
}

func tokenRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Revoke a token; a running server refuses it within a second",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := withStore(cmd, func(ctx context.Context, s scimserver.Store) error {
				return s.Update(ctx, func(tx scimserver.Tx) error { return tx.DeleteToken(args[0]) })
			})
			if errors.Is(err, scimserver.ErrNotFound) {
				return fmt.Errorf("no token has the name %q; token list shows those there are", args[0])
			}
			return err
		},
	}
	addCommonFlags(cmd)
	return cmd
}
