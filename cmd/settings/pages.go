package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Manual is what a program's manual pages say beside its commands and keys.
type Manual struct {
	// File is the absolute path of the configuration file.
	File string
	// Sections end the program's page, in this order.
	Sections []Section
	// SeeAlso names other pages, such as getent(1).
	SeeAlso []string
	// NoEnvironment is of a program that loads WithoutEnvironment.
	NoEnvironment bool
}

// Section is one of a manual page: a title in capitals, and prose whose indented
// lines keep their form.
type Section struct{ Title, Text string }

// page is the name of the configuration file's manual page, after the program
// that reads it: /etc/pwb/agent.yaml is pwb-agent.yaml(5).
func (m Manual) page() string { return "pwb-" + filepath.Base(m.File) }

// PagesCommand is the hidden command by which packages are made: it writes the
// manual pages and the configuration file, with every key as a comment, into a
// directory. All come from the flags, so that they say what the program does.
func PagesCommand(keysOf *cobra.Command, m Manual) *cobra.Command {
	return &cobra.Command{
		Use:    "pages DIRECTORY",
		Short:  "Write the manual pages and the configuration file that packages hold",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for name, text := range map[string]string{
				cmd.Root().Name() + ".8": programPage(cmd.Root(), keysOf, m),
				m.page() + ".5":          filePage(cmd.Root(), keysOf, m),
				filepath.Base(m.File):    File(keysOf.Flags(), cmd.Root().Name(), m.NoEnvironment),
			} {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(text), 0o644); err != nil {
					return fmt.Errorf("write the page: %w", err)
				}
			}
			return nil
		},
	}
}

// File is a configuration file in which every key stands as a comment, with its
// meaning and its default. Its head says what else the program reads.
func File(flags *pflag.FlagSet, program string, noEnvironment bool) string {
	after := "the environment and flags"
	if noEnvironment {
		after = "flags, and not the environment,"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Configuration of %s(8). Each key stands with its default; take # away to\n# change it. %[1]s reads %s after this file.\n", program, after)
	visitKeys(flags, func(f *pflag.Flag) {
		_, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(&b, "\n%s#%s: %s\n", comment(usage), f.Name, yamlValue(f))
	})
	return b.String()
}

// comment breaks prose into lines of a YAML comment.
func comment(text string) string {
	const width = 96
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

// visitKeys visits the flags that are keys, in the order of their names.
func visitKeys(flags *pflag.FlagSet, fn func(*pflag.Flag)) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != FileFlag && f.Name != "help" {
			fn(f)
		}
	})
}

// yamlValue is a flag's default in YAML's flow style.
func yamlValue(f *pflag.Flag) string {
	if s, ok := f.Value.(pflag.SliceValue); ok {
		var all []string
		for _, v := range s.GetSlice() {
			all = append(all, yamlString(v))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	if f.Value.Type() == "string" {
		return yamlString(f.DefValue)
	}
	return f.DefValue
}

// yamlString is a string in YAML, in quotes unless it can only be a plain word.
func yamlString(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '/' || r == '.' || r == '-' || r == '_' || r == ':' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}) && (s[0] == '/' || 'a' <= s[0] && s[0] <= 'z') && !strings.HasSuffix(s, ":")
	switch s {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
