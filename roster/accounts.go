package roster

// MaxAliases is how many aliases an account may have: what it has beyond them
// is not rendered.
const MaxAliases = 16

// Account is one user as a node sees it. The server decides every field; a
// node's policy may refuse or override some of them when it renders.
type Account struct {
	// ID names the subject for ever, also across renames. It is the SCIM id.
	ID string `json:"-"`
	// Name is the POSIX login name, see CheckName.
	Name string `json:"name"`
	// UID and GID are the user's number and that of the primary group.
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
	// Gecos is the full name, Home an absolute path, Shell an absolute path.
	Gecos string `json:"gecos,omitempty"`
	Home  string `json:"home"`
	Shell string `json:"shell"`
	// Hash is a crypt(5) password hash, or empty for an account without one.
	Hash string `json:"hash,omitempty"`
	// Locked accounts stay resolvable but can log in by no means.
	Locked bool `json:"locked,omitempty"`
	// Expire is the day on which the account expires, in days since
	// 1970-01-01 as in shadow(5); 0 means never.
	Expire int64 `json:"expire,omitempty"`
	// Aliases are former names that still work: each is an entry of its own
	// with the same uid. They come in the order in which they shall stand.
	Aliases []string `json:"aliases,omitempty"`
	// Keys are the public keys that may log in over SSH, each TYPE BASE64 as
	// ParseKey returns it, in ascending order; see ParseKeys for the limits.
	Keys []string `json:"keys,omitempty"`
}

// Keyed reports whether a node may let keys of the account log in, until the day
// on which it expires: not if it is locked, be it by a "!" before its hash alone.
func (a *Account) Keyed() bool {
	return len(a.Keys) > 0 && !a.Locked && (a.Hash == "" || a.Hash[0] != '!')
}

// PrivateGroup reports whether the account brings a group of its own, with its
// own name and number and no members: the user private group scheme. An account
// whose GID is not its UID has an existing group as its primary one.
func (a Account) PrivateGroup() bool { return a.GID == a.UID }

// Nologin is the shell that a locked account gets where no policy says another:
// nologin(8).
const Nologin = "/usr/sbin/nologin"

// Passwd is the account's line of passwd(5) with "x" for its password. One that is
// locked has the shell nologin in place of its own.
func (a *Account) Passwd(nologin string) Passwd {
	p := Passwd{Name: a.Name, Password: "x", UID: a.UID, GID: a.GID, Gecos: a.Gecos, Home: a.Home, Shell: a.Shell}
	if a.Locked {
		p.Shell = nologin
	}
	return p
}

// Shadow is the account's line of shadow(5): "*" where there is no hash; "!" before
// the hash, and an expiry in the past, where it is locked.
func (a *Account) Shadow() Shadow {
	s := Shadow{Name: a.Name, Password: a.Hash, Expire: a.Expire}
	if s.Password == "" {
		s.Password = "*"
	}
	if a.Locked {
		s.Expire = 1 // day 0 would be read as "never" by some programs
		if s.Password[0] != '!' {
			s.Password = "!" + s.Password
		}
	}
	return s
}

// Line is the group's line of group(5), without members.
func (g *Group) Line() GroupLine { return GroupLine{Name: g.Name, Password: "x", GID: g.GID} }

// Group is a group without its members, which are rows of their own: adding one
// member then costs the same in a group of ten and in one of 100,000.
type Group struct {
	ID   string `json:"-"`
	Name string `json:"name"`
	GID  uint32 `json:"gid"`
}

// Member says that an account belongs to a group.
type Member struct {
	GroupID   string
	AccountID string
}
