package settings

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEveryKeyOfTheFileIsItsDefault takes the # from each key of the file, and reads it.
func TestEveryKeyOfTheFileIsItsDefault(t *testing.T) {
	awkward := func() *pflag.FlagSet {
		f := sampleFlags()
		f.String("pattern", `a: "b" \c # d`, "a `pattern` with … and as many words as it takes to fill more than one line of a hundred characters")
		f.String("truth", "true", "a `word` that YAML takes for something else")
		f.String("number", "007", "another `word`")
		f.String("address", "127.0.0.1:8443", "a third `word`")
		f.StringSlice("list", []string{"*=/bin/sh", "b c", "d"}, "`words`")
		f.Bool("flag", true, "true or false")
		return f
	}
	type all struct {
		sample                          `mapstructure:",squash"`
		Pattern, Truth, Number, Address string
		List                            []string
		Flag                            bool
	}
	text := regexp.MustCompile(`(?m)^#([a-z-]+: )`).ReplaceAllString(File(awkward(), "sample", false), "$1")
	if n := strings.Count(text, "\n\n"); n != 9 {
		t.Errorf("the file has %d keys, not 9", n)
	}
	for line := range strings.Lines(text) {
		if len(line) > 120 {
			t.Errorf("the line is too long: %s", line)
		}
	}
	file := filepath.Join(t.TempDir(), "sample.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// What the file says must win over defaults that are others.
	other := pflag.NewFlagSet("sample", pflag.ContinueOnError)
	awkward().VisitAll(func(f *pflag.Flag) {
		if _, list := f.Value.(pflag.SliceValue); list {
			other.StringSlice(f.Name, []string{"other"}, "")
		} else {
			other.String(f.Name, "", "")
		}
	})
	if err := other.Parse([]string{"--config", file}); err != nil {
		t.Fatal(err)
	}
	var got, want all
	if err := Load(other, "", &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := Load(awkward(), "/nowhere/default.yaml", &want); err != nil {
		t.Fatal(err)
	}
	// No list is one without elements.
	if len(got.Names) != 0 {
		t.Errorf("names are %q", got.Names)
	}
	got.Names, want.Names = nil, nil
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("the file says\n%s, and the defaults are\n%s", g, w)
	}
}

// TestPagesSayWhatTheCommandsSay has what roff could take for its own.
func TestPagesSayWhatTheCommandsSay(t *testing.T) {
	root := &cobra.Command{Use: "sample", Short: "does nothing", Version: "1.2"}
	run := &cobra.Command{Use: "run NAME", Short: "Run", Long: ".begins with a dot\n'and with a quote\n\n  keeps   its\n  form\n\nends -- with \\ and ü", RunE: func(*cobra.Command, []string) error { return nil }}
	run.Flags().AddFlagSet(sampleFlags())
	run.Flags().String("own", "", "an own `flag`")
	keysOf := &cobra.Command{}
	keysOf.Flags().AddFlagSet(sampleFlags())
	m := Manual{File: "/etc/pwb/sample.yaml", Sections: []Section{{"FILES", "  a  b"}}, SeeAlso: []string{"other(1)"}}
	run.AddCommand(&cobra.Command{Use: "fast", Short: "Run fast", RunE: run.RunE})
	root.AddCommand(run, &cobra.Command{Use: "secret", Hidden: true, RunE: run.RunE}, PagesCommand(keysOf, m))
	dir := t.TempDir()
	root.SetArgs([]string{"pages", dir})
	root.SetOut(new(bytes.Buffer))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "sample.8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".TH \"SAMPLE\" \"8\" \"\" \"pwb 1.2\" \"pwb\"\n", "sample \\- does nothing\n", ".SS \"sample run NAME\"\n", ".SS \"sample run fast\"\nRun fast.\n", "\n\\&.begins with a dot\n", "\n\\&\\(aqand with a quote\n",
		".nf\n  keeps   its\n  form\n", ".fi\n", "ends \\-\\- with \\e and \\[u00FC]\n", ".BI \"\\-\\-own\" \" flag\"\nan own flag\n", ".SH \"FILES\"\n.nf\n  a  b\n.fi\n", "pwb\\-sample.yaml(5), other(1)\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not have %q:\n%s", want, page)
		}
	}
	for _, not := range []string{"secret", "pages", "data\\-dir"} {
		if strings.Contains(string(page), not) {
			t.Errorf("the page has %q:\n%s", not, page)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, "pwb-sample.yaml.5"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".B \"data\\-dir\"\nThe directory. Value: directory. Default: /default.\n", ".B \"names\"\nThe names. Value: names.\n"} {
		if !strings.Contains(string(file), want) {
			t.Errorf("the page does not have %q:\n%s", want, file)
		}
	}
	for _, name := range []string{"sample.yaml", "pwb-sample.yaml.5"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), "environment") {
			t.Errorf("%s does not say that the environment is read: %v\n%s", name, err, text)
		}
	}

	calm := &cobra.Command{Use: "calm"}
	m.NoEnvironment = true
	calm.AddCommand(PagesCommand(keysOf, m))
	calm.SetArgs([]string{"pages", dir})
	if err := calm.Execute(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"sample.yaml": "calm reads flags, and not the environment, after", "pwb-sample.yaml.5": "the environment is not read."} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "PWB_") {
			t.Errorf("%s of a program that reads no environment: %v\n%s", name, err, text)
		}
	}

	root.SetArgs([]string{"pages", filepath.Join(dir, "absent")})
	root.SilenceErrors, root.SilenceUsage = true, true
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("where the directory is absent, the error is %v", err)
	}
}
