package settings

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Table documents the keys of a configuration file, which are the flags, as a
// table in Markdown. The reference in docs holds it, and a test that it still does.
func Table(flags *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString("| key | default | meaning |\n|---|---|---|\n")
	visitKeys(flags, func(f *pflag.Flag) {
		value := f.DefValue
		if s, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(s.GetSlice(), ", ")
		}
		if value != "" {
			value = "`" + value + "`"
		}
		_, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, value, strings.ReplaceAll(usage, "|", `\|`))
	})
	return b.String()
}

// Command is the command "settings", which prints the Table of another command's keys.
func Command(of *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "Print every key of the configuration with its default and meaning",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), Table(of.Flags()))
			return err
		},
	}
}
