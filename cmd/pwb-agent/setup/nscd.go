package setup

import "regexp"

const nscdConfig = "/etc/nscd.conf"

var nscdCache = regexp.MustCompile(`(?m)^([ \t]*enable-cache[ \t]+(?:passwd|group)[ \t]+)yes\b`)

// planNscd has nscd(8) keep no accounts and groups, if that was asked for. It need not
// be: the agent has it forget them after each change. What it keeps in between is the
// answer "there is nobody of that name", for 20 s for accounts and 60 s for groups.
func (c *Config) planNscd(t *tree, p *Plan) error {
	_, text, err := t.look(nscdConfig)
	if err != nil {
		return err
	}
	now := nscdCache.ReplaceAllString(text, "${1}no")
	switch {
	case text == "":
		p.say(PartNscd, "nscd is not installed: nothing is to be done")
	case now == text:
		p.say(PartNscd, "nscd keeps neither accounts nor groups")
	case !c.NscdOff:
		p.say(PartNscd, "nscd keeps accounts and groups; the agent has it forget them after each change, so %s stays as it is", nscdConfig)
	default:
		p.say(PartNscd, "restart nscd afterwards: systemctl restart nscd")
		return p.edit(t, Edit{Path: nscdConfig, Content: now, Mode: 0o644})
	}
	return nil
}
