package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// agent is a stand-in for the agent: it answers each request by a function.
type agent struct{ asked atomic.Int64 }

func (n *node) listen(t testing.TB, answer func(request string, to net.Conn)) *agent {
	t.Helper()
	path := n.path("run", "agent.sock")
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	a := &agent{}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			if line != "" {
				a.asked.Add(1)
			}
			answer(line, c)
			c.Close()
		}
	}()
	return a
}

func says(text string) func(string, net.Conn) {
	return func(_ string, to net.Conn) { fmt.Fprint(to, text) }
}

func found(line string) string { return fmt.Sprintf("found %d\n%s", len(line), line) }

const lisa = "lisa:x:5050:5050:Lisa:/home/lisa:/bin/sh"

func TestTheAgentIsAskedForWhatTheIndexDoesNotHold(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.configure(t, "timeout = 20000")
	answers := map[string]string{
		"pwb1 passwd name lisa\n":     found(lisa),
		"pwb1 passwd id 5050\n":       found(lisa),
		"pwb1 group name team\n":      found("team:x:5051:ada,lisa"),
		"pwb1 group id 5051\n":        found("team:x:5051:ada,lisa"),
		"pwb1 group name empty\n":     found("empty:x:5052:"),
		"pwb1 shadow name lisa\n":     found("lisa:$6$a$b:19000:0:99999:7:::"),
		"pwb1 initgroups name lisa\n": found("5051 998 5052"),
		"pwb1 initgroups name solo\n": found(""),
		"pwb1 passwd name gone\n":     "notfound\n",
		"pwb1 passwd name away\n":     "unavail\n",
		"pwb1 passwd name secret\n":   "denied\n",
		"pwb1 shadow name secret\n":   "denied\n",
	}
	n.listen(t, func(request string, to net.Conn) { fmt.Fprint(to, answers[request]) })
	n.expect(t,
		"pwnam lisa 1024", "SUCCESS "+lisa,
		"pwuid 5050 1024", "SUCCESS "+lisa,
		"grnam team 1024", "SUCCESS team:x:5051:ada,lisa",
		"grgid 5051 1024", "SUCCESS team:x:5051:ada,lisa",
		"grnam empty 1024", "SUCCESS empty:x:5052:",
		"initgroups lisa 5050 0", "SUCCESS 5051 998 5052",
		"initgroups lisa 5052 2", "SUCCESS 5051",
		"initgroups solo 5050 0", "SUCCESS",
		"pwnam gone 1024", "NOTFOUND ENOENT",
		"pwnam away 1024", "UNAVAIL EHOSTUNREACH",
		"pwnam secret 1024", "UNAVAIL EACCES",
		"sizes pwnam lisa 128", "SUCCESS "+lisa,
		"sizes grnam team 128", "SUCCESS team:x:5051:ada,lisa",
	)
	if os.Geteuid() == 0 {
		n.expect(t, "spnam lisa 1024", "SUCCESS lisa:$6$a$b:19000:0:99999:7:-1:-1:-1", "spnam secret 1024", "NOTFOUND ENOENT",
			"sizes spnam lisa 64", "SUCCESS lisa:$6$a$b:19000:0:99999:7:-1:-1:-1",
			"uid 65534", "", "spnam lisa 1024", "NOTFOUND ENOENT", "pwnam lisa 1024", "SUCCESS "+lisa)
	}
}

func TestAWrongAnswerOfTheAgentIsNoAnswer(t *testing.T) {
	line := func(l string) string { return found(l) }
	for name, c := range map[string]struct{ request, answer, want string }{
		"nothing":                   {"", "", "UNAVAIL EBADMSG"},
		"half a word":               {"", "fou", "UNAVAIL EBADMSG"},
		"another word":              {"", "hello\n", "UNAVAIL EBADMSG"},
		"words without end":         {"", strings.Repeat("x", 100_000), "UNAVAIL EBADMSG"},
		"no length":                 {"", "found \n", "UNAVAIL EBADMSG"},
		"a negative length":         {"", "found -1\nx", "UNAVAIL EBADMSG"},
		"a huge length":             {"", "found 99999999\nx", "UNAVAIL EBADMSG"},
		"a length beyond numbers":   {"", "found 99999999999999999999\nx", "UNAVAIL EBADMSG"},
		"less than the length":      {"", "found 100\n" + lisa, "UNAVAIL EBADMSG"},
		"more than the length":      {"", "found 3\n" + lisa, "UNAVAIL EBADMSG"},
		"more than notfound":        {"", "notfound\nx", "UNAVAIL EBADMSG"},
		"somebody else":             {"", line("ada:x:5050:5050::/home/ada:/bin/sh"), "UNAVAIL EBADMSG"},
		"another number":            {"pwuid 5051 1024", line(lisa), "UNAVAIL EBADMSG"},
		"too few fields":            {"", line("lisa:x:5050:5050::/home/lisa"), "UNAVAIL EBADMSG"},
		"too many fields":           {"", line(lisa + ":x"), "UNAVAIL EBADMSG"},
		"root's number":             {"", line("lisa:x:0:5050::/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"root's group":              {"", line("lisa:x:5050:0::/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"a number of the system":    {"", line("lisa:x:999:5050::/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"nobody's number":           {"", line("lisa:x:65534:5050::/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"a number with a sign":      {"", line("lisa:x:+5050:5050::/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"a number out of range":     {"", line("lisa:x:4294968296:5050::/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"a line break":              {"", line("lisa:x:5050:5050:\n:/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"a NUL":                     {"", line("lisa:x:5050:5050:\x00:/home/lisa:/bin/sh"), "UNAVAIL EBADMSG"},
		"an empty line":             {"", line(""), "UNAVAIL EBADMSG"},
		"an empty member":           {"grnam team 1024", line("team:x:5051:a,,b"), "UNAVAIL EBADMSG"},
		"root's group by name":      {"grnam team 1024", line("team:x:0:lisa"), "UNAVAIL EBADMSG"},
		"membership in root":        {"initgroups lisa 5050 0", line("5051 0"), "UNAVAIL EBADMSG"},
		"gids that are none":        {"initgroups lisa 5050 0", line("5051 x"), "UNAVAIL EBADMSG"},
		"gids with two blanks":      {"initgroups lisa 5050 0", line("5051  5052"), "UNAVAIL EBADMSG"},
		"more gids than there are":  {"initgroups lisa 5050 0", "found 16777216\n", "UNAVAIL EBADMSG"},
		"a long answer is too long": {"", "found 16777216\n", "TRYAGAIN ERANGE"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.configure(t, "timeout = 20000")
			n.listen(t, says(c.answer))
			if c.request == "" {
				c.request = "pwnam lisa 1024"
			}
			n.expect(t, c.request, c.want)
		})
	}
}

func TestASilentAgentIsWaitedForOnceAndNoLongerThanTheDeadline(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.configure(t, "timeout = 150")
	release := make(chan struct{})
	a := n.listen(t, func(string, net.Conn) { <-release })
	t.Cleanup(func() { close(release) })
	n.expect(t,
		"alarms 500", "", // signals do not lengthen the wait
		"pwnam lisa 1024", "UNAVAIL ETIMEDOUT",
		"pwnam lisa 1024", "UNAVAIL EAGAIN", // and now nobody is asked for a while
		"pwuid 5050 1024", "UNAVAIL EAGAIN",
		"pwnam ada 1024", adaLine, // the index answers as ever
	)
	if asked := a.asked.Load(); asked != 1 {
		t.Errorf("the agent was asked %d times", asked)
	}
}

func TestAnAgentThatNeverAcceptsIsWaitedForNoLongerThanTheDeadline(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 150")
	l, err := net.Listen("unix", n.path("run", "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n.expect(t, "pwnam lisa 1024", "UNAVAIL ETIMEDOUT")
}

func TestAnAnswerByBytesAmongSignalsIsReadWhole(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 20000")
	n.listen(t, func(_ string, to net.Conn) {
		for _, b := range []byte(found(lisa)) {
			to.Write([]byte{b})
			time.Sleep(time.Millisecond) // lets the reader find one byte at a time; the result does not hang on it
		}
	})
	n.expect(t, "alarms 2000", "", "pwnam lisa 1024", "SUCCESS "+lisa)
}

func TestTheStateFileSaysWhetherAMissIsTheLastWord(t *testing.T) {
	fresh := state{flags: reachable | current, heartbeat: time.Second, answer: time.Second, generation: 7}
	with := func(f func(*state)) state { s := fresh; f(&s); return s }
	for name, c := range map[string]struct {
		state state
		spoil func(t *testing.T, path string)
		want  string // "asked": the agent's word
	}{
		"fresh":                  {fresh, nil, "NOTFOUND ENOENT"},
		"not reachable":          {with(func(s *state) { s.flags = current }), nil, "UNAVAIL EHOSTUNREACH"},
		"not current":            {with(func(s *state) { s.flags = reachable }), nil, "asked"},
		"an old answer":          {with(func(s *state) { s.answer = time.Minute }), nil, "asked"},
		"an old heartbeat":       {with(func(s *state) { s.heartbeat = time.Minute }), nil, "asked"},
		"old and not reachable":  {with(func(s *state) { s.heartbeat, s.flags = time.Minute, 0 }), nil, "asked"},
		"a heartbeat to come":    {with(func(s *state) { s.heartbeat = -time.Hour }), nil, "asked"},
		"an answer to come":      {with(func(s *state) { s.answer = -time.Hour }), nil, "asked"},
		"another index":          {with(func(s *state) { s.generation = 8 }), nil, "asked"},
		"absent":                 {fresh, func(t *testing.T, p string) { os.Remove(p) }, "asked"},
		"writable for everybody": {fresh, func(t *testing.T, p string) { os.Chmod(p, 0o646) }, "asked"},
		"short":                  {fresh, func(t *testing.T, p string) { os.Truncate(p, 63) }, "asked"},
		"long":                   {fresh, func(t *testing.T, p string) { os.Truncate(p, 65) }, "asked"},
		"a wrong sum":            {fresh, func(t *testing.T, p string) { flip(t, p, 50) }, "asked"},
		"a symbolic link": {fresh, func(t *testing.T, p string) {
			os.Rename(p, p+".real")
			os.Symlink(p+".real", p)
		}, "asked"},
		"a directory": {fresh, func(t *testing.T, p string) { os.Remove(p); os.Mkdir(p, 0o755) }, "asked"},
		"a FIFO": {fresh, func(t *testing.T, p string) {
			os.Remove(p)
			if out, err := exec.Command("mkfifo", p).CombinedOutput(); err != nil {
				t.Fatalf("mkfifo: %v: %s", err, out)
			}
		}, "asked"},
		"somebody else's": {fresh, func(t *testing.T, p string) {
			if os.Geteuid() != 0 {
				t.Skip("not root")
			}
			os.Chown(p, 65534, 65534)
		}, "asked"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.publish(t, sample())
			n.configure(t, "timeout = 20000")
			a := n.listen(t, says(found(lisa)))
			n.beat(t, c.state)
			if c.spoil != nil {
				c.spoil(t, n.path("run", "state"))
			}
			if c.want != "asked" {
				n.expect(t, "pwnam lisa 1024", c.want, "pwnam ada 1024", adaLine)
				if a.asked.Load() != 0 {
					t.Error("the agent was asked all the same")
				}
				return
			}
			n.expect(t, "pwnam lisa 1024", "SUCCESS "+lisa, "pwnam ada 1024", adaLine)
		})
	}
}

func flip(t testing.TB, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyIsAskedWhereAQueryWouldWaitForItself(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	a := n.listen(t, says(found(lisa)))
	n.expect(t, "env SYSTEMD_NSS_DYNAMIC_BYPASS", "", "pwnam lisa 1024", "NOTFOUND ENOENT", "pwnam ada 1024", adaLine)
	n.expect(t, "unit pwb-agent.service", "", "pwnam lisa 1024", "NOTFOUND ENOENT", "pwnam ada 1024", adaLine)
	// What the agent itself starts: this process listens, and is the driver's parent.
	n.direct = true
	n.expect(t, "pwnam lisa 1024", "UNAVAIL EHOSTUNREACH", "pwnam ada 1024", adaLine)
	n.direct = false
	if a.asked.Load() != 0 {
		t.Error("the agent was asked")
	}
	n.expect(t, "unit sshd.service", "", "pwnam lisa 1024", "SUCCESS "+lisa)
}

func TestADamagedIndexIsAsNone(t *testing.T) {
	whole := sample().bytes(1)
	header := func(f func(b []byte)) []byte {
		b := append([]byte(nil), whole...)
		f(b)
		resum(b)
		return b
	}
	for name, b := range map[string][]byte{
		"empty":                   {},
		"a short header":          whole[:159],
		"a header alone":          whole[:160],
		"cut off":                 whole[:len(whole)-8],
		"longer":                  append(append([]byte(nil), whole...), make([]byte, 8)...),
		"another magic":           header(func(b []byte) { b[0]++ }),
		"another version":         header(func(b []byte) { b[8]++ }),
		"another kind":            sample().bytes(2),
		"a wrong sum":             append(append(append([]byte(nil), whole[:100]...), whole[100]^1), whole[101:]...),
		"a table beyond the end":  header(func(b []byte) { le.PutUint64(b[48:], uint64(len(b))) }),
		"a table far beyond":      header(func(b []byte) { le.PutUint64(b[48:], 1<<63) }),
		"a table out of step":     header(func(b []byte) { b[48]++ }),
		"a table in the header":   header(func(b []byte) { le.PutUint64(b[48:], 8) }),
		"too many slots":          header(func(b []byte) { le.PutUint32(b[56:], 1<<31) }),
		"no slots":                header(func(b []byte) { le.PutUint32(b[56:], 0) }),
		"no probes":               header(func(b []byte) { le.PutUint32(b[60:], 0) }),
		"too many probes":         header(func(b []byte) { le.PutUint32(b[60:], 65) }),
		"records beyond the end":  header(func(b []byte) { le.PutUint64(b[120:], uint64(len(b)+8)) }),
		"records that end before": header(func(b []byte) { le.PutUint64(b[120:], 8) }),
		"records in the header":   header(func(b []byte) { le.PutUint64(b[112:], 8) }),
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			write(t, n.path("state", "roster.idx"), b, 0o644)
			n.expect(t, "pwnam ada 1024", "UNAVAIL EHOSTUNREACH")
			n.listen(t, says(found("ada:x:5001:5001:live:/home/ada:/bin/sh")))
			n.expect(t, "pwnam ada 1024", "SUCCESS ada:x:5001:5001:live:/home/ada:/bin/sh")
		})
	}
}

func TestADamagedRecordIsNeverAnswered(t *testing.T) {
	n := newNode(t)
	n.configure(t, "enumerate = 1")
	x := index{users: sample().users[:1], teams: sample().teams[1:2], secrets: sample().secrets[:1]}
	b := x.bytes(1)
	begin, end := le.Uint64(b[112:]), le.Uint64(b[136:])
	for at := begin; at < end; at += 5 {
		for _, bit := range []byte{0x81} {
			c := append([]byte(nil), b...)
			c[at] ^= bit
			write(t, n.path("state", "roster.idx"), c, 0o644)
			for _, got := range n.drive(t, "pwnam ada 1024", "pwuid 5001 1024", "initgroups ada 5001 0", "grnam compilers 1024", "grgid 6000 1024", "pwent 0 1024", "grent 0 1024") {
				switch got {
				case adaLine, "SUCCESS compilers:x:6000:ada,countess", "SUCCESS 6000 998 6001": // the other record
				case "UNAVAIL EBADMSG", "UNAVAIL ENOENT", "UNAVAIL EHOSTUNREACH", "TRYAGAIN ERANGE":
				default:
					t.Fatalf("byte %d changed by %#x: %s", at, bit, got)
				}
			}
		}
	}
}

func TestOddFilesInPlaceOfTheIndexHoldNobody(t *testing.T) {
	n := newNode(t)
	path := n.path("state", "roster.idx")
	for name, put := range map[string]func() error{
		"a FIFO":      func() error { return exec.Command("mkfifo", path).Run() },
		"a directory": func() error { return os.Mkdir(path, 0o755) },
		"a socket": func() error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
		"a symbolic link": func() error {
			real := filepath.Join(n.dir, "real.idx")
			write(t, real, sample().bytes(1), 0o644)
			return os.Symlink(real, path)
		},
		"a file that everybody may write": func() error {
			write(t, path, sample().bytes(1), 0o666)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			os.RemoveAll(path)
			if err := put(); err != nil {
				t.Fatal(err)
			}
			n.expect(t, "pwnam ada 1024", "UNAVAIL EHOSTUNREACH")
		})
	}
}
