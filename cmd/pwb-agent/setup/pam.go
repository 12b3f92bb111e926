package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The profile for pam-auth-update(8), its name, and the program that it calls.
const (
	pamProfile = "pwb"
	pamHelper  = "/usr/libexec/pwb/pwb-pam"
)

// debianProfile is the profile's text. The package's own takes its place.
func debianProfile(session bool) string {
	text := `Name: Accounts from an identity provider (pwb)
Default: no
Priority: 128
Account-Type: Additional
Account:
	[success=1 default=ignore]	pam_succeed_if.so quiet uid < 1000
	required	pam_exec.so quiet stdout ` + pamHelper + ` account
`
	if session {
		text += `Session-Type: Additional
Session-Interactive-Only: yes
Session:
	[success=1 default=ignore]	pam_succeed_if.so quiet uid < 1000
	optional	pam_exec.so quiet stdout ` + pamHelper + ` session
`
	}
	return text
}

const (
	pamConfigs = "/usr/share/pam-configs" // the only directory that pam-auth-update reads
	pamSaved   = "/var/lib/pam"
	pamDir     = "/etc/pam.d"
)

// pamTypes are the files that pam-auth-update writes, in pamDir as common-TYPE.
var pamTypes = []string{"account", "auth", "password", "session", "session-noninteractive"}

// planPAM plans what pam-auth-update would do to the node's files. The program works
// on copies: so the diff is what will be written, and what is written is whole and can
// be undone.
func (c *Config) planPAM(ctx context.Context, t *tree, p *Plan, managed bool) error {
	if managed {
		p.say(PartPAM, "PAM is authselect's here: see the part %s", PartAuthselect)
		return nil
	}
	if !t.exists(pamConfigs) || !t.exists(filepath.Join(pamDir, "common-account")) {
		p.say(PartPAM, "neither pam-auth-update nor authselect is here: add to the account phase of the services by hand:\n"+
			"  account [success=1 default=ignore] pam_succeed_if.so quiet uid < 1000\n  account required pam_exec.so quiet stdout %s account", pamHelper)
		return nil
	}
	if !t.exists(pamHelper) {
		p.lack(PartPAM, "%s is not installed, and without it nobody from uid 1000 on could log in: install it, or leave PAM out: --without %s", pamHelper, PartPAM)
		return nil
	}
	if _, err := os.Stat(c.PamAuthUpdate); err != nil {
		p.lack(PartPAM, "%s is not here: install libpam-runtime, or leave PAM out: --without %s", c.PamAuthUpdate, PartPAM)
		return nil
	}
	enable := []string{"--enable", pamProfile}
	if c.Homes == HomesMkhomedir {
		if !t.exists(filepath.Join(pamConfigs, "mkhomedir")) {
			p.lack(PartPAM, "%s/mkhomedir is not here: install libpam-modules, or choose --homes %s or %s", pamConfigs, HomesPwb, HomesNone)
			return nil
		}
		enable = append(enable, "mkhomedir")
	}
	profile := debianProfile(c.Homes == HomesPwb)
	if err := p.edit(t, Edit{Path: filepath.Join(pamConfigs, pamProfile), Content: profile, Mode: 0o644}); err != nil {
		return err
	}
	j, err := openJournal(t, c.StateDir)
	if err != nil {
		return err
	}
	stage, err := c.stagePAM(t, j)
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage) // it is scratch
	if err := os.WriteFile(filepath.Join(stage, pamConfigs, pamProfile), []byte(profile), 0o644); err != nil {
		return err
	}
	if err := c.pamAuthUpdate(ctx, stage, enable...); err != nil {
		return err
	}
	account, err := os.ReadFile(filepath.Join(stage, pamDir, "common-account"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(account), pamHelper+" account") {
		p.lack(PartPAM, "pam-auth-update leaves %s/common-* alone, since they were edited by hand where it writes: run pam-auth-update --force once, which loses these edits, or add the lines of %s/%s by hand and leave PAM out: --without %s", pamDir, pamConfigs, pamProfile, PartPAM)
		return nil
	}
	return c.editPAM(t, stage, func(e Edit) error { return p.edit(t, e) })
}

// editPAM calls edit for each file that pam-auth-update wrote in the stage.
func (c *Config) editPAM(t *tree, stage string, edit func(Edit) error) error {
	for _, name := range stagedPAM() {
		data, err := os.ReadFile(filepath.Join(stage, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := edit(Edit{Path: name, Content: string(data), Mode: 0o644}); err != nil {
			return err
		}
	}
	return nil
}

// stagedPAM are the files that pam-auth-update may write. Those that it compares with
// come first: should only some be in place, it finds ours among what it knows.
func stagedPAM() (all []string) {
	for _, kind := range append(slices.Clone(pamTypes), "seen") {
		all = append(all, filepath.Join(pamSaved, kind))
	}
	for _, kind := range pamTypes {
		all = append(all, filepath.Join(pamDir, "common-"+kind))
	}
	return all
}

// stagePAM copies what pam-auth-update reads into a scratch directory. Of a setup that
// was killed between two files it takes what all were to hold: half of them would look
// like an administrator's own edit.
func (c *Config) stagePAM(t *tree, j *journal) (stage string, err error) {
	if stage, err = os.MkdirTemp("", "pwb-setup-"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(stage))
		}
	}()
	names := stagedPAM()
	profiles, err := os.ReadDir(filepath.Join(t.root, pamConfigs))
	if err != nil {
		return "", err
	}
	for _, e := range profiles {
		if e.Type().IsRegular() {
			names = append(names, filepath.Join(pamConfigs, e.Name()))
		}
	}
	for _, dir := range []string{pamConfigs, pamSaved, pamDir} {
		if err := os.MkdirAll(filepath.Join(stage, dir), 0o755); err != nil {
			return "", err
		}
	}
	for _, name := range names {
		st, content, err := t.look(name)
		if err != nil {
			return "", err
		}
		if e := j.find(name); e != nil && st.Exists && digest(content) == e.Before {
			if content, err = j.kept(e.After); err != nil {
				return "", err
			}
		}
		if st.Exists {
			if err := os.WriteFile(filepath.Join(stage, name), []byte(content), 0o644); err != nil {
				return "", err
			}
		}
	}
	return stage, nil
}

// bindStage runs a program that sees the stage in place of the system's directories,
// in a mount namespace of its own.
const bindStage = `set -e
stage=$1; shift
for dir in ` + pamConfigs + ` ` + pamSaved + ` ` + pamDir + `; do mount --bind "$stage$dir" "$dir"; done
exec "$@"`

// pamAuthUpdate runs pam-auth-update on the stage, with a debconf database of its own.
func (c *Config) pamAuthUpdate(ctx context.Context, stage string, args ...string) error {
	program, err := os.ReadFile(c.PamAuthUpdate)
	if err != nil {
		return err
	}
	run := append([]string{c.PamAuthUpdate, "--root", stage, "--package"}, args...)
	// Before Debian 12 (pam 1.5.2-6), --root still reads the profiles of the host.
	if !strings.Contains(string(program), `${rootdir}$inputdir`) {
		run = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", bindStage, "sh", stage, c.PamAuthUpdate, "--package"}, args...)
	}
	_, err = output(ctx, []string{"DEBIAN_FRONTEND=noninteractive", "DEBCONF_DB_REPLACE=File{" + filepath.Join(stage, "debconf.dat") + "}"}, run...)
	return err
}

// undoPAM has pam-auth-update take the profile out, where its files are others by now
// than those that setup wrote: another package may have come with a profile.
func (c *Config) undoPAM(ctx context.Context, t *tree, j *journal, out io.Writer) error {
	edited := false
	var mkhomedir bool
	for _, name := range stagedPAM() {
		e := j.find(name)
		if e == nil {
			continue
		}
		st, content, err := t.look(name)
		if err != nil {
			return err
		}
		before, err := j.kept(e.Before)
		if err != nil {
			return err
		}
		if name == filepath.Join(pamSaved, "session") {
			after, err := j.kept(e.After)
			if err != nil {
				return err
			}
			const module = "Module: mkhomedir\n"
			mkhomedir = strings.Contains(after, module) && !strings.Contains(before, module)
		}
		edited = edited || !st.Exists || digest(content) != e.After && content != before
	}
	if !edited {
		return nil
	}
	if _, err := os.Stat(c.PamAuthUpdate); err != nil {
		return nil // then it is done line by line
	}
	stage, err := c.stagePAM(t, nil)
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage) // it is scratch
	remove := []string{"--remove", pamProfile}
	if mkhomedir {
		remove = append(remove, "mkhomedir")
	}
	if err := c.pamAuthUpdate(ctx, stage, remove...); err != nil {
		return err
	}
	account, err := os.ReadFile(filepath.Join(stage, pamDir, "common-account"))
	if err != nil || strings.Contains(string(account), pamHelper) {
		return nil // edited by hand, too: line by line
	}
	var p Plan
	if err := c.editPAM(t, stage, func(e Edit) error { return p.edit(t, e) }); err != nil {
		return err
	}
	for _, e := range p.Edits {
		st := e.was
		if st.Modified = (status{}).Modified; !st.Exists {
			st = status{Mode: e.Mode, UID: -1, GID: -1}
		}
		if err := t.write(e.Path, e.Content, st); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(out, "pam-auth-update took pwb out of %s/common-*, which have changed since\n", pamDir); err != nil {
		return err
	}
	j.Entries = slices.DeleteFunc(j.Entries, func(e entry) bool { return slices.Contains(stagedPAM(), e.Path) })
	return j.save()
}
