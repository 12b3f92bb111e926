package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pwb/altfiles"
	"pwb/cmd/doctor"
	"pwb/cmd/pwb-agent/checkup"
	"pwb/cmd/settings"
)

func doctorCommand() *cobra.Command {
	o := doctorOptions{own: pflag.NewFlagSet("doctor", pflag.ContinueOnError)}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong on this node, and say which command mends it",
		Long: `Look at the configuration, the server, the tokens, the rendered files, the name
services and PAM of this node. A line for each check says ok, warn, fail, or skipped and
why; below what is wrong stand why that matters and the command that mends it. Nothing
is changed. It takes 15 seconds at most. What only root can see is skipped for others.

Exit status: 0 all is well; 1 it could not run; 2 there are warnings; 3 there are
failures. Checks that were skipped do not count.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	// A node is looked at as pwb-agent run has it.
	cmd.Flags().AddFlagSet(runCommand().Flags())
	o.own.StringVar(&o.node.Nsswitch, "nsswitch-file", "/etc/nsswitch.conf", "the `file` that says which sources are asked")
	o.own.StringVar(&o.node.UserToken, "user-token-file", "/etc/rstudio/user-token", "`file` with this node's node-user token, where workbench-nss.conf names none")
	o.own.StringVar(&o.node.PamDir, "pam-dir", "/etc/pam.d", "`directory` of PAM's services")
	o.own.StringVar(&o.node.PamHelper, "pam-helper", "/usr/libexec/pwb/pwb-pam", "`program` that PAM runs")
	o.own.StringVar(&o.node.SSHDConfig, "sshd-config-file", "/etc/ssh/sshd_config", "configuration `file` of sshd")
	o.own.StringVar(&o.node.NscdConfig, "nscd-config-file", "/etc/nscd.conf", "configuration `file` of nscd")
	cmd.Flags().AddFlagSet(o.own)
	cmd.Flags().Bool("json", false, "print an object a line for each finding")
	return cmd
}

type doctorOptions struct {
	own  *pflag.FlagSet
	node checkup.Node
}

func (o *doctorOptions) run(cmd *cobra.Command) error {
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	others := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	addFlags(others)
	n := &o.node
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if o.own.Lookup(f.Name) != nil {
			return
		}
		flags.AddFlag(f)
		if f.Changed && others.Lookup(f.Name) != nil { // what is advised is to do the same
			value := f.Value.String()
			if s, ok := f.Value.(pflag.SliceValue); ok {
				value = strings.Join(s.GetSlice(), ",")
			}
			n.Flags = append(n.Flags, "--"+f.Name+"="+value)
		}
	})
	n.ConfigFile = configFile(cmd)
	cfg, err := o.load(flags)
	n.ConfigError = err
	o.describe(&cfg)
	checks := n.Checks()
	if err != nil {
		checks = checks[:2] // all others would look at something else
	}
	found := doctor.Run(cmd.Context(), checks)
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	show := doctor.Show
	if cfg.JSON {
		show = doctor.ShowJSON
	}
	if err := show(cmd.OutOrStdout(), found); err != nil {
		return err
	}
	return doctor.Judge(found)
}

// load reads the configuration. Keys that are none are told apart: the rest is as if
// they were not there.
func (o *doctorOptions) load(flags *pflag.FlagSet) (cfg config, err error) {
	var all struct {
		config `mapstructure:",squash"`
		Others map[string]any `mapstructure:",remain"`
	}
	err = settings.Load(flags, defaultConfigFile, &all)
	cfg = all.config
	o.node.UnknownKeys = slices.Sorted(maps.Keys(all.Others))
	if err != nil {
		return cfg, err
	}
	if cfg.Node == "" {
		// Without one the server hears no name.
		cfg.Node, _ = os.Hostname()
	}
	return cfg, cfg.settle()
}

// describe tells the node what the configuration says.
func (o *doctorOptions) describe(cfg *config) {
	n := &o.node
	n.Root = "/"
	if cfg.Root != "" {
		n.Root = cfg.Root
	}
	n.Server, n.TokenFile, n.CACert, n.Name, n.Version = cfg.Server, cfg.TokenFile, cfg.CACert, cfg.Node, version
	n.Dir, n.StateDir, n.RunDir = cfg.Dir, cfg.StateDir, cfg.RunDir
	n.PasswdFile, n.GroupFile, n.ModuleConfig = cfg.PasswdFile, cfg.GroupFile, cfg.ModuleConfig
	n.NscdSocket, n.Layout, n.Index, n.Shadow = cfg.NscdSocket, altfiles.Layout(cfg.Layout), cfg.index(), cfg.Shadow
	n.MergeMembers = len(cfg.MergeMembers) > 0
	n.Renderer = func() (*altfiles.Renderer, error) { return newRenderer(cfg) }
}
