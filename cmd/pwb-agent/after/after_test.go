package after

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pwb/roster"
	"pwb/syncer"
)

var _ syncer.After = (*Actions)(nil)

var (
	at  = roster.Position{Epoch: "e1", Seq: 41}
	ada = roster.Leaver{Name: "ada", UID: 4711}
)

// node has a directory of hooks, and a file that they write to.
type node struct {
	*Actions
	dir   string
	heard string
	log   *bytes.Buffer
}

func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{dir: dir, heard: filepath.Join(dir, "heard"), log: &bytes.Buffer{}}
	hooks := filepath.Join(dir, "hooks.d")
	if err := os.Mkdir(hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	n.Actions = New(Config{HooksDir: hooks, Timeout: time.Minute, Log: slog.New(slog.NewTextHandler(n.log, nil))})
	return n
}

// script puts a program of sh(1) somewhere, which knows the file to write to.
func (n *node) script(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(n.dir, "hooks.d", path)
	}
	err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\nheard="+n.heard+"\n"+text+"\n"), 0o600), os.Chmod(path, mode))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// round makes a round with some who left, and returns its errors.
func (n *node) round(t *testing.T, who ...roster.Leaver) error {
	t.Helper()
	errs := []error{n.Refresh(t.Context())}
	for _, w := range who {
		errs = append(errs, n.Evict(t.Context(), w))
	}
	errs = append(errs, n.TellChange(t.Context(), at))
	for _, w := range who {
		errs = append(errs, n.TellLock(t.Context(), at, w))
	}
	return errors.Join(errs...)
}

// said is what hooks wrote since the last time.
func (n *node) said(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(n.heard)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	_ = os.Remove(n.heard)
	return string(data)
}

func (n *node) check(t *testing.T, want string) {
	t.Helper()
	if got := n.said(t); got != want {
		t.Errorf("the hooks wrote\n%s, not\n%s", got, want)
	}
}

const tell = `echo "${0##*/} $*" >> $heard`

func TestHooksAreCalledInTheOrderOfTheirNames(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"20-b", "9", "10-a", "A", "_x"} {
		n.script(t, name, tell, 0o755)
	}
	if err := n.round(t, ada); err != nil {
		t.Fatal(err)
	}
	n.check(t, "10-a change\n20-b change\n9 change\nA change\n_x change\n"+
		"10-a lock ada\n20-b lock ada\n9 lock ada\nA lock ada\n_x lock ada\n")
}

func TestAHookFindsAFixedEnvironmentAndNothingOfTheAgents(t *testing.T) {
	t.Setenv("PWB_TOKEN", "secret")
	t.Setenv("HTTP_PROXY", "http://proxy.example")
	n := newNode(t)
	open, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	n.script(t, "h", `env | grep -v -e ^_= -e ^PWD= -e ^SHLVL= -e ^OLDPWD= | sort >> $heard; pwd >> $heard; ls /proc/$$/fd | tr '\n' ' ' >> $heard
readlink /proc/$$/fd/0 >> $heard; wc -c >> $heard; if (: < /dev/tty) 2>/dev/null; then echo terminal >> $heard; fi`, 0o700)
	if err := n.round(t, ada); err != nil {
		t.Fatal(err)
	}
	const rest = "/\n0 1 10 2 /dev/null\n0\n"
	const path = "PATH=" + searchPath + "\n"
	n.check(t, "LANG=C\n"+path+"PWB_EPOCH=e1\nPWB_EVENT=change\nPWB_SEQ=41\n"+rest+
		"LANG=C\n"+path+"PWB_EPOCH=e1\nPWB_EVENT=lock\nPWB_SEQ=41\nPWB_UID=4711\nPWB_USER=ada\n"+rest)
}

func TestWithoutHooksNothingHappens(t *testing.T) {
	for _, dir := range []string{"", "/nonexistent/hooks.d", t.TempDir()} {
		n := newNode(t)
		n.cfg.HooksDir = dir
		if dir != "" && dir[1] != 'n' {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.round(t, ada); err != nil || n.log.Len() > 0 {
			t.Errorf("%q: %v, %s", dir, err, n.log)
		}
	}
}

func TestWhatIsNoHookOrNotSafeIsSkippedAndSaidOnce(t *testing.T) {
	n := newNode(t)
	n.script(t, "good", tell, 0o755)
	others := map[string]string{ // and the reason
		n.script(t, "edited~", tell, 0o755):        "letters, digits",
		n.script(t, "x.sh", tell, 0o755):           "letters, digits",
		n.script(t, "x.dpkg-old", tell, 0o755):     "letters, digits",
		n.script(t, "README", tell, 0o644):         "not executable",
		n.script(t, "group-writable", tell, 0o775): "others may write to it, mode 0775",
		n.script(t, "all-writable", tell, 0o757):   "others may write to it, mode 0757",
	}
	target := n.script(t, filepath.Join(n.dir, "target"), tell, 0o755)
	for name, make := range map[string]func(string) error{
		"link":      func(path string) error { return os.Symlink(target, path) },
		"dangling":  func(path string) error { return os.Symlink("nowhere", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o755) },
	} {
		path := filepath.Join(n.cfg.HooksDir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		others[path] = "not a regular file"
	}
	if os.Geteuid() == 0 {
		path := n.script(t, "strangers", tell, 0o755)
		if err := os.Chown(path, 12345, 0); err != nil {
			t.Fatal(err)
		}
		others[path] = "belongs neither to root"
	}
	n.script(t, ".hidden", tell, 0o755)
	for range 2 {
		if err := n.round(t); err != nil {
			t.Fatal(err)
		}
	}
	n.check(t, "good change\ngood change\n")
	log := n.log.String()
	for path, reason := range others {
		lines := 0
		for line := range strings.Lines(log) {
			if strings.Contains(line, "path="+path+" ") && strings.Contains(line, reason) {
				lines++
			}
		}
		if lines != 1 {
			t.Errorf("%s: %d lines say that %q, of\n%s", path, lines, reason, log)
		}
	}
	if got := strings.Count(log, "\n"); got != len(others) {
		t.Errorf("%d lines in the log, not %d:\n%s", got, len(others), log)
	}
}

func TestNoHookIsCalledFromADirectoryThatOthersCanChange(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(n *node) error
		reason string // empty: they are called
	}{
		"the group may write to it":      {func(n *node) error { return os.Chmod(n.cfg.HooksDir, 0o775) }, "others may write"},
		"all may write to it":            {func(n *node) error { return os.Chmod(n.cfg.HooksDir, 0o777|os.ModeSticky) }, "others may write"},
		"others may write to its parent": {func(n *node) error { return os.Chmod(n.dir, 0o777) }, "others may write"},
		"a sticky parent is safe":        {func(n *node) error { return os.Chmod(n.dir, 0o777|os.ModeSticky) }, ""},
		"it is a file":                   {func(n *node) error { n.cfg.HooksDir += "/h"; return nil }, "is not a directory"},
		"a link to a safe one is safe": {func(n *node) error {
			link := n.dir + "/l"
			defer func() { n.cfg.HooksDir = link }()
			return os.Symlink("hooks.d", link)
		}, ""},
		"a link to a spoilt one is not": {func(n *node) error {
			link := n.dir + "/l"
			defer func() { n.cfg.HooksDir = link }()
			return errors.Join(os.Chmod(n.cfg.HooksDir, 0o777), os.Symlink("hooks.d", link))
		}, "others may write"},
		"it belongs to somebody":         {func(n *node) error { return os.Chown(n.cfg.HooksDir, 12345, 0) }, "belongs neither to root"},
		"its parent belongs to somebody": {func(n *node) error { return os.Chown(n.dir, 12345, 0) }, "belongs neither to root"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "belongs") && os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			n := newNode(t)
			n.script(t, "h", tell, 0o755)
			if err := c.spoil(n); err != nil {
				t.Fatal(err)
			}
			err := n.TellChange(t.Context(), at)
			if got := n.said(t); (got == "") != (c.reason != "") {
				t.Errorf("the hook wrote %q", got)
			}
			if c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) || c.reason == "" && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAHookThatFailsKeepsNoOtherFromBeingCalled(t *testing.T) {
	n := newNode(t)
	n.script(t, "1", `echo out; echo err >&2; exit 3`, 0o755)
	n.script(t, "2", `kill -9 $$`, 0o755)
	path := n.script(t, "3", "", 0o755)
	if err := os.WriteFile(path, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n.script(t, "4", tell, 0o755)
	err := n.TellLock(t.Context(), at, ada)
	for _, want := range []string{`hooks.d/1 ["lock" "ada"]: exit status 3; its output ends in "out\nerr"`, `hooks.d/2 ["lock" "ada"]: signal: killed`, "hooks.d/3", "no such file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has many lines", err)
	}
	n.check(t, "4 lock ada\n")
	// A failure is no slowness.
	n.slow = map[string]bool{}
	n.script(t, "1", tell+"; exit 1", 0o755)
	_ = n.TellChange(t.Context(), at)
	_ = n.TellChange(t.Context(), at)
	n.check(t, "1 change\n4 change\n1 change\n4 change\n")
}

func TestTheEndOfALongOutputIsTold(t *testing.T) {
	n := newNode(t)
	n.script(t, "h", `i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done; printf 'the \377end'; exit 1`, 0o755)
	err := n.TellChange(t.Context(), at)
	if err == nil || !strings.HasSuffix(err.Error(), "line 2999\\nthe \uFFFDend\"") || len(err.Error()) > 2*maxOutput {
		t.Errorf("error %v", err)
	}
}

// gone returns when nobody holds a FIFO open for writing any more.
func gone(t *testing.T, fifo *os.File) {
	t.Helper()
	if _, err := fifo.Read(make([]byte, 1)); err == nil || err.Error() != "EOF" {
		t.Errorf("read: %v", err)
	}
}

// newFIFO is a FIFO that is open for reading. Reads wait for writers, once there
// were any.
func newFIFO(t *testing.T, path string) *os.File {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestAHookThatHangsIsKilledWithWhatItStartedAndLeftOutForTheRound(t *testing.T) {
	n := newNode(t)
	fifo := newFIFO(t, n.dir+"/alive")
	n.cfg.Timeout = 2 * time.Second // enough to begin, on any machine
	n.script(t, "1", `exec 3>`+n.dir+`/alive; trap '' TERM INT HUP; echo "1 $*" >> $heard; (trap '' TERM HUP; sleep 1000) & sleep 1000`, 0o755)
	if err := n.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := n.TellChange(t.Context(), at)
	if !errors.Is(err, errSlow) || !strings.Contains(err.Error(), "hooks.d/1 [\"change\"]: it did not end in time and was killed, with its process group, after 2s") {
		t.Errorf("error %v", err)
	}
	gone(t, fifo)
	n.cfg.Timeout = time.Minute
	n.script(t, "2", tell, 0o755)
	if err := n.TellLock(t.Context(), at, ada); err != nil {
		t.Error(err)
	}
	n.check(t, "1 change\n2 lock ada\n")
	n.script(t, "1", tell, 0o755)
	if err := n.round(t); err != nil {
		t.Error(err)
	}
	n.check(t, "1 change\n2 change\n")
}

func TestAHookEndsWithTheAgent(t *testing.T) {
	n := newNode(t)
	fifo := newFIFO(t, n.dir+"/alive")
	if err := unix.Mkfifo(n.dir+"/begun", 0o600); err != nil {
		t.Fatal(err)
	}
	n.script(t, "1", `exec 3>`+n.dir+`/alive; echo > `+n.dir+`/begun; sleep 1000`, 0o755)
	n.script(t, "2", tell, 0o755)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		if _, err := os.ReadFile(n.dir + "/begun"); err != nil { // which waits for a writer, and for its end
			t.Error(err)
		}
	}()
	if err := n.TellChange(ctx, at); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	gone(t, fifo)
	n.check(t, "")
}

func TestNobodyWaitsForWhatAHookLeavesRunning(t *testing.T) {
	n := newNode(t)
	n.script(t, "h", `sleep 1000 & echo $! > `+n.dir+`/pid; echo "h $*" >> $heard`, 0o755)
	if err := n.TellChange(t.Context(), at); err != nil {
		t.Errorf("error %v", err)
	}
	n.check(t, "h change\n")
	pid, err := os.ReadFile(n.dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	// It has the output still, and is this test's to end.
	kill := n.script(t, n.dir+"/kill", "kill -9 "+strings.TrimSpace(string(pid)), 0o755)
	if err := n.run(t.Context(), nil, nil, kill); err != nil {
		t.Errorf("what the hook started is gone: %v", err)
	}
}

func TestHooksAreNotToldOfWhatIsNoName(t *testing.T) {
	n := newNode(t)
	n.script(t, "h", tell, 0o755)
	for _, name := range []string{"", "-rf", "a b", "a\nb", "../x", "$(id)"} {
		if err := n.TellLock(t.Context(), at, roster.Leaver{Name: name, UID: 4711}); err == nil {
			t.Errorf("%q is told", name)
		}
	}
	n.check(t, "")
}
