package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// programs are those with commands and flags.
var programs = []string{"pwb-server", "pwb-agent", "pwb-pam"}

// command is a command of a program, as its --help tells.
type command struct {
	path  string // "pwb-server user show"
	about string
	usage string
	flags []commandFlag
	sub   []*command
}

type commandFlag struct{ name, value, about string }

var (
	helpSub  = regexp.MustCompile(`(?m)^  ([a-z][a-z0-9-]*) +(\S.*)$`)
	helpFlag = regexp.MustCompile(`(?m)^ +(?:-[a-z], +)?--([a-z][a-z0-9-]*)(?: (\S(?: ?\S)*))?\s{2,}(\S.*)$`)
)

// readHelp asks a command and all below it for help.
func readHelp(path string) (*command, error) {
	words := strings.Fields(path)
	out, err := exec.Command(filepath.Join(string(bin), words[0]), append(words[1:], "--help")...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w", path, err)
	}
	c := &command{path: path}
	about, rest, ok := strings.Cut(string(out), "\nUsage:\n")
	if !ok {
		return nil, fmt.Errorf("%s --help has no usage", path)
	}
	c.about = strings.TrimSpace(about)
	usage, rest, _ := strings.Cut(rest, "\n\n")
	c.usage = strings.TrimSpace(strings.Split(strings.TrimSpace(usage), "\n")[0])
	for section := range strings.SplitSeq(rest, "\n\n") {
		switch {
		case strings.HasPrefix(section, "Available Commands:"):
			for _, m := range helpSub.FindAllStringSubmatch(section, -1) {
				if m[1] == "help" || m[1] == "completion" {
					continue
				}
				sub, err := readHelp(path + " " + m[1])
				if err != nil {
					return nil, err
				}
				c.sub = append(c.sub, sub)
			}
		case strings.HasPrefix(section, "Flags:"), strings.HasPrefix(section, "Global Flags:"):
			for _, m := range helpFlag.FindAllStringSubmatch(section, -1) {
				c.flags = append(c.flags, commandFlag{m[1], m[2], m[3]})
			}
		}
	}
	return c, nil
}

// helps is the help of each program, by its name.
var helps = sync.OnceValues(func() (map[string]*command, error) {
	all := map[string]*command{}
	for _, p := range programs {
		c, err := readHelp(p)
		if err != nil {
			return nil, err
		}
		all[p] = c
	}
	return all, nil
})

func programHelp(t *testing.T) map[string]*command {
	t.Helper()
	all, err := helps()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// find is the command below c that the words begin with, and the words behind it.
func (c *command) find(words []string) (*command, []string) {
	for len(words) > 0 {
		i := slices.IndexFunc(c.sub, func(s *command) bool { return strings.HasSuffix(s.path, " "+words[0]) })
		if i < 0 {
			break
		}
		c, words = c.sub[i], words[1:]
	}
	return c, words
}

// programKeys are the keys of a program's configuration, in order.
func programKeys(t *testing.T, program string) (table string, keys []string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(string(bin), program), "settings").Output()
	if err != nil {
		t.Fatalf("%s settings: %v", program, err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)`").FindAllStringSubmatch(string(out), -1) {
		keys = append(keys, m[1])
	}
	if len(keys) < 10 {
		t.Fatalf("%s settings prints %q", program, out)
	}
	return string(out), keys
}

// manual is the page of a program: each command with its help and flags. Flags that
// are keys of the configuration are not repeated at each command.
func manual(c *command, keys []string, file string) string {
	var b strings.Builder
	var write func(c *command, depth int)
	write = func(c *command, depth int) {
		if depth > 0 {
			fmt.Fprintf(&b, "%s %s\n\n", strings.Repeat("#", min(depth+1, 3)), c.path)
		}
		fmt.Fprintf(&b, "```text\n%s\n```\n\n%s\n\n", c.usage, prose(c.about))
		borrowed := false
		var rows []string
		for _, f := range c.flags {
			switch {
			case f.name == "help" || f.name == "version" || f.name == "config":
			case slices.Contains(keys, f.name) && c.path != file:
				borrowed = true
			default:
				rows = append(rows, fmt.Sprintf("| `--%s` | %s | %s |\n", f.name, f.value, strings.ReplaceAll(f.about, "|", `\|`)))
			}
		}
		if len(rows) > 0 {
			b.WriteString("| flag | value | meaning |\n|---|---|---|\n" + strings.Join(rows, "") + "\n")
		}
		if borrowed {
			fmt.Fprintf(&b, "[Keys of the configuration](configuration.md#%s) are flags, too.\n\n", anchor(file))
		}
		for _, s := range c.sub {
			write(s, depth+1)
		}
	}
	write(c, 0)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// prose is the text of a help as Markdown: what it says as it is, and nothing in it is markup.
func prose(text string) string {
	return strings.NewReplacer("<", `\<`, "*", `\*`, "|", `\|`).Replace(text)
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	heading = strings.ToLower(strings.TrimSpace(heading))
	heading = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	heading = regexp.MustCompile(`[^\p{L}\p{N}\p{M}\- _]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}

// named is a program with what stands behind it in a code span or block.
var named = regexp.MustCompile(`(?m)(?:^|[^\w./-]|bin/|libexec/pwb/)(pwb-server|pwb-agent|pwb-pam)( [^\n|;&)(#<>` + "`" + `"']*)?`)

// TestDocsNameCommandsAndFlagsThatAreThere holds each command in a code span or block
// of a page against what the programs know.
func TestDocsNameCommandsAndFlagsThatAreThere(t *testing.T) {
	t.Parallel()
	helps := programHelp(t)
	seen := 0
	for name, text := range pages(t) {
		for _, code := range codeOf(text) {
			for _, m := range named.FindAllStringSubmatch(strings.ReplaceAll(code, "\\\n", " "), -1) {
				words := strings.Fields(m[2])
				c, rest := helps[m[1]].find(words)
				if len(rest) > 0 && len(c.sub) > 0 && regexp.MustCompile(`^[a-z][a-z-]+$`).MatchString(rest[0]) && len(words) == len(rest) {
					t.Errorf("%s names %q, and %s has no command %s", name, m[0], m[1], rest[0])
				}
				for _, w := range rest {
					flag, ok := strings.CutPrefix(w, "--")
					if !ok {
						continue
					}
					flag, _, _ = strings.Cut(flag, "=")
					flag = strings.TrimRight(flag, ".,:")
					seen++
					if !slices.ContainsFunc(c.flags, func(f commandFlag) bool { return f.name == flag }) && flag != "help" && flag != "version" {
						t.Errorf("%s names %q, and %s has no flag --%s", name, strings.TrimSpace(m[0]), c.path, flag)
					}
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("the pages name %d flags", seen)
	}
}

// codeOf are the code blocks and spans of a page.
func codeOf(text string) (all []string) {
	fence := regexp.MustCompile("(?sm)^```[^\n]*\n(.*?)^```")
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all = append(all, m[1])
	}
	return all
}

// TestDocsNameKeysThatAreThere holds the first column of each table of keys, and each
// line of a configuration file, against the keys that programs know.
func TestDocsNameKeysThatAreThere(t *testing.T) {
	t.Parallel()
	known := map[string][]string{}
	for _, p := range programs {
		_, known[p] = programKeys(t, p)
	}
	files := map[string]string{"server.yaml": "pwb-server", "agent.yaml": "pwb-agent", "pam.yaml": "pwb-pam"}
	module := moduleKeys(t)
	rows := regexp.MustCompile("(?m)^\\| key \\|.*\n\\|[-|]+\\|\n((?:\\|.*\n)+)")
	first := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|")
	seen := 0
	for name, text := range pages(t) {
		for _, table := range rows.FindAllStringSubmatch(text, -1) {
			for _, cell := range first.FindAllStringSubmatch(table[1], -1) {
				for key := range strings.FieldsFuncSeq(cell[1], func(r rune) bool { return strings.ContainsRune("`, ", r) }) {
					seen++
					if !slices.Contains(slices.Concat(known["pwb-server"], known["pwb-agent"], known["pwb-pam"], module), key) {
						t.Errorf("%s has a table with the key %s, which no program knows", name, key)
					}
				}
			}
		}
		for _, m := range regexp.MustCompile("(?sm)^```yaml\n# /etc/pwb/([a-z.]+)[^\n]*\n(.*?)^```").FindAllStringSubmatch(text, -1) {
			for _, key := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(m[2], -1) {
				seen++
				if !slices.Contains(known[files[m[1]]], key[1]) {
					t.Errorf("%s has %s with the key %s, which %s does not know", name, m[1], key[1], cmp.Or(files[m[1]], "no program"))
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("the pages name %d keys", seen)
	}
}

// moduleKeys are the keys of workbench-nss.conf that the module or nss-live reads.
func moduleKeys(t *testing.T) (keys []string) {
	t.Helper()
	for _, file := range []string{"cmd/libnss_pwb/conf.c", "cmd/libnss_pwb/live/conf.go"} {
		for _, m := range regexp.MustCompile(`"([a-z]+(?:-[a-z]+)*)"`).FindAllStringSubmatch(page(t, file), -1) {
			keys = append(keys, m[1])
		}
	}
	if !slices.Contains(keys, "server-address") || !slices.Contains(keys, "enumerate") {
		t.Fatalf("the module's keys seem to be %q", keys)
	}
	return keys
}

// TestDocsMistypeNoKey finds what is nearly a key in a code span of a text.
func TestDocsMistypeNoKey(t *testing.T) {
	t.Parallel()
	known := moduleKeys(t)
	for _, p := range programs {
		_, keys := programKeys(t, p)
		known = append(known, keys...)
	}
	for name, text := range pages(t) {
		text = regexp.MustCompile("(?sm)^```.*?^```").ReplaceAllString(text, "")
		for _, m := range regexp.MustCompile("`([a-z]+(?:-[a-z]+)+)(?:: [^`]*)?`").FindAllStringSubmatch(text, -1) {
			if slices.Contains(known, m[1]) {
				continue
			}
			for _, key := range known {
				if d := edits(m[1], key); d <= 2 {
					t.Errorf("%s names %s: is %s meant?", name, m[1], key)
				}
			}
		}
	}
}

// edits is the number of letters to insert, remove or replace that make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left, above := i+1, row[0]
		row[0] = left
		for j := range len(b) {
			cost := above
			if a[i] != b[j] {
				cost++
			}
			above = row[j+1]
			left = min(cost, left+1, above+1)
			row[j+1] = left
		}
	}
	return row[len(b)]
}

// TestDocsConfigurationsAreTaken gives each configuration of a page to its program, which
// must come as far as what the configuration names.
func TestDocsConfigurationsAreTaken(t *testing.T) {
	t.Parallel()
	commands := map[string][]string{
		"server.yaml": {"pwb-server", "config", "check", "--local-nss=false"},
		"agent.yaml":  {"pwb-agent", "plan", "--token-file", "/nowhere/token"},
	}
	taken := 0
	for name, text := range pages(t) {
		for _, m := range regexp.MustCompile("(?sm)^```yaml\n# /etc/pwb/([a-z.]+)[^\n]*\n(.*?)^```").FindAllStringSubmatch(text, -1) {
			command, ok := commands[m[1]]
			if !ok {
				continue
			}
			taken++
			dir := t.TempDir()
			file := filepath.Join(dir, m[1])
			if err := os.WriteFile(file, []byte(m[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append(command[1:], "--config", file)
			if m[1] == "agent.yaml" {
				args = append(args, "--state-dir", filepath.Join(dir, "state"), "--dir", filepath.Join(dir, "files"))
			} else {
				args = append(args, "--data-dir", filepath.Join(dir, "store"))
			}
			out, _ := exec.Command(filepath.Join(string(bin), command[0]), args...).CombinedOutput() // what is named is not there
			good := strings.Contains(string(out), "/nowhere/token")
			if m[1] == "server.yaml" {
				problems := regexp.MustCompile(`(?m)^PROBLEM .*$`).FindAllString(string(out), -1)
				good = strings.Contains(string(out), "ok       store:") && !slices.ContainsFunc(problems, func(p string) bool {
					return !strings.Contains(p, "no certificate") && !strings.Contains(p, "no such file")
				})
			}
			if !good {
				t.Errorf("%s has a %s that is not taken:\n%s", name, m[1], out)
			}
		}
	}
	if taken < 3 {
		t.Errorf("the pages have %d configurations", taken)
	}
}
