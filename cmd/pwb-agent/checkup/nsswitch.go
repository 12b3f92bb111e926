package checkup

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"pwb/altfiles"
	"pwb/cmd/doctor"
	"pwb/cmd/pwb-agent/setup"
)

// source is that which reads the rendered files.
func (n *Node) source() string {
	switch n.Layout {
	case altfiles.LayoutAltfiles:
		return "altfiles"
	case altfiles.LayoutNsscache:
		return "cache"
	}
	return "extrausers"
}

// ours reports whether a source answers from what the agent rendered.
func (n *Node) ours(name string) bool { return name == setup.ModuleSource || name == n.source() }

// nsswitch is nsswitch.conf as it is, and as it is to be: with right mended lines of its
// databases.
type nsswitch struct {
	err     error
	managed bool // by authselect, or by whoever made it a symbolic link
	now     map[string]setup.NssLine
	order   map[string]string // what is wrong with the order, by database
	actions map[string]string
	groups  string            // what is wrong with the line initgroups
	mended  map[string]string // the whole line
}

// wrong reports whether a lookup may come to another end than it should.
func (s *nsswitch) wrong(n *Node) bool {
	lacks := func(database string) bool {
		return !slices.ContainsFunc(s.now[database].Sources, func(s setup.NssSource) bool { return n.ours(s.Name) })
	}
	return s.err != nil || len(s.order)+len(s.actions) > 0 || s.groups != "" || lacks("passwd") || lacks("group")
}

var databases = []string{"passwd", "group", "shadow"}

func (n *Node) nsswitchNow() nsswitch {
	return once(n, "nsswitch", func() (s nsswitch) {
		var content string
		content, s.err = text(n.in(n.Nsswitch))
		s.now = setup.NssLines(content)
		fi, err := os.Lstat(n.in(n.Nsswitch))
		s.managed = exists(n.in("/etc/authselect/authselect.conf")) || err == nil && fi.Mode().Type() == fs.ModeSymlink
		s.order, s.actions, s.mended = map[string]string{}, map[string]string{}, map[string]string{}
		for _, database := range databases {
			line, there := s.now[database]
			if !there {
				continue
			}
			sources, order := n.ordered(line.Sources)
			sources, actions := n.reached(sources)
			if order != "" {
				s.order[database] = database + ": " + order
			}
			if actions != "" {
				s.actions[database] = database + ": " + actions
			}
			s.mended[database] = line.With(sources)
		}
		if line, there := s.now["initgroups"]; there {
			var sources []setup.NssSource
			sources, s.groups = n.grouped(line.Sources, s.now["group"].Sources)
			s.mended["initgroups"] = line.With(sources)
		}
		return s
	})
}

// ordered puts our sources behind the node's own, and those that ask others behind ours.
func (n *Node) ordered(sources []setup.NssSource) (all []setup.NssSource, wrong string) {
	own, remote := -1, -1 // the last of the node's own, and the first that asks others
	for i, s := range sources {
		if s.Local() {
			own = i
		}
		if s.Remote() && remote < 0 {
			remote = i
		}
	}
	for i, s := range sources {
		switch {
		case !n.ours(s.Name):
		case i < own:
			wrong = fmt.Sprintf("%s is asked before %s", s.Name, sources[own].Name)
		case remote >= 0 && remote < i:
			wrong = fmt.Sprintf("%s is asked before %s", sources[remote].Name, s.Name)
		}
	}
	if wrong == "" {
		return sources, ""
	}
	var ours, later []setup.NssSource
	for i, s := range sources {
		switch {
		case n.ours(s.Name):
			ours = append(ours, s)
		case i <= own && !s.Remote():
			all = append(all, s)
		default:
			later = append(later, s)
		}
	}
	return slices.Concat(all, ours, later), wrong
}

// reached moves actions that end a lookup before our sources were asked behind the last
// of these.
func (n *Node) reached(sources []setup.NssSource) (all []setup.NssSource, wrong string) {
	all = slices.Clone(sources)
	last := -1
	for i, s := range all {
		if n.ours(s.Name) {
			last = i
		}
	}
	for i := range max(last, 0) {
		s := &all[i]
		if !s.Ends("NOTFOUND") {
			continue
		}
		wrong = fmt.Sprintf("%s behind %s ends the lookup before %s is asked", s.Actions, s.Name, all[last].Name)
		if all[last].Actions == "" && last < len(all)-1 {
			all[last].Actions = s.Actions
		}
		s.Actions = ""
	}
	return all, wrong
}

// grouped has a search for someone's groups go through all sources: where there is a
// line initgroups, the first source that knows the user ends it.
func (n *Node) grouped(sources, group []setup.NssSource) (all []setup.NssSource, wrong string) {
	all = slices.Clone(sources)
	has := func(name string) bool {
		return slices.ContainsFunc(all, func(s setup.NssSource) bool { return s.Name == name })
	}
	for _, s := range group {
		if n.ours(s.Name) && !has(s.Name) {
			wrong = fmt.Sprintf("it has no %s, which group has", s.Name)
			all = append(all, setup.NssSource{Name: s.Name})
		}
	}
	last := -1
	for i, s := range all {
		if n.ours(s.Name) {
			last = i
		}
	}
	// All but the last source go on, ours too: each may know more groups.
	for i := range all {
		goesOn := strings.Contains(strings.ToUpper(all[i].Actions), "SUCCESS=CONTINUE") || strings.Contains(strings.ToUpper(all[i].Actions), "SUCCESS=MERGE")
		if i == len(all)-1 || goesOn {
			continue
		}
		if i < last && wrong == "" {
			wrong = fmt.Sprintf("%s ends the search, so that %s is not asked for more", all[i].Name, all[last].Name)
		}
		if i < last || n.ours(all[i].Name) {
			all[i].Actions = "[SUCCESS=continue]"
		}
	}
	return all, wrong
}

// mend is the command that puts the right lines into nsswitch.conf.
func (n *Node) mend(s *nsswitch, of ...string) string {
	words := []string{"sed", "-i"}
	for _, database := range of {
		words = append(words, "-e", "/^[[:blank:]]*"+regexp.QuoteMeta(database)+"[[:blank:]]*:/c\\"+s.mended[database])
	}
	return doctor.Words(append(words, n.in(n.Nsswitch))...)
}

// edit completes a problem of lines of nsswitch.conf with what mends it.
func (n *Node) edit(s *nsswitch, p doctor.Problem, of ...string) doctor.Problem {
	if !s.managed {
		p.Mend = n.mend(s, of...)
		return p
	}
	var lines []string
	for _, database := range of {
		lines = append(lines, s.mended[database])
	}
	p.Advice = "something else writes " + n.in(n.Nsswitch) + ": put into what it is made from (with authselect, nsswitch.conf of the profile, then authselect apply-changes): " + strings.Join(lines, "; ")
	return p
}

// lines is nsswitch.conf, if it can be read.
func (n *Node) lines(r *doctor.Report) (s nsswitch, ok bool) {
	s = n.nsswitchNow()
	s.mended = maps.Clone(s.mended) // checks run at once
	if s.err != nil && !blind(r, s.err) {
		r.Skip("%v", s.err)
	}
	return s, s.err == nil
}

func (n *Node) library(source string) string {
	if all := setup.Libraries(n.Root, source); len(all) > 0 {
		return all[0]
	}
	return ""
}

// setup is the command that adds the sources that are installed here; empty if none is.
func (n *Node) setup() string {
	args := []string{"--only", "nsswitch"}
	module, files := n.library(setup.ModuleSource) != "", n.library(n.source()) != ""
	switch {
	case !module && !files:
		return ""
	case !module:
		args = append(args, "--module=false")
	case !files:
		args = append(args, "--source", "none")
	}
	return n.agent("setup", args...)
}

// add is the command that adds our sources to databases. Where setup was at work before,
// and somebody edited its lines since, it leaves them alone: there it is the lines.
func (n *Node) add(s nsswitch, of ...string) string {
	command := n.setup()
	if command == "" || s.managed || !exists(filepath.Join(n.StateDir, "setup")) {
		return command
	}
	content, err := text(n.in(n.Nsswitch))
	if err != nil {
		return command
	}
	library := n.library(n.source())
	sources := setup.Sources{Module: n.library(setup.ModuleSource) != "", Order: setup.OrderFilesFirst}
	if library != "" {
		sources.Files, sources.FilesShadow = n.source(), setup.HasShadow(library, n.source())
	}
	edited, err := setup.EditNsswitch(content, sources)
	if err != nil {
		return command
	}
	now := setup.NssLines(edited)
	for _, database := range of {
		if _, there := s.now[database]; !there {
			return command
		}
		s.mended[database] = now[database].With(now[database].Sources)
	}
	return n.mend(&s, of...)
}

func (n *Node) nsswitchSources(_ context.Context, r *doctor.Report) {
	s, ok := n.lines(r)
	if !ok {
		return
	}
	var lacking []string
	for _, database := range databases[:2] {
		if !slices.ContainsFunc(s.now[database].Sources, func(s setup.NssSource) bool { return n.ours(s.Name) }) {
			lacking = append(lacking, database)
		}
	}
	if len(lacking) == 0 {
		r.OK("accounts and groups are looked up in what the agent renders")
		return
	}
	p := doctor.Problem{
		What: fmt.Sprintf("%s of %s names neither %s nor %s", strings.Join(lacking, " and "), n.in(n.Nsswitch), n.source(), setup.ModuleSource),
		Why:  "nobody of the server's is known to this node", Mend: n.add(s, lacking...),
	}
	if p.Mend == "" {
		p.Advice = "install " + setup.Package(n.source()) + " or " + setup.Package(setup.ModuleSource) + ", then run pwb-agent setup"
	}
	r.Fail(p)
}

func (n *Node) nsswitchShadow(_ context.Context, r *doctor.Report) {
	s, ok := n.lines(r)
	if !ok {
		return
	}
	if !n.Shadow {
		r.OK("not used: passwords are no business of this node's (shadow: false)")
		return
	}
	for _, source := range s.now["shadow"].Sources {
		if n.ours(source.Name) {
			if library := n.library(source.Name); library == "" || setup.HasShadow(library, source.Name) {
				r.OK("%s answers for shadow", source.Name)
				return
			}
		}
	}
	p := doctor.Problem{
		What: fmt.Sprintf("passwd says x, and no source of shadow in %s has the passwords", n.in(n.Nsswitch)),
		Why:  "PAM finds no entry in shadow, and lets nobody of the server's in", Mend: n.add(s, "shadow"),
	}
	library := n.library(n.source())
	if n.library(setup.ModuleSource) == "" && (library == "" || !setup.HasShadow(library, n.source())) {
		p.Mend, p.Advice = "", "no source here has a shadow map: write shadow: false into "+n.ConfigFile+", then "+n.agent("sync")
	}
	r.Fail(p)
}

// values are the texts of a map, in the order of the databases, with these.
func values(of map[string]string) (keys, texts []string) {
	for _, database := range databases {
		if of[database] != "" {
			keys, texts = append(keys, database), append(texts, of[database])
		}
	}
	return keys, texts
}

func (n *Node) nsswitchOrder(_ context.Context, r *doctor.Report) {
	s, ok := n.lines(r)
	if !ok {
		return
	}
	of, wrong := values(s.order)
	if len(wrong) == 0 {
		r.OK("this node's own files, then the server's accounts, then what asks others")
		return
	}
	r.Fail(n.edit(&s, doctor.Problem{What: strings.Join(wrong, "; "),
		Why: "the node's own accounts must win, and a lookup must not wait for what asks others"}, of...))
}

func (n *Node) nsswitchActions(_ context.Context, r *doctor.Report) {
	s, ok := n.lines(r)
	if !ok {
		return
	}
	of, wrong := values(s.actions)
	if len(wrong) == 0 {
		r.OK("no action ends a lookup too early")
		return
	}
	r.Fail(n.edit(&s, doctor.Problem{What: strings.Join(wrong, "; "), Why: "nobody of the server's is found"}, of...))
}

func (n *Node) nsswitchInitgroups(_ context.Context, r *doctor.Report) {
	s, ok := n.lines(r)
	if !ok {
		return
	}
	if s.groups == "" {
		r.OK("all sources are asked for someone's groups")
		return
	}
	r.Fail(n.edit(&s, doctor.Problem{What: "initgroups: " + s.groups, Why: "people log in without groups that they have"}, "initgroups"))
}

func (n *Node) nsswitchMerge(_ context.Context, r *doctor.Report) {
	s, ok := n.lines(r)
	switch {
	case !ok:
		return
	case !n.MergeMembers:
		r.OK("not used: merge-members is empty")
		return
	}
	line := s.now["group"]
	sources := slices.Clone(line.Sources)
	i := slices.IndexFunc(sources, setup.NssSource.Local)
	if i < 0 || strings.Contains(strings.ToUpper(sources[i].Actions), "SUCCESS=MERGE") {
		r.OK("members of the server's join local groups")
		return
	}
	sources[i].Actions = "[SUCCESS=merge]"
	s.mended["group"] = line.With(sources)
	r.Fail(n.edit(&s, doctor.Problem{What: fmt.Sprintf("merge-members is set, and group of %s has no [SUCCESS=merge] behind %s", n.in(n.Nsswitch), sources[i].Name),
		Why: "the members that the agent renders for local groups are not seen"}, "group"))
}
