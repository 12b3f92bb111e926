package setup

import (
	"path/filepath"
	"slices"
	"strings"
)

// What others ask of a node's files, without editing them.

// ModuleSource is what nsswitch.conf calls the NSS module.
const ModuleSource = moduleSource

// NssLine is the line of a database in nsswitch.conf.
type NssLine struct {
	Database string
	Sources  []NssSource
	line     nssLine
}

// NssSource is a source and the actions behind it, such as [NOTFOUND=return].
type NssSource struct{ Name, Actions string }

// NssLines reads the databases that accounts and groups are looked up in, of which
// the last line counts, as for glibc.
func NssLines(text string) map[string]NssLine {
	all := map[string]NssLine{}
	for _, l := range parseNsswitch(text) {
		if !slices.Contains(ourDatabases, l.database) && l.database != "initgroups" {
			continue
		}
		n := NssLine{Database: l.database, line: l}
		for _, s := range l.sources {
			n.Sources = append(n.Sources, NssSource{s.name, strings.TrimSpace(s.action)})
		}
		all[l.database] = n
	}
	return all
}

// With is the line, without its newline, with these sources in place of its own.
func (n NssLine) With(sources []NssSource) string {
	l := n.line
	l.sources = nil
	for i, s := range sources {
		next := nssSource{before: " ", name: s.Name}
		if i == 0 && len(n.line.sources) > 0 {
			next.before = n.line.sources[0].before // the first keeps the column
		}
		if s.Actions != "" {
			next.action = " " + s.Actions
		}
		l.sources = append(l.sources, next)
	}
	return strings.TrimSuffix(l.String(), "\n")
}

// Local reports whether a source reads the node's own files, and Remote whether it asks
// others for what it does not know.
func (s NssSource) Local() bool  { return slices.Contains(own, s.Name) }
func (s NssSource) Remote() bool { return slices.Contains(remote, s.Name) }

// Ends reports whether the source's actions end a lookup at a status, such as NOTFOUND.
func (s NssSource) Ends(status string) bool { return ends(s.Actions, status) }

// Libraries finds where the library of a source lies below root.
func Libraries(root, source string) (all []string) {
	for _, dir := range libraryDirs {
		found, _ := filepath.Glob(filepath.Join(root, dir, "libnss_"+source+".so.2")) // a pattern of ours
		all = append(all, found...)
	}
	return all
}

// HasShadow reports whether an NSS module answers for shadow.
func HasShadow(library, source string) bool { return hasShadow(library, source) }

// ModuleKey is what a workbench-nss.conf says of a key.
func ModuleKey(text, key string) (value string, there bool) { return moduleKey(text, key) }

// Package is what distributions call the package of an NSS module.
func Package(source string) string { return packages[source] }
