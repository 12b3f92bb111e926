package checkup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"pwb/cmd/doctor"
)

// pamUse is a line of PAM's that runs pwb-pam.
type pamUse struct{ file, kind, program string }

// pamUses are all lines in pam.d(5) that run pwb-pam.
func (n *Node) pamUses() (all []pamUse, err error) {
	dir := n.in(n.PamDir)
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		content, err := text(file)
		if err != nil { // a directory, or an editor's lock
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(content, "\\\n", " ")) {
			line, _, _ = strings.Cut(line, "#")
			fields := strings.Fields(line)
			if len(fields) < 3 {
				continue
			}
			i := slices.IndexFunc(fields, func(f string) bool { return filepath.Base(f) == filepath.Base(n.PamHelper) })
			if i > 0 {
				all = append(all, pamUse{file, strings.TrimPrefix(fields[0], "-"), fields[i]})
			}
		}
	}
	return all, nil
}

func (n *Node) pamHelper(_ context.Context, r *doctor.Report) {
	uses, err := n.pamUses()
	switch {
	case blind(r, err):
		return
	case err != nil:
		r.Skip("%v", err)
		return
	case len(uses) == 0:
		r.OK("not used: no service runs it")
		return
	}
	u := uses[0]
	const why = "PAM refuses whom it cannot ask about: nobody of the server's can log in"
	p := doctor.Problem{Why: why, Advice: "install pwb-agent's package anew, or take the lines out of " + u.file}
	if n.installed("pam-auth-update") != "" && strings.HasPrefix(filepath.Base(u.file), "common-") {
		p.Mend, p.Advice = "pam-auth-update --package --remove pwb", "or install pwb-agent's package anew, which has it"
	}
	fi, err := os.Stat(n.in(u.program))
	switch {
	case blind(r, err):
	case err != nil:
		p.What = fmt.Sprintf("%s runs %s, which is not there", u.file, u.program)
		r.Fail(p)
	case !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0:
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s runs %s, which cannot be executed", u.file, u.program), Why: why, Mend: doctor.Words("chmod", "0755", n.in(u.program))})
	case owner(fi) != 0 && owner(fi) != os.Geteuid():
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s belongs to uid %d", u.program, owner(fi)), Why: "root runs it at every login: whoever can change it is root", Mend: doctor.Words("chown", "root:root", n.in(u.program))})
	case guarded(r, n.in(u.program), 0o022, "root runs it at every login: whoever can change it is root"):
		r.OK("%s", u.program)
	}
}

func owner(fi os.FileInfo) int {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return 0
}

func (n *Node) pamProfile(_ context.Context, r *doctor.Report) {
	uses, err := n.pamUses()
	switch {
	case blind(r, err):
		return
	case err != nil:
		r.Skip("%v", err)
		return
	}
	account := slices.ContainsFunc(uses, func(u pamUse) bool { return u.kind == "account" })
	switch {
	case len(uses) == 0 && !exists(n.in(n.PamHelper)):
		r.OK("not used: %s is not installed", n.PamHelper)
	case account:
		r.OK("logins ask whether somebody is locked")
	default:
		r.Warn(doctor.Problem{
			What: n.PamHelper + " is installed, and no service asks it in its account phase",
			Why:  "who was locked a moment ago, or whose account ended, may still log in with an ssh key", Mend: n.agent("setup", "--only", "pam"),
		})
	}
}

// usePAM is the first UsePAM of sshd's configuration and of the files that it includes:
// the first counts. Lines within Match blocks cannot have it.
func (n *Node) usePAM(file string, depth int) (where, value string) {
	content, err := text(n.in(file))
	if err != nil || depth > 4 {
		return "", ""
	}
	for line := range strings.Lines(content) {
		fields := strings.Fields(strings.Replace(line, "=", " ", 1))
		if len(fields) < 2 {
			continue
		}
		switch strings.ToLower(fields[0]) {
		case "match":
			return "", ""
		case "usepam":
			return file, strings.ToLower(strings.Trim(fields[1], `"`))
		case "include":
			for _, pattern := range fields[1:] {
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join("/etc/ssh", pattern)
				}
				found, _ := filepath.Glob(n.in(pattern)) // a wrong pattern includes nothing
				for _, path := range found {
					if where, value := n.usePAM(n.onNode(path), depth+1); where != "" {
						return where, value
					}
				}
			}
		}
	}
	return "", ""
}

func (n *Node) sshd(_ context.Context, r *doctor.Report) {
	path := n.in(n.SSHDConfig)
	if !exists(path) {
		r.OK("there is no %s", path)
		return
	}
	if f, err := os.Open(path); err != nil {
		if !blind(r, err) {
			r.Skip("%v", err)
		}
		return
	} else {
		f.Close()
	}
	where, value := n.usePAM(n.SSHDConfig, 0)
	if value == "yes" {
		r.OK("asks PAM")
		return
	}
	p := doctor.Problem{
		What: path + " has no UsePAM yes",
		Why:  "sshd then asks nobody whether an account ended, opens no session of PAM's, and makes no home",
		Mend: doctor.Words("sed", "-i", "1i UsePAM yes", path),
	}
	if where != "" {
		p.What = fmt.Sprintf("%s has UsePAM %s", n.in(where), value)
		p.Mend = doctor.Words("sed", "-i", `s/^[[:blank:]]*UsePAM\b.*/UsePAM yes/I`, n.in(where))
	}
	if n.systemd() {
		p.Mend += " && systemctl reload-or-restart ssh.service sshd.service"
		if exists("/usr/lib/systemd/system/ssh.service") {
			p.Mend = strings.TrimSuffix(p.Mend, " sshd.service")
		} else {
			p.Mend = strings.Replace(p.Mend, " ssh.service sshd", " sshd", 1)
		}
	}
	r.Warn(p)
}
