package roster

import (
	"fmt"
	"path"
	"strings"
)

// MaxPath is the most bytes a home or a shell may have.
const MaxPath = 1024

// CheckPath reports why s cannot be a home or a shell: it is no field, too
// long, relative, or not in its shortest form.
func CheckPath(s string) error {
	if err := CheckField(s); err != nil {
		return err
	}
	switch {
	case len(s) > MaxPath:
		return fmt.Errorf("%.80q has %d bytes, %d at most", s, len(s), MaxPath)
	case !strings.HasPrefix(s, "/"):
		return fmt.Errorf("%q is not an absolute path", s)
	case path.Clean(s) != s:
		return fmt.Errorf("%q is not in its shortest form, which is %q", s, path.Clean(s))
	}
	return nil
}

// CheckHome reports why s cannot be a home. mkhomedir helpers create it as root
// and give it away: so no place of the system's, and none where anybody could
// have made it before.
func CheckHome(s string) error {
	if err := CheckPath(s); err != nil {
		return err
	}
	top, _, deeper := strings.Cut(s[1:], "/")
	switch top {
	case "etc", "usr", "bin", "sbin", "boot", "dev", "proc", "sys", "run", "root", "tmp":
		return fmt.Errorf("%q lies in the system's /%s: choose a place such as /home", s, top)
	case "":
		return fmt.Errorf("%q is the root of the file system: choose a place such as /home", s)
	case "home", "var", "opt", "srv", "mnt", "media":
		if !deeper {
			return fmt.Errorf("%q is the place of many: choose a directory in it", s)
		}
	}
	if strings.HasPrefix(top, "lib") {
		return fmt.Errorf("%q lies in the system's /%s: choose a place such as /home", s, top)
	}
	if top != "var" {
		return nil
	}
	for _, dir := range []string{"/var/tmp", "/var/run", "/var/lock"} {
		if s == dir || strings.HasPrefix(s, dir+"/") {
			return fmt.Errorf("%q lies in the system's %s: choose a place such as /home", s, dir)
		}
	}
	return nil
}
