package altfiles

import (
	"bytes"
	"fmt"
	"slices"

	"pwb/roster"
)

// neverMerged are groups whose members are root, or become root by a word. No
// administrator can hand them to a roster.
var neverMerged = []string{"root", "wheel", "sudo", "sudoers", "admin", "google-sudoers"}

// merge is a local group that gets the members of groups of the roster.
type merge struct {
	local   string
	sources []string
}

// mergeRules makes the rules of Policy.MergeMembers.
func (p *Policy) mergeRules(r *rules) error {
	pairs, err := splitPairs("merge-members", p.MergeMembers)
	if err != nil {
		return err
	}
	for _, kv := range pairs {
		for _, name := range kv {
			if err := roster.CheckName(name); err != nil {
				return fmt.Errorf("policy: merge-members: %w", err)
			}
		}
		if slices.Contains(neverMerged, kv[0]) {
			return fmt.Errorf("policy: merge-members: group %q is never given members: they would be root. Name them in sudoers(5) on this node instead", kv[0])
		}
		i := slices.IndexFunc(r.merges, func(m merge) bool { return m.local == kv[0] })
		if i < 0 {
			i = len(r.merges)
			r.merges = append(r.merges, merge{local: kv[0]})
		}
		r.merges[i].sources = append(r.merges[i].sources, kv[1])
	}
	return nil
}

// mergeGID is the number of a local group that members may be merged into.
func (l *local) mergeGID(name string) (uint32, error) {
	gid, ok := l.groups[name]
	switch {
	case !ok:
		return 0, fmt.Errorf("merge-members: %s has no group %q: create it with groupadd(8), or remove the entry", l.groupFile, name)
	case gid == 0 || l.gids[gid] != name:
		return 0, fmt.Errorf("merge-members: %s gives group %q the gid %d, which is that of %q: members are never merged into such a group", l.groupFile, name, gid, l.gids[gid])
	}
	return gid, nil
}

// appendMerges appends, for each local group that the administrator listed, a
// line with its own name and number and the members of the roster's groups.
func (b *builder) appendMerges() {
	for _, m := range b.rules.merges {
		gid, err := b.local.mergeGID(m.local)
		if err != nil {
			b.warn("%v", err)
			continue
		}
		if gid < b.rules.leastMerged {
			b.warn("merge-members: libnss-extrausers answers for no group below gid %d, and %s has %d: give the group another gid, or use another layout", b.rules.leastMerged, m.local, gid)
			continue
		}
		line := roster.GroupLine{Name: m.local, Password: "x", GID: gid}
		for _, source := range m.sources {
			i, ok := b.groupNames[source]
			if !ok {
				b.warn("merge-members: %s=%s: the roster has no group %q that this node could render", m.local, source, source)
				continue
			}
			g := b.groups[i]
			for name := range bytes.SplitSeq(b.members[g.start:g.end], []byte{','}) {
				if len(name) > 0 {
					line.Members = append(line.Members, string(name))
				}
			}
		}
		if len(m.sources) > 1 { // in the order in which they came
			seen := map[string]bool{}
			line.Members = slices.DeleteFunc(line.Members, func(name string) bool {
				again := seen[name]
				seen[name] = true
				return again
			})
		}
		if len(line.Members) > 0 {
			b.out.merged = line.Append(b.out.merged)
		}
	}
}

func (b *builder) warn(format string, args ...any) {
	b.out.warnings = append(b.out.warnings, fmt.Sprintf(format, args...))
}

// verifyMerge reports whether a group line is one that merge-members lets be
// here, and what is wrong with it.
func (r *rules) verifyMerge(g roster.GroupLine, local *local) (is bool, err error) {
	i := slices.IndexFunc(r.merges, func(m merge) bool { return m.local == g.Name })
	if i < 0 {
		return false, nil
	}
	gid, err := local.mergeGID(g.Name)
	switch {
	case err != nil:
	case slices.Contains(neverMerged, g.Name):
		err = fmt.Errorf("group %q never gets members", g.Name)
	case gid != g.GID:
		err = fmt.Errorf("group %q has gid %d here, not %d", g.Name, gid, g.GID)
	}
	return true, err
}
