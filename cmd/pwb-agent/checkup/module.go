package checkup

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"slices"
	"strings"

	"pwb/cmd/doctor"
	"pwb/cmd/pwb-agent/setup"
)

// named are our sources that passwd or group of nsswitch.conf names.
func (n *Node) named() (all []string) {
	s := n.nsswitchNow()
	for _, database := range databases[:2] {
		for _, source := range s.now[database].Sources {
			if n.ours(source.Name) && !slices.Contains(all, source.Name) {
				all = append(all, source.Name)
			}
		}
	}
	return all
}

// moduleProblem is why the NSS module may not do what it is to; empty if nothing is known
// against it.
func (n *Node) moduleProblem() (p doctor.Problem) {
	content, err := text(n.ModuleConfig)
	if err != nil {
		return doctor.Problem{What: err.Error()}
	}
	const why = "the NSS module does nothing without a good configuration"
	if content == "" {
		return doctor.Problem{What: "nsswitch.conf names pwb, and there is no " + n.ModuleConfig, Why: why, Mend: n.agent("setup", "--only", "module")}
	}
	for _, k := range []struct{ key, usual, want string }{
		{"server-address", "", n.Server},
		{"state-dir", "/var/lib/pwb", n.onNode(n.StateDir)},
		{"admin-token-path", "/etc/rstudio/admin-token", n.TokenFile},
	} {
		value, there := setup.ModuleKey(content, k.key)
		if !there {
			value = k.usual
		}
		if k.want == "" || strings.TrimRight(value, "/") == strings.TrimRight(k.want, "/") || strings.HasPrefix(value, "unix:") {
			continue
		}
		p = doctor.Problem{
			What: fmt.Sprintf("%s says %s = %s, and the agent has %s", n.ModuleConfig, k.key, value, k.want),
			Why:  "module and agent do not speak of the same server, token or files",
			Mend: doctor.Words("sed", "-i", "/^[[:blank:]]*"+k.key+"[[:blank:]]*=/c\\"+k.key+" = "+k.want, n.ModuleConfig),
		}
		if !there {
			p.Mend = "echo " + doctor.Word(k.key+" = "+k.want) + " >> " + doctor.Word(n.ModuleConfig)
		}
		return p
	}
	return doctor.Problem{}
}

// onNode is a path of the agent's as the node itself has it.
func (n *Node) onNode(path string) string {
	if n.Root == "/" {
		return path
	}
	return strings.TrimPrefix(path, strings.TrimRight(n.Root, "/"))
}

func (n *Node) usesModule() bool { return slices.Contains(n.named(), setup.ModuleSource) }

func (n *Node) moduleConfig(_ context.Context, r *doctor.Report) {
	if !n.usesModule() {
		r.OK("not used: nsswitch.conf does not name pwb")
		return
	}
	if exists(n.ModuleConfig) && !guarded(r, n.ModuleConfig, 0o022, "the NSS module does nothing: whoever can write it names a program that all run") {
		return
	}
	if p := n.moduleProblem(); p.What != "" {
		r.Fail(p)
		return
	}
	if fi, err := os.Stat(n.ModuleConfig); err == nil && fi.Mode().Perm()&0o044 != 0o044 {
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s has mode %04o, so that people cannot read it", n.ModuleConfig, fi.Mode().Perm()), Why: "for them the NSS module does nothing", Mend: doctor.Words("chmod", "0644", n.ModuleConfig)})
		return
	}
	r.OK("%s", n.ModuleConfig)
}

// wrongLibrary says why a library is not one that glibc can load for a source.
func wrongLibrary(path, source string) string {
	f, err := elf.Open(path)
	if err != nil {
		return "is no library: " + err.Error()
	}
	defer f.Close() // it was only read
	if own, err := elf.Open("/proc/self/exe"); err == nil {
		defer own.Close()
		if own.Machine != f.Machine || own.Class != f.Class {
			return fmt.Sprintf("is for %v, and this is %v", f.Machine, own.Machine)
		}
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return "has no symbols: " + err.Error()
	}
	for _, want := range []string{"getpwnam_r", "getpwuid_r", "getgrnam_r", "getgrgid_r"} {
		name := "_nss_" + source + "_" + want
		if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == name && s.Section != elf.SHN_UNDEF }) {
			return "lacks " + name
		}
	}
	return ""
}

func (n *Node) moduleFile(_ context.Context, r *doctor.Report) {
	named := n.named()
	if len(named) == 0 {
		r.Skip("nsswitch.conf names no source of ours")
		return
	}
	var found []string
	for _, source := range named {
		all := setup.Libraries(n.Root, source)
		wrong := ""
		good := slices.IndexFunc(all, func(path string) bool {
			why := wrongLibrary(path, source)
			if why != "" {
				wrong = path + " " + why
			}
			return why == ""
		})
		if good >= 0 {
			found = append(found, all[good])
			continue
		}
		p := doctor.Problem{What: wrong, Why: "glibc passes the source over: nobody is found by it", Advice: "install " + setup.Package(source) + " anew"}
		if wrong == "" {
			p.What = fmt.Sprintf("nsswitch.conf names %s, and libnss_%[1]s.so.2 is in no library directory", source)
		}
		switch {
		case source == setup.ModuleSource:
		case n.installed("apt-get") != "":
			p.Mend, p.Advice = "apt-get install -y --reinstall libnss-"+source, ""
		case n.installed("dnf") != "" && source == "altfiles":
			p.Mend, p.Advice = "dnf install -y nss-altfiles", ""
		}
		r.Fail(p)
	}
	if len(found) == len(named) {
		r.OK("%s", strings.Join(found, ", "))
	}
}
