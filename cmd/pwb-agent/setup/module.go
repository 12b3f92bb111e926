package setup

import (
	"io/fs"
	"path"
	"strings"
)

// planModule plans workbench-nss.conf, and right modes of it and of the tokens.
func (c *Config) planModule(t *tree, p *Plan) error {
	st, text, err := t.look(c.ModuleConfig)
	if err != nil {
		return err
	}
	if c.Server == "" && !st.Exists {
		p.lack(PartModule, "there is no %s, and no server to write into it: give --server URL, or server: in agent.yaml", c.ModuleConfig)
		return nil
	}
	now := text
	if !st.Exists {
		now = "# Configuration of the NSS module pwb and of nss-live, made by pwb-agent setup.\n"
	}
	for _, k := range c.moduleKeys() {
		value, there := moduleKey(text, k.name)
		switch {
		case k.value == "" || there && value == k.value:
		case there:
			p.say(PartModule, "%s says %s = %s, and agent.yaml %s: the file stays; change whichever is wrong", c.ModuleConfig, k.name, value, k.value)
		default:
			if now != "" && !strings.HasSuffix(now, "\n") {
				now += "\n"
			}
			now += k.name + " = " + k.value + "\n"
		}
	}
	if err := p.edit(t, Edit{Path: c.ModuleConfig, Content: now, Mode: 0o644}); err != nil {
		return err
	}
	if st.Exists && st.Mode&0o022 != 0 {
		// The module refuses a file that everybody may write to: it names a program.
		if now != text {
			p.lack(PartModule, "%s may be written to by others: run chmod go-w %[1]s first", c.ModuleConfig)
		} else if err := p.edit(t, Edit{Path: c.ModuleConfig, Keep: true, Mode: st.Mode &^ 0o022}); err != nil {
			return err
		}
	}
	return c.planTokens(t, p)
}

type moduleSetting struct{ name, value string }

// moduleKeys are the keys that the file needs, of which those that are as the module
// has them by default are left out.
func (c *Config) moduleKeys() []moduleSetting {
	unless := func(value, usual string) string {
		if value == usual {
			return ""
		}
		return value
	}
	keys := []moduleSetting{
		{"server-address", c.Server},
		{"admin-token-path", c.AdminToken},
		{"user-token-path", c.UserToken},
		{"ca-cert-path", c.CACert},
		{"state-dir", unless(c.AgentStateDir, "/var/lib/pwb")},
	}
	if c.RunDir != "" && c.RunDir != "/run/pwb" {
		keys = append(keys, moduleSetting{"socket-path", path.Join(c.RunDir, "agent.sock")}, moduleSetting{"state-path", path.Join(c.RunDir, "state")})
	}
	return keys
}

// moduleKey is what a workbench-nss.conf says of a key; the last line of it counts.
func moduleKey(text, key string) (value string, there bool) {
	for line := range strings.Lines(text) {
		name, v, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && strings.TrimSpace(name) == key {
			value, there = strings.TrimSpace(v), true
		}
	}
	return value, there
}

// planTokens mends the modes of the tokens: the admin token opens password hashes.
func (c *Config) planTokens(t *tree, p *Plan) error {
	for _, token := range []struct {
		path string
		not  fs.FileMode
		want string
	}{{c.AdminToken, 0o077, "node-admin"}, {c.UserToken, 0o022, "node-user"}} {
		st, _, err := t.look(token.path)
		if err != nil { // a mounted secret is a link
			p.say(PartModule, "the mode of %s is not looked at: %v", token.path, err)
			continue
		}
		if !st.Exists {
			p.say(PartModule, "%s, the %s token, is not there: pwb-agent enroll fetches it, or copy one there", token.path, token.want)
			continue
		}
		mode := st.Mode
		if token.want == "node-user" {
			mode |= 0o444 // everybody looks up
		}
		mode &^= token.not
		if mode == st.Mode {
			continue
		}
		if token.want == "node-admin" {
			p.say(PartModule, "others may use %s, which opens password hashes: consider another token for this node", token.path)
		}
		if err := p.edit(t, Edit{Path: token.path, Keep: true, Mode: mode}); err != nil {
			return err
		}
	}
	return nil
}
