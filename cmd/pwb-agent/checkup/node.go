// Package checkup looks at a node for pwb-agent doctor: at its configuration, the server
// and the tokens, the rendered files, the name services and PAM. It changes nothing.
package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"pwb/altfiles"
	"pwb/cmd/doctor"
	"pwb/syncer"
	"pwb/syncer/credential"
)

// Node is what is looked at. Paths of the agent's configuration are as the agent has
// them; those that are below Root are the node's, "/etc/nsswitch.conf".
type Node struct {
	// Root is "/", or the tree of an image: then nothing that runs is asked.
	Root string
	// ConfigFile is agent.yaml, whether it is there or not. ConfigError is why it cannot
	// be used, and UnknownKeys are keys in it that are none; what else is said here is
	// as if these were not there.
	ConfigFile  string
	ConfigError error
	UnknownKeys []string
	// Flags are those that were given, for commands that are to do the same.
	Flags []string

	Server, TokenFile, CACert, Name, Version string
	Dir, StateDir, RunDir                    string
	PasswdFile, GroupFile, ModuleConfig      string
	NscdSocket                               string
	Layout                                   altfiles.Layout
	Index, Shadow                            bool
	MergeMembers                             bool
	// Renderer makes the agent's renderer, or says why it cannot be.
	Renderer func() (*altfiles.Renderer, error)

	// Below Root.
	Nsswitch, UserToken, PamDir, PamHelper, SSHDConfig, NscdConfig string

	once struct {
		sync.Mutex
		values map[string]func() any
	}
}

// Checks are all that there are, in the order in which they are told.
func (n *Node) Checks() []doctor.Check {
	return []doctor.Check{
		{Name: "config", Look: n.config},
		{Name: "config-mode", Look: n.configMode},
		{Name: "place", Look: n.place},

		{Name: "server-address", Look: n.serverAddress},
		{Name: "server-reachable", Look: n.serverReachable},
		{Name: "server-tls", Look: n.serverTLS},
		{Name: "server-certificate", Look: n.serverCertificate},
		{Name: "clock", Look: n.clock},
		{Name: "token-file", Look: n.tokenFile},
		{Name: "token", Look: n.token},
		{Name: "token-expiry", Look: n.tokenExpiry},
		{Name: "user-token-file", Look: n.userTokenFile},
		{Name: "user-token", Look: n.userToken},

		{Name: "state-dir", Look: n.stateDir},
		{Name: "mirror", Look: n.mirror},
		{Name: "rendered", Look: n.rendered},
		{Name: "rendered-modes", Look: n.renderedModes},
		{Name: "digest", Look: n.digest},
		{Name: "current", Look: n.current},
		{Name: "last-pass", Look: n.lastPass},
		{Name: "hooks", Look: n.hooks},
		{Name: "one-server", Look: n.oneServer},
		{Name: "fuse", Look: n.fuse},
		{Name: "pinned", Look: n.pinned},
		{Name: "quarantine", Look: n.quarantine},
		{Name: "agent", Look: n.agentRuns},
		{Name: "disk", Look: n.disk},
		{Name: "leftovers", Look: n.leftovers},

		{Name: "local-clash", Look: n.localClash},
		{Name: "homes", Look: n.homes},
		{Name: "shells", Look: n.shells},

		{Name: "nsswitch-sources", Look: n.nsswitchSources},
		{Name: "nsswitch-shadow", Look: n.nsswitchShadow},
		{Name: "nsswitch-order", Look: n.nsswitchOrder},
		{Name: "nsswitch-actions", Look: n.nsswitchActions},
		{Name: "nsswitch-initgroups", Look: n.nsswitchInitgroups},
		{Name: "nsswitch-merge", Look: n.nsswitchMerge},
		{Name: "module-config", Look: n.moduleConfig},
		{Name: "module-file", Look: n.moduleFile},
		{Name: "module-answers", Look: n.moduleAnswers},
		{Name: "nss-answers", Look: n.nssAnswers},
		{Name: "nscd", Look: n.nscd},

		{Name: "pam-helper", Look: n.pamHelper},
		{Name: "pam-profile", Look: n.pamProfile},
		{Name: "sshd", Look: n.sshd},
	}
}

// once makes a value that several checks need, the first time that one does.
func once[T any](n *Node, name string, value func() T) T {
	n.once.Lock()
	if n.once.values == nil {
		n.once.values = map[string]func() any{}
	}
	f, ok := n.once.values[name]
	if !ok {
		f = sync.OnceValue(func() any { return value() })
		n.once.values[name] = f
	}
	n.once.Unlock()
	return f().(T)
}

// agent is a command of pwb-agent with the flags that were given here.
func (n *Node) agent(sub string, args ...string) string {
	return doctor.Words(slices.Concat([]string{"pwb-agent", sub}, args, n.Flags)...)
}

// in is where a path of the node lies.
func (n *Node) in(path string) string {
	if n.Root == "/" {
		return path
	}
	return filepath.Join(n.Root, path)
}

// live reports whether this node runs, and else tells the report.
func (n *Node) live(r *doctor.Report) bool {
	if n.Root != "/" {
		r.Skip("%s is no running system", n.Root)
	}
	return n.Root == "/"
}

// blind tells the report when it is for want of privilege that something cannot be seen.
func blind(r *doctor.Report, err error) bool {
	if !errors.Is(err, fs.ErrPermission) || os.Geteuid() == 0 {
		return false
	}
	r.Skip("only root can see it: %v", err)
	return true
}

// guarded tells of a file or directory that others could change: one that is not
// root's, or not of whoever runs this, or that has mode bits that it must not have.
func guarded(r *doctor.Report, path string, not fs.FileMode, why string) (ok bool) {
	fi, err := os.Stat(path)
	if err != nil {
		return true // told where it is read
	}
	var mends []string
	what := path
	if st, is := fi.Sys().(*syscall.Stat_t); is && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		what += fmt.Sprintf(" belongs to uid %d", st.Uid)
		mends = append(mends, doctor.Words("chown", "root:root", path))
	}
	if mode := fi.Mode().Perm(); mode&not != 0 {
		if what != path {
			what += " and"
		}
		what += fmt.Sprintf(" has mode %04o", mode)
		mends = append(mends, doctor.Words("chmod", fmt.Sprintf("%04o", mode&^not), path))
	}
	if mends == nil {
		return true
	}
	mend := mends[0]
	if len(mends) > 1 {
		mend += " && " + mends[1]
	}
	r.Fail(doctor.Problem{What: what, Why: why, Mend: mend})
	return false
}

const maxText = 4 << 20

// text reads a text file of the node; none is an empty one.
func text(path string) (string, error) {
	b, _, err := credential.Regular(path, maxText)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// installed finds a program of the node's.
func (n *Node) installed(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if path := filepath.Join(dir, name); exists(n.in(path)) {
			return path
		}
	}
	return ""
}

// systemd reports whether systemd runs here.
func (n *Node) systemd() bool { return n.Root == "/" && exists("/run/systemd/system") }

// client is the agent's client with a token file.
func (n *Node) client(tokenFile string, shared bool) (*syncer.Client, error) {
	return syncer.NewClient(syncer.ClientConfig{
		Server: n.Server, TokenFile: tokenFile, SharedToken: shared, CACert: n.CACert, Node: n.Name, Version: n.Version,
		DialTimeout: 2 * time.Second, HeaderTimeout: 2500 * time.Millisecond, IdleTimeout: 2500 * time.Millisecond,
	})
}
