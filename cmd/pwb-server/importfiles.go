package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"pwb/roster"
	"pwb/scimserver/ledger"
	"pwb/scimserver/transfer"
)

// readSources opens files that are named as [NODE=]FILE, reads them all, and
// closes them.
func readSources[T any](args []string, open func(file string) (*os.File, error), read func([]transfer.Source) (T, error)) (all T, err error) {
	var sources []transfer.Source
	for _, arg := range args {
		node, file := splitNode(arg)
		f, err := open(file)
		if err != nil {
			return all, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		sources = append(sources, transfer.Source{Node: node, File: file, Data: f})
	}
	return read(sources)
}

// splitNode reads [NODE=]FILE. Without NODE the file's path becomes one, with a
// dash for what no node's name may have.
func splitNode(arg string) (node, file string) {
	if node, file, ok := strings.Cut(arg, "="); ok && !strings.Contains(node, "/") {
		return node, file
	}
	node = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, arg)
	return strings.Trim(node, "-."), arg
}

func readDecisions(file string) ([]transfer.Decision, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	all, err := transfer.ParseDecisions(f)
	return all, errors.Join(err, f.Close())
}

// endOf is the moment from which an account that expires on a day of shadow(5)
// is over.
func endOf(expire int64) time.Time { return time.Unix(expire*24*60*60, 0).UTC() }

// withGroups completes accounts for the import: a primary group that is nobody's
// yet gets the name that the group files have for it.
func withGroups(o owners, accounts []transfer.Account, files []string) ([]ledger.Import, error) {
	names, err := groupNames(files)
	if err != nil {
		return nil, err
	}
	importing := map[string]bool{}
	for _, a := range accounts {
		importing[a.Name] = true
	}
	var all []ledger.Import
	nameless := map[uint32][]string{} // accounts by gid
	for _, a := range accounts {
		im := ledger.Import{Name: a.Name, UID: a.UID, GID: a.GID, Gecos: a.Gecos, Home: a.Home, Shell: a.Shell}
		if a.GID != 0 && a.GID != a.UID {
			switch owner, err := o.GID(a.GID); {
			case err != nil:
				return nil, err
			case owner != "": // it is there, or a clash
			case len(names[a.GID]) == 1:
				im.Group = names[a.GID][0]
			default:
				nameless[a.GID] = append(nameless[a.GID], a.Name)
			}
		}
		if im.Group != "" {
			_, _, taken, err := o.Name(im.Group)
			if err != nil {
				return nil, err
			}
			if taken || importing[im.Group] {
				nameless[a.GID] = append(nameless[a.GID], a.Name)
			}
		}
		all = append(all, im)
	}
	if len(nameless) > 0 {
		return nil, namelessError(nameless, names)
	}
	return all, nil
}

// namelessError says which primary groups, of which accounts, have no name that
// can be theirs.
func namelessError(accounts, names map[uint32][]string) error {
	var problems []string
	for gid, who := range accounts {
		others := ""
		if len(who) > 1 {
			others = fmt.Sprintf(" and of %d more", len(who)-1)
		}
		what := "has no name"
		switch all := names[gid]; {
		case len(all) == 1:
			what = fmt.Sprintf("has the name %s, which is another's", all[0])
		case len(all) > 1:
			what = "has several names, " + strings.Join(all, ", ")
		}
		problems = append(problems, fmt.Sprintf("gid %d, the primary group of %s%s, %s", gid, who[0], others, what))
	}
	slices.Sort(problems)
	return fmt.Errorf("nothing was imported: %s: name with --group files that have one name for each, or decide `private NAME` to give an account a group of its own", strings.Join(problems, "; "))
}

// groupNames reads the names that group files have for gids.
func groupNames(args []string) (map[uint32][]string, error) {
	return readSources(args, os.Open, namesOfGroups)
}

func namesOfGroups(sources []transfer.Source) (map[uint32][]string, error) {
	names := map[uint32][]string{}
	for _, s := range sources {
		const most = 64 << 20
		data, err := io.ReadAll(io.LimitReader(s.Data, most))
		if err != nil {
			return nil, fmt.Errorf("read the group file %s: %w", s.File, err)
		}
		for line := range strings.Lines(string(data)) {
			g, err := roster.ParseGroup(strings.TrimRight(line, "\n"))
			if err == nil && roster.CheckName(g.Name) == nil && !roster.Protected(g.Name) && !slices.Contains(names[g.GID], g.Name) {
				names[g.GID] = append(names[g.GID], g.Name)
			}
		}
	}
	return names, nil
}
