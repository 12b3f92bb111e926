// Command pwb-server is the central server: identity providers push users and
// groups to it over SCIM 2.0, and agents pull the resulting accounts from it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"pwb/cmd/settings"
)

// version is set when a release is built: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its process. The exit status is 0 or 1.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "pwb-server",
		Short:         "SCIM 2.0 in, Linux accounts out",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	serve := serveCommand()
	root.AddCommand(serve, tokenCommand(), settings.KeysCommand(serve))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "pwb-server: %v\n", err)
		return 1
	}
	return 0
}

const defaultConfigFile = "/etc/pwb/server.yaml"

// addCommonFlags adds the keys that every command reads.
func addCommonFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String(settings.FileFlag, "", "configuration `file` (default "+defaultConfigFile+" if it is there)")
	f.String("data-dir", "/var/lib/pwb-server", "`directory` of the store; only its owner may reach it")
}
