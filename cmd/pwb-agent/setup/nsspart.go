package setup

import (
	"debug/elf"
	"slices"
)

// packages are what distributions call the packages of NSS modules.
var packages = map[string]string{
	"extrausers": "libnss-extrausers (Debian, Ubuntu)",
	"altfiles":   "nss-altfiles (Fedora, RHEL)",
	"cache":      "libnss-cache (Debian, Ubuntu)",
	moduleSource: "pwb-agent's libnss_pwb.so.2",
}

// ostreeMarks tell a system whose /usr is an image of OSTree or bootc.
var ostreeMarks = []string{"/run/ostree-booted", "/sysroot/ostree"}

// planNsswitch plans the edit of nsswitch.conf, or says why it does not apply here.
func (c *Config) planNsswitch(t *tree, p *Plan, managed bool) error {
	if managed {
		p.say(PartNsswitch, "%s is authselect's here: see the part %s", c.Nsswitch, PartAuthselect)
		return nil
	}
	s := c.sources(t, p)
	if s.Files == "" && !s.Module {
		p.say(PartNsswitch, "there is no source to add")
		return nil
	}
	_, text, err := t.look(c.Nsswitch)
	if err != nil {
		return err
	}
	now, err := EditNsswitch(text, s)
	if err != nil {
		return err
	}
	if now == text {
		p.say(PartNsswitch, "%s names the sources already", c.Nsswitch)
		return nil
	}
	return p.edit(t, Edit{Path: c.Nsswitch, Content: now, Mode: 0o644})
}

// sources are those that can be added, and what is missing for the others is said.
func (c *Config) sources(t *tree, p *Plan) Sources {
	s := Sources{Order: c.Order}
	if c.Module {
		s.Module = c.library(t, moduleSource) != ""
		if !s.Module {
			p.lack(PartNsswitch, "libnss_%s.so.2 is in no library directory: install %s, or set up without it: --module=false", moduleSource, packages[moduleSource])
		}
	}
	if c.Source == "" || c.Order == OrderIndexFirst && c.Module {
		return s // the index holds what the files hold
	}
	if c.Source == "altfiles" && c.Root == "/" && slices.ContainsFunc(ostreeMarks, t.exists) {
		p.lack(PartNsswitch, "/usr/lib/passwd is part of this system's image (OSTree or bootc): use the index alone, with --order %s, or another layout (layout: extrausers in agent.yaml), or set up while the image is built, with --root", OrderIndexFirst)
		return s
	}
	library := c.library(t, c.Source)
	if library == "" {
		p.lack(PartNsswitch, "libnss_%s.so.2 is in no library directory: install the package %s, or use the index alone, with --order %s", c.Source, packages[c.Source], OrderIndexFirst)
		return s
	}
	s.Files, s.FilesShadow = c.Source, hasShadow(library, c.Source)
	if !s.FilesShadow {
		p.say(PartNsswitch, "%s has no shadow map: set shadow: false in agent.yaml where the module %s is not used either", library, moduleSource)
	}
	return s
}

// hasShadow reports whether an NSS module answers for shadow. Those of EL 8 and 9
// (nss-altfiles 2.18.1) do not.
func hasShadow(library, source string) bool {
	f, err := elf.Open(library)
	if err != nil {
		return false
	}
	defer f.Close() // it was only read
	symbols, err := f.DynamicSymbols()
	return err == nil && slices.ContainsFunc(symbols, func(s elf.Symbol) bool {
		return s.Name == "_nss_"+source+"_getspnam_r" && s.Section != elf.SHN_UNDEF
	})
}
