package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"pwb/cmd/settings"
	"pwb/scimserver"
	"pwb/scimserver/sqlite"
)

// job is a command of an administrator while it runs.
type job struct {
	cmd *cobra.Command
	cfg config
	out output
	// operator and store are there where the command needs a store.
	operator *scimserver.Operator
	store    scimserver.Store
}

// need is what a command works on.
type need int

const (
	// needFiles: the configuration alone. The command sees to the rest.
	needFiles need = iota
	// needStore: a store that is there.
	needStore
	// needIDs: a store, and names or numbers are given from it.
	needIDs
	// needAnyStore: a store, which is made when it is not there.
	needAnyStore
)

// administer completes a command of administrators. It reads the keys of serve,
// opens the store, also while the server runs, and writes to standard output
// when run ends. Keys that only serve needs are not in the help.
func administer(cmd *cobra.Command, n need, run func(ctx context.Context, j *job, args []string) error) *cobra.Command {
	keys := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	addKeys(keys)
	keys.VisitAll(func(f *pflag.Flag) { f.Hidden = f.Name != settings.FileFlag && f.Name != "data-dir" })
	cmd.Flags().AddFlagSet(keys)
	asJSON := cmd.Flags().Bool("json", false, "print JSON: one object, or one a line for a list")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		buffered := bufio.NewWriter(cmd.OutOrStdout())
		defer func() {
			if flush := buffered.Flush(); err == nil {
				err = flush
			}
		}()
		j := &job{cmd: cmd, out: output{w: buffered, note: cmd.ErrOrStderr(), json: *asJSON}}
		if err := settings.Load(keys, defaultConfigFile, &j.cfg); err != nil {
			return err
		}
		if n == needFiles {
			return run(cmd.Context(), j, args)
		}
		return j.withStore(cmd.Context(), n, func() error { return run(cmd.Context(), j, args) })
	}
	return cmd
}

// family is a command that only has commands below it.
func family(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		// The flags are those of the command that was meant.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return fmt.Errorf("%s has no command %.40q: %[1]s --help lists them", cmd.CommandPath(), args[0])
		},
	}
	cmd.AddCommand(commands...)
	return cmd
}

// takes bounds the number of arguments; below 0 most is no bound.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || most >= 0 && n > most {
			return fmt.Errorf("%d arguments do not fit: write %s", n, cmd.UseLine())
		}
		return nil
	}
}

// withStore runs fn with the store open.
func (j *job) withStore(ctx context.Context, n need, fn func() error) (err error) {
	made := false
	switch err := checkStore(j.cfg.DataDir); {
	case errors.Is(err, fs.ErrNotExist) && n == needAnyStore:
		made = true
	case err != nil:
		return err
	}
	if j.store, err = sqlite.Open(ctx, j.cfg.DataDir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.store.Close()) }()
	if made {
		fmt.Fprintf(j.out.note, "pwb-server: made a new store in %s; the server must be given the same --data-dir\n", j.cfg.DataDir)
	}
	server, err := j.cfg.handler(ctx, j.store, j.log(), n == needIDs)
	if err != nil {
		return err
	}
	j.operator = server.Operator("administrator " + invoker())
	return fn()
}

// log hears what somebody at a terminal should know. What is done is in the
// audit log, and the command prints it.
func (j *job) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(j.out.note, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// checkStore fails unless the directory has a store: to open one that is not
// there would make it.
func checkStore(dir string) error {
	switch _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); {
	case errors.Is(err, fs.ErrNotExist):
		return noStoreError(dir)
	case err != nil:
		return fmt.Errorf("look for the store: %w: run this as the user that the server runs as, or as root", err)
	}
	return nil
}

// noStoreError names a directory without a store. It is fs.ErrNotExist.
type noStoreError string

func (e noStoreError) Error() string {
	return fmt.Sprintf("no store is in %s: name the server's data directory with --data-dir DIRECTORY, or in its configuration with --config FILE", string(e))
}

func (noStoreError) Is(target error) bool { return target == fs.ErrNotExist }

// invoker is who runs the command, for the audit log: who called sudo(8), else
// the name of the real uid.
func invoker() string {
	const most = 100
	printable := func(s string) bool {
		return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	}
	if name := os.Getenv("SUDO_USER"); printable(name) {
		return name
	}
	uid := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(uid); err == nil && printable(u.Username) {
		return u.Username
	}
	return "uid " + uid
}

// confirm asks for a yes where somebody is there to say it, unless yes was given.
func (j *job) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	if !isTerminal(j.cmd.InOrStdin()) {
		return errors.New("nobody is there to confirm this, so nothing was done: add --yes")
	}
	fmt.Fprintf(j.out.note, "%s\nType yes to go on: ", what)
	answer, err := bufio.NewReader(j.cmd.InOrStdin()).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return errors.Join(errors.New("not confirmed, so nothing was done"), err)
	}
	return nil
}

// isTerminal reports whether somebody sits at the other end of the stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
