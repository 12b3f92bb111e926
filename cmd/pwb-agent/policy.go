package main

import (
	"github.com/spf13/pflag"

	"pwb/altfiles"
)

// policyFlags adds the keys that say who appears on this node, and how. The
// others of the policy are in addFlags.
func policyFlags(f *pflag.FlagSet, policy altfiles.Policy) {
	f.Uint32("min-id", policy.MinID, "least `id` to render as uid or gid; 1000 or more")
	f.Uint32("max-id", 0, "greatest `id` to render as uid or gid; 0 for no limit")
	f.StringSlice("allow-users", nil, "render these `accounts` only; names, former names too, and patterns with * and ?")
	f.StringSlice("deny-users", nil, "do not render these `accounts`; names, former names too, and patterns with * and ?")
	f.StringSlice("allow-groups", nil, "render members of these of the server's `groups` only; names and patterns. An account must pass all four lists, as with sshd_config")
	f.StringSlice("deny-groups", nil, "do not render members of these of the server's `groups`; names and patterns")
	f.String("render-groups", altfiles.RenderAll, "`which` groups are rendered: all, or used for those only with a member who is rendered")
	f.StringSlice("shell-map", nil, "`shells` to replace, as FROM=TO; *=TO replaces those that are not in shells")
	f.String("home-pattern", "", "`pattern` of homes in place of the server's: %H the last element of the server's home, which outlives a change of name, %u the name, %l its first letter, %U the uid, %% a per cent sign")
	f.StringSlice("protect-names", nil, "more `names` that are refused and reported, as the system's own are")
	f.StringSlice("merge-members", nil, "LOCAL=GROUP `pairs`: members of the server's GROUP join this node's own group LOCAL, such as docker=developers; needs group: files [SUCCESS=merge] … in nsswitch.conf; never root, wheel or sudo")
}

// policy is what the keys make of it.
func (cfg *config) policy() altfiles.Policy {
	return altfiles.Policy{
		MinID:        cfg.MinID,
		MaxID:        cfg.MaxID,
		AllowUsers:   cfg.AllowUsers,
		DenyUsers:    cfg.DenyUsers,
		AllowGroups:  cfg.AllowGroups,
		DenyGroups:   cfg.DenyGroups,
		RenderGroups: cfg.RenderGroups,
		ShellMap:     cfg.ShellMap,
		HomePattern:  cfg.HomePattern,
		ProtectNames: cfg.ProtectNames,
		MergeMembers: cfg.MergeMembers,
		AllowNames:   cfg.AllowNames,
		Shells:       cfg.Shells,
		NologinShell: cfg.NologinShell,
		Shadow:       cfg.Shadow,
	}
}
