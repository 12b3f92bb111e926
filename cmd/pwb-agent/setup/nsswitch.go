package setup

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Order says where the NSS module pwb stands in nsswitch.conf.
type Order string

// The orders.
const (
	// OrderFilesFirst asks the plain files, then what systemd knows, then pwb.
	OrderFilesFirst Order = "files-first"
	// OrderIndexFirst asks pwb, which answers from the lookup index, after the node's
	// own files: for tens of thousands of accounts and more.
	OrderIndexFirst Order = "index-first"
)

// Sources are the NSS sources to add to nsswitch.conf.
type Sources struct {
	// Files reads the rendered files: extrausers or altfiles; empty for none. In
	// OrderIndexFirst it is not added, since the index holds the same.
	Files string
	// FilesShadow says that Files has a shadow map, too.
	FilesShadow bool
	// Module adds pwb.
	Module bool
	Order  Order
}

const moduleSource = "pwb"

// ourDatabases are those that are edited, in this order when they are missing.
var ourDatabases = []string{"passwd", "group", "shadow"}

// nssLine is one line of the file. A line that names a database has its sources; all
// others are kept as they are.
type nssLine struct {
	text     string // as it stands, with its newline
	database string
	head     string // up to the first source
	tail     string // blanks, comment and newline behind the last source or action
	sources  []nssSource
}

// nssSource is a source and the action behind it.
type nssSource struct {
	before string // blanks
	name   string
	action string // with the blanks before it, empty for the default
}

var (
	lineForm   = regexp.MustCompile(`^([ \t]*([a-z_]+)[ \t]*:)([^#\n]*)(#[^\n]*)?(\n?)$`)
	sourceForm = regexp.MustCompile(`^([ \t]*)([^ \t\[\]]+)([ \t]*\[[^\[\]]*\])*`)
	actionForm = regexp.MustCompile(`[ \t]*\[[^\[\]]*\]`)
)

// parseNsswitch reads nsswitch.conf(5). What it does not understand stays as it is:
// unparse gives back every byte.
func parseNsswitch(text string) (lines []nssLine) {
	for line := range strings.Lines(text) {
		lines = append(lines, parseLine(line))
	}
	return lines
}

func parseLine(text string) nssLine {
	l := nssLine{text: text}
	m := lineForm.FindStringSubmatch(text)
	if m == nil {
		return l
	}
	rest := m[3]
	var sources []nssSource
	for strings.Trim(rest, " \t") != "" {
		s := sourceForm.FindStringSubmatch(rest)
		if s == nil {
			return l // an action without a source, or a bracket that nothing closes
		}
		sources = append(sources, nssSource{before: s[1], name: s[2], action: s[0][len(s[1])+len(s[2]):]})
		rest = rest[len(s[0]):]
	}
	l.database, l.head, l.sources, l.tail = m[2], m[1], sources, rest+m[4]+m[5]
	return l
}

func (l *nssLine) String() string {
	if l.database == "" {
		return l.text
	}
	var b strings.Builder
	b.WriteString(l.head)
	for _, s := range l.sources {
		b.WriteString(s.before + s.name + s.action)
	}
	b.WriteString(l.tail)
	return b.String()
}

func unparseNsswitch(lines []nssLine) string {
	var b strings.Builder
	for i := range lines {
		b.WriteString(lines[i].String())
	}
	return b.String()
}

// EditNsswitch adds sources to the databases passwd, group and shadow, and to
// initgroups where it has a line. All else stays as it is, byte for byte. Applied to
// its own result it changes nothing. It fails for a line that has an action which no
// order of sources can keep the meaning of.
func EditNsswitch(text string, s Sources) (string, error) {
	lines := parseNsswitch(text)
	seen := map[string]bool{}
	last := -1
	for i := range lines {
		l := &lines[i]
		if !slices.Contains(ourDatabases, l.database) && l.database != "initgroups" {
			continue
		}
		seen[l.database], last = true, i
		if err := l.add(s); err != nil {
			return "", err
		}
	}
	// glibc's own default for a database without a line is files.
	var missing []nssLine
	for _, database := range ourDatabases {
		if seen[database] {
			continue
		}
		l := parseLine(fmt.Sprintf("%-15s files\n", database+":"))
		if err := l.add(s); err != nil {
			return "", err
		}
		if len(l.sources) > 1 {
			missing = append(missing, l)
		}
	}
	if last < 0 {
		last = len(lines) - 1
	}
	if len(missing) > 0 && last >= 0 && !strings.HasSuffix(lines[last].String(), "\n") {
		lines[last].end()
	}
	return unparseNsswitch(slices.Insert(lines, last+1, missing...)), nil
}

// end gives the last line of a file its newline.
func (l *nssLine) end() { l.text, l.tail = l.text+"\n", l.tail+"\n" }

// add puts our sources into the line.
func (l *nssLine) add(s Sources) error {
	if s.Files != "" && s.Order != OrderIndexFirst && (l.database != "shadow" || s.FilesShadow) {
		if err := l.insert(s.Files, l.afterFiles()); err != nil {
			return err
		}
	}
	if !s.Module {
		return nil
	}
	if s.Order == OrderIndexFirst {
		return l.insert(moduleSource, l.afterFiles())
	}
	return l.insert(moduleSource, l.beforeRemote())
}

// own are the sources that read the node's own files; an account of the node's own
// must be found there first.
var own = []string{"files", "compat", "db"}

// ours are the sources that setup adds.
var ours = []string{"extrausers", "altfiles", "cache", moduleSource}

// remote are sources that ask others for what they do not know: pwb answers sooner.
var remote = []string{"sss", "ldap", "winbind", "nis", "nisplus", "hesiod"}

// afterFiles is the place behind the node's own files.
func (l *nssLine) afterFiles() int {
	for i := len(l.sources) - 1; i >= 0; i-- {
		if slices.Contains(own, l.sources[i].name) {
			return i + 1
		}
	}
	return 0
}

// beforeRemote is the place before the first source that asks others, but behind the
// node's own files.
func (l *nssLine) beforeRemote() int {
	after := l.afterFiles()
	for i := after; i < len(l.sources); i++ {
		if slices.Contains(remote, l.sources[i].name) {
			return i
		}
	}
	return len(l.sources)
}

// insert puts a source at a place, or before it where an action would end the lookup
// of what an earlier source does not know.
func (l *nssLine) insert(name string, at int) error {
	for _, s := range l.sources {
		if s.name == name {
			return nil // it is there: its place is the administrator's
		}
	}
	source := nssSource{before: " ", name: name}
	for i := range l.sources[:at] {
		s := &l.sources[i]
		if !ends(s.action, "NOTFOUND") {
			continue
		}
		if !slices.Contains(own, s.name) && !slices.Contains(ours, s.name) {
			at = i
			break
		}
		// The node's own files stay first; what ended the lookup behind them ends it
		// behind ours.
		if strings.Contains(strings.ToUpper(s.action), "MERGE") {
			return fmt.Errorf("the line %q ends a lookup with%s: put %s before that by hand, then run setup again", strings.TrimSpace(l.String()), s.action, name)
		}
		source.action, s.action = s.action, ""
		at = i + 1
		break
	}
	if l.database == "initgroups" {
		// Where this line is there, the first source that knows the user would end
		// the search; where it is not, all sources of group are asked.
		if at > 0 && l.sources[at-1].action == "" {
			l.sources[at-1].action = " [SUCCESS=continue]"
		}
		if at < len(l.sources) && source.action == "" {
			source.action = " [SUCCESS=continue]"
		}
	}
	if at == 0 && len(l.sources) > 0 { // the first keeps the column
		source.before, l.sources[0].before = l.sources[0].before, " "
	}
	if at > 0 && at < len(l.sources) && l.sources[at].before == "" { // as in files[SUCCESS=merge]sss
		l.sources[at].before = " "
	}
	l.sources = slices.Insert(l.sources, at, source)
	return nil
}

// ends reports whether actions, such as [NOTFOUND=return] or [!SUCCESS=return], end
// the lookup at a status.
func ends(actions, status string) bool {
	result := false // the default of all but SUCCESS
	for _, group := range actionForm.FindAllString(actions, -1) {
		for _, a := range strings.Fields(strings.Trim(strings.TrimSpace(group), "[]")) {
			on, what, ok := strings.Cut(strings.ToUpper(a), "=")
			if !ok {
				continue
			}
			if not, negated := strings.CutPrefix(on, "!"); negated && not != status || !negated && on == status {
				result = what == "RETURN"
			}
		}
	}
	return result
}
