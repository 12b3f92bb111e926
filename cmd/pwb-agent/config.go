package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"pwb/altfiles"
	"pwb/cmd/settings"
	"pwb/roster"
)

const (
	defaultConfigFile = "/etc/pwb/agent.yaml"
	defaultStateDir   = "/var/lib/pwb"
)

// config holds every key of agent.yaml; addFlags documents them.
type config struct {
	Server    string `mapstructure:"server"`
	TokenFile string `mapstructure:"token-file"`
	CACert    string `mapstructure:"ca-cert"`
	Node      string `mapstructure:"node"`

	Layout      string `mapstructure:"layout"`
	Root        string `mapstructure:"root"`
	Dir         string `mapstructure:"dir"`
	StateDir    string `mapstructure:"state-dir"`
	PasswdFile  string `mapstructure:"local-passwd-file"`
	GroupFile   string `mapstructure:"local-group-file"`
	ShadowGroup string `mapstructure:"shadow-group"`

	Index           string `mapstructure:"index"`
	ModuleConfig    string `mapstructure:"module-config"`
	KeepGenerations int    `mapstructure:"keep-generations"`

	MinID        uint32   `mapstructure:"min-id"`
	MaxID        uint32   `mapstructure:"max-id"`
	AllowUsers   []string `mapstructure:"allow-users"`
	DenyUsers    []string `mapstructure:"deny-users"`
	AllowGroups  []string `mapstructure:"allow-groups"`
	DenyGroups   []string `mapstructure:"deny-groups"`
	RenderGroups string   `mapstructure:"render-groups"`
	ShellMap     []string `mapstructure:"shell-map"`
	HomePattern  string   `mapstructure:"home-pattern"`
	ProtectNames []string `mapstructure:"protect-names"`
	MergeMembers []string `mapstructure:"merge-members"`
	AllowNames   []string `mapstructure:"allow-names"`
	Shells       []string `mapstructure:"shells"`
	NologinShell string   `mapstructure:"nologin-shell"`
	Shadow       bool     `mapstructure:"shadow"`

	MaxChangeCount   int   `mapstructure:"max-change-count"`
	MaxChangePercent int   `mapstructure:"max-change-percent"`
	AcceptChange     int64 `mapstructure:"accept-change"`

	RunDir     string        `mapstructure:"run-dir"`
	Wait       time.Duration `mapstructure:"wait"`
	Audit      time.Duration `mapstructure:"audit"`
	Settle     time.Duration `mapstructure:"settle"`
	MinBackoff time.Duration `mapstructure:"min-backoff"`
	MaxBackoff time.Duration `mapstructure:"max-backoff"`
	DryRun     bool          `mapstructure:"dry-run"`

	HooksDir    string        `mapstructure:"hooks-dir"`
	HookTimeout time.Duration `mapstructure:"hook-timeout"`
	EndSessions bool          `mapstructure:"end-sessions"`
	Busctl      string        `mapstructure:"busctl-program"`
	NscdSocket  string        `mapstructure:"nscd-socket"`

	MetricsFile   string `mapstructure:"metrics-file"`
	MetricsListen string `mapstructure:"metrics-listen"`

	LogLevel  string `mapstructure:"log-level"`
	LogFormat string `mapstructure:"log-format"`

	JSON bool `mapstructure:"json"` // of explain alone
}

func addFlags(f *pflag.FlagSet) {
	policy := altfiles.DefaultPolicy()
	f.String(settings.FileFlag, "", "configuration `file` (default "+defaultConfigFile+" if it is there)")
	f.String("server", "", "`URL` of the server; http:// for a loopback address only")
	f.String("token-file", "/etc/rstudio/admin-token", "`file` with this node's node-admin token, mode 0600")
	f.String("ca-cert", "", "PEM `file` of the authorities to trust in place of the system's")
	f.String("node", "", "`name` by which the server knows this node (default: the host name)")
	f.String("layout", layoutAuto, "`form` of the files: extrausers, altfiles, nsscache (for libnss-cache), or auto: altfiles on Fedora, RHEL and their kin, else extrausers")
	f.String("root", "", "`directory` that dir, state-dir, the local files and os-release lie in, for images and containers; the configuration, token-file and ca-cert are this system's")
	f.String("dir", "", "`directory` in which to render passwd, group and shadow (default: /var/lib/extrausers, with layout altfiles /usr/lib, with nsscache /etc)")
	f.String("state-dir", defaultStateDir, "`directory` of the mirror and the state, for root only but for the index of accounts and groups and the SSH keys in it")
	f.String("local-passwd-file", "/etc/passwd", "the node's own passwd `file`; its names and uids are never rendered for others")
	f.String("local-group-file", "/etc/group", "the node's own group `file`; its names and gids are never rendered for others")
	f.String("shadow-group", "shadow", "local `group` that may read the shadow file, where there is one")
	f.String("index", indexAuto, "write roster.idx and shadow.idx into state-dir too, from which the NSS module pwb answers at once however many accounts there are: true, false, which removes them, or auto: true where module-config is")
	f.String("module-config", "/etc/rstudio/workbench-nss.conf", "configuration `file` of the NSS module, which does nothing without it")
	f.Int("keep-generations", 5, "`number` of former renderings that stay, for rollback, and besides them the last of each of three days; 0 for none")
	policyFlags(f, policy)
	f.StringSlice("allow-names", nil, "protected `names` that are rendered all the same, such as docker")
	f.StringSlice("shells", policy.Shells, "login `shells` that accounts may have")
	f.String("nologin-shell", policy.NologinShell, "`shell` of locked accounts")
	f.Bool("shadow", policy.Shadow, "render shadow; false where NSS does not read it, passwd then carries * instead of x")
	f.Int("max-change-count", 20, "a pass may always remove, lock or renumber this `number` of accounts")
	f.Int("max-change-percent", 20, "a pass may remove, lock or renumber this `percentage` of the node's accounts")
	f.Int64("accept-change", 0, "let the change at this `sequence number` pass the fuse, as its message says")
	afterFlags(f)
	watchFlags(f)
	settings.LogFlags(f)
}

// load reads the configuration and says what is missing in it.
func load(f *pflag.FlagSet) (cfg config, err error) {
	if cfg, err = loadFiles(f); err != nil {
		return cfg, err
	}
	if cfg.Server == "" {
		return cfg, fmt.Errorf("no server: give --server URL, PWB_SERVER, or server: in %s", defaultConfigFile)
	}
	if cfg.Node == "" {
		if cfg.Node, err = os.Hostname(); err != nil {
			return cfg, fmt.Errorf("find the host name, which --node can give instead: %w", err)
		}
	}
	return cfg, nil
}

// loadFiles is load for what asks no server.
func loadFiles(f *pflag.FlagSet) (cfg config, err error) {
	if err := settings.Load(f, defaultConfigFile, &cfg); err != nil {
		return cfg, err
	}
	if cfg.MinID < roster.MinID {
		return cfg, fmt.Errorf("min-id is %d: below %d lie the system's own accounts", cfg.MinID, roster.MinID)
	}
	return cfg, cfg.settle()
}
