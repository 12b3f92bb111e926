package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pwb/cmd/pwb-agent/setup"
	"pwb/cmd/settings"
	"pwb/syncer"
)

func enrollCommand() *cobra.Command {
	var o enrollOptions
	cmd := &cobra.Command{
		Use:   "enroll --server URL --token-file FILE",
		Short: "Get this node tokens of its own, for an enrolment token",
		Long: `Get this node a node-admin and a node-user token of its own, for an enrolment token
that was made with pwb-server token create NAME --scope enroll --uses N. The node makes
both; the server hears their hashes alone. They are called node-admin@NAME and
node-user@NAME at the server, where they can be revoked by themselves.

Where there is no agent.yaml, one is written that names the server; one that has comments
alone, as packages bring it, gets the name at its end. When the answer was lost, or
the command killed, run it again: that costs no further use of the token.

Exit status: 0 the tokens are in place; 1 they are not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, settings.FileFlag, "", "configuration `file` (default "+defaultConfigFile+")")
	f.StringVar(&o.server, "server", "", "`URL` of the server (default: that of agent.yaml)")
	f.StringVar(&o.enrolment, "token-file", "", "`file` with the enrolment token, which nobody else may read")
	f.StringVar(&o.name, "name", "", "`name` by which the server is to know this node (default: node of agent.yaml, or the host name)")
	f.StringVar(&o.ca, "ca-cert", "", "PEM `file` of the authorities to trust in place of the system's (default: that of agent.yaml)")
	f.StringVar(&o.admin, "admin-token-file", "", "`file` for the node-admin token (default: token-file of agent.yaml)")
	f.StringVar(&o.user, "user-token-file", "/etc/rstudio/user-token", "`file` for the node-user token")
	f.BoolVar(&o.force, "force", false, "replace tokens that are there")
	if err := cmd.MarkFlagRequired("token-file"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

type enrollOptions struct {
	config, server, enrolment, name, ca, admin, user string
	force                                            bool
}

func (o *enrollOptions) run(cmd *cobra.Command) error {
	keys := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	addFlags(keys)
	file := cmp.Or(o.config, defaultConfigFile)
	_, there := os.Stat(file)
	if o.config != "" && there == nil {
		if err := keys.Set(settings.FileFlag, file); err != nil {
			return err
		}
	}
	var cfg config
	if err := settings.Load(keys, file, &cfg); err != nil {
		return err
	}
	server := cmp.Or(o.server, cfg.Server)
	if server == "" {
		return errors.New("no server: give --server URL, or server: in " + file)
	}
	node := cmp.Or(o.name, cfg.Node)
	if node == "" {
		var err error
		if node, err = os.Hostname(); err != nil {
			return fmt.Errorf("find the host name, which --name can give instead: %w", err)
		}
	}
	ca := cmp.Or(o.ca, cfg.CACert)
	client, err := syncer.NewClient(syncer.ClientConfig{Server: server, TokenFile: o.enrolment, CACert: ca, Node: node, Version: version})
	if err != nil {
		return err
	}
	defer client.Close()
	e := setup.Enrolment{Root: "/", Force: o.force, ConfigText: "server: " + quoteYAML(server) + "\n"}
	for _, k := range []struct {
		key, value string
		path       bool
	}{{"node", o.name, false}, {"ca-cert", o.ca, true}, {"token-file", o.admin, true}} {
		if k.value == "" {
			continue
		}
		if k.path {
			if k.value, err = filepath.Abs(k.value); err != nil {
				return err
			}
		}
		e.ConfigText += k.key + ": " + quoteYAML(k.value) + "\n"
	}
	for _, p := range []struct {
		to   *string
		path string
	}{{&e.AdminToken, cmp.Or(o.admin, cfg.TokenFile)}, {&e.UserToken, o.user}, {&e.ConfigFile, file}} {
		if *p.to, err = filepath.Abs(p.path); err != nil {
			return err
		}
	}
	stays := !e.Configures()
	err = e.Run(cmd.Context(), func(ctx context.Context, admin, user syncer.NodeToken) error {
		return client.Enroll(ctx, admin, user)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "enrolled as %s: %s and %s are in place; remove the enrolment token %s, which this node needs no more\n", node, e.AdminToken, e.UserToken, o.enrolment)
	if err == nil && stays && cfg.Server != server {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s stays as it is: write server: %s into it\n", file, server)
	}
	return err
}

// quoteYAML is a string in YAML, on one line.
func quoteYAML(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
