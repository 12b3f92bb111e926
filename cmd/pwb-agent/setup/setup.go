package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Parts of a setup, in the order in which they are carried out: nsswitch last of the
// files, so that nobody asks the module before all else is there.
const (
	PartModule     = "module"
	PartNscd       = "nscd"
	PartPAM        = "pam"
	PartNsswitch   = "nsswitch"
	PartAuthselect = "authselect"
)

// Parts are all parts.
func Parts() []string {
	return []string{PartModule, PartNscd, PartPAM, PartNsswitch, PartAuthselect}
}

// Who makes a home at the first login.
const (
	HomesMkhomedir = "mkhomedir" // pam_mkhomedir, or oddjob-mkhomedir, as the distribution's tool sets it up
	HomesPwb       = "pwb"       // pwb-pam session
	HomesNone      = "none"
)

// Config says what to set up. Paths are the node's, below Root.
type Config struct {
	// Root is the node's root directory: "/", or that of an image.
	Root string
	// StateDir is where the journal is kept, in its directory setup.
	StateDir string
	Parts    []string

	Nsswitch string // nsswitch.conf
	// Source reads the rendered files: extrausers, altfiles or cache; empty for none.
	Source string
	// Module adds libnss_pwb to nsswitch.conf.
	Module bool
	Order  Order
	// LibDirs are directories of NSS modules besides the system's.
	LibDirs []string

	// What workbench-nss.conf is to say.
	ModuleConfig, Server, CACert, AdminToken, UserToken string
	AgentStateDir, RunDir                               string

	Homes string
	// NscdOff has nscd keep no accounts and groups.
	NscdOff bool

	// Programs of the system that runs this.
	PamAuthUpdate, Authselect, Restorecon, Systemctl string

	// Step runs each step of a write; tests break steps with it.
	Step func(name string, op func() error) error
}

func (c *Config) tree() *tree { return &tree{root: c.Root, step: c.Step} }

func (c *Config) has(part string) bool { return slices.Contains(c.Parts, part) }

// Make looks at the node and plans what is to be done. It writes nothing but a scratch
// directory, which it removes.
func Make(ctx context.Context, c Config) (*Plan, error) {
	t, p := c.tree(), &Plan{}
	managed := c.authselected(t)
	for _, part := range []struct {
		name string
		plan func() error
	}{
		{PartModule, func() error { return c.planModule(t, p) }},
		{PartNscd, func() error { return c.planNscd(t, p) }},
		{PartPAM, func() error { return c.planPAM(ctx, t, p, managed) }},
		{PartNsswitch, func() error { return c.planNsswitch(t, p, managed) }},
		{PartAuthselect, func() error { return c.planAuthselect(ctx, t, p, managed) }},
	} {
		if !c.has(part.name) {
			continue
		}
		if err := part.plan(); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return p, nil
}

// ErrMissing says that nothing was written, since a finding must be mended first.
var ErrMissing = errors.New("nothing was written, since something is missing: see above")

// Apply carries a plan out.
func Apply(ctx context.Context, c Config, p *Plan, out io.Writer) (err error) {
	if p.Missing() {
		return ErrMissing
	}
	if !p.Changed() {
		return nil
	}
	t := c.tree()
	j, release, err := c.journal(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := p.apply(t, j); err != nil {
		return err
	}
	if err := c.applyAuthselect(ctx, t, p, j, out); err != nil {
		return err
	}
	return c.relabel(ctx, t, p)
}

// Undo takes back what every Apply since the last Undo has done, and says what it
// does. With force, files that somebody edited since are put back all the same.
func Undo(ctx context.Context, c Config, out io.Writer, force bool) (err error) {
	t := c.tree()
	j, err := openJournal(t, c.StateDir)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(j.dir); j.empty() && errors.Is(err, fs.ErrNotExist) {
		_, err := fmt.Fprintln(out, "there is nothing to undo")
		return err
	}
	j, release, err := c.journal(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := c.undoAuthselect(ctx, t, j, out); err != nil {
		return err
	}
	if !force {
		if err := c.undoPAM(ctx, t, j, out); err != nil {
			return err
		}
	}
	return j.undo(t, out, force)
}

// journal opens the journal under its lock.
func (c *Config) journal(t *tree) (*journal, func() error, error) {
	j, err := openJournal(t, c.StateDir)
	if err != nil {
		return nil, nil, err
	}
	release, err := j.lock()
	if err != nil {
		return nil, nil, err
	}
	// Another setup may have written it before the lock was ours.
	if j, err = openJournal(t, c.StateDir); err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return j, release, nil
}

// relabel gives new files their SELinux labels, where there are any.
func (c *Config) relabel(ctx context.Context, t *tree, p *Plan) error {
	if c.Root != "/" || c.Restorecon == "" || !t.exists("/sys/fs/selinux/enforce") {
		return nil
	}
	var paths []string
	for _, e := range p.Edits {
		if !e.was.Exists {
			paths = append(paths, e.Path)
		}
	}
	if _, err := exec.LookPath(c.Restorecon); err != nil || len(paths) == 0 {
		return nil
	}
	_, err := output(ctx, nil, append([]string{c.Restorecon}, paths...)...)
	return err
}

// output runs a program and returns what it prints on standard output.
func output(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, env...)
	cmd.Dir = "/"
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", shellWords(args), err, strings.TrimSpace(tail(string(out)+stderr.String())))
	}
	return string(out), nil
}

// tail is the end of what a program printed.
func tail(s string) string { return s[max(0, len(s)-2000):] }

// shellWords is a command as a person may type it.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n'\"$\\*?;&|<>()`{}") {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// libraryDirs are patterns of the directories in which NSS modules lie.
var libraryDirs = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/lib/*-linux-gnu*", "/usr/lib/*-linux-gnu*", "/usr/local/lib"}

// library finds an NSS module's library: where it lies, or nothing.
func (c *Config) library(t *tree, source string) string {
	name := "libnss_" + source + ".so.2"
	dirs := slices.Concat(c.LibDirs, libraryDirs)
	for _, dir := range dirs {
		// A pattern of ours, and a link to nothing is none.
		found, _ := filepath.Glob(filepath.Join(t.root, dir, name))
		for _, path := range found {
			if in, err := filepath.Rel(t.root, path); err == nil && t.exists(in) {
				return path
			}
		}
	}
	return ""
}
