// Command pwb-agent runs on every node: it pulls the accounts from the server
// and renders them as passwd, group and shadow files that NSS reads locally.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"pwb/cmd/doctor"
	"pwb/cmd/settings"
	"pwb/syncer"
)

// version is set when a release is built: -ldflags "-X main.version=…".
var version = "dev"

// Exit statuses. Scripts rely on them.
const (
	exitCurrent = 0 // the files are current, or what was asked for was told
	exitFailed  = 1 // the pass failed; the files are as they were
	exitPending = 2 // plan and --dry-run only: there is something to write
	exitFuse    = 3 // the mass-change fuse stopped the pass; the files are as they were
	exitPinned  = 4 // the files are pinned to a generation, and the roster is another

	// doctor ends with 2 for warnings and 3 for failures.
)

func main() {
	// net/http logs what follows an answer on a connection, which may be rows with
	// password hashes. What matters of it is in an error, too.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its process; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "pwb-agent",
		Short:         "Keeps a node's passwd, group and shadow files current",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	run := runCommand()
	root.AddCommand(syncCommand(), planCommand(), explainCommand(), statusCommand(), rollbackCommand(), setupCommand(), enrollCommand(), keysCommand(), doctorCommand(), run, settings.Command(run))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(settings.PagesCommand(run, manual))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitCurrent
	}
	fmt.Fprintf(stderr, "pwb-agent: %v\n", err)
	if v, ok := errors.AsType[*doctor.Verdict](err); ok {
		return v.Status()
	}
	switch {
	case errors.Is(err, syncer.ErrPending):
		return exitPending
	case errors.Is(err, syncer.ErrFuse):
		return exitFuse
	case errors.Is(err, syncer.ErrPinned):
		return exitPinned
	}
	return exitFailed
}
