package checkup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"pwb/cmd/doctor"
	"pwb/cmd/pwb-agent/setup"
	"pwb/roster"
)

// getent asks the name services in a process of its own, which a broken module may
// end. An answer that there is nobody is an empty one.
func getent(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "getent", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.WaitDelay = 100 * time.Millisecond
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 { // getent(1): a key was not found
		err = nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer in time")
	}
	if err != nil {
		return "", fmt.Errorf("getent %s: %w %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimRight(string(out), "\n"), nil
}

// sample is an account that lookups are compared with: one of the middle of the file,
// and with groups if there is such.
func (a *accounts) sample() (p roster.Passwd, ok bool) {
	if len(a.passwd) == 0 {
		return p, false
	}
	grouped := map[string]bool{}
	for _, g := range a.groups {
		for _, m := range g.Members {
			grouped[m] = true
		}
	}
	count := map[uint32]int{}
	for _, p := range a.passwd {
		count[p.UID]++ // former names have the same
	}
	middle := len(a.passwd) / 2
	for i := range a.passwd {
		if c := a.passwd[(middle+i)%len(a.passwd)]; grouped[c.Name] && count[c.UID] == 1 {
			return c, true
		}
	}
	return a.passwd[middle], count[a.passwd[middle].UID] == 1
}

// gids are the groups that the files give to someone, the primary one apart.
func (a *accounts) gids(name string, primary uint32) (all []uint32) {
	for _, g := range a.groups {
		if g.GID != primary && slices.Contains(g.Members, name) {
			all = append(all, g.GID)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// foundGids reads an answer of getent initgroups.
func foundGids(answer string, primary uint32) (all []uint32) {
	fields := strings.Fields(answer)
	for _, f := range fields[min(1, len(fields)):] {
		if gid, err := strconv.ParseUint(f, 10, 32); err == nil && uint32(gid) != primary {
			all = append(all, uint32(gid))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// answers compares what getent says, by these sources or by all, with the files. It is
// empty when they are the same.
func (n *Node) answers(ctx context.Context, a *accounts, p roster.Passwd, source string) (wrong string, err error) {
	ask := func(args ...string) (string, error) {
		if source != "" {
			args = append([]string{"-s", source}, args...)
		}
		return getent(ctx, args...)
	}
	line := a.lines[p.Name]
	for _, key := range []string{p.Name, strconv.FormatUint(uint64(p.UID), 10)} {
		got, err := ask("passwd", key)
		switch {
		case err != nil:
			return "", err
		case got == "":
			return fmt.Sprintf("passwd of %s: nobody, and %s has a line", key, n.path("passwd")), nil
		case got != line && !sameButPassword(got, line):
			return fmt.Sprintf("passwd of %s: %q, and %s has %q", key, got, n.path("passwd"), line), nil
		}
	}
	got, err := ask("initgroups", p.Name)
	if err != nil {
		return "", err
	}
	found := foundGids(got, p.GID)
	for _, gid := range a.gids(p.Name, p.GID) {
		if !slices.Contains(found, gid) {
			return fmt.Sprintf("groups of %s: not gid %d, which %s gives", p.Name, gid, n.path("group")), nil
		}
	}
	return "", nil
}

// sameButPassword compares lines of passwd without their second fields, which a source
// may show as it likes.
func sameButPassword(a, b string) bool {
	cut := func(s string) string {
		name, rest, _ := strings.Cut(s, ":")
		_, rest, _ = strings.Cut(rest, ":")
		return name + ":" + rest
	}
	return cut(a) == cut(b)
}

// askable is the sample, if lookups can be compared with the files.
func (n *Node) askable(r *doctor.Report) (a accounts, p roster.Passwd, ok bool) {
	if !n.live(r) {
		return a, p, false
	}
	if a, ok = n.seen(r); !ok {
		return a, p, false
	}
	if p, ok = a.sample(); !ok {
		r.OK("there is no account to ask for")
		return a, p, false
	}
	return a, p, true
}

func (n *Node) moduleAnswers(ctx context.Context, r *doctor.Report) {
	a, p, ok := n.askable(r)
	if !ok {
		return
	}
	named := n.named()
	if len(named) == 0 {
		r.Skip("nsswitch.conf names no source of ours")
		return
	}
	well := []string{}
	for _, source := range named {
		if source == setup.ModuleSource && (n.moduleProblem().What != "" || n.openModule()) {
			r.Skip("the module's configuration is wrong: see module-config")
			return
		}
		if all := setup.Libraries(n.Root, source); !slices.ContainsFunc(all, func(path string) bool { return wrongLibrary(path, source) == "" }) {
			r.Skip("%s cannot be loaded: see module-file", source)
			return
		}
		wrong, err := n.answers(ctx, &a, p, source)
		if err != nil {
			wrong = err.Error()
		}
		if wrong != "" && !n.cached(ctx, source) {
			r.Fail(doctor.Problem{What: "ld.so does not know libnss_" + source + ".so.2 yet", Why: "glibc passes the source over: nobody is found by it", Mend: "ldconfig"})
			continue
		}
		if wrong == "" {
			well = append(well, source)
			continue
		}
		problem := doctor.Problem{What: source + ": " + wrong, Why: "people are not found, or are somebody else than in the files",
			Advice: "look at what it reads: " + doctor.Words("getent", "-s", source, "passwd", p.Name) + " as root and as a user, and whether the directory of the library is one of ld.so's (ldconfig -p)"}
		if source == setup.ModuleSource {
			problem.Mend = n.agent("sync", "--check")
		}
		r.Fail(problem)
	}
	if len(well) == len(named) {
		r.OK("%s: as the files, for %s", strings.Join(well, ", "), p.Name)
	}
}

// cached reports whether ld.so(8) has the library of a source in its cache, or need not.
func (n *Node) cached(ctx context.Context, source string) bool {
	out, err := exec.CommandContext(ctx, n.installed("ldconfig"), "-p").Output()
	if err != nil {
		return true
	}
	return bytes.Contains(out, []byte("\tlibnss_"+source+".so.2 "))
}

// openModule reports whether others may write the module's configuration, which it
// does not use then.
func (n *Node) openModule() bool {
	fi, err := os.Stat(n.ModuleConfig)
	return err != nil || fi.Mode().Perm()&0o022 != 0
}

func (n *Node) nssAnswers(ctx context.Context, r *doctor.Report) {
	a, p, ok := n.askable(r)
	if !ok {
		return
	}
	s := n.nsswitchNow()
	switch {
	case s.wrong(n):
		r.Skip("nsswitch.conf is to be mended first: see nsswitch-…")
		return
	case len(n.clashes()) > 0:
		r.Skip("local accounts hide those of the server: see local-clash")
		return
	}
	wrong, err := n.answers(ctx, &a, p, "")
	switch {
	case err != nil:
		r.Fail(doctor.Problem{What: err.Error(), Why: "every login waits for it", Advice: "ask one source after the other: getent -s SOURCE passwd " + p.Name})
	case wrong != "":
		r.Fail(doctor.Problem{What: wrong, Why: "people are not found, or are somebody else than the server says",
			Advice: "find the source that answers: getent -s SOURCE passwd " + p.Name + " for each of the line passwd; nscd may have kept something older: nscd -i passwd && nscd -i group"})
	default:
		r.OK("as the files, for %s", p.Name)
	}
}
