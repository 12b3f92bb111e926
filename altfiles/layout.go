package altfiles

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Layout says how the files are called, for the NSS module that reads them.
type Layout string

const (
	// LayoutExtrausers is that of libnss-extrausers, which Debian and its kin
	// have: passwd, group and shadow in /var/lib/extrausers.
	LayoutExtrausers Layout = "extrausers"
	// LayoutAltfiles is that of nss_altfiles, which Fedora, RHEL and their kin
	// have: the same files in /usr/lib.
	LayoutAltfiles Layout = "altfiles"
	// LayoutNsscache is that of libnss-cache: passwd.cache, group.cache and
	// shadow.cache in /etc, with sorted indexes.
	LayoutNsscache Layout = "nsscache"
)

// DefaultDir is where the layout's NSS module looks unless it was built otherwise.
func (l Layout) DefaultDir() string {
	switch l {
	case LayoutAltfiles:
		return "/usr/lib"
	case LayoutNsscache:
		return "/etc"
	}
	return "/var/lib/extrausers"
}

// leastGID is the least gid that the layout's module answers with:
// libnss-extrausers keeps silent about the members of groups below (MINGID).
func (l Layout) leastGID() uint32 {
	if l == LayoutExtrausers {
		return 500
	}
	return 0
}

// files are the files of a layout in the order of writing, see Commit.
func (l Layout) files() []plannedFile {
	if l != LayoutNsscache {
		return []plannedFile{{kind: shadowName, name: shadowName}, {kind: groupName, name: groupName}, {kind: passwdName, name: passwdName}}
	}
	var all []plannedFile
	for _, f := range []struct {
		kind   string
		number string // what the index of numbers is called
	}{{shadowName, ""}, {groupName, "gid"}, {passwdName, "uid"}} {
		name := f.kind + ".cache"
		all = append(all, plannedFile{kind: f.kind, name: name}, plannedFile{index: f.kind, name: name + ".ixname", key: nameOf})
		if f.number != "" {
			all = append(all, plannedFile{index: f.kind, name: name + ".ix" + f.number, key: numberText})
		}
	}
	return all
}

func (l Layout) names() (all []string) {
	for _, f := range l.files() {
		all = append(all, f.name)
	}
	return all
}

// check fails for a layout that is none.
func (l Layout) check() error {
	if !slices.Contains([]Layout{LayoutExtrausers, LayoutAltfiles, LayoutNsscache}, l) {
		return fmt.Errorf("altfiles: layout %q is not %s, %s or %s", l, LayoutExtrausers, LayoutAltfiles, LayoutNsscache)
	}
	return nil
}

// LayoutFor is the layout that suits the system whose os-release(5) is the first
// of files that is there: LayoutAltfiles for Fedora, RHEL and their kin, else
// LayoutExtrausers.
func LayoutFor(files ...string) (Layout, error) {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("find out which layout suits this system: %w", err)
		}
		in := bufio.NewScanner(bytes.NewReader(data))
		for in.Scan() {
			key, value, _ := strings.Cut(strings.TrimSpace(in.Text()), "=")
			if key != "ID" && key != "ID_LIKE" {
				continue
			}
			for _, id := range strings.Fields(strings.Trim(value, `"'`)) {
				if slices.Contains([]string{"rhel", "fedora", "centos"}, strings.ToLower(id)) {
					return LayoutAltfiles, nil
				}
			}
		}
		break
	}
	return LayoutExtrausers, nil
}

// ostreeMarks tell a system whose /usr is an image of OSTree or bootc: what is
// written there is refused, or gone with the next image.
var ostreeMarks = []string{"/run/ostree-booted", "/sysroot/ostree"}

// Preflight fails when nothing should be written: the directory lies in the image
// of this system, or outside of Config.Root. Plan does the same first.
func (r *Renderer) Preflight() error {
	dir, err := realPath(r.cfg.Dir)
	if err != nil {
		return fmt.Errorf("directory %s: %w", r.cfg.Dir, err)
	}
	if r.cfg.Root != "" {
		if err := r.checkInside(); err != nil {
			return err
		}
	} else if dir == r.usr || strings.HasPrefix(dir, r.usr+"/") {
		for _, mark := range r.image {
			if _, err := os.Stat(mark); err == nil {
				return &ForeignError{dir, "lies in the image of this system (" + mark + " is there)",
					"choose a directory that is the system's own, with layout: extrausers and dir: /var/lib/extrausers, or render while the image is built, with --root"}
			}
		}
	}
	return nil
}

// checkWritable fails on a file system that is read-only, before Commit writes
// anything. A pass that has nothing to write need not know.
func (p *Plan) checkWritable() error {
	var st unix.Statfs_t
	if err := unix.Statfs(p.path, &st); err != nil {
		return fmt.Errorf("directory %s: %w", p.path, err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%w (%w)", &ForeignError{p.path, "lies in a file system that is read-only",
			"choose another, with layout: extrausers and dir: /var/lib/extrausers, or render while the image is built, with --root"}, unix.EROFS)
	}
	return nil
}

// checkInside fails when a symbolic link leads out of the root that was given:
// absolute ones lead into the system that builds the image.
func (r *Renderer) checkInside() error {
	root, err := filepath.EvalSymlinks(r.cfg.Root)
	if err != nil {
		return fmt.Errorf("root directory %s: %w", r.cfg.Root, err)
	}
	for _, path := range []string{r.cfg.Dir, r.cfg.StateDir, r.cfg.PasswdFile, r.cfg.GroupFile} {
		real, err := realPath(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if in, err := filepath.Rel(root, real); err != nil || in == ".." || strings.HasPrefix(in, "../") {
			return &ForeignError{path, "leads to " + real + ", out of the root directory " + root, "make the symbolic link in it a relative one, or give another path"}
		}
	}
	return nil
}

// realPath is a path without symbolic links, as far as it exists.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) || path == "/" {
		return real, err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("%s is a symbolic link to nothing: make what it leads to, or remove it", path)
	}
	parent, err := realPath(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}
