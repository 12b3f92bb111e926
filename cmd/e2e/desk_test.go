package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// askAgent asks the agent that stays, as the NSS module does.
func (r *rig) askAgent(question string) string {
	conn, err := net.Dial("unix", filepath.Join(r.agent.RunDir(), "agent.sock"))
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, question); err != nil {
		return err.Error()
	}
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		return err.Error()
	}
	return string(answer)
}

func foundLine(line string) string { return fmt.Sprintf("found %d\n%s", len(line), line) }

// stateFile is what the agent says of itself.
type stateFile struct {
	flags uint32
	beat  uint64
	pid   uint64
}

func (r *rig) readState(t testing.TB) (s stateFile, there bool) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.agent.RunDir(), "state"))
	if errors.Is(err, os.ErrNotExist) {
		return s, false
	}
	if err != nil || len(b) != 64 || string(b[:8]) != "PWBSTATE" {
		t.Fatalf("the state file: %x, %v", b, err)
	}
	le := binary.LittleEndian
	return stateFile{le.Uint32(b[12:]), le.Uint64(b[24:]), le.Uint64(b[48:])}, true
}

// untilState waits until the state file says what is waited for.
func (r *rig) untilState(t testing.TB, what string, is func(s stateFile, there bool) bool) {
	t.Helper()
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	// The run directory may not be there yet.
	if err := os.MkdirAll(r.agent.RunDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(r.agent.RunDir()); err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	for {
		s, there := r.readState(t)
		if is(s, there) {
			return
		}
		select {
		case <-w.Events:
		case <-ctx.Done():
			t.Fatalf("the state file did not become %s: it is there: %v, %+v", what, there, s)
		}
	}
}

// numbered is the body of a user with a uid that this machine gives to nobody.
func numbered(name string, uid int) map[string]any {
	body := user(name)
	body["urn:rstudio:params:scim:schemas:extension:workbench:1.0:User"] = map[string]any{"posixUserId": uid}
	return body
}

const (
	reached = 1
	current = 2
)

func TestAnAgentThatStaysTellsAndAnswersTheNSSModule(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", numbered("ada", 4711)); err != nil {
		t.Fatal(err)
	}
	d := r.daemonize(t, "--max-backoff", "600ms")
	r.untilState(t, "current", func(s stateFile, there bool) bool { return there && s.flags == reached|current })
	if s, _ := r.readState(t); s.pid != uint64(d.cmd.Process.Pid) {
		t.Errorf("the pid is %d, not %d", s.pid, d.cmd.Process.Pid)
	}
	const ada = "ada:x:4711:4711:User ada:/home/ada:/bin/bash"
	for question, want := range map[string]string{
		"pwb1 passwd name ada\n": foundLine(ada), "pwb1 passwd id 4711\n": foundLine(ada), "pwb1 group name ada\n": foundLine("ada:x:4711:"),
		"pwb1 initgroups name ada\n": foundLine(""), "pwb1 shadow name ada\n": foundLine("ada:*:::::::"), "pwb1 passwd name grace\n": "notfound\n", "junk\n": "unavail\n",
	} {
		if got := r.askAgent(question); got != want {
			t.Errorf("%q: %q, want %q", question, got, want)
		}
	}
	// Whoever is there when the answer of the server to his creation came, is there.
	for i := range 5 {
		name := fmt.Sprintf("new%d", i)
		if _, err := r.scim.Create(t.Context(), "/Users", user(name)); err != nil {
			t.Fatal(err)
		}
		// Another answer than this one may be a second old.
		for got := ""; !strings.HasPrefix(got, "found "); {
			if got = r.askAgent("pwb1 passwd name " + name + "\n"); !strings.HasPrefix(got, "found ") && got != "notfound\n" {
				t.Fatalf("%s: %q", name, got)
			}
		}
	}
	listen := strings.TrimPrefix(r.server.URL, "http://")
	r.server.Stop()
	r.untilState(t, "unreachable", func(s stateFile, there bool) bool { return there && s.flags == 0 })
	// A pass is good for a second.
	for got := ""; got != "unavail\n"; {
		if got = r.askAgent("pwb1 passwd name grace\n"); got != "unavail\n" && got != "notfound\n" {
			t.Fatalf("a miss without a server: %q", got)
		}
	}
	if got := r.askAgent("pwb1 passwd name ada\n"); got != foundLine(ada) {
		t.Errorf("what is there, without a server: %q", got)
	}
	r.start(t, "store", listen)
	r.untilState(t, "current again", func(s stateFile, there bool) bool { return there && s.flags == reached|current })

	// A heartbeat comes while nothing happens.
	was, _ := r.readState(t)
	r.untilState(t, "younger", func(s stateFile, _ bool) bool { return s.beat > was.beat })

	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.untilState(t, "absent", func(_ stateFile, there bool) bool { return !there })
	d.tells("STOPPING=1")
	d.told <- "STOPPING=1" // for the one who looks for it at the end
}

func TestAFuseThatHoldsAChangeBackIsToldToTheNSSModule(t *testing.T) {
	r := newRig(t)
	ids := r.push(t, 4, 30, "user")
	r.sync(t, 0)
	for _, id := range ids {
		if _, err := r.scim.Want(t.Context(), http.StatusNoContent, http.MethodDelete, "/Users/"+id, nil); err != nil {
			t.Fatal(err)
		}
	}
	r.daemonize(t, "--max-change-count", "0", "--max-change-percent", "0")
	r.untilState(t, "reached and not current", func(s stateFile, there bool) bool { return there && s.flags == reached })
	if got := r.askAgent("pwb1 passwd name grace\n"); got != "notfound\n" {
		t.Errorf("a miss: %q", got)
	}
	if got := r.askAgent("pwb1 passwd name user0\n"); !strings.HasSuffix(got, ":/bin/bash") {
		t.Errorf("who is held back: %q", got)
	}
}

func TestAStormOfMissesMakesFewPassesAtTheServer(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", numbered("ada", 4711)); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ErrorLog = log.New(io.Discard, "", 0) // of requests that the agent gives up
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/changes") {
			asked.Add(1)
		}
		defer func() { _ = recover() }() // the agent gives requests up
		forward.ServeHTTP(w, q)
	}))
	t.Cleanup(proxy.Close) // when the agent has ended
	r.agent.Server = proxy.URL
	r.daemonize(t)
	r.untilState(t, "current", func(s stateFile, there bool) bool { return there && s.flags == reached|current })
	before, began := asked.Load(), time.Now()
	var all sync.WaitGroup
	for worker := range 50 {
		all.Go(func() {
			for i := range 20 {
				if got := r.askAgent(fmt.Sprintf("pwb1 passwd name miss%d-%d\n", worker, i)); got != "notfound\n" {
					t.Errorf("%q", got)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	// Each pass is a request, and the poll after it another.
	if n, most := asked.Load()-before, 2*int32(took/time.Second+2); n > most {
		t.Errorf("1,000 misses in %v made %d requests, at most %d are wanted", took, n, most)
	}
	t.Logf("1,000 misses in %v made %d requests", took, asked.Load()-before)
}

func TestAKilledAgentIsNotTakenForALivingOne(t *testing.T) {
	r := newRig(t)
	if _, err := r.scim.Create(t.Context(), "/Users", numbered("ada", 4711)); err != nil {
		t.Fatal(err)
	}
	cmd := r.agent.Command(context.Background(), "run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.untilState(t, "current", func(s stateFile, there bool) bool { return there && s.flags == reached|current })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	was, there := r.readState(t)
	if !there || was.pid != uint64(cmd.Process.Pid) {
		t.Errorf("what is left: %v, %+v", there, was)
	}
	if got := r.askAgent("pwb1 passwd name ada\n"); !strings.Contains(got, "refused") {
		t.Errorf("nobody answers, but %q", got)
	}
	// The next one takes its place; a third one leaves that alone.
	next := r.daemonize(t)
	r.untilState(t, "the next agent's", func(s stateFile, there bool) bool {
		return there && s.pid == uint64(next.cmd.Process.Pid) && s.beat > was.beat
	})
	third := r.agent.Command(context.Background(), "run", "--state-dir", filepath.Join(r.dir, "third"), "--dir", r.agent.Dir)
	stderr, err := third.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(stderr)
	for said.Scan() && !strings.Contains(said.Text(), "another agent answers") {
	}
	if said.Text() == "" {
		t.Error("the third agent does not say that there is another one")
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }() // lest it wait for a reader
	if got := r.askAgent("pwb1 passwd name ada\n"); !strings.HasPrefix(got, "found ") {
		t.Errorf("beside the third: %q", got)
	}
	if err := third.Cancel(); err != nil {
		t.Fatal(err)
	}
	if err := third.Wait(); err != nil {
		t.Error(err)
	}
	if s, there := r.readState(t); !there || s.pid != uint64(next.cmd.Process.Pid) {
		t.Errorf("the third agent took the state away: %v, %+v", there, s)
	}
}

func TestAnAgentWithoutARunDirectoryKeepsTheFilesAllTheSame(t *testing.T) {
	for dir, warns := range map[string]bool{"": false, "/nonexistent/run": true} {
		r := newRig(t)
		if _, err := r.scim.Create(t.Context(), "/Users", numbered("ada", 4711)); err != nil {
			t.Fatal(err)
		}
		d := r.daemonize(t, "--run-dir", dir)
		if warns {
			if line := d.logs("cannot ask this agent"); !strings.Contains(line, "level=WARN") || !strings.Contains(line, "/nonexistent") {
				t.Errorf("it says %s", line)
			}
		}
		d.tells("STATUS=at change 1")
		if content, err := os.ReadFile(filepath.Join(r.agent.Dir, "passwd")); err != nil || !lineBegins("ada:")(content) {
			t.Errorf("run-dir %q: %q, %v", dir, content, err)
		}
		if _, err := os.Stat(r.agent.RunDir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("run-dir %q: %v", dir, err)
		}
	}
}

func TestNSSLiveAsksTheServer(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	other, _ := certificate(t, dir, "other")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	id, err := r.server.Token(t.Context(), "users", "node-user")
	if err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(r.dir, "user-token")
	if err := os.WriteFile(shared, []byte(id+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := bin.Command(t.Context(), "pwb-server", "user", "add", "ada", "--uid", "4711", "--data-dir", r.server.DataDir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	conf := filepath.Join(r.dir, "workbench-nss.conf")
	ask := func(question string, lines ...string) string {
		t.Helper()
		text := strings.Join(append([]string{"server-address=" + r.server.URL, "admin-token-path=" + r.agent.TokenFile, "user-token-path=" + shared}, lines...), "\n")
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := bin.Command(t.Context(), "nss-live", "--conf", conf)
		cmd.Env, cmd.Stdin = []string{}, strings.NewReader(question)
		out, err := cmd.Output()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out)
	}
	const passwd = "ada:x:4711:4711:ada:/home/ada:/bin/bash"
	shadow := foundLine("ada:*:::::::")
	if os.Geteuid() != 0 {
		shadow = "denied\n"
	}
	for _, c := range []struct{ question, conf, want string }{
		{"pwb1 passwd name ada\n", "ca-cert-path=" + cert, foundLine(passwd)},
		{"pwb1 passwd id 4711\n", "ca-cert-path=" + cert, foundLine(passwd)},
		{"pwb1 group id 4711\n", "ca-cert-path=" + cert, foundLine("ada:x:4711:")},
		{"pwb1 initgroups name ada\n", "ca-cert-path=" + cert, foundLine("")},
		{"pwb1 shadow name ada\n", "ca-cert-path=" + cert, shadow},
		{"pwb1 passwd name grace\n", "ca-cert-path=" + cert, "notfound\n"},
		{"pwb1 passwd name ada\n", "", "unavail\n"},
		{"pwb1 passwd name ada\n", "ca-cert-path=" + other, "unavail\n"},
		{"pwb1 passwd name ada\n", "verify-ssl-certs=0", foundLine(passwd)},
		{"pwb1 passwd name ada\n", "verify-ssl-certs=0\nadmin-token-path=/dev/null\nuser-token-path=/dev/null", "unavail\n"},
	} {
		if got := ask(c.question, c.conf); got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.question, c.conf, got, c.want)
		}
	}
}
