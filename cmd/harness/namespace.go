package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Namespace runs programs in a private mount namespace in which NSS reads an
// agent's files: the machine's own configuration is never touched.
type Namespace struct {
	script string
}

// extrausersDir is where Debian's libnss-extrausers looks, fixed when it was
// compiled.
const extrausersDir = "/var/lib/extrausers"

// NewNamespace prepares a namespace in which Debian's libnss-extrausers reads
// dir. It says what is missing where that cannot be had.
func NewNamespace(dir, scratch string) (*Namespace, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("only root can make a mount namespace")
	}
	if libs, _ := filepath.Glob("/usr/lib/libnss_extrausers.so*"); len(libs) == 0 {
		if libs, _ = filepath.Glob("/usr/lib/*/libnss_extrausers.so*"); len(libs) == 0 {
			return nil, fmt.Errorf("libnss_extrausers.so.2 is not there: apt-get install libnss-extrausers")
		}
	}
	nsswitch := filepath.Join(scratch, "nsswitch.conf")
	const conf = "passwd: files extrausers\ngroup: files extrausers\nshadow: files extrausers\nhosts: files dns\n"
	if err := os.WriteFile(nsswitch, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	n := &Namespace{script: strings.Join([]string{
		"set -e",
		"mount --bind " + quote(dir) + " " + extrausersDir,
		"mount --bind " + quote(nsswitch) + " /etc/nsswitch.conf",
		// A running nscd would answer from the machine's own files.
		"if [ -d /run/nscd ]; then mount -t tmpfs none /run/nscd; fi",
		`exec "$@"`,
	}, "\n")}
	if out, err := n.Command(context.Background(), "true").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a mount namespace: %w: %s", err, out)
	}
	return n, nil
}

// Command is a program in the namespace.
func (n *Namespace) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", n.script, "sh"}, args...)...)
}

// quote makes one word of s for sh(1).
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
