package transfer

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"pwb/roster"
)

// Account is a user to import.
type Account struct {
	Name string
	// UID is 0 where a decision lets the ledger choose.
	UID uint32
	// GID is the primary group: the UID or 0 for a group of its own.
	GID uint32
	// Gecos, Home and Shell are those of the first source, or of the node that
	// a decision takes.
	Gecos, Home, Shell string
	// Nodes are those that have the account, in the order of the sources.
	Nodes []string
}

// Accounts are what passwd files hold.
type Accounts struct {
	// Skipped lists the lines that hold no account to import, in the order of
	// the sources. A decision can bring service accounts back.
	Skipped []Skip

	table table
}

// ReadPasswd reads passwd(5) files, with lines of up to 64 KiB and up to a
// million of them each. A line that holds no account to import is passed over
// and listed; a file over a limit or that cannot be read is an error.
//
// Passed over are comments, lines of nss_compat and malformed ones; names that
// are none here or protected; uids below the floor and those that
// roster.CheckNumber refuses; homes and shells that are not absolute and in
// their shortest form; and service accounts, whose shell lets nobody in.
func ReadPasswd(sources []Source, rules Rules) (*Accounts, error) {
	rules, err := rules.check()
	if err != nil {
		return nil, err
	}
	t := table{what: "uid", one: "account", rules: rules, first: map[nodeName]*record{}}
	err = eachSourceLine("passwd", sources, maxLine, func(s Source, n int, line string) {
		t.addPasswd(&record{node: s.Node, file: s.File, line: n}, line)
	})
	if err != nil {
		return nil, err
	}
	return &Accounts{Skipped: t.skipped((*record).why), table: t}, nil
}

func (t *table) addPasswd(r *record, line string) {
	defer t.add(r)
	if r.passed = noLine(line); r.passed != "" {
		return
	}
	p, err := roster.ParsePasswd(line)
	if err != nil { // which may quote a hash
		r.passed = malformed(line, 7, "uid or gid")
		return
	}
	r.id, r.gid, r.nodeGID = p.UID, p.GID, p.GID
	if err := t.rules.name(p.Name); err != nil {
		if roster.CheckName(p.Name) == nil {
			r.name = p.Name
		}
		r.passed = err.Error()
		return
	}
	r.name, r.gecos, r.home, r.shell = p.Name, roster.CleanGecos(p.Gecos), p.Home, p.Shell
	if err := t.rules.number("uid", p.UID); err != nil {
		r.passed = err.Error()
		return
	}
	if err := checkPath(r.home); err != nil {
		r.passed = "its home " + err.Error()
		return
	}
	noShell := r.shell == ""
	if noShell {
		r.shell = "/bin/sh" // passwd(5)
	}
	if err := checkPath(r.shell); err != nil {
		r.passed = "its shell " + err.Error()
		return
	}
	if _, doubled := t.first[nodeName{r.node, r.name}]; doubled {
		return // what add says is all there is to say
	}
	if refusesLogin(r.shell) {
		r.passed, r.service = "its shell lets nobody in, so it looks like a service's: to import it all the same, decide `take "+r.name+" "+r.node+"`", true
	}
	if noShell {
		r.note("it has no shell, which means /bin/sh")
	}
	if err := t.rules.number("gid", p.GID); err != nil {
		r.gid = 0
		r.note("it gets a group of its own instead of its primary one: " + err.Error())
	}
	switch p.Password {
	case "x", "*", "!", "!!":
	case "":
		r.note("the node lets it in without a password, pwb will not")
	default:
		r.note("its password is in passwd instead of shadow, where no import finds it: run pwconv(8) on the node before `import shadow`")
	}
}

// refusesLogin reports whether a login with this shell ends at once.
func refusesLogin(shell string) bool {
	switch path.Base(shell) {
	case "nologin", "false", "true", "sync", "halt", "shutdown":
		return true
	}
	return false
}

// maxPath is the most bytes that a home or shell may have; a node refuses more.
const maxPath = 1024

// checkPath reports why s cannot be a home or shell.
func checkPath(s string) error {
	if err := roster.CheckField(s); err != nil {
		return err
	}
	switch {
	case s == "":
		return errors.New("is missing")
	case len(s) > maxPath:
		return fmt.Errorf("has %d bytes, %d at most", len(s), maxPath)
	case !strings.HasPrefix(s, "/"):
		return fmt.Errorf("%.80q is not an absolute path", s)
	case path.Clean(s) != s:
		return fmt.Errorf("%.80q is not in its shortest form, which is %.80q", s, path.Clean(s))
	case s == "/":
		return fmt.Errorf("%q is the root of the file system", s)
	}
	return nil
}
