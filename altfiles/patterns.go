package altfiles

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"pwb/roster"
)

// nameList is a list of names and shell patterns. The zero nameList is no list.
type nameList struct {
	key   string
	list  []string
	plain map[string]int // names, and their places in list
	wild  []int          // the places of patterns
}

// newNames makes a list of a key of the policy. It fails for what can match no
// name, which is a slip of the pen and would empty a node, or let somebody in.
func newNames(key string, list []string) (nameList, error) {
	n := nameList{key: key, list: list, plain: map[string]int{}}
	for i, s := range list {
		wild := strings.ContainsAny(s, "*?")
		probe := strings.NewReplacer("*", "a", "?", "a").Replace(s)
		if wild {
			probe = strings.TrimRight(probe, ".") + "a"
		}
		if err := roster.CheckName(probe); err != nil && (!wild || len(s) <= roster.MaxName) {
			return n, fmt.Errorf("policy: %s: %q can match no name: names have lower-case letters, digits, '_', '-' and '.', patterns also * and ?", key, s)
		}
		if wild {
			n.wild = append(n.wild, i)
		} else {
			n.plain[s] = i
		}
	}
	return n, nil
}

func (n *nameList) set() bool { return len(n.list) > 0 }

// match calls matched with the place of each entry that name matches, and
// reports whether there is one.
func (n *nameList) match(name string, matched func(i int)) bool {
	i, ok := n.plain[name]
	if ok {
		matched(i)
	}
	for _, i := range n.wild {
		if hit, _ := path.Match(n.list[i], name); hit {
			ok = true
			matched(i)
		}
	}
	return ok
}

// namesOf are the names of an account, each once: its own and those former ones
// that could be rendered.
func namesOf(a *roster.Account) []string {
	all := []string{a.Name}
	for _, alias := range a.Aliases[:min(len(a.Aliases), roster.MaxAliases)] {
		if !slices.Contains(all, alias) {
			all = append(all, alias)
		}
	}
	return all
}
