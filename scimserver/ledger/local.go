package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"pwb/roster"
)

// Local is what the server's own host knows: its passwd(5) and group(5)
// entries. Nobody is given their names and numbers, except a person whose
// account is adopted.
type Local struct {
	numbers map[uint32][]string // the names that have each number
	names   map[string]bool
	people  map[string]localAccount // by name
	groups  map[uint32]string       // by gid
}

// localAccount is an account of the host's that a provider's user may take over.
type localAccount struct {
	name        string
	uid, gid    uint32
	home, shell string
}

// Sources says where the host's entries come from.
type Sources struct {
	// Passwd and Group are files; one that cannot be read is an error.
	Passwd, Group string
	// NSS asks getent(1) too, for what nsswitch.conf(5) adds to the files: LDAP,
	// or what an agent renders on this host. A name service that does not
	// enumerate shows nothing; exclude its ranges.
	NSS bool
}

// getentTime bounds a run of getent(1).
const getentTime = 20 * time.Second

// ReadLocal reads the host's entries.
func ReadLocal(ctx context.Context, from Sources) (*Local, error) {
	passwd, err1 := os.ReadFile(from.Passwd)
	group, err2 := os.ReadFile(from.Group)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("read the host's own accounts: %w", err)
	}
	if from.NSS {
		more, err1 := getent(ctx, "passwd")
		groups, err2 := getent(ctx, "group")
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("ask for the host's own accounts: %w; with local-nss false the files alone count", err)
		}
		passwd = append(append(passwd, '\n'), more...)
		group = append(append(group, '\n'), groups...)
	}
	l := &Local{numbers: map[uint32][]string{}, names: map[string]bool{}, people: map[string]localAccount{}, groups: map[uint32]string{}}
	privileged := l.readGroups(group)
	l.readAccounts(passwd, privileged)
	return l, nil
}

func getent(ctx context.Context, database string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getentTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "getent", database)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("getent %s: %w", database, err)
	}
	return out, nil
}

// entries calls add with the fields of each line, read as generously as the C
// library does: comments and the lines of nss_compat are passed over, missing
// fields are empty.
func entries(data []byte, add func(f [7]string)) {
	for line := range bytes.Lines(data) {
		var f [7]string
		n := copy(f[:], strings.SplitN(strings.TrimSpace(string(line)), ":", len(f)))
		if n < 3 || f[0] == "" || strings.IndexByte("#+-", f[0][0]) >= 0 {
			continue
		}
		add(f)
	}
}

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return uint32(n), err == nil
}

// givesRights reports whether a group's members may do more on the host than
// others. To users(100) everybody belongs.
func givesRights(group string) bool { return group != "users" && roster.Protected(group) }

// readGroups also returns the members of groups that give rights over the host,
// and the gids of these.
func (l *Local) readGroups(data []byte) (privileged map[string]bool) {
	privileged = map[string]bool{}
	entries(data, func(f [7]string) {
		l.names[f[0]] = true
		gid, ok := number(f[2])
		if ok {
			l.numbers[gid] = append(l.numbers[gid], f[0])
			if l.groups[gid] == "" {
				l.groups[gid] = f[0]
			}
		}
		if givesRights(f[0]) {
			for _, member := range strings.Split(f[3], ",") {
				privileged[strings.TrimSpace(member)] = true
			}
		}
	})
	return privileged
}

// readAccounts finds the people among the accounts: those with a name and
// numbers that could be given, a shell that lets them in and no rights over the
// host, who are not the account that this process runs as.
func (l *Local) readAccounts(data []byte, privileged map[string]bool) {
	self := uint32(os.Geteuid())
	holders := map[uint32]string{} // of uids; shared ones are nobody's to take over
	read := map[string]bool{}      // of doubled entries the first counts, as in a lookup
	entries(data, func(f [7]string) {
		again := read[f[0]]
		read[f[0]], l.names[f[0]] = true, true
		uid, okUID := number(f[2])
		gid, okGID := number(f[3])
		if okUID {
			l.numbers[uid] = append(l.numbers[uid], f[0])
			if other, shared := holders[uid]; shared && other != f[0] {
				delete(l.people, other)
				return
			}
			holders[uid] = f[0]
		}
		if okGID {
			l.numbers[gid] = append(l.numbers[gid], f[0])
		}
		a := localAccount{name: f[0], uid: uid, gid: gid, home: f[5], shell: f[6]}
		shell := path.Base(a.shell)
		switch {
		case again, !okUID, !okGID, uid == self, privileged[a.name], givesRights(l.groups[gid]),
			checkGivenName(a.name) != nil, CheckGivenID(int64(uid)) != nil, roster.CheckHome(a.home) != nil, roster.CheckPath(a.shell) != nil,
			shell == "nologin", shell == "false":
			return
		}
		if CheckGivenID(int64(gid)) != nil {
			a.gid = 0 // users(100) and the like: it gets a group of its own
		}
		l.people[a.name] = a
	})
}

// adoptable returns the host's account that a new user takes over.
func (l *Ledger) adoptable(w Wish) *localAccount {
	if !l.cfg.Adopt {
		return nil
	}
	name := w.Name
	if name == "" {
		name = l.UserName(w.UserName)
	}
	if name == l.cfg.AdminGroup {
		return nil
	}
	a, ok := l.local.Load().people[name]
	if !ok || w.UID != 0 && w.UID != a.uid || w.GID != 0 && w.GID != a.gid {
		return nil
	}
	return &a
}

// adopt gives a new account what the host's has and the wish does not choose. It
// reports false when the ledger gave any of it to somebody else.
func (l *Ledger) adopt(tx Tx, a *roster.Account, own localAccount, w Wish, e Entry) (bool, error) {
	owner, err := tx.NameOwner(own.name)
	if err != nil {
		return false, err
	}
	uid, _, err := tx.IDOwners(own.uid)
	if err != nil {
		return false, err
	}
	if owner.Subject != "" || uid.Subject != "" {
		return false, nil
	}
	e.Name = own.name
	a.Name, a.UID = own.name, own.uid
	if err := l.giveName(tx, a.Name, e); err != nil {
		return false, err
	}
	if err := giveUID(tx, a.UID, e); err != nil {
		return false, err
	}
	if a.Home == "" {
		a.Home = own.home
	}
	if w.Shell == "" {
		a.Shell = own.shell
	}
	if own.gid == 0 {
		return true, l.primaryGroup(tx, a, 0, "", e)
	}
	err = l.primaryGroup(tx, a, own.gid, l.local.Load().groups[own.gid], e)
	var refusal *Refusal
	if errors.As(err, &refusal) && w.GID == 0 { // the gid became somebody else's: a group of its own
		err = l.primaryGroup(tx, a, 0, "", e)
	}
	if err == nil {
		l.log.Info("a user takes over an account of the server's host", "name", a.Name, "uid", a.UID, "subject", a.ID)
	}
	return true, err
}
