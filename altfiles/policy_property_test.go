package altfiles

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

// drawPolicy draws a policy over the names and numbers of drawRows.
func drawPolicy(t *rapid.T) Policy {
	list := func(what string) []string {
		entry := rapid.SampledFrom([]string{"ada", "bob", "eng", "ops", "docker", "wheel", "o*", "*", "?da", "c*l", "none"})
		return rapid.SliceOfN(entry, 0, 3).Draw(t, what)
	}
	p := DefaultPolicy()
	if rapid.Bool().Draw(t, "users") {
		p.AllowUsers, p.DenyUsers = list("allow-users"), list("deny-users")
	}
	if rapid.Bool().Draw(t, "groups") {
		p.AllowGroups, p.DenyGroups = list("allow-groups"), list("deny-groups")
	}
	p.MinID = rapid.SampledFrom([]uint32{1000, 1000, 1001, 1999}).Draw(t, "min-id")
	p.MaxID = rapid.SampledFrom([]uint32{0, 0, 2001}).Draw(t, "max-id")
	p.RenderGroups = rapid.SampledFrom([]string{RenderAll, RenderUsed}).Draw(t, "render-groups")
	p.ShellMap = rapid.SampledFrom([][]string{nil, {"*=/bin/sh"}, {"/bin/bash=" + DefaultNologin, "/=/bin/sh"}}).Draw(t, "shell-map")
	p.HomePattern = rapid.SampledFrom([]string{"", "", "/home/%u", "/srv/%l/%H", "/%u"}).Draw(t, "home-pattern")
	p.ProtectNames = rapid.SampledFrom([][]string{nil, {"ada", "ops"}}).Draw(t, "protect-names")
	p.MergeMembers = rapid.SampledFrom([][]string{nil, {"docker=eng", "docker=ops", "localteam=ada"}}).Draw(t, "merge-members")
	return p
}

// TestAnyRosterRendersWellUnderAnyPolicy also holds explanations against what is
// rendered.
func TestAnyRosterRendersWellUnderAnyPolicy(t *testing.T) {
	dir := scratch(t)
	rapid.Check(t, func(rt *rapid.T) {
		rows, policy := drawRows(rt), drawPolicy(rt)
		r := newRendererWith(t, dir, func(c *Config) { c.Policy = policy })
		p, err := r.Plan(each(rows))
		if err != nil {
			rt.Fatalf("plan: %v", err)
		}
		left, leftGroups := map[string]int{}, 0
		rendered := 0
		for _, row := range rows {
			var asked string
			switch {
			case row.Account != nil:
				asked = row.Account.Name
			case row.Group != nil:
				asked = row.Group.Name
			default:
				continue
			}
			all, err := r.Explain(each(rows), asked)
			if err != nil {
				rt.Fatalf("explain: %v", err)
			}
			i := slices.IndexFunc(all, func(x Explanation) bool { return x.Key == row.Key() })
			if i < 0 {
				rt.Fatalf("%s is not explained", row.Key())
			}
			x := all[i]
			refused := slices.ContainsFunc(p.Effect().Quarantined, func(q roster.Quarantine) bool { return q.Key == x.Key && q.Name == x.Name && q.Part == "" })
			if (x.Outcome == OutcomeQuarantined) != refused {
				rt.Fatalf("%s is explained as %s by %q, quarantined %v", x.Key, x.Outcome, x.By, refused)
			}
			switch {
			case x.Outcome == OutcomeLeftOut && row.Group != nil:
				leftGroups++
			case x.Outcome == OutcomeLeftOut:
				left[x.By]++
			case x.Outcome == OutcomeRendered && row.Account != nil:
				rendered++
				if strings.Contains(policy.HomePattern, "%u") && !strings.Contains(x.Next[0].Text, asked+":/bin/") && !strings.Contains(x.Next[0].Text, asked+":/usr/") {
					rt.Fatalf("%v has another home", x.Next)
				}
			}
		}
		if len(left)+len(p.LeftOut().Accounts) > 0 && !maps.Equal(left, p.LeftOut().Accounts) || leftGroups != p.LeftOut().Groups {
			rt.Fatalf("explained as left out: %v, %d groups; planned %v", left, leftGroups, p.LeftOut())
		}
		if n := p.now.passwd.count() - len(p.now.aliases); n != rendered {
			rt.Fatalf("%d accounts are rendered, explained %d", n, rendered)
		}
	})
}
