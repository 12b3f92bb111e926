package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// helper puts a program in place of nss-live: a shell script.
func (n *node) helper(t testing.TB, script string) {
	t.Helper()
	write(t, n.path("libexec", "nss-live"), []byte("#!/bin/sh\n"+script+"\n"), 0o755)
}

// answering is a script that answers lisa's lines and notes what it was asked.
func (n *node) answering() string {
	return fmt.Sprintf(`read request
echo "$request" >> %s
case "$request" in
"pwb1 passwd name lisa"|"pwb1 passwd id 5050") line='%s';;
"pwb1 group name team") line=team:x:5051:ada,lisa;;
"pwb1 initgroups name lisa") line='5051 6000';;
"pwb1 shadow name lisa") line='lisa:$6$a$b:19000:0:99999:7:::';;
*) echo notfound; exit;;
esac
printf 'found %%d\n%%s' ${#line} "$line"`, n.path("asked"), lisa)
}

func TestWithoutAnAgentAProcessOfItsOwnIsAsked(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 20000")
	if err := os.WriteFile(n.path("asked"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	n.helper(t, n.answering())
	n.expect(t,
		"sigchld", "",
		"pwnam lisa 1024", "SUCCESS "+lisa,
		"pwuid 5050 1024", "SUCCESS "+lisa,
		"grnam team 1024", "SUCCESS team:x:5051:ada,lisa",
		"initgroups lisa 5050 0", "SUCCESS 5051 6000",
		"pwnam lisa 10", "TRYAGAIN ERANGE",
		"pwnam nobodyhere 1024", "NOTFOUND ENOENT",
		"children", "0 signals",
		"closed", "",
		"pwnam lisa 1024", "SUCCESS "+lisa,
	)
	if os.Geteuid() == 0 {
		n.expect(t, "spnam lisa 1024", "SUCCESS lisa:$6$a$b:19000:0:99999:7:-1:-1:-1", "uid 65534", "", "spnam lisa 1024", "NOTFOUND ENOENT",
			"pwnam lisa 1024", "SUCCESS "+lisa)
	}
	n.publish(t, sample())
	n.expect(t, "alarms 500", "", "pwnam lisa 1024", "SUCCESS "+lisa, "pwnam ada 1024", adaLine)
}

func TestTheHelperHasNothingOfItsHost(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 20000")
	seen := n.path("seen")
	// The shell itself sets PWD and the like: the kernel's list is what it was given.
	n.helper(t, fmt.Sprintf(`ls -l /proc/self/fd > %[1]s
tr '\0' ' ' < /proc/$$/environ > %[1]s.environ
grep -E '^(SigBlk|SigIgn|SigCgt)' /proc/self/status >> %[1]s
readlink /proc/$$/cwd >> %[1]s
echo notfound`, seen))
	t.Setenv("HTTP_PROXY", "http://attacker.example")
	n.expect(t, "sigchld", "", "alarms 1", "", "pwnam lisa 1024", "NOTFOUND ENOENT")
	b, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, want := range []string{" 0 -> pipe:", " 1 -> " + seen, " 2 -> /dev/null\n", " 3 -> /proc/", "SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n", "\n/\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Count(got, " -> ") != 4 {
		t.Errorf("descriptors of the host:\n%s", got)
	}
	if b, err := os.ReadFile(seen + ".environ"); err != nil || len(b) > 0 {
		t.Errorf("environment %q, %v", b, err)
	}
}

func TestAHelperThatFailsIsAskedOnce(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"dies":                  {"exit 1", "UNAVAIL EBADMSG"},
		"is killed":             {"kill -9 $$", "UNAVAIL EBADMSG"},
		"says nothing it knows": {"echo hello", "UNAVAIL EBADMSG"},
		"stops in the middle":   {"printf 'found 100\nlisa'", "UNAVAIL EBADMSG"},
		"answers for another":   {"l=ada:x:5050:5050::/home/ada:/bin/sh; printf 'found %d\n%s' ${#l} $l", "UNAVAIL EBADMSG"},
		"hangs":                 {"exec sleep 1000", "UNAVAIL ETIMEDOUT"},
		"hangs in the middle":   {"printf 'found 100\nlisa'; exec sleep 1000", "UNAVAIL ETIMEDOUT"},
		"reads nothing":         {"exec <&-; exec sleep 1000", "UNAVAIL ETIMEDOUT"},
		"answers without end":   {"yes", "UNAVAIL EBADMSG"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			// Long enough for what fails by itself, short for what hangs.
			timeout := 20000
			if strings.HasSuffix(c.want, "ETIMEDOUT") {
				timeout = 300
			}
			n.configure(t, fmt.Sprintf("timeout = %d", timeout))
			n.helper(t, "echo once >> "+n.path("asked")+"\n"+c.script)
			n.expect(t, "pwnam lisa 1024", c.want, "pwnam lisa 1024", "UNAVAIL EAGAIN", "grgid 5050 1024", "UNAVAIL EAGAIN")
			if b, _ := os.ReadFile(n.path("asked")); string(b) != "once\n" {
				t.Errorf("it was asked %q", b)
			}
		})
	}
}

func TestAHelperThatNobodyShouldRunIsNotRun(t *testing.T) {
	for name, c := range map[string]struct {
		mode os.FileMode
		want string
	}{
		"writable for others":  {0o757, "UNAVAIL EBADMSG"},
		"writable for a group": {0o775, "UNAVAIL EBADMSG"},
		"not executable":       {0o644, "UNAVAIL EBADMSG"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.helper(t, n.answering())
			if err := os.Chmod(n.path("libexec", "nss-live"), c.mode); err != nil {
				t.Fatal(err)
			}
			n.expect(t, "pwnam lisa 1024", c.want)
			if _, err := os.Stat(n.path("asked")); err == nil {
				t.Error("it was run")
			}
		})
	}
}

func TestWithoutAgentAndHelperTheIndexIsTheLastWord(t *testing.T) {
	n := newNode(t)
	n.expect(t, "pwnam lisa 1024", "UNAVAIL ENOENT")
	n.publish(t, sample())
	n.expect(t, "pwnam lisa 1024", "NOTFOUND ENOENT", "pwnam ada 1024", adaLine)
}

func TestWhereThePolicyRestrictsTheHelperIsNotAsked(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 20000")
	n.helper(t, n.answering())
	x := sample()
	x.flags = 1
	n.publish(t, x)
	want := []string{"pwnam lisa 1024", "NOTFOUND ENOENT", "initgroups lisa 5050 0", "NOTFOUND ENOENT", "spnam lisa 1024", "NOTFOUND ENOENT"}
	n.expect(t, want...)
	// The shadow's index alone is missing: the roster's still tells.
	if err := os.Remove(n.path("state", "shadow.idx")); err != nil {
		t.Fatal(err)
	}
	n.expect(t, want...)
	// Nor where it cannot be read whether the policy restricts.
	flip(t, n.path("state", "roster.idx"), 100)
	n.expect(t, "pwnam lisa 1024", "UNAVAIL EHOSTUNREACH")
	if b, err := os.ReadFile(n.path("asked")); err == nil {
		t.Errorf("it was asked %s", b)
	}
}

func TestNoProcessStaysBehind(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 300")
	n.helper(t, "echo $$ >> "+n.path("asked")+"\nexec sleep 1000")
	n.expect(t, "pwnam lisa 1024", "UNAVAIL ETIMEDOUT")
	b, err := os.ReadFile(n.path("asked"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join("/proc", strings.TrimSpace(string(b)))); err == nil {
		t.Errorf("process %s is still there", b)
	}
}

func TestAHostThatMayNotCloneIsToldSo(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 20000")
	n.helper(t, n.answering())
	n.expect(t, "noclone", "", "pwnam lisa 1024", "UNAVAIL EBADMSG", "pwnam lisa 1024", "UNAVAIL EAGAIN")
}

func TestAHostThatMayHaveNoMoreProcessesIsToldSo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become a user who has no other process")
	}
	n := newNode(t)
	n.publish(t, sample())
	n.configure(t, "timeout = 20000")
	n.helper(t, n.answering())
	n.expect(t, "uid 64000", "", "pwnam lisa 1024", "SUCCESS "+lisa)
	n.expect(t, "uid 64000", "", "processes 1", "", "pwnam ada 1024", adaLine, "pwnam lisa 1024", "UNAVAIL EBADMSG", "pwuid 5001 1024", adaLine)
	// An agent needs no process of the host's.
	n.listen(t, says(found(lisa)))
	n.expect(t, "uid 64000", "", "processes 1", "", "pwnam lisa 1024", "SUCCESS "+lisa)
}

func TestTimersOfTheHostGoOnDuringAQuery(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.configure(t, "timeout = 20000")
	n.helper(t, n.answering())
	pairs := []string{"timers 1000", ""}
	for range 20 {
		pairs = append(pairs, "pwnam lisa 1024", "SUCCESS "+lisa, "initgroups lisa 5050 0", "SUCCESS 5051 6000", "pwnam nobodyhere 1024", "NOTFOUND ENOENT",
			"pwnam ada 1024", adaLine)
	}
	n.expect(t, append(pairs, "ticking", "both")...)
	n.listen(t, says(found(lisa)))
	n.expect(t, "timers 1000", "", "pwnam lisa 1024", "SUCCESS "+lisa, "pwuid 5050 1024", "SUCCESS "+lisa, "ticking", "both")
}

func TestThreadsAndTheirChildrenQueryAtOnce(t *testing.T) {
	n := newNode(t)
	n.configure(t, "timeout = 20000")
	n.helper(t, n.answering())
	out, err := n.run(t, "", program(t, "hammer"), "$LIB", "10", "live")
	if err != nil || out != "1 threads\n" {
		t.Errorf("%s%v", out, err)
	}
	b, err := os.ReadFile(n.path("asked"))
	if want := 8 * (10 + 1) * 3; err != nil || strings.Count(string(b), "\n") != want {
		t.Errorf("asked %d times, %v; want %d", strings.Count(string(b), "\n"), err, want)
	}
}
