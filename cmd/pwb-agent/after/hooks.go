package after

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"pwb/roster"
)

// hookName is what run-parts(8) takes for a name: no backup of an editor or a
// package manager has such.
var hookName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// callHooks calls the hooks one after the other. A hook that fails keeps none of
// the others from being called; one that was too slow is left out for the rest of
// the round.
func (a *Actions) callHooks(ctx context.Context, env []string, args ...string) error {
	for _, name := range args[1:] {
		if err := roster.CheckName(name); err != nil {
			return fmt.Errorf("hooks are not told of %q, which is no name that was rendered here: %w", name, err)
		}
	}
	hooks, err := a.hooks()
	if err != nil {
		return err
	}
	var failed []error
	for _, path := range hooks {
		if ctx.Err() != nil {
			return errors.Join(append(failed, context.Cause(ctx))...)
		}
		if a.slow[path] {
			continue
		}
		if err := a.run(ctx, env, nil, path, args...); err != nil {
			a.slow[path] = errors.Is(err, errSlow)
			failed = append(failed, fmt.Errorf("hook %s %q: %w", path, args, err))
		}
	}
	return joined(failed)
}

// joined is errors.Join in one line of text.
func joined(all []error) (err error) {
	for _, e := range all {
		if err == nil {
			err = e
		} else {
			err = fmt.Errorf("%w; also: %w", err, e)
		}
	}
	return err
}

// hooks are the paths of the hooks, in the order of their names.
func (a *Actions) hooks() (paths []string, err error) {
	if a.cfg.HooksDir == "" {
		return nil, nil
	}
	dir, err := filepath.EvalSymlinks(a.cfg.HooksDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hooks: %w", err)
	}
	if err := checkHooksDir(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("hooks: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("hooks: %w", err)
		}
		if why := refused(info); why != "" {
			if e.Name()[0] != '.' {
				a.warnOnce("a file is not called as a hook", path, why)
			}
			continue
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// refused says why a file is no hook; empty if it is one.
func refused(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case !hookName.MatchString(info.Name()):
		return "names of hooks are made of letters, digits, _ and - alone, as for run-parts"
	case !mode.IsRegular():
		return "it is not a regular file; a copy would do, or a script that calls it"
	case mode.Perm()&0o111 == 0:
		return "it is not executable: chmod 0755 makes it a hook"
	case mode.Perm()&0o022 != 0:
		return fmt.Sprintf("others may write to it, mode %04o: mend it with chmod go-w", mode.Perm())
	case !ours(info):
		return "it belongs neither to root nor to the user who runs the agent: mend it with chown root"
	}
	return ""
}

// checkHooksDir fails when anybody else could put a hook there, or another
// directory in its place.
func checkHooksDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("hooks: %w", err)
	}
	for path := dir; ; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("hooks: %w", err)
		}
		mode := info.Mode()
		switch {
		case !info.IsDir():
			return fmt.Errorf("no hooks are called: %s is not a directory", path)
		case !ours(info):
			return fmt.Errorf("no hooks are called: %s belongs neither to root nor to the user who runs the agent; mend it with chown root %s", path, path)
		case mode.Perm()&0o022 != 0 && (path == dir || mode&fs.ModeSticky == 0):
			return fmt.Errorf("no hooks are called: others may write to %s, mode %04o; mend it with chmod go-w %s", path, mode.Perm(), path)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// ours reports whether a file belongs to root or to the user we are.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}
