// Package settings reads a program's configuration: a YAML file, the
// environment (PWB_…) and flags, of which the later wins. Every key is a flag,
// so that the flag's usage documents it; a key that is not one is an error.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// FileFlag is the flag that names the configuration file. It is no key.
const FileFlag = "config"

// Load fills into, a pointer to a struct with mapstructure tags, from the
// flags' defaults, the file, the environment and the flags that were given. The
// file is the one that --config names, or else defaultFile if it is there.
func Load(flags *pflag.FlagSet, defaultFile string, into any, options ...Option) error {
	v := viper.New()
	var o choices
	for _, option := range options {
		option(&o)
	}
	var bindErr error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != FileFlag && f.Name != "help" {
			bindErr = errors.Join(bindErr, v.BindPFlag(f.Name, f))
		}
	})
	if bindErr != nil {
		return bindErr
	}
	if !o.noEnvironment {
		v.SetEnvPrefix("PWB")
		v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
		v.AutomaticEnv()
	}

	file, named := defaultFile, false
	if f := flags.Lookup(FileFlag); f != nil && f.Value.String() != "" {
		file, named = f.Value.String(), true
	}
	v.SetConfigFile(file)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil && (named || !errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("read the configuration %s: %w", file, err)
	}
	if o.borrowed != "" {
		if err := borrow(v, v.GetString(o.borrowed), o.keys); err != nil {
			return err
		}
	}
	if err := v.UnmarshalExact(into); err != nil {
		return fmt.Errorf("configuration (file %s, environment, flags): %w", file, err)
	}
	return nil
}

// Option changes what Load reads.
type Option func(*choices)

type choices struct {
	noEnvironment bool
	borrowed      string
	keys          []string
}

// WithoutEnvironment has Load pass over the environment: for programs that others
// start with one of theirs.
func WithoutEnvironment() Option { return func(o *choices) { o.noEnvironment = true } }

// Borrow gives keys the values that they have in the file that another key names,
// another program's, where nothing else says otherwise. Its other keys are not
// looked at, and the file may be absent.
func Borrow(fileKey string, keys ...string) Option {
	return func(o *choices) { o.borrowed, o.keys = fileKey, keys }
}

func borrow(v *viper.Viper, file string, keys []string) error {
	other := viper.New()
	other.SetConfigFile(file)
	other.SetConfigType("yaml")
	if err := other.ReadInConfig(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("read the configuration %s: %w", file, err)
	}
	for _, key := range keys {
		if other.IsSet(key) {
			v.SetDefault(key, other.Get(key))
		}
	}
	return nil
}

// LogFlags adds the keys that NewLogger reads.
func LogFlags(flags *pflag.FlagSet) {
	flags.String("log-level", "info", "least `level` to log: debug, info, warn or error")
	flags.String("log-format", "text", "`form` of log lines: text or json")
}

// NewLogger makes the logger that the two keys describe, on standard error.
func NewLogger(level, format string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log-level %q is not debug, info, warn or error", level)
	}
	o.Level = l
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, &o)), nil
	}
	return nil, fmt.Errorf("log-format %q is not text or json", format)
}
