package setup

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// node is a tree that setup works on.
type node struct {
	t    *testing.T
	root string
	cfg  Config
}

const debianNsswitch = "# local\npasswd:         files systemd\ngroup:          files systemd\nshadow:         files systemd\ngshadow:        files systemd\n\nhosts:          files dns\n"

// newNode makes a small Debian with the modules installed.
func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, root: t.TempDir()}
	n.put("/etc/nsswitch.conf", debianNsswitch, 0o644)
	n.put("/etc/nscd.conf", "\tenable-cache\t\tpasswd\t\tyes\n\tenable-cache\t\tgroup\t\tyes\n\tenable-cache\t\thosts\t\tyes\n", 0o644)
	n.put("/etc/rstudio/admin-token", "pwb_a_b\n", 0o644)
	n.put("/etc/rstudio/user-token", "pwb_c_d\n", 0o600)
	n.put("/usr/lib/x86_64-linux-gnu/libnss_pwb.so.2", "", 0o644)
	n.put("/usr/lib/libnss_extrausers.so.2", "", 0o644)
	n.put(pamHelper, "", 0o755)
	n.cfg = Config{
		Root: n.root, StateDir: "/var/lib/pwb", Parts: Parts(),
		Nsswitch: "/etc/nsswitch.conf", Source: "extrausers", Module: true, Order: OrderFilesFirst,
		ModuleConfig: "/etc/rstudio/workbench-nss.conf", Server: "https://pwb.example", AdminToken: "/etc/rstudio/admin-token", UserToken: "/etc/rstudio/user-token",
		AgentStateDir: "/var/lib/pwb", Homes: HomesMkhomedir, NscdOff: true, PamAuthUpdate: "/usr/sbin/pam-auth-update",
	}
	return n
}

// withPAM gives the node the PAM configuration of this machine, if it is a Debian.
func (n *node) withPAM() *node {
	n.t.Helper()
	if _, err := exec.LookPath("/usr/sbin/pam-auth-update"); err != nil {
		if os.Getenv("CI") == "true" {
			n.t.Fatal("pam-auth-update is needed, and CI leaves nothing out")
		}
		n.t.Skip("LEFT OUT: pam-auth-update is not here")
	}
	for _, dir := range []string{pamDir, pamSaved, pamConfigs} {
		if err := os.MkdirAll(filepath.Join(n.root, filepath.Dir(dir)), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", dir, filepath.Join(n.root, dir)).CombinedOutput(); err != nil {
			n.t.Fatalf("%v\n%s", err, out)
		}
	}
	return n
}

func (n *node) put(name, content string, mode fs.FileMode) {
	n.t.Helper()
	path := filepath.Join(n.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		n.t.Fatal(err)
	}
	// Files of a node are older than what is written now.
	old := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, old, old); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) get(name string) string {
	n.t.Helper()
	data, err := os.ReadFile(filepath.Join(n.root, name))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(data)
}

// picture is everything in the tree: kinds, modes, owners, times of files, contents.
func (n *node) picture() string {
	n.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(n.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, n.root)
		if fi.IsDir() {
			fmt.Fprintf(&b, "%v %s\n", fi.Mode(), name)
			return nil
		}
		data := []byte("-> link")
		if fi.Mode().IsRegular() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "%v %s %x %v\n", fi.Mode(), name, sha256.Sum256(data), fi.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return b.String()
}

func (n *node) plan() *Plan {
	n.t.Helper()
	p, err := Make(n.t.Context(), n.cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

func (n *node) apply() {
	n.t.Helper()
	p := n.plan()
	if err := Apply(n.t.Context(), n.cfg, p, new(strings.Builder)); err != nil {
		n.t.Fatalf("%v\n%v", err, p.Findings)
	}
}

func (n *node) undo(force bool) (string, error) {
	var out strings.Builder
	err := Undo(n.t.Context(), n.cfg, &out, force)
	return out.String(), err
}

func (n *node) mustUndo() string {
	n.t.Helper()
	out, err := n.undo(false)
	if err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// same fails the test where two pictures differ.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		var diff strings.Builder
		_ = writeDiff(&diff, "want", "got", want, got) // a strings.Builder takes all
		t.Errorf("%s:\n%s", what, diff.String())
	}
}
