package altfiles

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pwb/roster"
)

// aliased is an account with aliases: as they came, and once they are settled
// those that are rendered.
type aliased struct {
	account int
	names   []string
}

// addAliases keeps the aliases of the ith account until all names are known.
func (b *builder) addAliases(i int, names []string) {
	own := make([]string, len(names))
	for at, name := range names {
		own[at] = strings.Clone(name)
	}
	b.aliased = append(b.aliased, aliased{account: i, names: own})
}

// settleAliases decides, once all accounts and groups have come, which aliases
// are rendered, and quarantines the others. Of two accounts that want the same
// alias the first gets it, if it is rendered itself.
func (b *builder) settleAliases() {
	if len(b.aliased) == 0 {
		return
	}
	c := aliasCheck{b: b, refused: map[string]string{}, taken: map[string]int{}}
	for _, q := range b.out.quarantined {
		c.refused[q.Name] = q.Key
	}
	if b.sel != nil {
		maps.Copy(c.refused, b.sel.hidden) // they are somebody's, too
	}
	b.aliased = slices.DeleteFunc(b.aliased, func(a aliased) bool { return b.accounts[a.account].dropped })
	for i := range b.aliased {
		a := &b.aliased[i]
		a.names = c.fit(a.account, a.names)
	}
	b.aliased = slices.DeleteFunc(b.aliased, func(a aliased) bool { return len(a.names) == 0 })
}

// aliasCheck tells which aliases are fit.
type aliasCheck struct {
	b *builder
	// refused are the names of rows that are refused, and their keys. They are
	// somebody's present names all the same: that this node does not know him
	// must not let him in as somebody else.
	refused map[string]string
	taken   map[string]int // aliases, and the accounts that have them
}

// fit picks the aliases that account i gets, and quarantines the others, but for
// its own name and what comes twice: these say nothing new.
func (c *aliasCheck) fit(i int, names []string) (fit []string) {
	own := string(c.b.name(i))
	var seen []string // roster.MaxAliases at most
	for _, alias := range names {
		if alias == own || slices.Contains(seen, alias) {
			continue
		}
		err := fmt.Errorf("alias %.80q is one too many: an account has %d at most", alias, roster.MaxAliases)
		if len(seen) < roster.MaxAliases {
			seen = append(seen, alias)
			err = c.check(alias)
		}
		if err != nil {
			c.b.quarantine(roster.AccountKey(string(c.b.id(i))), alias, err)
			continue
		}
		c.taken[alias] = i
		fit = append(fit, alias)
	}
	return fit
}

// check reports why an alias may not be rendered. It can only be others that are
// renamed: a former name is what it is.
func (c *aliasCheck) check(alias string) error {
	b := c.b
	if err := roster.CheckName(alias); err != nil {
		return fmt.Errorf("alias: %w", err)
	}
	if b.rules.protects(alias) {
		return fmt.Errorf("alias %q is protected, it is one of the system's own: let it lapse, or allow the name on this node", alias)
	}
	if err := b.local.checkAlias(alias); err != nil {
		return err
	}
	if i, ok := b.groupNames[alias]; ok {
		return fmt.Errorf("alias %q is the name of group %s: rename that one, or let the alias lapse", alias, b.groups[i].id)
	}
	if i, ok := b.findName(hashOfText(alias), alias); ok {
		return fmt.Errorf("alias %q is now the name of account %s: rename that one, or let the alias lapse", alias, b.id(i))
	}
	if key, ok := c.refused[alias]; ok {
		return fmt.Errorf("alias %q is the name in row %s, though that is refused: rename that one, or let the alias lapse", alias, key)
	}
	if i, ok := c.taken[alias]; ok {
		return fmt.Errorf("alias %q is already that of account %s: let one of the two lapse", alias, b.id(i))
	}
	return nil
}

// checkAlias reports how an alias clashes with the node's own names. Its number
// is its account's, which is checked.
func (l *local) checkAlias(alias string) error {
	if uid, ok := l.users[alias]; ok {
		return fmt.Errorf("alias %q: %s has an account of this name, with uid %d: rename that one, or let the alias lapse", alias, l.passwdFile, uid)
	}
	if gid, ok := l.groups[alias]; ok {
		return fmt.Errorf("alias %q: %s has a group of this name, with gid %d: rename that one, or let the alias lapse", alias, l.groupFile, gid)
	}
	return nil
}

// appendAliases appends, for each alias, its account's lines with another name.
// It goes through the files once, in which each account that was not dropped has
// one line so far, in the same order, but for the accounts without a private
// group in group.
func (b *builder) appendAliases() {
	o := &b.out
	passwd, group, shadow := o.passwd, o.group, o.shadow
	todo := b.aliased
	for i := range b.accounts {
		if len(todo) == 0 {
			return
		}
		a := &b.accounts[i]
		if a.dropped {
			continue
		}
		var p, g, s []byte
		p, passwd = cutLine(passwd)
		s, shadow = cutLine(shadow)
		if a.private {
			g, group = cutLine(group)
		}
		if todo[0].account != i {
			continue
		}
		for _, alias := range todo[0].names {
			o.passwd = appendRenamed(o.passwd, alias, p)
			o.group = appendRenamed(o.group, alias, g)
			o.shadow = appendRenamed(o.shadow, alias, s)
		}
		a.aliased = true
		todo = todo[1:]
	}
}

// appendRenamed appends a line with another name in front; of no line it makes
// none.
func appendRenamed(dst []byte, name string, line []byte) []byte {
	if len(line) == 0 {
		return dst
	}
	return append(append(dst, name...), line[len(nameOf(line)):]...)
}

// aliasesOf are the aliases that account i has lines for.
func (b *builder) aliasesOf(i int) []string {
	if !b.accounts[i].aliased {
		return nil
	}
	at, _ := slices.BinarySearchFunc(b.aliased, i, func(a aliased, i int) int { return a.account - i })
	return b.aliased[at].names
}
