package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// authselect(8) writes nsswitch.conf and the files of PAM from a profile. Setup makes a
// custom profile of the one that is selected, adds ours to its templates, and selects
// it with the features that there were.
const (
	authselectConf    = "/etc/authselect/authselect.conf"
	authselectCustom  = "/etc/authselect/custom"
	authselectProfile = "custom/" + moduleSource
	authselectUsual   = "/usr/bin/authselect"
)

// authselected is what undo needs of authselect.
type authselected struct {
	// Former is the profile that was selected, and its features.
	Former []string `json:"former"`
	// Oddjobd says that setup enabled oddjobd, which makes homes.
	Oddjobd bool `json:"oddjobd,omitempty"`
	// Files are those that authselect had written for it: before 1.3 they say when.
	Files []entry `json:"files,omitempty"`
}

// authselectPlan is what there is to do.
type authselectPlan struct {
	former    []string
	create    []string // the command that makes the profile, if it is not there
	templates []Edit
	selected  []string // the command that selects it
	oddjobd   bool
}

func (c *Config) authselected(t *tree) bool { return t.exists(authselectConf) }

// authselect runs the program, in the root.
func (c *Config) authselect(ctx context.Context, args ...string) (string, error) {
	return output(ctx, nil, c.authselectCommand(args...)...)
}

func (c *Config) authselectCommand(args ...string) []string {
	command := append([]string{c.Authselect}, args...)
	if c.Root != "/" && c.Authselect == authselectUsual {
		command = append([]string{"chroot", c.Root}, command...)
	}
	return command
}

// planAuthselect plans the profile, or says why it does not apply here.
func (c *Config) planAuthselect(ctx context.Context, t *tree, p *Plan, managed bool) error {
	if !managed {
		p.say(PartAuthselect, "authselect does not manage this node (there is no %s)", authselectConf)
		return nil
	}
	raw, err := c.authselect(ctx, "current", "--raw")
	if err != nil {
		p.lack(PartAuthselect, "authselect does not say which profile is selected (%v): select one, or leave this part out: --without %s", err, PartAuthselect)
		return nil
	}
	if _, err := c.authselect(ctx, "check"); err != nil {
		p.lack(PartAuthselect, "somebody edited files that authselect writes (%v), and their edits would be lost: see authselect check, and select a profile that has them", err)
		return nil
	}
	former := strings.Fields(raw)
	if len(former) == 0 {
		return errors.New("authselect current --raw says nothing")
	}
	s := c.sources(t, p)
	if s.Files != "" && s.Files != "altfiles" {
		p.say(PartAuthselect, "the source %s is added after files", s.Files)
	}
	pl := &authselectPlan{former: former}
	base, err := c.profileDir(t, former[0])
	if err != nil {
		return err
	}
	if former[0] != authselectProfile {
		// The templates that are edited are copies, the others follow the base.
		pl.create = c.authselectCommand("create-profile", moduleSource, "--base-on="+former[0], "--symlink-meta", "--symlink-dconf", "--symlink=postlogin")
		if own := path.Join(authselectCustom, moduleSource); t.exists(own) {
			j, err := openJournal(t, c.StateDir)
			if err != nil {
				return err
			}
			if j.Authselect == nil {
				p.lack(PartAuthselect, "a profile %s is there that setup did not make: remove %s, or select it yourself and leave this part out: --without %s", authselectProfile, own, PartAuthselect)
				return nil
			}
			pl.create = nil // of a setup that was killed
		}
	}
	features := slices.Clone(former[1:])
	want := func(feature string) {
		if !slices.Contains(features, feature) {
			features = append(features, feature)
		}
	}
	if err := c.planTemplates(t, pl, base, s, want); err != nil {
		return err
	}
	if c.has(PartPAM) && !t.exists(pamHelper) {
		p.lack(PartAuthselect, "%s is not installed, and without it nobody from uid 1000 on could log in: install it, or leave PAM out: --without %s", pamHelper, PartPAM)
		return nil
	}
	if c.Homes == HomesMkhomedir {
		want("with-mkhomedir")
		pl.oddjobd = c.Root == "/" && t.exists("/usr/lib/systemd/system/oddjobd.service") && !c.oddjobdEnabled(ctx)
		if !t.exists("/usr/libexec/oddjob/mkhomedir") {
			p.lack(PartAuthselect, "oddjob-mkhomedir is not installed, which the feature with-mkhomedir needs: dnf install oddjob-mkhomedir, or --homes %s or %s", HomesPwb, HomesNone)
			return nil
		}
	}
	if slices.Equal(features, former[1:]) && len(pl.templates) == 0 && pl.create == nil && former[0] == authselectProfile {
		p.say(PartAuthselect, "%s is selected already", authselectProfile)
		return nil
	}
	pl.selected = c.authselectCommand(slices.Concat([]string{"select", authselectProfile}, features, []string{"--force", "--nobackup"})...)
	if pl.create != nil {
		p.Commands = append(p.Commands, pl.create)
	}
	p.Commands = append(p.Commands, pl.selected)
	if pl.oddjobd {
		p.Commands = append(p.Commands, []string{c.Systemctl, "enable", "--now", "oddjobd.service"})
	}
	p.authselect = pl
	return nil
}

func (c *Config) oddjobdEnabled(ctx context.Context) bool {
	_, err := output(ctx, nil, c.Systemctl, "is-enabled", "--quiet", "oddjobd.service")
	return err == nil
}

// profileDir is where a profile's templates lie.
func (c *Config) profileDir(t *tree, id string) (string, error) {
	dirs := []string{"/usr/share/authselect/vendor/" + id, "/usr/share/authselect/default/" + id}
	if name, ok := strings.CutPrefix(id, "custom/"); ok {
		dirs = []string{path.Join(authselectCustom, name)}
	}
	for _, dir := range dirs {
		if t.exists(path.Join(dir, "nsswitch.conf")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the profile %s has no nsswitch.conf in %s", id, strings.Join(dirs, " or "))
}

// pamTemplates are those with an account phase of their own.
var pamTemplates = []string{"system-auth", "password-auth", "smartcard-auth", "fingerprint-auth", "switchable-auth"}

// planTemplates plans the edits of the templates, and calls want for the features that
// they need.
func (c *Config) planTemplates(t *tree, pl *authselectPlan, base string, s Sources, want func(feature string)) error {
	edit := func(name string, change func(string) (string, error)) error {
		text, err := readThrough(t, path.Join(base, name))
		if errors.Is(err, fs.ErrNotExist) && name != "nsswitch.conf" {
			return nil
		}
		if err != nil {
			return err
		}
		now, err := change(text)
		if err != nil {
			return fmt.Errorf("%s of the profile: %w", name, err)
		}
		own := path.Join(authselectCustom, moduleSource, name)
		have, err := readThrough(t, own)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || have != now {
			pl.templates = append(pl.templates, Edit{Path: own, Content: now, Mode: 0o644, was: status{Exists: true}, before: text})
		}
		return nil
	}
	err := edit("nsswitch.conf", func(text string) (string, error) { return EditTemplate(text, s, want) })
	if err != nil || !c.has(PartPAM) {
		return err
	}
	want(loginFeature)
	for _, name := range pamTemplates {
		if err := edit(name, func(text string) (string, error) { return editLoginTemplate(text, c.Homes == HomesPwb), nil }); err != nil {
			return err
		}
	}
	return nil
}

// readThrough reads a file of the profile, which may be a link to another's.
func readThrough(t *tree, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(t.root, name))
	return string(data), err
}

// applyAuthselect makes the profile and selects it. What was selected is in the journal
// before.
func (c *Config) applyAuthselect(ctx context.Context, t *tree, p *Plan, j *journal, out io.Writer) error {
	pl := p.authselect
	if pl == nil {
		return nil
	}
	if j.Authselect == nil {
		j.Authselect = &authselected{Former: pl.former}
		if err := j.keepGenerated(t); err != nil {
			return err
		}
	}
	j.Authselect.Oddjobd = j.Authselect.Oddjobd || pl.oddjobd
	if err := t.run("journal of authselect", j.save); err != nil {
		return err
	}
	run := func(what string, command ...string) error {
		return t.run(what, func() error { _, err := output(ctx, nil, command...); return err })
	}
	if pl.create != nil {
		if err := run("create-profile", pl.create...); err != nil {
			return err
		}
	}
	for _, e := range pl.templates {
		if err := t.write(e.Path, e.Content, status{Mode: e.Mode, UID: -1, GID: -1}); err != nil {
			return err
		}
	}
	if err := run("select", pl.selected...); err != nil {
		return err
	}
	if pl.oddjobd {
		if err := run("oddjobd", c.Systemctl, "enable", "--now", "oddjobd.service"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "authselect has selected %s\n", authselectProfile)
	return err
}

// undoAuthselect selects what was selected before, unless somebody selected another
// profile since, and removes ours.
func (c *Config) undoAuthselect(ctx context.Context, t *tree, j *journal, out io.Writer) error {
	if j.Authselect == nil {
		return nil
	}
	raw, err := c.authselect(ctx, "current", "--raw")
	if err != nil {
		return err
	}
	now := strings.Fields(raw)
	if len(now) > 0 && now[0] == authselectProfile && !slices.Equal(now, j.Authselect.Former) {
		command := c.authselectCommand(slices.Concat([]string{"select"}, j.Authselect.Former, []string{"--force", "--nobackup"})...)
		if err := t.run("select", func() error { _, err := output(ctx, nil, command...); return err }); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "authselect has selected %s again\n", strings.Join(j.Authselect.Former, " ")); err != nil {
			return err
		}
	}
	if j.Authselect.Former[0] != authselectProfile {
		own, err := t.path(path.Join(authselectCustom, moduleSource))
		if err != nil {
			return err
		}
		if err := t.run("remove profile", func() error { return os.RemoveAll(own) }); err != nil {
			return err
		}
	}
	if err := j.restoreGenerated(t); err != nil {
		return err
	}
	if j.Authselect.Oddjobd {
		if _, err := output(ctx, nil, c.Systemctl, "disable", "--now", "oddjobd.service"); err != nil {
			return err
		}
	}
	j.Authselect = nil
	return j.save()
}

// generatedDirs hold the files that authselect writes, and what it compares them with.
var generatedDirs = []string{"/etc/authselect", "/var/lib/authselect"}

// keepGenerated remembers the files that authselect wrote.
func (j *journal) keepGenerated(t *tree) error {
	for _, dir := range generatedDirs {
		all, err := os.ReadDir(filepath.Join(t.root, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, f := range all {
			if !f.Type().IsRegular() {
				continue
			}
			e := entry{Path: path.Join(dir, f.Name())}
			var content string
			if e.Was, content, err = t.look(e.Path); err != nil {
				return err
			}
			if e.Before, err = j.keep(content); err != nil {
				return err
			}
			j.Authselect.Files = append(j.Authselect.Files, e)
		}
	}
	return nil
}

// generatedLine is the one in which old versions of authselect tell the time.
const generatedLine = "# Generated by authselect"

// restoreGenerated puts back files that authselect has written anew, where they differ
// in nothing but the time that they tell.
func (j *journal) restoreGenerated(t *tree) error {
	timeless := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, generatedLine) {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	for _, e := range j.Authselect.Files {
		before, err := j.kept(e.Before)
		if err != nil {
			return err
		}
		now, content, err := t.look(e.Path)
		if err != nil {
			return err
		}
		if now.Exists && timeless(content) == timeless(before) {
			if err := t.write(e.Path, before, e.Was); err != nil {
				return err
			}
		}
	}
	return nil
}
