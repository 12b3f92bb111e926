// Command pwb-server is the central server: identity providers push users and
// groups to it over SCIM 2.0, and agents pull the resulting accounts from it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"pwb/cmd/doctor"
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
	root.AddCommand(serve, userCommand(), groupCommand(), idsCommand(), importCommand(), exportCommand(),
		backupCommand(), restoreCommand(), auditCommand(), tokenCommand(), nodeCommand(), revokeCommand(), fuseCommand(), statusCommand(), configCommand(), doctorCommand(), settings.Command(serve))
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(settings.PagesCommand(serve, manual))
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "pwb-server: %s\n", oneLine(err))
		if v, ok := errors.AsType[*doctor.Verdict](err); ok {
			return v.Status()
		}
		return 1
	}
	return 0
}

const defaultConfigFile = "/etc/pwb/server.yaml"

// oneLine is an error as one line, whatever it is made of.
func oneLine(err error) string {
	text := ""
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case text == "", strings.HasSuffix(text, ":"):
			text = strings.TrimSpace(text + " " + line)
		default:
			text += "; " + line
		}
	}
	return text
}
