package altfiles

import (
	"bytes"
	"fmt"
	"os"

	"pwb/roster"
)

// local is what the node's own passwd and group files give away: names and
// numbers that nobody else may have here. Of doubled entries the first counts,
// as in a lookup.
type local struct {
	passwdFile, groupFile string

	users  map[string]uint32 // name to uid
	uids   map[uint32]string
	groups map[string]uint32 // name to gid
	gids   map[uint32]string
	// primaries are the gids of local accounts that no local group may have.
	primaries map[uint32]string
}

// readLocal reads both files. It fails when one cannot be read: without it no
// clash could be seen.
//
// Lines are read as generously as roster.LocalEntry does, for what the C library
// finds is taken.
func readLocal(passwdFile, groupFile string) (*local, error) {
	l := &local{
		passwdFile: passwdFile, groupFile: groupFile,
		users: map[string]uint32{}, uids: map[uint32]string{},
		groups: map[string]uint32{}, gids: map[uint32]string{},
		primaries: map[uint32]string{},
	}
	err := localLines(passwdFile, func(name string, f [][]byte) {
		uid, hasUID := roster.LocalID(f, 2)
		gid, hasGID := roster.LocalID(f, 3)
		if _, taken := l.users[name]; !taken {
			// A name without a number is taken all the same: 0 is nobody's here.
			l.users[name] = uid
		}
		if _, taken := l.uids[uid]; hasUID && !taken {
			l.uids[uid] = name
		}
		if _, taken := l.primaries[gid]; hasGID && !taken {
			l.primaries[gid] = name
		}
	})
	if err != nil {
		return nil, fmt.Errorf("the node's own accounts: %w", err)
	}
	err = localLines(groupFile, func(name string, f [][]byte) {
		gid, hasGID := roster.LocalID(f, 2)
		if _, taken := l.groups[name]; !taken {
			l.groups[name] = gid
		}
		if _, taken := l.gids[gid]; hasGID && !taken {
			l.gids[gid] = name
		}
	})
	if err != nil {
		return nil, fmt.Errorf("the node's own groups: %w", err)
	}
	return l, nil
}

func localLines(file string, add func(name string, fields [][]byte)) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		if f, ok := roster.LocalEntry(line); ok {
			add(string(f[0]), f)
		}
	}
	return nil
}

// checkAccount reports how an account clashes with the node's own. A local
// account with the same name and number is a clash too: it comes first in every
// lookup, so ours would be there for nothing, and whether it may become the
// provider's is for the administrator to say, by removing it.
func (l *local) checkAccount(a *roster.Account) error {
	if uid, ok := l.users[a.Name]; ok {
		if uid == a.UID {
			return fmt.Errorf("%s has the account %q with the same uid, which comes first: remove it there if this one shall replace it", l.passwdFile, a.Name)
		}
		return fmt.Errorf("%s has another account %q, with uid %d: rename one of them", l.passwdFile, a.Name, uid)
	}
	if name, ok := l.uids[a.UID]; ok {
		return fmt.Errorf("%s gives uid %d to %q: change one of the two numbers", l.passwdFile, a.UID, name)
	}
	if !a.PrivateGroup() {
		return nil // whether its primary group exists is seen after all groups
	}
	return l.checkGroup(a.Name, a.GID)
}

// has reports whether the node's own passwd has somebody's name or number.
func (l *local) has(who roster.Leaver) bool {
	_, name := l.users[who.Name]
	_, uid := l.uids[who.UID]
	return name || uid
}

// checkGroup reports how a group, or the private group of an account, clashes.
func (l *local) checkGroup(name string, gid uint32) error {
	if other, ok := l.groups[name]; ok {
		return fmt.Errorf("%s has the group %q, with gid %d: rename one of them", l.groupFile, name, other)
	}
	if other, ok := l.gids[gid]; ok {
		return fmt.Errorf("%s gives gid %d to group %q: change one of the two numbers", l.groupFile, gid, other)
	}
	if other, ok := l.primaries[gid]; ok {
		return fmt.Errorf("gid %d is the primary group of %q in %s: change one of the two numbers", gid, other, l.passwdFile)
	}
	return nil
}
