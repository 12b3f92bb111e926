// Package packages holds what deb and rpm packages of the server and the agent
// are made of beside the programs: units, scripts of the package managers,
// configurations of nfpm, and sources of an SELinux policy. Command pack makes
// the packages of them; DESIGN.md says why they are as they are.
package packages

import "embed"

// Files has the directories agent and server, and the file copyright.
//
//go:embed agent server copyright
var Files embed.FS
