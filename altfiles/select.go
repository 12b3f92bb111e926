package altfiles

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"pwb/roster"
)

// LeftOut counts what the policy keeps off this node by choice. It is no
// quarantine: nothing is wrong with these rows.
type LeftOut struct {
	// Accounts are left out by the key that decided, such as "allow-groups".
	Accounts map[string]int
	// Groups are those of the roster that have no line.
	Groups int
}

// Total counts the accounts.
func (l LeftOut) Total() (n int) {
	for _, by := range l.Accounts {
		n += by
	}
	return n
}

// The keys that can leave an account out, in the order in which they are asked:
// that of sshd_config(5). The first that decides is told.
const (
	keyMinID       = "min-id"
	keyMaxID       = "max-id"
	keyDenyUsers   = "deny-users"
	keyAllowUsers  = "allow-users"
	keyDenyGroups  = "deny-groups"
	keyAllowGroups = "allow-groups"
)

// membership is in which listed groups an account is.
type membership uint8

const (
	inAllowed membership = 1 << iota
	inDenied
)

// selects reports whether the rules leave any account or group out.
func (r *rules) selects() bool {
	return r.min > roster.MinID || r.max != 0 || r.users() || r.byGroup()
}

func (r *rules) users() bool   { return r.allowUsers.set() || r.denyUsers.set() }
func (r *rules) byGroup() bool { return r.allowGroups.set() || r.denyGroups.set() }

// outOfRange is the key that leaves out a number that could be rendered.
func (r *rules) outOfRange(id uint32) string {
	switch {
	case roster.CheckNumber(id) != nil:
		return "" // which is wrong, and not a matter of choice
	case id < r.min:
		return keyMinID
	case r.max != 0 && id > r.max:
		return keyMaxID
	}
	return ""
}

// selection decides who is left out, for one rendering. Accounts that are left
// out keep their names and numbers from others all the same.
type selection struct {
	rules *rules
	out   LeftOut
	seen  map[string][]bool // by key, which entries of its list matched

	left   []string     // by account, the key that leaves it out so far, or ""
	in     []membership // by account, if groups count
	unfit  map[string]*unfit
	groups map[string]membership // by id, of listed groups
	gids   map[uint32]membership
	hidden map[string]string // names of rows that are left out and have no lines, and their keys

	// pairs are the members of groups that have lines, as numbers of accounts,
	// until it is known who stays.
	pairs []uint32
}

// unfit is an account that would be quarantined if it is not left out.
type unfit struct {
	name    string
	gid     uint32
	private bool
	left    string
	in      membership
}

func (r *rules) newSelection() *selection {
	if !r.selects() {
		return nil
	}
	s := &selection{rules: r, out: LeftOut{Accounts: map[string]int{}}, seen: map[string][]bool{}, hidden: map[string]string{}}
	for _, n := range r.lists() {
		s.seen[n.key] = make([]bool, len(n.list))
	}
	if r.byGroup() {
		s.unfit, s.groups, s.gids = map[string]*unfit{}, map[string]membership{}, map[uint32]membership{}
	}
	return s
}

func (r *rules) lists() []*nameList {
	return []*nameList{&r.denyUsers, &r.allowUsers, &r.denyGroups, &r.allowGroups}
}

// matches reports whether one of several names is in a list.
func (s *selection) matches(n *nameList, all ...string) bool {
	hit := false
	for _, name := range all {
		hit = n.match(name, func(i int) { s.seen[n.key][i] = true }) || hit
	}
	return hit
}

// account is the key that leaves an account out by what it says of itself. An
// alias is a name of its: who is denied stays so when renamed, who is allowed too.
func (s *selection) account(a *roster.Account) string {
	all := namesOf(a)
	denied := s.matches(&s.rules.denyUsers, all...)
	allowed := s.matches(&s.rules.allowUsers, all...)
	for _, id := range []uint32{a.UID, a.GID} {
		if key := s.rules.outOfRange(id); key != "" {
			return key
		}
	}
	switch {
	case denied:
		return keyDenyUsers
	case s.rules.allowUsers.set() && !allowed:
		return keyAllowUsers
	}
	return ""
}

// byGroup is the key that leaves an account out by its groups.
func (s *selection) byGroup(in membership) string {
	switch {
	case in&inDenied != 0:
		return keyDenyGroups
	case s.rules.allowGroups.set() && in&inAllowed == 0:
		return keyAllowGroups
	}
	return ""
}

// addSelected is addAccount where the policy selects.
func (b *builder) addSelected(a *roster.Account) error {
	s := b.sel
	left := s.account(a)
	if left == keyMinID || left == keyMaxID {
		s.hide(a.Name, roster.AccountKey(a.ID), left)
		return nil
	}
	if err := b.addAccount(a); err != nil {
		switch {
		case left != "":
			s.hide(a.Name, roster.AccountKey(a.ID), left)
			return nil
		case s.unfit != nil:
			s.unfit[a.ID] = &unfit{name: a.Name, gid: a.GID, private: a.PrivateGroup()}
		}
		return err
	}
	s.left = append(s.left, left)
	if s.groups != nil {
		s.in = append(s.in, 0)
	}
	return nil
}

// hide leaves out a row that has no lines. Its name is somebody's all the same.
func (s *selection) hide(name, key, by string) {
	s.out.Accounts[by]++
	s.hidden[name] = key
}

// addSelectedGroup is addGroup where the policy selects.
func (b *builder) addSelectedGroup(g *roster.Group) error {
	s := b.sel
	if s.groups != nil {
		var in membership
		if s.matches(&s.rules.allowGroups, g.Name) {
			in |= inAllowed
		}
		if s.matches(&s.rules.denyGroups, g.Name) {
			in |= inDenied
		}
		if in != 0 {
			s.groups[g.ID] = in
			s.gids[g.GID] |= in // also whose primary group it is, is a member
		}
	}
	if s.rules.outOfRange(g.GID) != "" {
		s.out.Groups++
		s.hidden[g.Name] = roster.GroupKey(g.ID)
		return nil
	}
	return b.addGroup(g)
}

// addLate notes a membership until it is known which accounts stay.
func (b *builder) addLate(m *roster.Member) {
	s := b.sel
	b.enterGroup(m.GroupID, len(s.pairs))
	in := s.groups[m.GroupID]
	i, ok := b.findID(m.AccountID)
	if !ok {
		if u := s.unfit[m.AccountID]; u != nil {
			u.in |= in
		}
		b.out.skipped++
		return
	}
	s.in[i] |= in
	if b.group == nil {
		b.out.skipped++
		return
	}
	s.pairs = append(s.pairs, uint32(i))
	b.group.end = uint32(len(s.pairs))
}

// settleSelection drops the accounts that are left out, once all that decides
// has come, and reports whether there are any.
func (b *builder) settleSelection() (any bool) {
	s := b.sel
	if s == nil {
		return false
	}
	if s.groups != nil {
		for _, w := range b.borrowed {
			s.in[w.account] |= s.gids[w.gid]
		}
		for _, u := range s.unfit {
			if !u.private {
				u.in |= s.gids[u.gid]
			}
			u.left = s.byGroup(u.in)
		}
		b.out.quarantined = slices.DeleteFunc(b.out.quarantined, func(q roster.Quarantine) bool {
			id, ok := strings.CutPrefix(q.Key, "a/")
			u := s.unfit[id]
			if !ok || u == nil || u.left == "" {
				return false
			}
			s.hide(u.name, q.Key, u.left)
			return true
		})
	}
	for i, left := range s.left {
		if left == "" && s.groups != nil {
			left = s.byGroup(s.in[i])
		}
		if left != "" {
			s.out.Accounts[left]++
			b.accounts[i].dropped, any = true, true
		}
	}
	s.left, s.in, s.unfit, s.gids = nil, nil, nil, nil
	return any
}

// finishSelection makes the member lists of groups whose members came before it
// was known who stays.
func (b *builder) finishSelection() error {
	if b.sel == nil || b.sel.groups == nil {
		return nil
	}
	pairs := b.sel.pairs
	for i := range b.groups {
		g := &b.groups[i]
		ids := pairs[g.start:g.end]
		g.start = uint32(len(b.members))
		g.end = g.start
		for _, account := range ids {
			b.appendMember(g, int(account))
		}
		if len(b.members) > math.MaxUint32-1<<16 {
			return errTooLarge
		}
	}
	b.sel.pairs = nil
	return nil
}

// dropUnused takes the groups without a line out of the list: those in which
// nobody is who is rendered, if the policy says so.
func (b *builder) dropUnused() {
	if b.rules.renderGroups != RenderUsed {
		return
	}
	primary := map[uint32]bool{}
	for _, w := range b.borrowed {
		if !b.accounts[w.account].dropped {
			primary[w.gid] = true
		}
	}
	before := len(b.groups)
	b.groups = slices.DeleteFunc(b.groups, func(g groupEntry) bool { return g.start == g.end && !primary[g.gid] })
	b.out.left.Groups += before - len(b.groups)
}

// warnUnmatched says which entries of the lists match nothing in the roster: a
// mistyped one of allow-groups would leave the node empty.
func (s *selection) warnUnmatched(warn func(string, ...any)) {
	for _, n := range s.rules.lists() {
		what := "account"
		if n == &s.rules.denyGroups || n == &s.rules.allowGroups {
			what = "group"
		}
		for i, entry := range n.list {
			if !s.seen[n.key][i] {
				warn("%s: %q matches no %s of the roster: see whether it is spelt right", n.key, entry, what)
			}
		}
	}
}

// What Policy.RenderGroups can be.
const (
	// RenderAll renders every group of the roster.
	RenderAll = "all"
	// RenderUsed renders those with a member, or a primary group's account, that is
	// rendered.
	RenderUsed = "used"
)

// selectRules makes the rules of this file.
func (p *Policy) selectRules(r *rules) (err error) {
	r.max, r.renderGroups = p.MaxID, p.RenderGroups
	if r.max != 0 && r.max < r.min {
		return fmt.Errorf("policy: max-id %d is below min-id %d, so that nobody would be rendered", r.max, r.min)
	}
	switch p.RenderGroups {
	case "":
		r.renderGroups = RenderAll
	case RenderAll, RenderUsed:
	default:
		return fmt.Errorf("policy: render-groups %q is not %s or %s", p.RenderGroups, RenderAll, RenderUsed)
	}
	var errs [4]error
	r.denyUsers, errs[0] = newNames(keyDenyUsers, p.DenyUsers)
	r.allowUsers, errs[1] = newNames(keyAllowUsers, p.AllowUsers)
	r.denyGroups, errs[2] = newNames(keyDenyGroups, p.DenyGroups)
	r.allowGroups, errs[3] = newNames(keyAllowGroups, p.AllowGroups)
	return errors.Join(errs[:]...)
}

// finishPolicy adds what the policy brings besides accounts and groups.
func (b *builder) finishPolicy() {
	b.out.group = append(b.out.group, b.out.merged...)
	b.out.merged = nil
	if b.sel == nil {
		return
	}
	b.out.left.Accounts = b.sel.out.Accounts
	b.out.left.Groups += b.sel.out.Groups
	b.sel.warnUnmatched(b.warn)
}
