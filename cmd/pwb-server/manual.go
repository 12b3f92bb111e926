package main

import "pwb/cmd/settings"

// manual is what the server's manual pages say beside its commands and keys.
var manual = settings.Manual{
	File: defaultConfigFile,
	Sections: []settings.Section{
		{Title: "EXIT STATUS", Text: "0 it is done; 1 it is not, or something was found that should not be, as the message says."},
		{Title: "SIGNALS", Text: "SIGTERM and SIGINT end serve: no request is taken any more, and those that have begun may take 15 seconds to end."},
		{Title: "FILES", Text: `  /etc/pwb/server.yaml        the configuration, pwb-server.yaml(5)
  /var/lib/pwb-server         the store, for the server's user alone: who owns which uid, gid and name, for ever
  /var/lib/pwb-server/nodes   tokens and a workbench-nss.conf for nodes, written at the first start`},
		{Title: "EXAMPLES", Text: `A token for an identity provider, and one for a node:

  pwb-server token create okta --scope scim
  pwb-server token create web1 --scope node-admin

Who has the uid 4711, and who had it:

  pwb-server ids history 4711`},
	},
	SeeAlso: []string{"pwb-agent(8)", "libnss_pwb(8)"},
}
