package pam

import _ "embed"

// PAM configurations that run pwb-pam as /usr/libexec/pwb/pwb-pam. Each pair of lines
// passes over pam_exec(8) for whoever is in /etc/passwd, root before all: pam_exec
// cannot tell a refusal from a program that is missing, and shuts out on both.
var (
	// DebianProfile is for /usr/share/pam-configs/pwb, see pam-auth-update(8): the
	// account check and homes.
	//
	//go:embed profile/debian
	DebianProfile string

	// DebianAuthProfile is for /usr/share/pam-configs/pwb-auth, only where
	// nsswitch.conf cannot have NSS find the agent's shadow: passwords, too.
	//
	//go:embed profile/debian-auth
	DebianAuthProfile string

	// AuthselectAccount goes into system-auth and password-auth of a custom profile
	// of authselect(8), behind the line "account required pam_unix.so".
	//
	//go:embed profile/authselect-account
	AuthselectAccount string

	// AuthselectSession goes behind "session required pam_unix.so" there.
	//
	//go:embed profile/authselect-session
	AuthselectSession string

	// AuthselectAuth goes before "auth required pam_deny.so" there, and
	// AuthselectAuthAccount before "account required pam_unix.so", which refuses whose
	// shadow it cannot find. Their feature is another, as for DebianAuthProfile.
	//
	//go:embed profile/authselect-auth
	AuthselectAuth string
	//go:embed profile/authselect-auth-account
	AuthselectAuthAccount string
)

// Features of a custom profile that have authselect(8) include these lines.
const (
	AuthselectFeature     = "with-pwb-login"
	AuthselectAuthFeature = "with-pwb-auth"
)
