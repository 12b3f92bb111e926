package checkup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pwb/cmd/doctor"
	"pwb/cmd/pwb-agent/answer"
)

// overdue is the age of the state file from which no agent writes it: it does so every
// 5 s.
const overdue = 20 * time.Second

// agentRuns looks whether something makes passes: an agent that stays, a timer, or cron.
func (n *Node) agentRuns(_ context.Context, r *doctor.Report) {
	if !n.live(r) {
		return
	}
	if n.RunDir != "" {
		age, err := answer.Age(filepath.Join(n.RunDir, answer.StateName))
		if err == nil && age < overdue {
			r.OK("an agent runs, and wrote %s %v ago", filepath.Join(n.RunDir, answer.StateName), age.Round(time.Second))
			return
		}
	}
	if found := n.scheduled(); found != "" {
		r.OK("%s makes passes", found)
		return
	}
	p := doctor.Problem{What: "no agent runs, and no timer or line of cron makes passes", Why: whyServer}
	program, err := os.Executable()
	switch {
	case n.systemd() && (exists("/usr/lib/systemd/system/pwb-agent.service") || exists("/etc/systemd/system/pwb-agent.service")):
		p.Mend = "systemctl enable --now pwb-agent.service"
	case err == nil && exists("/etc/cron.d"):
		command := strings.ReplaceAll(doctor.Words(append([]string{program, "sync"}, n.Flags...)...), "%", `\%`)
		p.Mend = "echo " + doctor.Word("* * * * * root "+command) + " > /etc/cron.d/pwb-agent"
	default:
		p.Advice = "have pwb-agent run stay, or something call pwb-agent sync every minute"
	}
	r.Fail(p)
}

// cronLine is one that calls the agent.
var cronLine = regexp.MustCompile(`(?m)^[ \t]*[^#\n]*\bpwb-agent\b.*\bsync\b`)

// scheduled is what calls pwb-agent sync, empty for nothing.
func (n *Node) scheduled() string {
	wants, _ := filepath.Glob("/etc/systemd/system/*.wants/pwb-agent*") // a pattern of ours
	for _, unit := range wants {
		if strings.HasSuffix(unit, ".timer") && n.systemd() {
			return unit
		}
	}
	files := []string{"/etc/crontab", "/var/spool/cron/crontabs/root", "/var/spool/cron/root"}
	more, _ := filepath.Glob("/etc/cron.*/*")
	for _, file := range append(files, more...) {
		if content, err := text(file); err == nil && (cronLine.MatchString(content) || strings.HasPrefix(filepath.Dir(file), "/etc/cron.") && filepath.Dir(file) != "/etc/cron.d" && strings.Contains(content, "pwb-agent sync")) {
			return file
		}
	}
	return ""
}

// Room that a file system must have: for another rendering and the mirror, and not less
// than this.
const (
	leastRoom   = 32 << 20
	leastInodes = 200
)

func (n *Node) disk(_ context.Context, r *doctor.Report) {
	need := uint64(leastRoom)
	for _, file := range []string{n.path("passwd"), n.path("group"), n.path("shadow"), filepath.Join(n.StateDir, "mirror"), filepath.Join(n.StateDir, "roster.idx")} {
		if fi, err := os.Stat(file); err == nil {
			need += uint64(fi.Size())
		}
	}
	well := true
	var seen []unix.Fsid
	for _, dir := range []string{n.StateDir, n.Dir} {
		var f unix.Statfs_t
		if err := unix.Statfs(dir, &f); err != nil {
			continue // told where it is looked at
		}
		if slices.Contains(seen, f.Fsid) {
			continue
		}
		seen = append(seen, f.Fsid)
		left := f.Bavail * uint64(f.Bsize)
		const why = "a pass that cannot write leaves the files as they are: nobody is locked out any more"
		advice := "make room: du -xh " + doctor.Word(dir) + " | sort -h | tail"
		switch { // some file systems count no blocks or no inodes
		case f.Flags&unix.ST_RDONLY != 0:
			r.Fail(doctor.Problem{What: dir + " is on a file system that is read-only", Why: why, Mend: doctor.Words("mount", "-o", "remount,rw", mountPoint(dir)), Advice: "if the disk has errors, see to these first: dmesg"})
			well = false
		case f.Blocks > 0 && left == 0, f.Files > 0 && f.Ffree == 0:
			r.Fail(doctor.Problem{What: dir + " is on a file system that is full", Why: why, Advice: advice})
			well = false
		case f.Blocks > 0 && left < need:
			r.Warn(doctor.Problem{What: fmt.Sprintf("%s has %d MiB left, and the next pass may need %d", dir, left>>20, need>>20), Why: why, Advice: advice})
			well = false
		case f.Files > 0 && f.Ffree < leastInodes:
			r.Warn(doctor.Problem{What: fmt.Sprintf("%s has %d inodes left", dir, f.Ffree), Why: why, Advice: "make room: du -x --inodes " + doctor.Word(dir) + " | sort -n | tail"})
			well = false
		}
	}
	if well {
		r.OK("there is room")
	}
}

// mountPoint is the directory that the file system of a path is mounted on, as
// proc_pid_mountinfo(5) has it: the last of the longest.
func mountPoint(path string) string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return path
	}
	longest := "/"
	unquote := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unquote.Replace(fields[4])
		if (path == point || strings.HasPrefix(path, point+"/")) && len(point) >= len(longest) {
			longest = point
		}
	}
	return longest
}

// temporary are names of files that a write of pwb's leaves behind when it is killed.
var temporary = regexp.MustCompile(`^\.(pwb-[a-z.]+\.[A-Z2-7]{26}|pwb-setup-[A-Z2-7]{26}|(mirror|state\.json|report\.json|pin\.json)[0-9]+)$`)

// atWork is how old a temporary file is when nobody can be at work on it any more.
const atWork = 10 * time.Minute

// left are the temporary files that nobody is at work on.
func (n *Node) left() (all []string, err error) {
	for _, dir := range []string{n.Dir, n.StateDir, n.in("/etc"), filepath.Dir(n.ModuleConfig), n.in(n.PamDir)} {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			fi, err := e.Info()
			if err == nil && fi.Mode().IsRegular() && temporary.MatchString(e.Name()) && time.Since(fi.ModTime()) > atWork {
				all = append(all, filepath.Join(dir, e.Name()))
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

func (n *Node) leftovers(_ context.Context, r *doctor.Report) {
	left, err := n.left()
	switch {
	case blind(r, err):
	case err != nil:
		r.Skip("%v", err)
	case len(left) == 0:
		r.OK("none")
	default:
		r.Warn(doctor.Problem{
			What: "files that a write left behind that was killed: " + few(left), Why: "they may hold password hashes, and nobody needs them",
			Mend: doctor.Words(append([]string{"rm", "-f", "--"}, left[:min(len(left), 50)]...)...),
		})
	}
}

// nscdCache is a line of nscd.conf(5) that has it keep accounts or groups.
var nscdCache = regexp.MustCompile(`(?m)^[ \t]*enable-cache[ \t]+(?:passwd|group)[ \t]+yes\b`)

const nscdSocket = "/var/run/nscd/socket"

func (n *Node) nscd(ctx context.Context, r *doctor.Report) {
	if !n.live(r) {
		return
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", nscdSocket)
	if err != nil {
		r.OK("nscd does not run")
		return
	}
	conn.Close()
	config, err := text(n.in(n.NscdConfig))
	switch {
	case err != nil:
		r.Skip("%v", err)
	case !nscdCache.MatchString(config):
		r.OK("nscd keeps neither accounts nor groups")
	case n.NscdSocket != "":
		r.OK("the agent has nscd forget accounts and groups after each change")
	default:
		p := doctor.Problem{What: "nscd keeps accounts and groups, and nscd-socket is empty, so that nobody has it forget them", Why: "who was locked, renamed or regrouped stays as before for up to an hour"}
		if oneLineKey(n.ConfigFile, "nscd-socket") {
			p.Mend = doctor.Words("sed", "-i", "/^nscd-socket[[:blank:]]*:/d", n.ConfigFile)
		} else {
			p.Advice = "leave nscd-socket at its default, or have nscd keep neither: " + n.agent("setup", "--only", "nscd", "--nscd", "off")
		}
		r.Warn(p)
	}
}
