package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"pwb/roster"
)

// findings are what the roster has of what was asked for.
type findings struct {
	asked    string
	accounts []*roster.Account
	groups   []foundGroup // all, ascending by id
	members  map[string]map[string]bool
}

type foundGroup struct {
	*roster.Group
	asked   bool
	members int
}

// watch yields rows and keeps what matters.
func (f *findings) watch(rows iter.Seq2[roster.Row, error]) iter.Seq2[roster.Row, error] {
	return func(yield func(roster.Row, error) bool) {
		f.accounts, f.groups, f.members = nil, nil, map[string]map[string]bool{}
		for row, err := range rows {
			if err == nil {
				f.see(row)
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func (f *findings) see(row roster.Row) {
	is := func(name string, id uint32) bool {
		return name == f.asked || strconv.FormatUint(uint64(id), 10) == f.asked
	}
	switch {
	case row.Account != nil:
		if a := row.Account; is(a.Name, a.UID) || slices.Contains(a.Aliases, f.asked) {
			kept := *a // a row holds until the next
			kept.Aliases, kept.Keys = slices.Clone(a.Aliases), slices.Clone(a.Keys)
			f.accounts = append(f.accounts, &kept)
			f.members[a.ID] = map[string]bool{}
		}
	case row.Group != nil:
		kept := *row.Group
		f.groups = append(f.groups, foundGroup{Group: &kept, asked: is(row.Group.Name, row.Group.GID)})
	case row.Member != nil:
		if of := f.members[row.Member.AccountID]; of != nil {
			of[row.Member.GroupID] = true
		}
		i, ok := slices.BinarySearchFunc(f.groups, row.Member.GroupID, func(g foundGroup, id string) int { return strings.Compare(g.ID, id) })
		if ok {
			f.groups[i].members++
		}
	}
}

// groupsOf are the groups that count for an account: those that it is a member
// of, and its primary one.
func (f *findings) groupsOf(a *roster.Account) (all []foundGroup) {
	for _, g := range f.groups {
		if f.members[a.ID][g.ID] || !a.PrivateGroup() && g.GID == a.GID {
			all = append(all, g)
		}
	}
	return all
}

// nextLines are the lines of a name as they will be.
func (e *explainer) nextLines(name string) (all []Line) {
	i, ok := e.now.passwd.find([]byte(name))
	if !ok {
		return nil
	}
	all = append(all, Line{passwdName, showPasswd(e.now.passwd.line(i))})
	if e.now.shadow.count() > 0 {
		all = append(all, Line{shadowName, showShadow(e.now.shadow.line(i))})
	}
	all = append(all, e.nextGroup(name)...)
	if f := e.file(KeysFile); f != nil && !f.gone {
		for line := range bytes.Lines(f.data) {
			if string(firstWord(line)) == name {
				all = append(all, Line{KeysFile, showKey(line[:len(line)-1])})
			}
		}
	}
	return all
}

func (e *explainer) nextGroup(name string) []Line {
	i, ok := e.now.group.find([]byte(name))
	if !ok {
		return nil
	}
	return []Line{{groupName, showGroup(e.now.group.line(i))}}
}

// addNow adds the lines that the files on disk have of all names in question.
func (e *explainer) addNow(all []Explanation) (err error) {
	d, err := e.r.openBoth()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.closeAll()) }()
	if d.id != e.dir {
		return fmt.Errorf("directory %s: %w", d.path, ErrStale)
	}
	names := make([]map[string]bool, len(all)) // whose lines in shadow and group are shown
	for i, x := range all {
		names[i] = map[string]bool{}
		if x.Kind != "account" {
			names[i][x.Name] = true
		}
		for _, line := range x.Next {
			if name, _, ok := strings.Cut(line.Text, ":"); ok && line.File != KeysFile {
				names[i][name] = true
			}
		}
	}
	// An account's lines are those of its name or its number.
	err = e.eachOldLine(d, passwdName, func(line []byte) error {
		old, err := roster.ParsePasswd(string(line))
		for i, x := range all {
			if err == nil && x.Kind != "group" && (old.Name == x.Name || x.uid != 0 && old.UID == x.uid) {
				names[i][old.Name] = true
				all[i].Now = append(all[i].Now, Line{passwdName, showPasswd(line)})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		show func([]byte) string
	}{{shadowName, showShadow}, {groupName, showGroup}} {
		err := e.eachOldLine(d, f.name, func(line []byte) error {
			for i, x := range all {
				if names[i][string(nameOf(line))] && (x.Kind != "group" || f.name == groupName) {
					all[i].Now = append(all[i].Now, Line{f.name, f.show(line)})
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return e.eachOldLine(d, KeysFile, func(line []byte) error {
		for i, x := range all {
			if x.Kind != "group" && names[i][string(firstWord(line))] {
				all[i].Now = append(all[i].Now, Line{KeysFile, showKey(line)})
			}
		}
		return nil
	})
}

func quoted(s string) string { return printable([]byte(s)) }

func aliasText(aliases []string) string {
	if len(aliases) == 0 {
		return ""
	}
	return ", formerly " + quoted(strings.Join(aliases, ", "))
}

func listText(all []string) string {
	if len(all) == 0 {
		return "its groups (there are none)"
	}
	return quoted(strings.Join(all, ", "))
}
