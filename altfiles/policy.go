package altfiles

import (
	"fmt"
	"path"
	"slices"

	"pwb/roster"
)

// DefaultNologin is the shell that a locked account gets: nologin(8).
const DefaultNologin = "/usr/sbin/nologin"

// Policy is what this node refuses or overrides. Fields that are zero get
// their values from DefaultPolicy, except Shadow, whose zero is a choice of its
// own: begin with DefaultPolicy() and change that. A Policy that is zero as a
// whole is DefaultPolicy().
type Policy struct {
	// MinID is the least uid and gid that is rendered; roster.MinID at least.
	MinID uint32
	// AllowNames are names that are rendered although they are protected: see
	// roster.Protected. They do not lift the other rules.
	AllowNames []string
	// Shells are the login shells that an account may have, as shells(5) would
	// list them.
	Shells []string
	// NologinShell is the shell that a locked account gets.
	NologinShell string
	// Shadow says that password hashes are written, to shadow, and that passwd
	// carries "x". Without it passwd carries "*": use that where the name
	// service reads no shadow file, or every login fails in the account phase.
	Shadow bool
}

// DefaultPolicy is the policy of a node whose administrator set nothing.
func DefaultPolicy() Policy {
	return Policy{
		MinID:        roster.MinID,
		Shells:       defaultShells(),
		NologinShell: DefaultNologin,
		Shadow:       true,
	}
}

func defaultShells() []string {
	var all []string
	for _, name := range []string{"sh", "bash", "dash", "zsh", "fish", "ksh", "tcsh", "csh", "false"} {
		all = append(all, "/bin/"+name, "/usr/bin/"+name)
	}
	return append(all, "/bin/nologin", "/usr/bin/nologin", "/sbin/nologin", DefaultNologin)
}

// rules is a Policy made ready for asking.
type rules struct {
	min     uint32
	allowed map[string]bool
	shells  map[string]bool
	nologin string
	shadow  bool
}

// rules fills in the defaults and checks the policy. It fails for what would
// let every account through or render lines that cannot be read back.
func (p Policy) rules() (*rules, error) {
	def := DefaultPolicy()
	if p.MinID == 0 && len(p.AllowNames) == 0 && len(p.Shells) == 0 && p.NologinShell == "" && !p.Shadow {
		p = def
	}
	if p.MinID == 0 {
		p.MinID = def.MinID
	}
	if p.MinID < roster.MinID {
		return nil, fmt.Errorf("policy: least id %d is below %d, where the system's own accounts lie: choose %d or more", p.MinID, roster.MinID, roster.MinID)
	}
	if len(p.Shells) == 0 {
		p.Shells = def.Shells
	}
	if p.NologinShell == "" {
		p.NologinShell = def.NologinShell
	}
	r := &rules{min: p.MinID, allowed: map[string]bool{}, shells: map[string]bool{}, nologin: p.NologinShell, shadow: p.Shadow}
	for _, sh := range slices.Concat(p.Shells, []string{p.NologinShell}) {
		if err := roster.CheckPath(sh); err != nil {
			return nil, fmt.Errorf("policy: shell %w", err)
		}
	}
	for _, sh := range p.Shells {
		r.shells[sh] = true
	}
	for _, name := range p.AllowNames {
		if err := roster.CheckName(name); err != nil {
			return nil, fmt.Errorf("policy: allowed %w", err)
		}
		r.allowed[name] = true
	}
	return r, nil
}

// refusesLogin reports whether a login with this shell ends at once.
func (r *rules) refusesLogin(shell string) bool {
	base := path.Base(shell)
	return shell == r.nologin || base == "nologin" || base == "false"
}
