package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"
	"strings"

	"pwb/roster"
)

// longLine is how many bytes a group line may have, its newline included,
// before it goes to the end of the file: nss_altfiles answers ERANGE for lines
// of over 1024 bytes and then loses the groups behind.
const longLine = 1000

// rendering is what a roster looks like on this node.
type rendering struct {
	passwd, group, shadow []byte
	keys                  []byte // see KeysFile
	quarantined           []roster.Quarantine
	// skipped counts memberships of accounts or groups that are not rendered.
	skipped int
	// left is what the policy leaves out by choice.
	left LeftOut
	// merged are lines for local groups, which go to the end of group.
	merged   []byte
	warnings []string
}

// sizes are guesses of how many bytes the files will have. Wrong ones cost time
// or memory, nothing else.
type sizes struct{ passwd, group, shadow int }

// passwdLine is a guess of how many bytes a line of passwd has: rather too many,
// since tables can grow, but not shrink.
const passwdLine = 90

// builder makes a rendering of rows that come once, in the order of their keys.
// Lines are appended as accounts come. What cannot be known until all groups
// have come is settled then: an account loses its line again when its primary
// group does not exist, or its private group is also a group of the roster; and
// aliases get theirs, behind those of all accounts.
//
// Of two accounts, or two groups, that want the same name or number the first
// gets it, and keeps it from the second even if it loses its own line later.
// Names have passed CheckName, so that none differs from another by case alone.
// Between an account's private group and a group the group does, lest
// a new account inherits what a group was given.
type builder struct {
	rules *rules
	local *local
	out   rendering
	sel   *selection // nil where the policy leaves nobody out

	last, spare []byte        // the last row's key, or that of its group's first member
	member      roster.Member // the last row, if it was one

	accounts []accountEntry
	ids      []byte // of all accounts, ascending
	names    table
	uids     table
	borrowed []borrower
	aliased  []aliased // ascending by account
	settled  bool
	keyed    []keyed // ascending by account
	keys     []byte

	groups     []groupEntry // ascending by id
	groupNames map[string]uint32
	gids       map[uint32]uint32

	members []byte // name,name… of one group after the other
	group   *groupEntry
	groupID string
	next    int // accounts before this one are no members of group to come
}

// accountEntry is an account that has lines.
type accountEntry struct {
	id, line uint32 // where its id and its passwd line begin
	uid      uint32
	private  bool
	dropped  bool
	aliased  bool // it is in builder.aliased, and that is settled
}

// borrower is an account whose primary group is not its own.
type borrower struct {
	account int
	gid     uint32
}

// groupEntry is a group that gets a line.
type groupEntry struct {
	id, name   string
	gid        uint32
	start, end uint32 // its part of members
}

// render consumes rows. It fails with the iterator's error, or when the rows
// are not in order: then they are not a roster.
func render(rules *rules, local *local, rows iter.Seq2[roster.Row, error], sizes sizes) (*rendering, error) {
	n := sizes.passwd / passwdLine
	b := &builder{
		rules: rules, local: local, sel: rules.newSelection(),
		out: rendering{
			passwd: make([]byte, 0, sizes.passwd),
			group:  make([]byte, 0, sizes.group),
			shadow: make([]byte, 0, sizes.shadow),
		},
		accounts:   make([]accountEntry, 0, n),
		ids:        make([]byte, 0, 36*n), // UUIDs
		groupNames: map[string]uint32{},
		gids:       map[uint32]uint32{},
	}
	b.names.reserve(n)
	b.uids.reserve(n)
	for row, err := range rows {
		if err != nil {
			return nil, fmt.Errorf("rows of the roster: %w", err)
		}
		if err := b.add(row); err != nil {
			return nil, fmt.Errorf("rows of the roster: %w", err)
		}
	}
	b.settle()
	if err := b.finishSelection(); err != nil {
		return nil, err
	}
	b.appendMerges()
	b.dropUnused()
	b.appendGroups()
	b.finishPolicy()
	if max(len(b.out.passwd), len(b.out.group), len(b.out.shadow), len(b.out.keys)) > math.MaxUint32 {
		return nil, errTooLarge
	}
	slices.SortStableFunc(b.out.quarantined, func(x, y roster.Quarantine) int { return strings.Compare(x.Key, y.Key) })
	return &b.out, nil
}

// errTooLarge: offsets have 32 bits.
var errTooLarge = errors.New("the roster is larger than 4 GiB")

func (b *builder) add(row roster.Row) error {
	if err := b.checkOrder(row); err != nil {
		return err
	}
	if len(b.ids) > math.MaxUint32-1<<16 || len(b.out.passwd) > math.MaxUint32-1<<16 || len(b.members) > math.MaxUint32-1<<16 || len(b.keys) > math.MaxUint32-1<<16 {
		return errTooLarge
	}
	switch {
	case row.Account != nil:
		add := b.addAccount
		if b.sel != nil {
			add = b.addSelected
		}
		if err := add(row.Account); err != nil {
			b.quarantine(row.Key(), row.Account.Name, err)
		}
	case row.Group != nil:
		add := b.addGroup
		if b.sel != nil {
			add = b.addSelectedGroup
		}
		if err := add(row.Group); err != nil {
			b.quarantine(row.Key(), row.Group.Name, err)
		}
	case b.sel != nil && b.sel.groups != nil:
		b.addLate(row.Member)
	default:
		b.settle()
		b.addMember(row.Member)
	}
	return nil
}

// checkOrder is row.Key() > last, without making a string of each key. An id
// with a '/' in it would break the order; CheckID knows it.
func (b *builder) checkOrder(row roster.Row) error {
	if m := row.Member; m != nil && m.GroupID == b.member.GroupID {
		// Most rows are members of the same group as the one before. An id that
		// is none is that of no account.
		if m.AccountID <= b.member.AccountID {
			return fmt.Errorf("row %s does not come after row %s", row.Key(), roster.Row{Member: &b.member}.Key())
		}
		b.member = *m
		return nil
	}
	var err error
	key := b.spare[:0]
	switch {
	case row.Account != nil:
		key = append(append(key, "a/"...), row.Account.ID...)
		err = roster.CheckID(row.Account.ID)
	case row.Group != nil:
		key = append(append(key, "g/"...), row.Group.ID...)
		err = roster.CheckID(row.Group.ID)
	case row.Member != nil:
		key = append(append(key, "m/"...), row.Member.GroupID...)
		key = append(append(key, '/'), row.Member.AccountID...)
		err = errors.Join(roster.CheckID(row.Member.GroupID), roster.CheckID(row.Member.AccountID))
	default:
		err = errors.New("a row is empty")
	}
	if err != nil {
		return err
	}
	if bytes.Compare(key, b.last) <= 0 {
		return fmt.Errorf("row %s does not come after row %s", key, b.last)
	}
	b.spare, b.last = b.last, key
	if row.Member != nil {
		b.member = *row.Member
	}
	return nil
}

func (b *builder) quarantine(key, name string, why error) {
	b.out.quarantined = append(b.out.quarantined, roster.Quarantine{Key: key, Name: strings.Clone(name), Reason: why.Error()})
}

func (b *builder) addAccount(a *roster.Account) (err error) {
	if b.rules.rewrites() {
		if a, err = b.rules.rewrite(a); err != nil {
			return err
		}
	}
	if err := b.rules.checkAccount(a); err != nil {
		return err
	}
	if err := b.local.checkAccount(a); err != nil {
		return err
	}
	hash := hashOfText(a.Name)
	if i, ok := b.findName(hash, a.Name); ok {
		return fmt.Errorf("name %q is already that of account %s: rename one of them", a.Name, b.id(i))
	}
	if i, ok := b.findUID(a.UID); ok {
		return fmt.Errorf("uid %d is already that of account %s, %q: change one of the two", a.UID, b.id(i), b.name(i))
	}

	i := len(b.accounts)
	b.accounts = append(b.accounts, accountEntry{id: uint32(len(b.ids)), line: uint32(len(b.out.passwd)), uid: a.UID, private: a.PrivateGroup()})
	b.ids = append(b.ids, a.ID...)
	b.uids.add(hashOfNumber(a.UID), i)
	b.out.appendAccount(b.rules, a)
	b.names.add(hash, i)
	if !a.PrivateGroup() {
		b.borrowed = append(b.borrowed, borrower{account: i, gid: a.GID})
	}
	if len(a.Aliases) > 0 {
		b.addAliases(i, a.Aliases)
	}
	if a.Keyed() {
		b.addKeys(i, a)
	}
	return nil
}

// appendAccount appends the lines of an account that was found good.
func (o *rendering) appendAccount(rules *rules, a *roster.Account) {
	p := a.Passwd(rules.nologin)
	if rules.shadow {
		o.shadow = a.Shadow().Append(o.shadow)
	} else {
		p.Password = "*"
	}
	o.passwd = p.Append(o.passwd)
	if a.PrivateGroup() {
		o.group = roster.GroupLine{Name: a.Name, Password: "x", GID: a.GID}.Append(o.group)
	}
}

func (b *builder) addGroup(g *roster.Group) error {
	if err := b.rules.checkGroup(g); err != nil {
		return err
	}
	if err := b.local.checkGroup(g.Name, g.GID); err != nil {
		return err
	}
	if i, ok := b.groupNames[g.Name]; ok {
		return fmt.Errorf("name %q is already that of group %s: rename one of them", g.Name, b.groups[i].id)
	}
	if i, ok := b.gids[g.GID]; ok {
		return fmt.Errorf("gid %d is already that of group %s, %q: change one of the two", g.GID, b.groups[i].id, b.groups[i].name)
	}
	i := uint32(len(b.groups))
	name := strings.Clone(g.Name)
	b.groups = append(b.groups, groupEntry{id: strings.Clone(g.ID), name: name, gid: g.GID})
	b.groupNames[name] = i
	b.gids[g.GID] = i
	return nil
}

func (b *builder) addMember(m *roster.Member) {
	b.enterGroup(m.GroupID, len(b.members))
	i, ok := b.findID(m.AccountID)
	if b.group == nil || !ok {
		b.out.skipped++
		return
	}
	b.appendMember(b.group, i)
}

// enterGroup makes ready for the members of a group, which stand from start on.
func (b *builder) enterGroup(id string, start int) {
	if id == b.groupID {
		return
	}
	b.groupID, b.group, b.next = id, nil, 0
	i, ok := slices.BinarySearchFunc(b.groups, id, func(g groupEntry, id string) int { return strings.Compare(g.id, id) })
	if ok {
		b.group = &b.groups[i]
		b.group.start = uint32(start)
		b.group.end = b.group.start
	}
}

// appendMember appends account i, and its aliases, to the members of the last
// group in members, unless it has no lines.
func (b *builder) appendMember(g *groupEntry, i int) {
	if b.accounts[i].dropped {
		b.out.skipped++
		return
	}
	if g.end > g.start {
		b.members = append(b.members, ',')
	}
	b.members = append(b.members, b.name(i)...)
	for _, alias := range b.aliasesOf(i) {
		// initgroups(3) looks for the name that somebody logs in with.
		b.members = append(append(b.members, ','), alias...)
	}
	g.end = uint32(len(b.members))
}

// appendGroups appends the lines of the roster's groups, long ones last.
func (b *builder) appendGroups() {
	var long [][]byte
	for _, g := range b.groups {
		o := &b.out
		start := len(o.group)
		o.group = roster.GroupLine{Name: g.name, Password: "x", GID: g.gid}.Append(o.group)
		o.group = append(o.group[:len(o.group)-1], b.members[g.start:g.end]...)
		o.group = append(o.group, '\n')
		if len(o.group)-start > longLine {
			long = append(long, slices.Clone(o.group[start:]))
			o.group = o.group[:start]
		}
	}
	for _, line := range long {
		b.out.group = append(b.out.group, line...)
	}
}

// findID finds the account with an id at or behind b.next, where the next
// member of the same group must lie, and moves b.next there.
func (b *builder) findID(id string) (int, bool) {
	reach := 1
	for b.next+reach < len(b.accounts) && string(b.id(b.next+reach)) < id {
		reach *= 2
	}
	from := b.next + reach/2
	to := min(b.next+reach+1, len(b.accounts))
	if from >= to {
		return 0, false
	}
	b.next = from + sort.Search(to-from, func(i int) bool { return string(b.id(from+i)) >= id })
	return b.next, b.next < len(b.accounts) && string(b.id(b.next)) == id
}

func (b *builder) findName(hash uint32, name string) (int, bool) {
	return b.names.find(hash, func(i int) bool { return string(b.name(i)) == name })
}

func (b *builder) findUID(uid uint32) (int, bool) {
	return b.uids.find(hashOfNumber(uid), func(i int) bool { return b.accounts[i].uid == uid })
}

func (b *builder) id(i int) []byte {
	end := uint32(len(b.ids))
	if i+1 < len(b.accounts) {
		end = b.accounts[i+1].id
	}
	return b.ids[b.accounts[i].id:end]
}

func (b *builder) name(i int) []byte {
	return nameOf(b.out.passwd[b.accounts[i].line:])
}
