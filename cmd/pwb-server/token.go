package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pwb/scimserver"
)

func tokenCommand() *cobra.Command {
	return family("token", "Make, list and revoke the tokens that clients identify with",
		tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
}

// tokenEntry is a token as it is printed.
type tokenEntry struct {
	Name  string           `json:"name"`
	Scope scimserver.Scope `json:"scope"`
	ID    string           `json:"id"`
	// Prefix is what the token begins with; empty when it was made elsewhere.
	Prefix  string     `json:"prefix,omitempty"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	Used    *time.Time `json:"lastUsed,omitempty"`
	// Uses is how many nodes a token of scope enroll may still enrol.
	Uses *int `json:"uses,omitempty"`
	// Token is the secret, right after it was made.
	Token string `json:"token,omitempty"`
}

func newTokenEntry(t scimserver.Token) tokenEntry {
	e := tokenEntry{Name: t.Name, Scope: t.Scope, ID: t.ID, Created: t.Created.UTC()}
	if t.Scope == scimserver.ScopeEnroll {
		e.Uses = &t.Uses
	}
	if !foreign(t) {
		e.Prefix = "pwb_" + t.ID + "_…"
	}
	for _, m := range []struct {
		t  time.Time
		to **time.Time
	}{{t.Expires, &e.Expires}, {t.Used, &e.Used}} {
		if !m.t.IsZero() {
			utc := m.t.UTC()
			*m.to = &utc
		}
	}
	return e
}

// foreign reports whether somebody else made the token: its id is a digest then.
func foreign(t scimserver.Token) bool { return len(t.ID) == 25 && strings.HasPrefix(t.ID, "x") }

func tokenCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and print it; it is shown this once",
		Args:  takes(1, 1),
	}
	f := cmd.Flags()
	scope := f.String("scope", "", "what the token is for: scim, node-admin, node-user, operator or enroll")
	days := f.Int("duration", 365, "`days` until the token expires")
	noExpiry := f.Bool("no-expiry", false, "make a token that never expires")
	expires := f.Duration("expires", 0, "`time` until the token expires, such as 24h, in place of --duration; the default for --scope enroll")
	uses := f.Int("uses", 1, "with --scope enroll, how `many` nodes the token may enrol")
	cmd.MarkFlagsMutuallyExclusive("duration", "no-expiry", "expires")
	if err := cmd.MarkFlagRequired("scope"); err != nil {
		panic(err) // the flag is defined above
	}
	// What is wrong with the arguments is said before a store is made.
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		sc, err := scimserver.ParseScope(*scope)
		if err != nil {
			return err
		}
		if *days < 1 || *days > maxDays {
			return fmt.Errorf("duration %d is not a number of days from 1 to %d; --no-expiry makes a token that never expires", *days, maxDays)
		}
		if cmd.Flags().Changed("expires") && (*expires < time.Minute || *expires > maxDays*day) {
			return fmt.Errorf("expires %v is not from 1m to %d days", *expires, maxDays)
		}
		if cmd.Flags().Changed("uses") && (sc != scimserver.ScopeEnroll || *uses < 1 || *uses > scimserver.MaxUses) {
			return fmt.Errorf("uses %d: a token of scope enroll has 1 to %d, others as many as one likes", *uses, scimserver.MaxUses)
		}
		_, _, err = scimserver.NewToken(args[0], sc, time.Now(), 0)
		return err
	}
	return administer(cmd, needAnyStore, func(ctx context.Context, j *job, args []string) error {
		life := time.Duration(*days) * day
		enrolment := scimserver.Scope(*scope) == scimserver.ScopeEnroll
		switch {
		case *noExpiry:
			life = 0
		case cmd.Flags().Changed("expires"):
			life = *expires
		case enrolment && !cmd.Flags().Changed("duration"):
			life = day // it lies about until it is used
		}
		var t scimserver.Token
		var text string
		var err error
		if enrolment {
			t, text, err = j.operator.AddEnrolment(ctx, args[0], *uses, life)
		} else {
			t, text, err = j.operator.AddToken(ctx, args[0], scimserver.Scope(*scope), life)
		}
		switch {
		case err != nil:
			return err
		case j.out.json:
			e := newTokenEntry(t)
			e.Token = text
			return j.out.object(e)
		}
		j.out.say("%s", text)
		return nil
	})
}

func tokenListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tokens, never their secrets", Args: takes(0, 0)}
	return administer(cmd, needStore, func(ctx context.Context, j *job, _ []string) error {
		each := func(yield func(tokenEntry) error) error {
			all, err := j.operator.Tokens(ctx)
			for _, t := range all {
				if err := yield(newTokenEntry(t)); err != nil {
					return err
				}
			}
			return err
		}
		now := time.Now()
		return list(j.out, "there are no tokens", []string{"NAME", "SCOPE", "TOKEN", "CREATED", "EXPIRES", "LAST USED"}, each, func(e tokenEntry) []string {
			prefix, expires, used := e.Prefix, "never", "never"
			if prefix == "" {
				prefix = "made elsewhere"
			}
			if e.Expires != nil {
				expires = timeText(e.Expires)
				if !now.Before(*e.Expires) {
					expires += " (over)"
				}
			}
			if e.Uses != nil {
				expires += ", or after " + plural(*e.Uses, "use", "uses")
			}
			if e.Used != nil {
				used = timeText(e.Used)
			}
			return []string{e.Name, string(e.Scope), prefix, timeText(&e.Created), expires, used}
		})
	})
}

func tokenRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke NAME|--all",
		Short: "Revoke a token; a running server refuses it within a second",
		Args:  takes(0, 1),
	}
	all := cmd.Flags().Bool("all", false, "revoke every token")
	yes := cmd.Flags().Bool("yes", false, "do not ask before --all")
	return administer(cmd, needStore, func(ctx context.Context, j *job, args []string) error {
		if *all == (len(args) == 1) {
			return errors.New("name one token, or say --all: pwb-server token list shows those there are")
		}
		names := args
		if *all {
			tokens, err := j.operator.Tokens(ctx)
			if err != nil {
				return err
			}
			for _, t := range tokens {
				names = append(names, t.Name)
			}
			what := fmt.Sprintf("This revokes %s: no provider and no node reaches the server until each has another.", plural(len(names), "token", "tokens"))
			if err := j.confirm(*yes, what); err != nil {
				return err
			}
		}
		revoked := []string{}
		for _, name := range names {
			if err := j.operator.RevokeToken(ctx, name); err != nil {
				return err
			}
			revoked = append(revoked, name)
			if !j.out.json {
				j.out.say("revoked %s", shown(name))
			}
		}
		switch {
		case j.out.json:
			return j.out.object(map[string][]string{"revoked": revoked})
		case len(revoked) == 0:
			fmt.Fprintln(j.out.note, "there are no tokens")
		}
		return nil
	})
}
