package setup

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Features of our profile, which authselect includes lines and words by.
const (
	moduleFeature = "with-pwb"
	filesFeature  = "with-pwb-files"
	shadowFeature = "with-pwb-shadow"
	loginFeature  = "with-pwb-login"
)

var (
	templateLine = regexp.MustCompile(`(?m)^(passwd|group|shadow|initgroups):[^\n]*\n?`)
	systemdWord  = regexp.MustCompile(`([ }])systemd\b((?:[ \t]*\[[^\]]*\])?)`)
	filesWord    = regexp.MustCompile(`([ \t])files\b`)
)

// EditTemplate adds sources to an nsswitch.conf of authselect-profiles(5), each by a
// feature of its own, and calls want for the features to select. sss stays where it
// stands. A line initgroups goes: with it, groups of other sources are lost, and
// without it all sources of group are asked. Applied to its own result it changes
// nothing.
func EditTemplate(text string, s Sources, want func(feature string)) (string, error) {
	if s.Files == "" && !s.Module {
		return text, nil
	}
	seen := map[string]bool{}
	var failed error
	altfiles := s.Files == "altfiles" && strings.Contains(text, `"with-altfiles"`)
	if altfiles {
		want("with-altfiles")
	}
	now := templateLine.ReplaceAllStringFunc(text, func(line string) string {
		database, _, _ := strings.Cut(line, ":")
		seen[database] = true
		if database == "initgroups" {
			return ""
		}
		if database == "shadow" {
			return shadowTemplate(line, s, want)
		}
		at := systemdWord.FindStringSubmatchIndex(line)
		if at == nil {
			failed = errors.Join(failed, fmt.Errorf("the line %q does not name systemd: make a profile by hand (authselect-profiles(5)), and leave this part out", strings.TrimSpace(line)))
			return line
		}
		action := line[at[4]:at[5]]
		add := ""
		if s.Files != "" && s.Order != OrderIndexFirst && !altfiles {
			want(filesFeature)
			add = word(line, filesFeature, s.Files, action)
		}
		if s.Module {
			want(moduleFeature)
			add += word(line, moduleFeature, moduleSource, action)
		}
		if s.Order == OrderIndexFirst { // before systemd, with the blanks on the other side
			add = strings.ReplaceAll(strings.ReplaceAll(add, `": `, `":`), "}", " }")
			return line[:at[3]] + add + line[at[3]:]
		}
		return line[:at[1]] + add + line[at[1]:]
	})
	if !seen["passwd"] || !seen["group"] {
		failed = errors.Join(failed, errors.New("it has no line for passwd or for group"))
	}
	if !seen["shadow"] { // the default of glibc
		if now != "" && !strings.HasSuffix(now, "\n") {
			now += "\n"
		}
		now += shadowTemplate("shadow:     files\n", s, want)
	}
	return now, failed
}

// word adds a source under a feature, unless the line has it.
func word(line, feature, source, action string) string {
	if strings.Contains(line, `"`+feature+`"`) {
		return ""
	}
	return `{if "` + feature + `": ` + source + action + `}`
}

func shadowTemplate(line string, s Sources, want func(string)) string {
	var sources []string
	if s.Files != "" && s.FilesShadow && s.Order != OrderIndexFirst {
		sources = append(sources, s.Files)
	}
	if s.Module {
		sources = append(sources, moduleSource)
	}
	if len(sources) == 0 {
		return line
	}
	want(shadowFeature)
	at := filesWord.FindStringIndex(line)
	if at == nil || strings.Contains(line, `"`+shadowFeature+`"`) {
		return line
	}
	return line[:at[1]] + word(line, shadowFeature, strings.Join(sources, " "), "") + line[at[1]:]
}

var (
	accountUnix = regexp.MustCompile(`(?m)^account[ \t]+required[ \t]+pam_unix\.so[^\n]*\n`)
	sessionUnix = regexp.MustCompile(`(?m)^session[ \t]+required[ \t]+pam_unix\.so[^\n]*\n`)
)

// editLoginTemplate adds what calls pwb-pam behind the lines of pam_unix. A template
// without any, as where a method of login is switched off, stays as it is.
func editLoginTemplate(text string, session bool) string {
	if strings.Contains(text, `"`+loginFeature+`"`) {
		return text
	}
	const condition = `  {include if "` + loginFeature + `"}` + "\n"
	lines := func(phase string) string {
		return fmt.Sprintf("%-11s [success=1 default=ignore] pam_succeed_if.so quiet uid < 1000%s%-11s required pam_exec.so quiet stdout %s %s%s", phase, condition, phase, pamHelper, phase, condition)
	}
	text = accountUnix.ReplaceAllString(text, "${0}"+lines("account"))
	if session {
		text = sessionUnix.ReplaceAllString(text, "${0}"+lines("session"))
	}
	return text
}
