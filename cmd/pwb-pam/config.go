package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"pwb/altfiles"
	"pwb/cmd/settings"
	"pwb/pam"
	"pwb/roster"
)

const (
	defaultConfigFile = "/etc/pwb/pam.yaml"
	agentConfigFlag   = "agent-config"

	leaveHomes   = "leave"
	archiveHomes = "archive"

	layoutAuto = "auto"
)

// config holds every key of pam.yaml; addFlags documents them.
type config struct {
	AgentConfig  string `mapstructure:"agent-config"`
	Layout       string `mapstructure:"layout"`
	Dir          string `mapstructure:"dir"`
	StateDir     string `mapstructure:"state-dir"`
	RunDir       string `mapstructure:"run-dir"`
	PasswdFile   string `mapstructure:"local-passwd-file"`
	NologinShell string `mapstructure:"nologin-shell"`
	MinID        uint32 `mapstructure:"min-id"`
	MaxID        uint32 `mapstructure:"max-id"`

	Fresh        time.Duration `mapstructure:"fresh"`
	Timeout      time.Duration `mapstructure:"timeout"`
	Deadline     time.Duration `mapstructure:"deadline"`
	HomeDeadline time.Duration `mapstructure:"home-deadline"`
	WorkDir      string        `mapstructure:"work-dir"`

	Skel          string `mapstructure:"skel"`
	Umask         string `mapstructure:"umask"`
	Restorecon    string `mapstructure:"restorecon-program"`
	SELinux       string `mapstructure:"selinux-dir"`
	DepartedHomes string `mapstructure:"departed-homes"`
	ArchiveDir    string `mapstructure:"archive-dir"`

	Decoy       string        `mapstructure:"decoy"`
	MaxFailures int           `mapstructure:"max-failures"`
	Window      time.Duration `mapstructure:"failure-window"`
	Pause       time.Duration `mapstructure:"failure-pause"`

	All      bool `mapstructure:"all"`       // of homes archive alone
	OnlyOurs bool `mapstructure:"only-ours"` // of account alone

	umask uint32
}

// borrowed are keys whose values are those of agent.yaml, so that nothing is said twice.
var borrowed = []string{"layout", "dir", "state-dir", "run-dir", "local-passwd-file", "nologin-shell", "min-id", "max-id"}

func addFlags(f *pflag.FlagSet) {
	f.String(settings.FileFlag, "", "configuration `file` (default "+defaultConfigFile+" if it is there)")
	f.String(agentConfigFlag, "/etc/pwb/agent.yaml", "the agent's configuration `file`; "+
		"layout, dir, state-dir, run-dir, local-passwd-file, nologin-shell, min-id and max-id are what it says, unless they are given here")
	f.String("layout", layoutAuto, "`form` of the agent's files: extrausers, altfiles, nsscache or auto")
	f.String("dir", "", "`directory` of the agent's files (default: as for the agent)")
	f.String("state-dir", "/var/lib/pwb", "the agent's `directory` with the lookup indexes")
	f.String("run-dir", "/run/pwb", "the agent's `directory` with its socket and state file; empty: it is never asked")
	f.String("local-passwd-file", "/etc/passwd", "the node's own passwd `file`; whoever is in it is none of pwb-pam's business")
	f.String("nologin-shell", altfiles.DefaultPolicy().NologinShell, "`shell` of locked accounts, by which they are known where there is no shadow")
	f.Uint32("min-id", altfiles.DefaultPolicy().MinID, "least `uid` whose home can be one of who left")
	f.Uint32("max-id", 0, "greatest `uid` of those; 0 for no limit")
	f.Duration("fresh", 30*time.Second, "`time` for which the agent's last word is good; account asks the agent for a pass when it is older")
	f.Duration("timeout", 2*time.Second, "`time` that the agent has for that; then the files decide as they are")
	f.Duration("deadline", 10*time.Second, "`time` after which account and auth refuse")
	f.Duration("home-deadline", time.Minute, "`time` after which session refuses")
	f.String("work-dir", "/run/pwb-pam", "`directory` of the lock for making homes and of the counts of failed passwords, for root only; it is made")
	f.String("skel", "/etc/skel", "`directory` whose files a new home gets; empty for none")
	f.String("umask", "0077", "`mode` bits, in octal, that a new home and what is in it do not get")
	f.String("restorecon-program", "/usr/sbin/restorecon", "`program` that labels a new home where SELinux is on; empty for none")
	f.String("selinux-dir", "/sys/fs/selinux", "`directory` by which SELinux is known to be on")
	f.String("departed-homes", leaveHomes, "what homes tend does with homes of who left: `leave` or archive")
	f.String("archive-dir", "/home/.departed", "`directory` in which homes are archived, for root only and on their file system; it is made")
	f.String("decoy", "$6$rounds=100000$", "method and cost, a `setting` of crypt(5), of the hash that auth computes for who has none; that of most accounts hides best who exists")
	f.Int("max-failures", 5, "`number` of wrong passwords for one name after which auth refuses for a while; four times that from one host")
	f.Duration("failure-window", time.Minute, "`time` after which wrong passwords are forgotten")
	f.Duration("failure-pause", 30*time.Second, "`time` for which auth then refuses, twice and four times that after the next ones")
}

// load reads the configuration: never the environment, which is the caller's.
func load(f *pflag.FlagSet) (*config, error) {
	cfg := new(config)
	if err := settings.Load(f, defaultConfigFile, cfg, settings.WithoutEnvironment(), settings.Borrow(agentConfigFlag, borrowed...)); err != nil {
		return nil, err
	}
	if cfg.Layout == layoutAuto {
		layout, err := altfiles.LayoutFor("/etc/os-release", "/usr/lib/os-release")
		if err != nil {
			return nil, err
		}
		cfg.Layout = string(layout)
	}
	if cfg.Dir == "" {
		cfg.Dir = altfiles.Layout(cfg.Layout).DefaultDir()
	}
	umask, err := strconv.ParseUint(cfg.Umask, 8, 32)
	switch {
	case err != nil || umask > 0o777:
		return nil, fmt.Errorf("umask %q is no octal number from 0 to 0777", cfg.Umask)
	case umask&0o700 != 0:
		return nil, fmt.Errorf("umask %s takes a home from its owner", cfg.Umask)
	case cfg.DepartedHomes != leaveHomes && cfg.DepartedHomes != archiveHomes:
		return nil, fmt.Errorf("departed-homes %q is not %s or %s", cfg.DepartedHomes, leaveHomes, archiveHomes)
	case cfg.Deadline < time.Second || cfg.HomeDeadline < time.Second || cfg.Timeout <= 0 || cfg.Fresh < 0:
		return nil, fmt.Errorf("deadline %v, home-deadline %v, timeout %v, fresh %v: the deadlines are at least a second, and nothing is negative", cfg.Deadline, cfg.HomeDeadline, cfg.Timeout, cfg.Fresh)
	case cfg.MaxFailures < 1 || cfg.Window <= 0 || cfg.Pause <= 0:
		return nil, fmt.Errorf("max-failures %d, failure-window %v, failure-pause %v: none of them can be 0 or less", cfg.MaxFailures, cfg.Window, cfg.Pause)
	}
	if cfg.ArchiveDir != "" {
		if err := roster.CheckPath(cfg.ArchiveDir); err != nil {
			return nil, fmt.Errorf("archive-dir: %w", err)
		}
	}
	if cfg.umask = uint32(umask); cfg.MaxID == 0 {
		cfg.MaxID = math.MaxUint32 - 1
	}
	return cfg, nil
}

func (cfg *config) failures() *pam.Failures {
	return &pam.Failures{Dir: cfg.WorkDir, Max: cfg.MaxFailures, Window: cfg.Window, Pause: cfg.Pause}
}

// privileged reports whether this can read shadow and make homes.
func privileged() bool { return os.Geteuid() == 0 }
