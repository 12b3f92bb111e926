package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// roff is a page in the making, in the macros of man(7).
type roff struct{ strings.Builder }

// macro writes a line that begins with a macro; arguments are quoted.
func (r *roff) macro(name string, args ...string) {
	r.WriteString("." + name)
	for _, a := range args {
		r.WriteString(` "` + strings.ReplaceAll(escape(a), `"`, `\(dq`) + `"`)
	}
	r.WriteByte('\n')
}

// roffEscape makes characters of what groff(7) would read as something else.
// Options are typed as they are printed: a minus, no hyphen.
var roffEscape = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

func escape(s string) string {
	var b strings.Builder
	for _, c := range roffEscape.Replace(s) {
		if c < 0x80 {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, c)
		}
	}
	return b.String()
}

// text writes prose. Lines that are indented keep their form, an empty one ends a
// paragraph.
func (r *roff) text(s string) {
	verbatim := false
	for line := range strings.Lines(strings.Trim(s, "\n")) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t"); indented != verbatim && line != "" {
			verbatim = indented
			r.macro(map[bool]string{true: "nf", false: "fi"}[indented])
		}
		switch {
		case line == "" && !verbatim:
			r.macro("PP")
		default:
			line = escape(line)
			if strings.HasPrefix(line, ".") || strings.HasPrefix(line, `\(aq`) {
				line = `\&` + line
			}
			r.WriteString(line + "\n")
		}
	}
	if verbatim {
		r.macro("fi")
	}
}

// begin writes what every page begins with.
func (r *roff) begin(name string, section int, version, short string) {
	r.macro("TH", strings.ToUpper(name), fmt.Sprint(section), "", "pwb "+version, "pwb")
	r.macro("SH", "NAME")
	r.text(name + " - " + short)
}

// option writes a flag.
func (r *roff) option(f *pflag.Flag) {
	value, usage := pflag.UnquoteUsage(f)
	r.macro("TP")
	head := "--" + f.Name
	if f.Shorthand != "" {
		head = "-" + f.Shorthand + ", " + head
	}
	if value == "" {
		r.macro("B", head)
	} else {
		r.macro("BI", head, " "+value)
	}
	r.text(usage)
}

// programPage is the page of a program: all its commands, and the flags that are
// no keys of its configuration.
func programPage(root, keysOf *cobra.Command, m Manual) string {
	var r roff
	r.begin(root.Name(), 8, root.Version, root.Short)
	r.macro("SH", "SYNOPSIS")
	r.macro("B", root.Name())
	r.text("COMMAND [flags]")
	if root.Long != "" {
		r.macro("SH", "DESCRIPTION")
		r.text(root.Long)
	}
	r.macro("SH", "COMMANDS")
	r.text("Keys of " + m.page() + "(5) are flags of each command that reads the configuration, too, as --key value; --config FILE names another file. --help shows them all.")
	for _, cmd := range leaves(root) {
		r.macro("SS", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		if cmd.Long != "" {
			r.text(cmd.Long)
		} else {
			r.text(cmd.Short + ".")
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && f.Name != FileFlag && keysOf.Flags().Lookup(f.Name) == nil {
				r.option(f)
			}
		})
	}
	for _, s := range m.Sections {
		r.macro("SH", s.Title)
		r.text(s.Text)
	}
	r.macro("SH", "SEE ALSO")
	r.text(strings.Join(append([]string{m.page() + "(5)"}, m.SeeAlso...), ", "))
	return r.String()
}

// leaves lists the commands that do something, also those that have others below
// them, in the order of their names.
func leaves(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		switch {
		case c.Hidden || c.Name() == "help" || c.Name() == "completion":
		case c.HasSubCommands():
			// One that only has commands passes over flags, which are theirs.
			if c.Runnable() && !c.FParseErrWhitelist.UnknownFlags {
				all = append(all, c)
			}
			all = append(all, leaves(c)...)
		default:
			all = append(all, c)
		}
	}
	return all
}

// filePage is the page of a program's configuration file.
func filePage(root, keysOf *cobra.Command, m Manual) string {
	var r roff
	r.begin(m.page(), 5, root.Version, "configuration of "+root.Name()+"(8)")
	r.macro("SH", "SYNOPSIS")
	r.macro("B", m.File)
	r.macro("SH", "DESCRIPTION")
	wins := "The environment (PWB_ and the key in capitals, _ for -) wins over the file, and a flag (--key) over both. "
	if m.NoEnvironment {
		wins = "A flag (--key) wins over the file; the environment is not read. "
	}
	r.text("YAML, one key: value a line; lists are [a, b]. " + wins + "A key that is not here is an error. Times are written as 90s, 10m or 1h30m.")
	r.macro("SH", "KEYS")
	visitKeys(keysOf.Flags(), func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		r.macro("TP")
		r.macro("B", f.Name)
		text := strings.ToUpper(usage[:1]) + usage[1:] + "."
		if value != "" {
			text += " Value: " + value + "."
		}
		if v := yamlValue(f); v != `""` && v != "[]" {
			text += " Default: " + v + "."
		}
		r.text(text)
	})
	r.macro("SH", "SEE ALSO")
	r.text(strings.Join(append([]string{root.Name() + "(8)"}, slices.DeleteFunc(slices.Clone(m.SeeAlso), func(s string) bool {
		return s == root.Name()+"(8)"
	})...), ", "))
	return r.String()
}
