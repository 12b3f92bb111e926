package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

type sample struct {
	DataDir string   `mapstructure:"data-dir"`
	Count   int      `mapstructure:"count"`
	Names   []string `mapstructure:"names"`
}

func sampleFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("sample", pflag.ContinueOnError)
	f.String(FileFlag, "", "")
	f.String("data-dir", "/default", "the `directory`")
	f.Int("count", 3, "how `many`")
	f.StringSlice("names", nil, "the `names`")
	return f
}

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name, file, env string
		args            []string
		want            sample
		err             string
	}{
		{name: "without anything the defaults hold", want: sample{DataDir: "/default", Count: 3}},
		{name: "the file wins over the defaults", file: "data-dir: /file\nnames: [a, b]\n", want: sample{"/file", 3, []string{"a", "b"}}},
		{name: "the environment wins over the file", file: "data-dir: /file\n", env: "/env", want: sample{DataDir: "/env", Count: 3}},
		{name: "flags win over all", file: "data-dir: /file\n", env: "/env", args: []string{"--data-dir=/flag"}, want: sample{DataDir: "/flag", Count: 3}},
		{name: "an unknown key is an error that names it", file: "data-dri: /file\n", err: "data-dri"},
		{name: "a value of another type is an error that names its key", file: "count: many\n", err: "count"},
		{name: "a file that is not YAML is an error", file: ":\n\t-", err: "read the configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			flags := sampleFlags()
			args := c.args
			if c.file != "" {
				file := filepath.Join(t.TempDir(), "sample.yaml")
				if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", file)
			}
			if c.env != "" {
				t.Setenv("PWB_DATA_DIR", c.env)
			}
			if err := flags.Parse(args); err != nil {
				t.Fatal(err)
			}
			var got sample
			err := Load(flags, "/nowhere/default.yaml", &got)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("the error is %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.DataDir != c.want.DataDir || got.Count != c.want.Count || strings.Join(got.Names, " ") != strings.Join(c.want.Names, " ") {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestLoadRefusesANamedFileThatIsNotThere(t *testing.T) {
	flags := sampleFlags()
	if err := flags.Parse([]string{"--config", filepath.Join(t.TempDir(), "absent.yaml")}); err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := Load(flags, "/nowhere/default.yaml", &got); err == nil || !strings.Contains(err.Error(), "absent.yaml") {
		t.Errorf("the error is %v, want one that names the file", err)
	}
}

func TestNewLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := NewLogger(c[0], c[1]); err == nil {
			t.Errorf("level %q and format %q are taken", c[0], c[1])
		}
	}
	if _, err := NewLogger("debug", "json"); err != nil {
		t.Error(err)
	}
}

func TestLoadPassesOverTheEnvironmentWhereItIsNotTrusted(t *testing.T) {
	t.Setenv("PWB_DATA_DIR", "/env")
	var got sample
	if err := Load(sampleFlags(), "/nowhere/default.yaml", &got, WithoutEnvironment()); err != nil || got.DataDir != "/default" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLoadBorrowsKeysOfAnotherProgramsFile(t *testing.T) {
	dir := t.TempDir()
	other, own := filepath.Join(dir, "other.yaml"), filepath.Join(dir, "own.yaml")
	for file, text := range map[string]string{other: "data-dir: /other\ncount: 7\nelse: 1\n", own: "count: 8\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, file string
		args       []string
		want       sample
	}{
		{"what nothing else says is borrowed, its own file wins", other, nil, sample{DataDir: "/other", Count: 8}},
		{"a flag wins", other, []string{"--data-dir=/flag"}, sample{DataDir: "/flag", Count: 8}},
		{"an absent file lends nothing", filepath.Join(dir, "absent"), nil, sample{DataDir: "/default", Count: 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			flags := sampleFlags()
			flags.String("other", c.file, "")
			if err := flags.Parse(append(c.args, "--config", own)); err != nil {
				t.Fatal(err)
			}
			var got struct {
				sample `mapstructure:",squash"`
				Other  string `mapstructure:"other"`
			}
			if err := Load(flags, own, &got, Borrow("other", "data-dir", "count")); err != nil || got.DataDir != c.want.DataDir || got.Count != c.want.Count {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	if err := os.WriteFile(other, []byte(":\n\t-"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := sampleFlags()
	flags.String("other", other, "")
	var got sample
	if err := Load(flags, own, &got, Borrow("other", "data-dir")); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("a file that is not YAML: %v", err)
	}
}
