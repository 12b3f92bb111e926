// Command pwb-pam is what the stock pam_exec(8) runs at a login: the account check, the
// home and, where it must be, the password. It trusts none of its environment but
// what PAM says, and ends in time whatever happens.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"pwb/cmd/settings"
	"pwb/pam"
	"pwb/roster"
)

// version is set when a release is built: -ldflags "-X main.version=…".
var version = "dev"

// Exit statuses. pam_exec(8) makes PAM_SYSTEM_ERR of all but 0; the log and these tell
// more.
const (
	exitGood     = 0 // let in, or not an account of the agent's
	exitRefused  = 1 // refused: locked, expired, wrong password, a home of somebody else's
	exitFailed   = 2 // nobody can tell, or wrong use; the log says what
	exitDeadline = 3 // it took too long
)

func main() {
	calmly()
	unlimited()
	said := environment(os.Environ())
	os.Clearenv() // TZ alone has Go read any file, at the first time that is written out
	os.Exit(run(os.Args[1:], said, os.Stdin, os.Stdout, os.Stderr))
}

// calmly starts the program again if its environment could have changed how Go's
// runtime works: users may have a say in it, pam_env(8).
func calmly() {
	wild := func(v string) bool { return strings.HasPrefix(v, "GO") }
	var calm []string
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "PAM_") {
			calm = append(calm, v)
		}
	}
	for _, v := range os.Environ() {
		if wild(v) {
			_ = unix.Exec("/proc/self/exe", os.Args, calm) // without /proc it goes on as it is
			return
		}
	}
}

// environment is what PAM says.
func environment(all []string) map[string]string {
	said := map[string]string{}
	for _, v := range all {
		if key, value, _ := strings.Cut(v, "="); strings.HasPrefix(key, "PAM_") {
			said[key] = value
		}
	}
	return said
}

// program is one call of pwb-pam.
type program struct {
	pam            map[string]string
	stdin          io.Reader
	stdout, stderr io.Writer
	exit           func(int)
}

// run is the program without its process; it returns the exit status.
func run(args []string, said map[string]string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{said, stdin, stdout, stderr, os.Exit}
	root := &cobra.Command{
		Use:   "pwb-pam",
		Short: "What pam_exec(8) runs at a login: account check, home, password",
		Long: `What pam_exec(8) runs at a login: account check, home, password.

Exit status: 0 let in, or not an account of pwb-agent's; 1 refused; 2 nobody can tell,
or wrong use; 3 it took too long. What is printed is for whoever logs in, and the
system's log (auth facility) has the reasons.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	session := p.sessionCommand()
	root.AddCommand(p.accountCommand(), session, p.authCommand(), p.homesCommand(), settings.Command(session), settings.PagesCommand(session, manual))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return p.ended(root.ExecuteContext(context.Background()))
}

// ended tells how it went, once, and returns the exit status.
func (p *program) ended(err error) int {
	var refusal *pam.Refusal
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &refusal):
		if refusal.Say != "" {
			fmt.Fprintln(p.stdout, refusal.Say)
		}
		return exitRefused
	case p.pam["PAM_TYPE"] != "": // standard error goes where standard output does
		fmt.Fprintln(p.stdout, "Something is wrong with this machine's accounts. Please ask your administrator.")
	default:
		fmt.Fprintf(p.stderr, "pwb-pam: %v\n", err)
	}
	return exitFailed
}

// decision is what a command decides for a name.
type decision func(ctx context.Context, c *config, log *slog.Logger, name string) error

// decide is what account, session and auth have in common: settings, the deadline, and
// that the log has what was decided.
func (p *program) decide(cmd *cobra.Command, types []string, do decision) (err error) {
	log := newLog(p.pam)
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("defect: %v", broken)
		}
		logged(log, cmd.Name(), p.pam, err)
	}()
	cfg, err := load(cmd.Flags())
	if err != nil {
		return err
	}
	name := p.pam["PAM_USER"]
	good := false
	for _, t := range types {
		good = good || p.pam["PAM_TYPE"] == t
	}
	if !good || name == "" {
		return fmt.Errorf("PAM_TYPE is %q and PAM_USER %q: pam_exec(8) runs this, on a line of type %s", p.pam["PAM_TYPE"], shown(name), strings.TrimPrefix(types[0], "open_"))
	}
	limit := cfg.Deadline
	if cmd.Name() == "session" {
		limit = cfg.HomeDeadline
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), limit)
	defer cancel()
	// What does not heed the context, a read of a dead disk or file server, ends with
	// the process.
	watchdog := time.AfterFunc(limit+limit/10, func() {
		log.Error("it took too long, and is given up", "user", shown(name), "limit", limit)
		p.exit(exitDeadline)
	})
	defer watchdog.Stop()
	return do(ctx, cfg, log, name)
}

// logged writes down what was decided, but not that all is well.
func logged(log *slog.Logger, command string, said map[string]string, err error) {
	var refusal *pam.Refusal
	who := []any{"phase", command, "user", shown(said["PAM_USER"]), "service", short(said["PAM_SERVICE"]), "host", short(said["PAM_RHOST"])}
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		log.Warn("refused", append(who, "why", refusal.Why)...)
	default:
		log.Error("refused, since nobody can tell", append(who, "error", err)...)
	}
}

// shown is a name for the log. What cannot be one may be a password that somebody
// typed too early.
func shown(name string) string {
	if roster.CheckName(name) != nil {
		return "(not a name)"
	}
	return name
}

// short is a text of whoever logs in, for the log.
func short(s string) string { return s[:min(len(s), maxShown)] }

const maxShown = 255

func (p *program) accountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Refuse who is locked or expired, however they proved who they are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.decide(cmd, []string{"account"}, func(ctx context.Context, cfg *config, log *slog.Logger, name string) error {
				return cfg.node(log).Account(ctx, name, cfg.OnlyOurs)
			})
		},
	}
	addFlags(cmd.Flags())
	cmd.Flags().Bool("only-ours", false, "refuse accounts that are not the agent's, for a line that lets in by itself")
	return cmd
}

func (p *program) sessionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "session",
		Short: "Make the home if it is not there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.decide(cmd, []string{"open_session", "close_session"}, func(ctx context.Context, cfg *config, log *slog.Logger, name string) error {
				if p.pam["PAM_TYPE"] == "close_session" {
					return nil
				}
				homes := cfg.homes(log)
				homes.Tell = func(s string) { fmt.Fprintln(p.stdout, s) }
				return cfg.node(log).Session(ctx, homes, name)
			})
		},
	}
	addFlags(cmd.Flags())
	return cmd
}

func (p *program) authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Verify the password on standard input, as expose_authtok of pam_exec(8) writes it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.decide(cmd, []string{"auth"}, func(ctx context.Context, cfg *config, log *slog.Logger, name string) error {
				if err := mayCount(); err != nil {
					return err
				}
				password, err := pam.ReadPassword(p.stdin)
				if err != nil {
					return &pam.Refusal{Why: err.Error()}
				}
				verifier, err := pam.NewVerifier(cfg.node(log), cfg.Decoy, cfg.failures())
				if err != nil {
					return err
				}
				return verifier.Authenticate(ctx, name, p.pam["PAM_RHOST"], password)
			})
		},
	}
	addFlags(cmd.Flags())
	return cmd
}
