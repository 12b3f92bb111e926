package altfiles

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"

	"pwb/roster"
)

// DefaultNologin is the shell that a locked account gets: nologin(8).
const DefaultNologin = roster.Nologin

// Policy is what this node refuses or overrides. Fields that are zero get
// their values from DefaultPolicy, except Shadow, whose zero is a choice of its
// own: begin with DefaultPolicy() and change that. A Policy that is zero as a
// whole is DefaultPolicy().
type Policy struct {
	// MinID is the least uid and gid that is rendered, roster.MinID at least;
	// MaxID the greatest, 0 for no limit. What lies beyond is left out.
	MinID, MaxID uint32
	// AllowUsers, DenyUsers, AllowGroups and DenyGroups say which accounts are
	// rendered, by names and shell patterns (* and ?) of accounts and of the
	// roster's groups. An account must pass each list that is not empty, as with
	// sshd_config(5). Those that do not are left out; see LeftOut.
	AllowUsers, DenyUsers, AllowGroups, DenyGroups []string
	// RenderGroups is RenderAll, the default, or RenderUsed.
	RenderGroups string
	// ShellMap has entries FROM=TO for shells; FROM "*" is every shell that is not
	// in Shells. TO is one of Shells or NologinShell.
	ShellMap []string
	// HomePattern makes homes in place of the roster's, see expandHome.
	HomePattern string
	// ProtectNames are names that are refused as roster.Protected ones are.
	ProtectNames []string
	// MergeMembers has entries LOCAL=GROUP: the members of the roster's group
	// get a line with the name and number of the node's own group.
	MergeMembers []string
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
	min, max  uint32
	allowed   map[string]bool
	protected map[string]bool // besides the system's own
	shells    map[string]bool
	anyShell  bool // shells are at least those of DefaultPolicy
	nologin   string
	shadow    bool

	denyUsers, allowUsers, denyGroups, allowGroups nameList
	renderGroups                                   string
	shellMap                                       map[string]string
	homePattern                                    string
	merges                                         []merge
	leastMerged                                    uint32 // that NSS reads, see Layout
}

// rules fills in the defaults and checks the policy. It fails for what would
// let every account through or render lines that cannot be read back.
func (p Policy) rules() (*rules, error) {
	def := DefaultPolicy()
	if reflect.ValueOf(p).IsZero() {
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
	r := &rules{min: p.MinID, allowed: map[string]bool{}, protected: map[string]bool{}, shells: map[string]bool{}, nologin: p.NologinShell, shadow: p.Shadow}
	for _, sh := range slices.Concat(p.Shells, []string{p.NologinShell}) {
		if err := roster.CheckPath(sh); err != nil {
			return nil, fmt.Errorf("policy: shell %w", err)
		}
	}
	for _, sh := range p.Shells {
		r.shells[sh] = true
	}
	r.anyShell = !slices.ContainsFunc(def.Shells, func(sh string) bool { return !r.shells[sh] })
	for _, name := range p.AllowNames {
		if err := roster.CheckName(name); err != nil {
			return nil, fmt.Errorf("policy: allowed %w", err)
		}
		r.allowed[name] = true
	}
	for _, name := range p.ProtectNames {
		if err := roster.CheckName(name); err != nil {
			return nil, fmt.Errorf("policy: protected %w", err)
		}
		if r.allowed[name] {
			return nil, fmt.Errorf("policy: name %q is in allow-names and in protect-names: take it out of one", name)
		}
		r.protected[name] = true
	}
	if err := errors.Join(p.selectRules(r), p.rewriteRules(r), p.mergeRules(r)); err != nil {
		return nil, err
	}
	return r, nil
}

// refusesLogin reports whether a login with this shell ends at once.
func (r *rules) refusesLogin(shell string) bool {
	base := path.Base(shell)
	return shell == r.nologin || base == "nologin" || base == "false"
}
