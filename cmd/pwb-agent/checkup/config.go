package checkup

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"pwb/altfiles"
	"pwb/cmd/doctor"
)

// config looks for what the agent would refuse to start with.
func (n *Node) config(_ context.Context, r *doctor.Report) {
	for _, key := range n.UnknownKeys {
		p := doctor.Problem{
			What: fmt.Sprintf("%s has the key %q, which is none", n.ConfigFile, key),
			Why:  "the agent does not start: it would not do what somebody meant",
		}
		if oneLineKey(n.ConfigFile, key) {
			p.Mend = doctor.Words("sed", "-i", "/^"+regexp.QuoteMeta(key)+"[[:blank:]]*:/d", n.ConfigFile)
		}
		p.Advice = "correct its name if it is misspelt; pwb-agent keys lists every key"
		r.Fail(p)
	}
	switch {
	case n.ConfigError != nil:
		if !blind(r, n.ConfigError) {
			r.Fail(doctor.Problem{What: n.ConfigError.Error(), Why: "the agent does not start", Advice: "correct it; pwb-agent keys lists every key with its meaning"})
		}
	case n.Server == "":
		r.Fail(doctor.Problem{What: "no server is configured", Why: "nothing can be pulled", Advice: "pwb-agent enroll --server URL --token-file FILE, with an enrolment token of the server, writes " + n.ConfigFile})
	case len(n.UnknownKeys) == 0:
		r.OK("%s", n.ConfigFile)
	}
}

// oneLineKey reports whether a key of a YAML file has its value on its own line, and
// is there once.
func oneLineKey(file, key string) bool {
	content, err := text(file)
	if err != nil || strings.ContainsAny(key, "/\n'") {
		return false
	}
	of := regexp.MustCompile(`^` + regexp.QuoteMeta(key) + `[ \t]*:`)
	found, alone := 0, true
	after := false
	for line := range strings.Lines(content) {
		if after && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "-")) {
			alone = false
		}
		after = of.MatchString(line)
		if after {
			found++
		}
	}
	return found == 1 && alone
}

func (n *Node) configMode(_ context.Context, r *doctor.Report) {
	if !exists(n.ConfigFile) {
		r.OK("there is no %s: defaults, the environment and flags hold", n.ConfigFile)
		return
	}
	guarded(r, n.ConfigFile, 0o022, "whoever can write it chooses the server, and with it who is root's neighbour here")
}

// place looks whether the agent may write where it is to: not into the image of an
// OSTree system, or out of a root.
func (n *Node) place(_ context.Context, r *doctor.Report) {
	_, err := n.Renderer()
	var foreign *altfiles.ForeignError
	switch {
	case err == nil:
		r.OK("%s, layout %s", n.Dir, n.Layout)
	case blind(r, err):
	case errors.As(err, &foreign) && n.Layout == altfiles.LayoutAltfiles && n.Root == "/":
		r.Fail(doctor.Problem{What: err.Error(), Why: "no pass can write the files",
			Advice: "write layout: extrausers and dir: /var/lib/extrausers into " + n.ConfigFile + ", and index-first into nsswitch.conf: " + n.agent("setup", "--order", "index-first")})
	default:
		r.Fail(doctor.Problem{What: err.Error(), Why: "no pass can write the files", Advice: "correct the keys that it names in " + n.ConfigFile})
	}
}
