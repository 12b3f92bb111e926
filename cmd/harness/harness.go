// Package harness runs the real binaries on loopback, for the demonstration,
// the end-to-end tests and the benchmarks. Nothing that ships imports it.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Bin is a directory with the built binaries.
type Bin string

// Build builds the binaries into dir, from the module that the working
// directory lies in.
func Build(ctx context.Context, dir string, flags ...string) (Bin, error) {
	args := slices.Concat([]string{"build", "-tags", "netgo", "-o", dir + "/"}, flags) // as the Makefile does
	cmd := exec.CommandContext(ctx, "go", append(args, "pwb/cmd/pwb-server", "pwb/cmd/pwb-agent")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	args[4] = filepath.Join(dir, "nss-live") // whose package has another name
	if out, err := exec.CommandContext(ctx, "go", append(args, "pwb/cmd/libnss_pwb/live")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nss-live: %w\n%s", err, out)
	}
	pam := exec.CommandContext(ctx, "go", "build", "-tags", "netgo", "-o", dir+"/", "pwb/cmd/pwb-pam")
	pam.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := pam.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build pwb-pam: %w\n%s", err, out)
	}
	return Bin(dir), nil
}

// Command is one of the binaries with arguments.
func (b Bin) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(string(b), name), args...)
}

// Server is a running pwb-server.
type Server struct {
	// URL is where it listens, without a slash at its end.
	URL     string
	DataDir string

	bin  Bin
	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	log  bytes.Buffer
}

// StartServer starts a server on a loopback address and returns when it
// listens. With listen "127.0.0.1:0" the system chooses the port. It speaks plain
// HTTP unless the flags give a certificate.
func StartServer(ctx context.Context, b Bin, dataDir, listen string, flags ...string) (*Server, error) {
	args := append([]string{"serve", "--listen", listen, "--data-dir", dataDir, "--log-format", "json"}, flags...)
	scheme := "https://"
	if !slices.Contains(flags, "--tls-cert") {
		args, scheme = append(args, "--insecure-http"), "http://"
	}
	return b.start(b.Command(ctx, "pwb-server", args...), dataDir, scheme)
}

// StartServerOn starts a server that speaks plain HTTP on sockets that somebody
// else holds, as systemd.socket(5) does.
func StartServerOn(ctx context.Context, b Bin, dataDir string, sockets []*os.File, flags ...string) (*Server, error) {
	args := []string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, filepath.Join(string(b), "pwb-server"),
		"serve", "--insecure-http", "--data-dir", dataDir, "--log-format", "json"}
	cmd := exec.CommandContext(ctx, "/bin/sh", append(args, flags...)...)
	cmd.ExtraFiles = sockets
	cmd.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(sockets)))
	return b.start(cmd, dataDir, "http://")
}

func (b Bin) start(cmd *exec.Cmd, dataDir, scheme string) (*Server, error) {
	s := &Server{DataDir: dataDir, bin: b, cmd: cmd, done: make(chan struct{})}
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	address := make(chan string, 1)
	go s.follow(stderr, address)
	select {
	case a := <-address:
		s.URL = scheme + a
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("the server ended at once:\n%s", s.Log())
	}
}

// follow keeps what the server logs and finds its address in it.
func (s *Server) follow(stderr io.Reader, address chan<- string) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		s.mu.Lock()
		s.log.Write(lines.Bytes())
		s.log.WriteByte('\n')
		s.mu.Unlock()
		var entry struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
			address <- entry.Address
		}
	}
	_ = s.cmd.Wait() // how it ended is in its log
	close(s.done)
}

// Log is what the server has logged so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop asks the server to stop and waits until it has.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server without a chance to clean up.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	_ = s.cmd.Process.Signal(sig) // it may have ended already
	<-s.done
}

// Token makes a token with the command that administrators use.
func (s *Server) Token(ctx context.Context, name, scope string) (string, error) {
	out, err := s.bin.Command(ctx, "pwb-server", "token", "create", name, "--scope", scope, "--data-dir", s.DataDir).Output()
	if err != nil {
		return "", fmt.Errorf("make the token %s: %w", name, withStderr(err))
	}
	return strings.TrimSpace(string(out)), nil
}

// TokenFile makes a token and writes it to a file that only its owner can read.
func (s *Server) TokenFile(ctx context.Context, file, name, scope string) error {
	token, err := s.Token(ctx, name, scope)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(token+"\n"), 0o600)
}

func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	return err
}

// Agent is how to run a node's agent.
type Agent struct {
	Bin       Bin
	Server    string
	TokenFile string
	Dir       string
	StateDir  string
	// Flags are added to every command.
	Flags []string
}

// HooksDir is where the agent looks for hooks: this machine's are none of its own.
func (a Agent) HooksDir() string { return filepath.Join(filepath.Dir(a.StateDir), "hooks.d") }

// RunDir is where an agent that stays answers the NSS module.
func (a Agent) RunDir() string { return a.StateDir + "-run" }

// Command is pwb-agent with the agent's flags.
func (a Agent) Command(ctx context.Context, sub string, flags ...string) *exec.Cmd {
	args := []string{sub, "--server", a.Server, "--token-file", a.TokenFile, "--dir", a.Dir, "--state-dir", a.StateDir, "--hooks-dir", a.HooksDir(), "--nscd-socket", ""}
	if sub == "run" {
		args = append(args, "--run-dir", a.RunDir())
	}
	cmd := a.Bin.Command(ctx, "pwb-agent", append(append(args, a.Flags...), flags...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

// Sync runs one pass and returns its exit status and what it printed on
// standard output and standard error.
func (a Agent) Sync(ctx context.Context, flags ...string) (status int, out string, err error) {
	data, err := a.Command(ctx, "sync", flags...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), string(data), nil
	}
	return 0, string(data), err
}
