package after

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// searchPath is the PATH of hooks, root's own on most systems.
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// pipeWait is how long a program that has ended may leave its output open, be
	// it in the hands of what it started.
	pipeWait = 500 * time.Millisecond
	// maxOutput is the most bytes of its output that are told when it fails.
	maxOutput = 4 << 10
)

// errSlow says that a program did not end in time.
var errSlow = errors.New("it did not end in time and was killed")

// run runs a program in a session of its own: it has no terminal, and with its
// time, or with ctx, all of its process group ends. Nothing of this process's
// environment and no open file reaches it. Its standard output goes to stdout, if
// that is not nil; an error tells the end of all other output.
func (a *Actions) run(ctx context.Context, env []string, stdout io.Writer, program string, args ...string) error {
	limited, cancel := context.WithTimeoutCause(ctx, a.cfg.Timeout, errSlow)
	defer cancel()
	var said tail
	cmd := exec.CommandContext(limited, program, args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + searchPath, "LANG=C"}, env...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = pipeWait
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // what it left running is its own affair
	case limited.Err() != nil:
		err = context.Cause(limited)
		if err == errSlow {
			err = fmt.Errorf("%w, with its process group, after %v", errSlow, a.cfg.Timeout)
		}
	}
	if text := said.String(); text != "" {
		return fmt.Errorf("%w; its output ends in %q", err, text)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-maxOutput):]...)
	if over := len(t.kept) - maxOutput; over > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[over:])]
	}
	return len(p), nil
}

func (t *tail) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(t.kept), "\uFFFD"))
}
