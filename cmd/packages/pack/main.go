// Command pack makes the deb and rpm packages of the server and the agent, the
// same bytes of the same source, version and SOURCE_DATE_EPOCH. It runs in the
// module and needs go, gcc, make and, for the last step, nfpm from the module proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.StringVar(&o.Version, "version", "0.0.0-dev", "`version` of the packages, as semver.org has it; a leading v is left out")
	flag.StringVar(&o.Arch, "arch", runtime.GOARCH, "`architecture` that the packages are for: amd64 or arm64")
	flag.StringVar(&o.Maintainer, "maintainer", "pwb maintainers <root@localhost>", "`who` answers for the packages: a name and an address")
	flag.StringVar(&o.out, "out", filepath.Join("bin", "packages"), "`directory` that the packages are written into")
	flag.StringVar(&o.formats, "formats", "deb,rpm", "`forms` of the packages")
	flag.StringVar(&o.nfpm, "nfpm", "go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.0", "`command` that runs nfpm")
	flag.Parse()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		stop()
		os.Exit(1)
	}
}

// options are what is packed. What is exported is for the templates.
type options struct {
	Version, Arch, Maintainer string
	Time                      string   // RFC 3339, of every file in the packages
	Glibc                     string   // least version that the module needs
	Docs                      []string // pages of docs, from its parent

	out, nfpm string
	formats   string // deb, rpm
	root      string // of the module
	stage     string // where the parts of the packages lie
}

// triplet is how Debian calls an architecture, in directories of libraries and in
// the names of compilers.
var triplet = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// Multiarch is for the templates.
func (o *options) Multiarch() string { return triplet[o.Arch] }

func (o *options) run(ctx context.Context) (err error) {
	if triplet[o.Arch] == "" {
		return fmt.Errorf("there are no packages for %q: give amd64 or arm64", o.Arch)
	}
	o.Version = strings.TrimPrefix(o.Version, "v")
	if o.Version == "" || o.Version[0] < '0' || o.Version[0] > '9' {
		return fmt.Errorf("version %q does not begin with a number, as those of packages do: give one such as 1.2.3", o.Version)
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	o.root = strings.TrimSpace(string(out))
	if o.out, err = filepath.Abs(o.out); err != nil {
		return err
	}
	at, err := o.date(ctx)
	if err != nil {
		return err
	}
	o.Time = at.UTC().Format(time.RFC3339)
	if o.stage, err = os.MkdirTemp("", "pwb-pack-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.stage)) }()
	if err := errors.Join(os.MkdirAll(o.out, 0o755), os.Mkdir(filepath.Join(o.stage, "bin"), 0o755)); err != nil {
		return err
	}
	server, agent, err := o.build(ctx)
	if err != nil {
		return err
	}
	if err := o.copyFiles(); err != nil {
		return err
	}
	if err := o.pack(ctx, server, at); err != nil {
		return err
	}
	if err := o.buildModule(ctx); err != nil {
		return fmt.Errorf("pwb-agent is not packed: %w", err)
	}
	return o.pack(ctx, agent, at)
}

// date is SOURCE_DATE_EPOCH, else the time of the last commit.
func (o *options) date(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		cmd := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct")
		cmd.Dir = o.root
		out, err := cmd.Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("the source has no date: set SOURCE_DATE_EPOCH to seconds since 1970, as there is no commit to take it from: %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds since 1970", text)
	}
	return time.Unix(seconds, 0), nil
}

// command runs a program in the module, with variables added to its environment.
func (o *options) command(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = o.root
	cmd.Env = append(slices.Clone(os.Environ()), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
	return nil
}
