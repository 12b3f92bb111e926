package main

import "pwb/cmd/settings"

// manual is what the agent's manual pages say beside its commands and keys.
var manual = settings.Manual{
	File: defaultConfigFile,
	Sections: []settings.Section{
		{Title: "EXIT STATUS", Text: `  0  the files are current, or what was asked for was told
  1  the pass failed; the files are as they were
  2  plan and --dry-run only: there is something to write
  3  the mass-change fuse stopped the pass; the files are as they were
  4  the files are pinned by rollback, and the roster is another`},
		{Title: "SIGNALS", Text: "SIGHUP makes run read its configuration again; one that is wrong is logged and changes nothing. SIGTERM and SIGINT end it between two steps of a render."},
		{Title: "FILES", Text: `  /etc/pwb/agent.yaml        the configuration, pwb-agent.yaml(5)
  /etc/pwb/hooks.d           programs that are called after changes
  /etc/rstudio/admin-token   this node's token, mode 0600
  /var/lib/extrausers        passwd, group and shadow as rendered on Debian; /usr/lib on Fedora and RHEL
  /var/lib/pwb               mirror, state, generations and lookup indexes
  /run/pwb                   the socket and the state that the NSS module reads, while run stays`},
	},
	SeeAlso: []string{"libnss_pwb(8)", "pwb-pam(8)", "nsswitch.conf(5)", "getent(1)", "pwb-server(8)"},
}
