package checkup

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"pwb/altfiles"
	"pwb/cmd/doctor"
	"pwb/roster"
	"pwb/syncer/credential"
)

// maxAccounts is the most bytes of a file of accounts that is read here: of larger ones
// the beginning.
const maxAccounts = 256 << 20

// accounts are the rendered ones.
type accounts struct {
	passwd []roster.Passwd
	groups []roster.GroupLine
	lines  map[string]string // of passwd, by name
	err    error
}

// path is that of a rendered file.
func (n *Node) path(name string) string {
	if n.Layout == altfiles.LayoutNsscache {
		name += ".cache"
	}
	return filepath.Join(n.Dir, name)
}

func (n *Node) accounts() accounts {
	return once(n, "accounts", func() (a accounts) {
		a.lines = map[string]string{}
		var content []byte
		if content, _, a.err = credential.Regular(n.path("passwd"), maxAccounts); a.err != nil {
			return a
		}
		for line := range strings.Lines(string(content)) {
			line = strings.TrimSuffix(line, "\n")
			if p, err := roster.ParsePasswd(line); err == nil {
				a.passwd = append(a.passwd, p)
				a.lines[p.Name] = line
			}
		}
		if content, _, a.err = credential.Regular(n.path("group"), maxAccounts); a.err != nil {
			return a
		}
		for line := range strings.Lines(string(content)) {
			if g, err := roster.ParseGroup(strings.TrimSuffix(line, "\n")); err == nil {
				a.groups = append(a.groups, g)
			}
		}
		return a
	})
}

// seen are the rendered accounts, or the report is told why they cannot be.
func (n *Node) seen(r *doctor.Report) (a accounts, ok bool) {
	a = n.accounts()
	if a.err != nil && !blind(r, a.err) {
		r.Skip("the files cannot be read, or are not there yet: %v", a.err)
	}
	if a.err == nil && len(n.examine().altered) > 0 {
		r.Skip("the files are not what the agent wrote: see rendered")
		return a, false
	}
	return a, a.err == nil
}

// clashes are accounts that are both the node's own and the server's.
func (n *Node) clashes() []string {
	return once(n, "clashes", func() (all []string) {
		a := n.accounts()
		content, err := text(n.PasswdFile)
		if a.err != nil || err != nil {
			return nil
		}
		names, uids := map[string]uint32{}, map[uint32]string{}
		for _, p := range a.passwd {
			names[p.Name], uids[p.UID] = p.UID, p.Name
		}
		for line := range strings.Lines(content) {
			p, err := roster.ParsePasswd(strings.TrimSuffix(line, "\n"))
			if err != nil {
				continue
			}
			if uid, is := names[p.Name]; is {
				all = append(all, fmt.Sprintf("%s has uid %d in %s and %d from the server", p.Name, p.UID, n.PasswdFile, uid))
			} else if name, is := uids[p.UID]; is {
				all = append(all, fmt.Sprintf("uid %d is %s in %s and %s from the server", p.UID, p.Name, n.PasswdFile, name))
			}
		}
		return all
	})
}

func (n *Node) localClash(_ context.Context, r *doctor.Report) {
	if _, ok := n.seen(r); !ok {
		return
	}
	all := n.clashes()
	if len(all) == 0 {
		r.OK("no name or uid is both this node's and the server's")
		return
	}
	r.Fail(doctor.Problem{
		What: few(all), Why: "two people share one name or the files of one number",
		Advice: "decide which of the two stays: change the local one (usermod -u, usermod -l, and chown of its files) or the one at the server (pwb-server user renumber), then " + n.agent("sync"),
	})
}

// few is the beginning of a list, for people.
func few(all []string) string {
	const most = 5
	if len(all) <= most {
		return strings.Join(all, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(all[:most], "; "), len(all)-most)
}

func (n *Node) homes(_ context.Context, r *doctor.Report) {
	a, ok := n.seen(r)
	if !ok {
		return
	}
	lacking := map[string]int{}
	for _, p := range a.passwd {
		lacking[path.Dir(path.Clean(p.Home))]++
	}
	count := 0
	var missing []string
	for dir, homes := range lacking {
		if fi, err := os.Stat(n.in(dir)); err != nil || !fi.IsDir() {
			missing = append(missing, dir)
			count += homes
		}
	}
	if len(missing) == 0 {
		r.OK("the directories in which homes lie are there")
		return
	}
	slices.Sort(missing)
	p := doctor.Problem{
		What:   fmt.Sprintf("%s is not there, where the homes of %d accounts are to lie", few(missing), count),
		Why:    "no home can be made at a login: people end up in /, or are refused",
		Advice: "if homes are mounted there, mount them instead, or have autofs do so",
	}
	if len(missing) <= 5 {
		var dirs []string
		for _, dir := range missing {
			dirs = append(dirs, n.in(dir))
		}
		p.Mend = doctor.Words(append([]string{"mkdir", "-p", "-m", "0755"}, dirs...)...)
	}
	r.Warn(p)
}

func (n *Node) shells(_ context.Context, r *doctor.Report) {
	a, ok := n.seen(r)
	if !ok {
		return
	}
	count := map[string]int{}
	for _, p := range a.passwd {
		count[p.Shell]++
	}
	var missing []string
	for shell, of := range count {
		if !exists(n.in(shell)) {
			missing = append(missing, fmt.Sprintf("%s (%d accounts)", shell, of))
		}
	}
	if len(missing) == 0 {
		r.OK("all are installed")
		return
	}
	slices.Sort(missing)
	r.Warn(doctor.Problem{What: "shells that are not installed here: " + few(missing), Why: "a login ends at once",
		Advice: "install them, or map them in " + n.ConfigFile + ", as in shell-map: [/bin/zsh=/bin/bash], then " + n.agent("sync")})
}
