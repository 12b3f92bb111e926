package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"pwb/altfiles"
	"pwb/cmd/libnss_pwb/question"
	"pwb/cmd/pwb-agent/answer"
	"pwb/pam"
	"pwb/roster"
)

// node wires what decides.
func (cfg *config) node(log *slog.Logger) *pam.Node {
	n := &pam.Node{
		Lookup:   &rendered{cfg: cfg, log: log},
		Local:    func(name string) (bool, error) { return inPasswd(cfg.PasswdFile, 0, name) },
		MaxAge:   cfg.Fresh,
		Patience: cfg.Timeout, NologinShell: cfg.NologinShell, Privileged: privileged(), Now: time.Now, Log: log,
	}
	if cfg.RunDir != "" {
		n.Agent = resident(cfg.RunDir)
	}
	return n
}

// rendered is a pam.Lookup of the lookup indexes, and of the files where they find
// nothing: a damaged index can hide an entry, and an account that nobody finds is let
// pass.
type rendered struct {
	cfg *config
	log *slog.Logger
}

func (r *rendered) files() answer.Files {
	suffix := ""
	if altfiles.Layout(r.cfg.Layout) == altfiles.LayoutNsscache {
		suffix = ".cache"
	}
	return answer.NewFiles(r.cfg.Dir, suffix)
}

// Passwd implements pam.Lookup. Each call opens the index anew, since the agent may
// have put another in its place.
func (r *rendered) Passwd(name string) (p roster.Passwd, found bool, err error) {
	return lookUp(r, altfiles.RosterIndex, name, (*altfiles.Index).Passwd, answer.Files.Passwd)
}

// Shadow implements pam.Lookup.
func (r *rendered) Shadow(name string) (roster.Shadow, bool, error) {
	return lookUp(r, altfiles.ShadowIndex, name, (*altfiles.Index).Shadow, answer.Files.Shadow)
}

func lookUp[T any](r *rendered, index, name string, inIndex func(*altfiles.Index, string) (T, bool, error), inFiles func(answer.Files, string) (T, bool, error)) (entry T, found bool, err error) {
	x, err := altfiles.OpenIndex(filepath.Join(r.cfg.StateDir, index))
	if err == nil {
		entry, found, err = inIndex(x, name)
		if err = errors.Join(err, x.Close()); err == nil && found {
			return entry, true, nil
		}
	}
	unread := err
	if errors.Is(unread, fs.ErrNotExist) {
		unread = nil
	}
	if unread != nil {
		r.log.Warn("the files answer, since the lookup index cannot be read; run pwb-agent sync --check", "error", unread)
	}
	entry, found, err = inFiles(r.files(), name)
	if errors.Is(err, fs.ErrNotExist) {
		if unread != nil { // something was rendered, and who was, nobody can tell
			return entry, false, errors.Join(unread, err)
		}
		r.log.Warn("nothing is rendered, so that nobody is the agent's; is dir in agent.yaml right?", "dir", r.cfg.Dir)
		return entry, false, nil
	}
	return entry, found, err
}

// inPasswd reports whether a passwd(5) file has a name or, where that is empty, a uid.
func inPasswd(file string, uid uint32, name string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f, ok := roster.LocalEntry(lines.Bytes())
		if ok && name != "" && string(f[0]) == name {
			return true, nil
		}
		if id, ok := roster.LocalID(f, 2); ok && name == "" && id == uid {
			return true, nil
		}
	}
	return false, lines.Err()
}

// resident is a pam.Agent in its run directory.
type resident string

// Fresh implements pam.Agent.
func (r resident) Fresh(max time.Duration) bool {
	st, err := answer.ReadState(filepath.Join(string(r), answer.StateName))
	// One that cannot reach the server has nothing newer.
	return err == nil && (!st.Reached || st.Age <= max)
}

// Current implements pam.Agent.
func (r resident) Current(ctx context.Context, name string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(string(r), answer.SocketName))
	if err != nil {
		return err
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(until); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(conn, question.Question{Database: question.Current, Name: name}.String()+"\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, question.MaxLine)).ReadString('\n')
	switch {
	case err != nil:
		return fmt.Errorf("the agent's answer was cut: %w", err)
	case line == question.Unavail || line == question.Denied:
		return fmt.Errorf("the agent answered %q", strings.TrimSpace(line))
	}
	return nil
}

// homes wires what makes homes.
func (cfg *config) homes(log *slog.Logger) *pam.Homes {
	return &pam.Homes{Root: "/", Skel: cfg.Skel, Umask: cfg.umask, WorkDir: cfg.WorkDir, ArchiveDir: cfg.ArchiveDir, Label: cfg.label, Log: log}
}

// label runs restorecon(8) where SELinux is on, with an empty environment.
func (cfg *config) label(ctx context.Context, home string) error {
	if cfg.Restorecon == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(cfg.SELinux, "enforce")); err != nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, cfg.Restorecon, "-R", "--", home)
	cmd.Env, cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin", "LANG=C"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.400s", cfg.Restorecon, err, out)
	}
	return nil
}
