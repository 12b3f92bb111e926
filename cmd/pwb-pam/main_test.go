package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asEnv makes the test's binary pwb-pam.
const asEnv = "PAM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// needRoot skips without root, loudly; in CI nothing is skipped.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI must run this test, but root is needed")
		}
		t.Skip("NOT TESTED HERE: root is needed")
	}
}

// place is a node's rendered files.
type place struct {
	t         *testing.T
	dir       string
	passwd    string // the node's own
	agentYAML string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t, dir, filepath.Join(dir, "local-passwd"), filepath.Join(dir, "agent.yaml")}
	p.put("local-passwd", "root:x:0:0::/root:/bin/sh\nlynn:x:1900:1900::/home/lynn:/bin/sh\n")
	p.put("passwd", "ada:x:1500:1500::/home/ada:/bin/sh\nbob:x:1501:1501::/home/bob:/usr/sbin/nologin\nlynn:x:1502:1502::/home/lynn:/bin/sh\n")
	p.put("group", "ada:x:1500:\n")
	p.put("shadow", "ada:$6$rounds=1000$salt$x:::::::\nbob:!*::::::1:\nlynn:!*::::::1:\n")
	p.put("agent.yaml", fmt.Sprintf("server: https://pwb.example\ndir: %s\nstate-dir: %s/state\nrun-dir: %s/run\nlocal-passwd-file: %s\nlayout: extrausers\n", dir, dir, dir, p.passwd))
	p.put("pam.yaml", fmt.Sprintf("agent-config: %s\nwork-dir: %s/work\n", p.agentYAML, dir))
	return p
}

func (p *place) put(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// call runs pwb-pam as a process; env is all that it gets besides what PAM says.
func (p *place) call(kind, who string, env []string, stdin string, args ...string) (status int, stdout string) {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.CommandContext(p.t.Context(), self, append(args, "--config", filepath.Join(p.dir, "pam.yaml"))...)
	cmd.Env = append([]string{asEnv + "=1", "PAM_USER=" + who}, env...)
	if kind != "" {
		cmd.Env = append(cmd.Env, "PAM_TYPE="+kind)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if kind != "" && stderr.Len() > 0 {
		p.t.Errorf("standard error, which whoever logs in sees: %s", &stderr)
	}
	return cmd.ProcessState.ExitCode(), out.String() + stderr.String()
}

func TestTheExitStatusSaysWhatWasDecided(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	for _, c := range []struct {
		sentence, kind, who string
		args                []string
		status              int
		says                string
	}{
		{"who may log in", "account", "ada", []string{"account"}, exitGood, ""},
		{"who is locked", "account", "bob", []string{"account"}, exitRefused, "The account bob is locked. Please ask your administrator.\n"},
		{"who is the node's own", "account", "lynn", []string{"account"}, exitGood, ""},
		{"nobody", "account", "grace", []string{"account"}, exitGood, ""},
		{"nobody, where only the agent's are let in", "account", "grace", []string{"account", "--only-ours"}, exitRefused, ""},
		{"the wrong line", "auth", "ada", []string{"account"}, exitFailed, "Something is wrong"},
		{"no name", "account", "", []string{"account"}, exitFailed, "Something is wrong"},
		{"by hand", "", "ada", []string{"account"}, exitFailed, "pam_exec(8) runs this"},
		{"a flag that is none", "account", "ada", []string{"account", "--no-such"}, exitFailed, "Something is wrong"},
		{"a session that ends", "close_session", "ada", []string{"session"}, exitGood, ""},
		{"the session of the node's own", "open_session", "lynn", []string{"session"}, exitGood, ""},
		{"an empty password", "auth", "ada", []string{"auth"}, exitRefused, ""},
		{"an umask that is none", "open_session", "ada", []string{"session", "--umask", "8"}, exitFailed, "Something is wrong"},
		{"an umask that takes the home from its owner", "open_session", "ada", []string{"session", "--umask", "0700"}, exitFailed, "Something is wrong"},
		{"a decoy that is none", "auth", "ada", []string{"auth", "--decoy", "x"}, exitRefused, ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			status, out := p.call(c.kind, c.who, nil, "", c.args...)
			if status != c.status || !strings.Contains(out, c.says) || c.says == "" && out != "" {
				t.Errorf("%d, %q, want %d, %q", status, out, c.status, c.says)
			}
		})
	}
}

func TestAKeyOfAgentYAMLSaysWhereTheFilesAreAndAWrongOneOfPamYAMLRefuses(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	if err := os.Mkdir(filepath.Join(p.dir, "cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.put("agent.yaml", fmt.Sprintf("dir: %s/cache\nstate-dir: %s/state\nlocal-passwd-file: %s\nlayout: nsscache\nmax-change-count: 3\n", p.dir, p.dir, p.passwd))
	p.put("cache/passwd.cache", "zoe:x:1600:1600::/home/zoe:/bin/sh\n")
	p.put("cache/shadow.cache", "zoe:!*::::::1:\n")
	if status, out := p.call("account", "zoe", nil, "", "account"); status != exitRefused {
		t.Errorf("%d, %q", status, out)
	}
	p.put("pam.yaml", "agent-config: "+p.agentYAML+"\nfrehs: 3s\n")
	if status, out := p.call("account", "zoe", nil, "", "account"); status != exitFailed {
		t.Errorf("%d, %q", status, out)
	}
}

func TestTheEnvironmentChangesNothing(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	env := []string{"PWB_DIR=/nowhere", "PWB_STATE_DIR=/nowhere", "PWB_LOCAL_PASSWD_FILE=" + filepath.Join(p.dir, "passwd"), "PWB_CONFIG=/nowhere", "GODEBUG=madvdontneed=1", "GOTRACEBACK=crash", "GOGC=1", "GOMAXPROCS=1", "PATH=/nowhere", "TZ=Mars", "PAM_DIR=/nowhere"}
	if status, out := p.call("account", "bob", env, "", "account"); status != exitRefused || !strings.HasPrefix(out, "The account bob is locked") {
		t.Errorf("%d, %q", status, out)
	}
	if status, out := p.call("account", "ada", env, "", "account"); status != exitGood || out != "" {
		t.Errorf("%d, %q", status, out)
	}
}

func TestWhoeverMayWriteNoFilesIsCountedAllTheSame(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	// As somebody who types "ulimit -f 0; su ada" again and again.
	limited := func() (int, string) {
		t.Helper()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 0; exec "$@"`, "sh", self, "auth", "--config", filepath.Join(p.dir, "pam.yaml"), "--max-failures", "2", "--decoy", "$6$rounds=1000$")
		cmd.Env = []string{asEnv + "=1", "PAM_TYPE=auth", "PAM_USER=ada"}
		cmd.Stdin = strings.NewReader("wrong\x00")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	// Root may lift the limit; in a container it may not, and nothing is verified.
	for range 2 {
		if status, out := limited(); status == exitRefused && out != "" || status != exitRefused && status != exitFailed {
			t.Errorf("%d, %q", status, out)
		}
	}
	if status, out := limited(); status != exitFailed && (status != exitRefused || !strings.Contains(out, "Too many attempts")) {
		t.Errorf("the third: %d, %q", status, out)
	}
}

func TestATimeZoneOfTheCallersIsNotRead(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	zone := filepath.Join(p.dir, "zone") // to open it waits for ever
	if err := syscall.Mkfifo(zone, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out := p.call("", "ada", []string{"TZ=:" + zone}, "", "account"); status != exitFailed || !strings.Contains(out, "time=") {
		t.Errorf("%d, %q", status, out)
	}
}

func TestWhatHangsEndsAtTheDeadline(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	if err := errors.Join(os.Remove(p.passwd), syscall.Mkfifo(p.passwd, 0o600)); err != nil {
		t.Fatal(err)
	}
	if status, out := p.call("account", "ada", nil, "", "account", "--deadline", "1s"); status != exitDeadline {
		t.Errorf("%d, %q", status, out)
	}
	if status, out := p.call("account", "ada", nil, "", "account", "--deadline", "1ms"); status != exitFailed {
		t.Errorf("a deadline that nobody could keep: %d, %q", status, out)
	}
}

func TestAnAgentThatHangsIsAskedAndNotWaitedFor(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	run := filepath.Join(p.dir, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(run, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c) // until who asks gives up
			asked <- string(b)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	for who, want := range map[string]int{"ada": exitGood, "bob": exitRefused} {
		if status, out := p.call("account", who, nil, "", "account", "--timeout", "1s"); status != want {
			t.Errorf("%s: %d, %q", who, status, out)
		}
		if got := <-asked; got != "pwb1 current name "+who+"\n" {
			t.Errorf("it asks %q", got)
		}
	}
	if status, out := p.call("account", "lynn", nil, "", "account"); status != exitGood || len(asked) != 0 {
		t.Errorf("for the node's own: %d, %q, %d questions", status, out, len(asked))
	}
}

func TestDepartedHomesAreListedAndArchivedAndNobodyElses(t *testing.T) {
	needRoot(t)
	p := newPlace(t)
	// Under /var/lib: no directory above it is one that others may write to.
	base, err := os.MkdirTemp("/var/lib", "pwb-pam-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	line := func(name string, uid int, shell string) string {
		return fmt.Sprintf("%s:x:%d:%d::%s/%s:%s\n", name, uid, uid, base, name, shell)
	}
	p.put("passwd", line("ada", 1500, "/bin/sh")+line("bob", 1501, "/usr/sbin/nologin")+line("eve", 1503, "/bin/sh"))
	p.put("shadow", "ada:*:::::::\nbob:!*::::::1:\neve:*::::::10:\n")
	for name, uid := range map[string]int{"ada": 1500, "bob": 1501, "eve": 1503, "gone": 1700, "lynn": 1900, "system": 33, ".pwb-x-0123456789abcdef": 1501} {
		if err := errors.Join(os.Mkdir(filepath.Join(base, name), 0o700), os.Chown(filepath.Join(base, name), uid, uid)); err != nil {
			t.Fatal(err)
		}
	}
	link, file := filepath.Join(base, "link"), filepath.Join(base, "file")
	if err := errors.Join(os.Symlink("bob", link), os.Lchown(link, 1501, 1501), os.WriteFile(file, nil, 0o600), os.Chown(file, 1501, 1501)); err != nil {
		t.Fatal(err)
	}
	archive := []string{"--archive-dir", filepath.Join(base, ".departed")}
	status, out := p.call("", "", nil, "", append([]string{"homes"}, archive...)...)
	want := fmt.Sprintf("%s/bob   1501  bob\n%s/eve   1503  eve\n%s/gone  1700  nobody's\n", base, base, base)
	if status != 0 || out != want {
		t.Errorf("%d, %q, want %q", status, out, want)
	}
	for _, who := range []string{"ada", "lynn", "system", "nosuch", "../bob"} {
		if status, out := p.call("", "", nil, "", append([]string{"homes", "archive", who}, archive...)...); status != exitFailed || !strings.Contains(out, "no home that could be archived") {
			t.Errorf("%s: %d, %q", who, status, out)
		}
	}
	if status, out := p.call("", "", nil, "", append([]string{"homes", "tend"}, archive...)...); status != 0 || out != "" {
		t.Errorf("by default they are left: %d, %q", status, out)
	}
	if status, out := p.call("", "", nil, "", append([]string{"homes", "archive", "bob"}, archive...)...); status != 0 || !strings.Contains(out, "/bob is now "+base+"/.departed/bob-1501-"+time.Now().UTC().Format("2006")) {
		t.Errorf("%d, %q", status, out)
	}
	if status, out := p.call("", "", nil, "", append([]string{"homes", "tend", "--departed-homes", "archive"}, archive...)...); status != 0 || !strings.Contains(out, "/.departed/eve-1503-") || strings.Contains(out, "gone") {
		t.Errorf("%d, %q", status, out)
	}
	if status, out := p.call("", "", nil, "", append([]string{"homes", "archive", "gone"}, archive...)...); status != 0 || !strings.Contains(out, "/.departed/gone-1700-") {
		t.Errorf("%d, %q", status, out)
	}
	for _, kept := range []string{"ada", "lynn", "system"} {
		if _, err := os.Stat(filepath.Join(base, kept)); err != nil {
			t.Error(err)
		}
	}
	if fi, err := os.Stat(filepath.Join(base, ".departed")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi, err)
	}
	// Who comes back gets a new home, and is told of the old one.
	p.put("passwd", line("bob", 1501, "/bin/sh"))
	p.put("shadow", "bob:*:::::::\n")
	skel := []string{"--skel", "", "--selinux-dir", "/nowhere"}
	if status, out := p.call("open_session", "bob", nil, "", append(append([]string{"session"}, archive...), skel...)...); status != 0 || !strings.Contains(out, "former home was archived") || !strings.Contains(out, "/.departed/bob-1501-") {
		t.Errorf("%d, %q", status, out)
	}
	// A nothing that was rendered tells nobody has left.
	p.put("passwd", "")
	if status, out := p.call("", "", nil, "", append([]string{"homes", "archive", "--all"}, archive...)...); status != exitFailed || !strings.Contains(out, "nothing is rendered") {
		t.Errorf("%d, %q", status, out)
	}
}

func TestANewHomeIsLabelledWhereSELinuxIsOn(t *testing.T) {
	needRoot(t)
	base, err := os.MkdirTemp("/var/lib", "pwb-pam-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	p.put("passwd", fmt.Sprintf("ada:x:1500:1500::%s/ada:/bin/sh\nbob:x:1501:1501::%s/bob:/bin/sh\n", base, base))
	p.put("enforce", "1")
	p.put("restorecon", fmt.Sprintf("#!/bin/sh\necho \"$@ $(env | grep -c PAM_)\" >> %s/labelled\n", p.dir))
	if err := os.Chmod(filepath.Join(p.dir, "restorecon"), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"session", "--skel", "", "--selinux-dir", p.dir, "--restorecon-program", filepath.Join(p.dir, "restorecon")}
	if status, out := p.call("open_session", "ada", nil, "", args...); status != 0 || out != "" {
		t.Errorf("%d, %q", status, out)
	}
	if b, err := os.ReadFile(filepath.Join(p.dir, "labelled")); err != nil || string(b) != "-R -- "+base+"/ada 0\n" {
		t.Errorf("%q, %v", b, err)
	}
	args[len(args)-1] = "/nowhere" // whose failure keeps nobody out
	if status, out := p.call("open_session", "bob", nil, "", args...); status != 0 || out != "" {
		t.Errorf("%d, %q", status, out)
	}
}
