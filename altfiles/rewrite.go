package altfiles

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"pwb/roster"
)

// anyShell stands in Policy.ShellMap for every shell that is not allowed.
const anyShell = "*"

// rewriteRules makes the rules for shells and homes.
func (p *Policy) rewriteRules(r *rules) error {
	pairs, err := splitPairs("shell-map", p.ShellMap)
	if err != nil {
		return err
	}
	if len(pairs) > 0 {
		r.shellMap = map[string]string{}
	}
	for _, kv := range pairs {
		if err := roster.CheckPath(kv[0]); err != nil && kv[0] != anyShell {
			return fmt.Errorf("policy: shell-map: shell %w", err)
		}
		if !r.shells[kv[1]] && kv[1] != r.nologin {
			return fmt.Errorf("policy: shell-map: %q is not among the shells that are allowed here: map to one of shells, or add it there", kv[1])
		}
		r.shells[kv[1]] = true // nologin may be no shell that an account asks for
		if _, twice := r.shellMap[kv[0]]; twice {
			return fmt.Errorf("policy: shell-map: %q is mapped twice: keep one", kv[0])
		}
		r.shellMap[kv[0]] = kv[1]
	}
	r.homePattern = p.HomePattern
	if p.HomePattern == "" {
		return nil
	}
	// Two accounts show whether it tells them apart, and whether it can make a home.
	one, err := expandHome(p.HomePattern, &roster.Account{Name: "ada", UID: 1815, Home: "/home/ada"})
	if err != nil {
		return err
	}
	two, err := expandHome(p.HomePattern, &roster.Account{Name: "adb", UID: 1816, Home: "/home/adb"})
	if err != nil {
		return err
	}
	if err := roster.CheckHome(one); err != nil {
		return fmt.Errorf("policy: home-pattern %q: of ada it makes a home that %w", p.HomePattern, err)
	}
	if one == two {
		return fmt.Errorf("policy: home-pattern %q gives every account the same home: put %%H, %%u or %%U into it", p.HomePattern)
	}
	return nil
}

// splitPairs splits a list of KEY=VALUE, as maps are written in the configuration.
func splitPairs(key string, list []string) (pairs [][2]string, err error) {
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" || v == "" {
			return nil, fmt.Errorf("policy: %s: %q is not of the form A=B", key, s)
		}
		pairs = append(pairs, [2]string{k, v})
	}
	return pairs, nil
}

// rewrites reports whether the policy changes what accounts say.
func (r *rules) rewrites() bool { return r.shellMap != nil || r.homePattern != "" }

// rewrite is the account as this node shall have it. What cannot be rewritten
// stays as it is, for the check to refuse.
func (r *rules) rewrite(a *roster.Account) (*roster.Account, error) {
	mine := *a
	mine.Shell, _ = r.mapShell(a.Shell)
	if r.homePattern == "" {
		return &mine, nil
	}
	home, err := expandHome(r.homePattern, a)
	if err != nil {
		return nil, err
	}
	if err := roster.CheckHome(home); err != nil {
		return nil, fmt.Errorf("home, which home-pattern %q makes of %.80q: %w", r.homePattern, a.Home, err)
	}
	mine.Home = home
	return &mine, nil
}

// mapShell is the shell that an account gets, and the entry that says so.
func (r *rules) mapShell(shell string) (to, entry string) {
	if to, ok := r.shellMap[shell]; ok {
		return to, shell
	}
	if to, ok := r.shellMap[anyShell]; ok && !r.shells[shell] {
		return to, anyShell
	}
	return shell, ""
}

// expandHome makes a home: %u is the name, %U the uid, %l the first letter of
// the name, %H the last element of the roster's home, %% a per cent sign.
func expandHome(pattern string, a *roster.Account) (string, error) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		if i == len(pattern) {
			return "", fmt.Errorf("policy: home-pattern %q ends in %%: write %%%% for a per cent sign", pattern)
		}
		switch c := pattern[i]; c {
		case 'u':
			b.WriteString(a.Name)
		case 'U':
			b.WriteString(strconv.FormatUint(uint64(a.UID), 10))
		case 'l':
			b.WriteString(a.Name[:min(1, len(a.Name))])
		case 'H':
			// What the roster says must be a home, or its last element could be "..".
			if err := roster.CheckHome(a.Home); err != nil {
				return "", fmt.Errorf("home %w", err)
			}
			b.WriteString(path.Base(a.Home))
		case '%':
			b.WriteByte('%')
		default:
			return "", fmt.Errorf("policy: home-pattern %q: %%%c is not known: there are %%u, %%U, %%l, %%H and %%%%", pattern, c)
		}
	}
	return b.String(), nil
}
