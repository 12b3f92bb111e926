package main

import "pwb/cmd/settings"

// manual is what the manual pages of pwb-pam say beside its commands and keys.
var manual = settings.Manual{
	File: defaultConfigFile,
	Sections: []settings.Section{
		{Title: "ENVIRONMENT", Text: "PAM_TYPE, PAM_USER, PAM_SERVICE and PAM_RHOST, as pam_exec(8) gives them. Nothing else is read, since users may have a say in it."},
		{Title: "FILES", Text: `  /etc/pwb/pam.yaml            the configuration, pwb-pam.yaml(5)
  /etc/pwb/agent.yaml          the agent's, which says where its files lie, pwb-agent.yaml(5)
  /run/pwb-pam                 the lock for making homes and the counts of failed passwords
  /home/.departed              homes of who left, where they are archived
  /usr/share/pam-configs/pwb   the profile for pam-auth-update(8), as pwb-agent setup writes it`},
		{Title: "EXAMPLES", Text: `Where neither pam-auth-update(8) nor authselect(8) is, behind pam_unix.so in the account phase of a service in /etc/pam.d:

  account [success=1 default=ignore] pam_localuser.so
  account required pam_exec.so seteuid quiet stdout /usr/libexec/pwb/pwb-pam account

The homes of who left, and one of them moved away:

  /usr/libexec/pwb/pwb-pam homes
  /usr/libexec/pwb/pwb-pam homes archive ada`},
	},
	SeeAlso:       []string{"pwb-agent(8)", "pwb-agent.yaml(5)", "libnss_pwb(8)", "pam_exec(8)", "pam.d(5)"},
	NoEnvironment: true,
}
