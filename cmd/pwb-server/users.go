package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pwb/roster"
	"pwb/scimserver"
	"pwb/scimserver/scim"
)

func userCommand() *cobra.Command {
	return family("user", "Show and change users; USER is a POSIX name, uid, userName or id",
		userListCommand(), userShowCommand(), userAddCommand(), userLockCommand(), userUnlockCommand(),
		userSetAdminCommand(), userDeleteCommand(), userReadmitCommand(), userUnbindCommand(), userRenumberCommand())
}

var userStates = []string{
	scimserver.StateActive, scimserver.StateInactive, scimserver.StateHeld, scimserver.StateEnded,
	scimserver.StateImported, scimserver.StateDeparted, scimserver.StateBuried,
}

func userListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the users", Args: takes(0, 0)}
	state := cmd.Flags().String("state", "", "only users in this `state`: "+strings.Join(userStates, ", "))
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		if *state != "" && !slices.Contains(userStates, *state) {
			return fmt.Errorf("--state %.40q is none: use one of %s", *state, strings.Join(userStates, ", "))
		}
		each := func(yield func(scimserver.UserRecord) error) error {
			return j.operator.Users(ctx, func(u scimserver.UserRecord) error {
				if *state != "" && u.State != *state {
					return nil
				}
				return yield(u)
			})
		}
		none := "there are no users"
		if *state != "" {
			none = "no user is " + *state
		}
		return list(j.out, none, []string{"NAME", "UID", "GID", "STATE", "ADMIN", "USERNAME", "FULL NAME"}, each, func(u scimserver.UserRecord) []string {
			return []string{u.Name, number(u.UID), number(u.GID), u.State, yesNo(u.Admin), u.UserName, u.Gecos}
		})
	})
}

func userShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show USER", Short: "Show all that is known of a user", Args: takes(1, 1)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		u, err := j.operator.User(ctx, args[0])
		return j.showUser(u, err)
	})
}

// showUser prints the user whom a command found or changed.
func (j *job) showUser(u scimserver.UserRecord, err error) error {
	if err != nil {
		return err
	}
	if j.out.json {
		return j.out.object(u)
	}
	var aliases []string
	for _, a := range u.Aliases {
		aliases = append(aliases, fmt.Sprintf("%s (until %s)", a.Name, timeText(&a.Until)))
	}
	var identities []string
	for _, i := range u.Identities {
		identities = append(identities, i.Sub+" at "+i.Issuer)
	}
	var keys []string
	for _, key := range u.Keys {
		keys = append(keys, roster.KeyFingerprint(key))
	}
	readmit := ""
	if u.Readmit {
		readmit = "the next user with the userName"
	}
	return j.out.fields([]field{
		{"name", u.Name},
		{"uid", number(u.UID)},
		{"gid", number(u.GID)},
		{"state", u.State},
		{"since", timeText(u.Since)},
		{"login", map[bool]string{true: "locked", false: "open"}[u.Locked]},
		{"end date", timeText(u.End)},
		{"password", map[bool]string{true: "set", false: "none"}[u.Password]},
		{"admin", yesNo(u.Admin)},
		{"full name", u.Gecos},
		{"home", u.Home},
		{"shell", u.Shell},
		{"groups", strings.Join(u.Groups, " ")},
		{"former names", strings.Join(aliases, ", ")},
		{"SSH keys", strings.Join(keys, ", ")},
		{"userName", u.UserName},
		{"externalId", u.ExternalID},
		{"signs in as", strings.Join(identities, ", ")},
		{"readmitted", readmit},
		{"id", u.ID},
		{"created", timeText(u.Created)},
		{"changed", timeText(u.Changed)},
	})
}

func userAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add USERNAME",
		Short: "Add a user, as a provider would",
		Long: "Add a user with the SCIM userName USERNAME, by the rules that a provider's request\n" +
			"goes by. What no flag says is chosen as for a provider's user.",
		Args: takes(1, 1),
	}
	f := cmd.Flags()
	name := f.String("name", "", "POSIX `name`")
	uid := f.Uint32("uid", 0, "`uid`")
	gid := f.Uint32("gid", 0, "`gid` of the primary group")
	home := f.String("home", "", "home `directory`")
	shell := f.String("shell", "", "login `shell`")
	display := f.String("display-name", "", "full `name`")
	external := f.String("external-id", "", "the provider's own `id`")
	admin := f.Bool("admin", false, "make the user an administrator of Workbench")
	password := f.String("password-file", "", "`file` whose first line is the password, which not everybody may read; - is standard input")
	return administer(cmd, needIDs, func(ctx context.Context, j *job, args []string) error {
		body := map[string]any{"userName": args[0], "active": true}
		workbench, posix := map[string]any{}, map[string]any{}
		for _, a := range []struct {
			flag, attribute string
			in              map[string]any
			value           any
		}{
			{"name", "posixUserName", workbench, *name},
			{"uid", "posixUserId", workbench, int64(*uid)},
			{"home", "homeDirectory", workbench, *home},
			{"admin", "admin", workbench, *admin},
			{"gid", "posixGroupId", posix, int64(*gid)},
			{"shell", "loginShell", posix, *shell},
			{"display-name", "displayName", body, *display},
			{"external-id", "externalId", body, *external},
		} {
			if !cmd.Flags().Changed(a.flag) {
				continue
			}
			if a.value == "" {
				return fmt.Errorf("--%s is empty: leave it out, or say what it is", a.flag)
			}
			a.in[a.attribute] = a.value
		}
		if len(workbench) > 0 {
			body[scim.WorkbenchURN] = workbench
		}
		if len(posix) > 0 {
			body[scim.PosixUserURN] = posix
		}
		if *password != "" {
			text, err := readPassword(*password, j.cmd.InOrStdin())
			if err != nil {
				return err
			}
			body["password"] = text
		}
		u, err := j.operator.AddUser(ctx, body)
		return j.showUser(u, err)
	})
}

// maxPasswordLine is the most bytes that are read as a password.
const maxPasswordLine = 4096

// readPassword reads the first line of a file, or with - of standard input.
func readPassword(file string, stdin io.Reader) (password string, err error) {
	from := stdin
	if file == "-" {
		if isTerminal(stdin) {
			return "", errors.New("a password typed here would be shown: give it in a file, or through a pipe: systemd-ask-password | pwb-server user add … --password-file -")
		}
	} else {
		f, err := openSecret(file, "password")
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	}
	line, err := bufio.NewReader(io.LimitReader(from, maxPasswordLine)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password from %s: %w", file, err)
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 {
		return "", fmt.Errorf("the first line of --password-file %s is empty: it must hold the password", file)
	}
	return string(line), nil
}

// openSecret opens a file with secrets, which not everybody may be able to read.
func openSecret(file, what string) (*os.File, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode()&0o007 != 0 {
		err = fmt.Errorf("%s has mode %#o, so that everybody can reach the %s in it: chmod 0600 it", file, info.Mode().Perm(), what)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func userLockCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "lock USER", Short: "Lock a user, whatever the provider says, until unlock", Args: takes(1, 1)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		u, err := j.operator.Lock(ctx, args[0])
		return j.showUser(u, err)
	})
}

func userUnlockCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "unlock USER", Short: "End lock; what the provider says counts again", Args: takes(1, 1)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		u, err := j.operator.Unlock(ctx, args[0])
		if err := j.showUser(u, err); err != nil || j.out.json {
			return err
		}
		switch u.State {
		case scimserver.StateInactive:
			j.out.say("\n%s stays locked: the provider keeps the user inactive, and there it is changed.", u.Name)
		case scimserver.StateEnded:
			j.out.say("\n%s stays locked: the end date has come, which is changed at the provider.", u.Name)
		}
		return nil
	})
}

func userUnbindCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "unbind USER", Short: "Forget who a user is at OpenID providers; the next login by the userName decides", Args: takes(1, 1)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		u, err := j.operator.Unbind(ctx, args[0])
		return j.showUser(u, err)
	})
}

func userSetAdminCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "set-admin USER true|false", Short: "Make a user an administrator of Workbench, or no longer", Args: takes(2, 2)}
	return administer(cmd, needIDs, func(ctx context.Context, j *job, args []string) error {
		if args[1] != "true" && args[1] != "false" {
			return fmt.Errorf("%.40q is neither true nor false: write %s", args[1], cmd.UseLine())
		}
		u, err := j.operator.SetAdmin(ctx, args[0], args[1] == "true")
		return j.showUser(u, err)
	})
}

func userDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "delete USER", Short: "Delete a user, as a provider would: the account stays, locked", Args: takes(1, 1)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		u, err := j.operator.Delete(ctx, args[0])
		return j.showUser(u, err)
	})
}

func userReadmitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "readmit USER",
		Short: "Let a user who departed have the old account back",
		Long: "The next user that a provider creates with the userName is the one who departed,\n" +
			"with the same name, numbers and home, whatever the provider's own id is.",
		Args: takes(1, 1),
	}
	userName := cmd.Flags().String("user-name", "", "`userName` that comes back (default: the one that departed)")
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		u, err := j.operator.Readmit(ctx, args[0], *userName)
		return j.showUser(u, err)
	})
}

// parseID reads a number that an administrator chose.
func parseID(what, text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%.40q is not a %s: give a number, or none for the next free one", text, what)
	}
	return uint32(n), nil
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
