package altfiles

import (
	"fmt"

	"pwb/roster"
)

// settle decides, once all groups have come, which accounts stay and which
// aliases they get.
func (b *builder) settle() {
	if b.settled {
		return
	}
	b.settled = true
	any := b.settleSelection()
	drop := func(i int, why error) {
		if a := &b.accounts[i]; !a.dropped {
			a.dropped, any = true, true
			b.quarantine(roster.AccountKey(string(b.id(i))), string(b.name(i)), why)
		}
	}
	for _, g := range b.groups {
		if i, ok := b.findName(hashOfText(g.name), g.name); ok && b.accounts[i].private {
			drop(i, fmt.Errorf("name %q of its private group is also that of group %s: rename one of them", g.name, g.id))
		}
		if i, ok := b.findUID(g.gid); ok && b.accounts[i].private {
			drop(i, fmt.Errorf("gid %d of its private group is also that of group %s, %q: change one of the two", g.gid, g.id, g.name))
		}
	}
	for _, w := range b.borrowed {
		if err := b.checkPrimary(w.gid); err != nil {
			drop(w.account, err)
		}
	}
	b.settleAliases()
	b.uids, b.names = table{}, table{}
	b.members = make([]byte, 0, cap(b.out.group)-len(b.out.group))
	if any {
		b.removeDropped()
	}
	b.appendAliases()
	b.settleKeys()
}

// checkPrimary reports why an account may not have gid for its primary group:
// it must be that of a group of the roster that is rendered, or of one of the
// node's own that neither is protected nor belongs to one local account.
func (b *builder) checkPrimary(gid uint32) error {
	if _, ok := b.gids[gid]; ok {
		return nil
	}
	name, ok := b.local.gids[gid]
	if !ok {
		return fmt.Errorf("gid %d of its primary group is that of no group here: assign the group, or give the account one of its own", gid)
	}
	if b.rules.protects(name) {
		return fmt.Errorf("gid %d of its primary group is that of the local group %q, which is protected: choose another, or allow the name on this node", gid, name)
	}
	if _, ok := b.local.users[name]; ok {
		return fmt.Errorf("gid %d of its primary group is that of the local account %q: choose another", gid, name)
	}
	return nil
}

// removeDropped takes the lines of dropped accounts out again. So far each file
// has one line an account, in the same order, but for the accounts without a
// private group in group.
func (b *builder) removeDropped() {
	o := &b.out
	passwd, group, shadow := o.passwd, o.group, o.shadow
	o.passwd, o.group, o.shadow = passwd[:0], group[:0], shadow[:0]
	for i := range b.accounts {
		a := &b.accounts[i]
		var p, g, s []byte
		p, passwd = cutLine(passwd)
		s, shadow = cutLine(shadow)
		if a.private {
			g, group = cutLine(group)
		}
		if a.dropped {
			continue
		}
		a.line = uint32(len(o.passwd))
		o.passwd = append(o.passwd, p...)
		o.group = append(o.group, g...)
		o.shadow = append(o.shadow, s...)
	}
}
