package after

import (
	"os"
	"strings"
	"testing"

	"pwb/roster"
)

const login1 = "--system call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager "

// newLogind is a node whose busctl writes down how it is called, lists users and
// fails as two files say.
func newLogind(t *testing.T, users string) *node {
	t.Helper()
	n := newNode(t)
	n.cfg.EndSessions = true
	n.cfg.Busctl = n.script(t, n.dir+"/busctl", `echo "$*" >> $heard
case $6 in
ListUsers) cat `+n.dir+`/users;;
*) if test -e `+n.dir+`/after; then mv `+n.dir+`/after `+n.dir+`/users; fi
   if test -e `+n.dir+`/fails; then echo "Call failed: no" >&2; exit 1; fi;;
esac`, 0o755)
	n.write(t, "users", users)
	return n
}

func (n *node) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(n.dir+"/"+name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const (
	nobodyHere = "a(uso) 0\n"
	adaAndBob  = `a(uso) 2 4711 "ada" "/org/freedesktop/login1/user/_4711" 4712 "bob" "/org/freedesktop/login1/user/_4712"` + "\n"
	bobHere    = `a(uso) 1 4712 "bob" "/org/freedesktop/login1/user/_4712"` + "\n"
)

func TestSessionsOfWhoLeftAreEndedByNumber(t *testing.T) {
	n := newLogind(t, adaAndBob)
	n.script(t, "h", tell, 0o755)
	if err := n.round(t, ada, roster.Leaver{Name: "carol", UID: 4713}, roster.Leaver{Name: "bob", UID: 4712}); err != nil {
		t.Fatal(err)
	}
	n.check(t, login1+"ListUsers\n"+login1+"TerminateUser u 4711\n"+login1+"TerminateUser u 4712\n"+
		"h change\nh lock ada\nh lock carol\nh lock bob\n")
	if log := n.log.String(); strings.Count(log, "ended the sessions") != 2 || !strings.Contains(log, "name=ada uid=4711") {
		t.Errorf("log %s", log)
	}
	n.write(t, "users", nobodyHere)
	if err := n.round(t, ada); err != nil {
		t.Fatal(err)
	}
	n.check(t, login1+"ListUsers\nh change\nh lock ada\n")
}

func TestSessionsAreLeftAloneUnlessThatIsWanted(t *testing.T) {
	n := newLogind(t, adaAndBob)
	n.cfg.EndSessions = false
	if err := n.round(t, ada); err != nil {
		t.Fatal(err)
	}
	n.check(t, "")
}

func TestSessionsOfTheSystemsOwnAreLeftAlone(t *testing.T) {
	n := newLogind(t, `a(uso) 1 0 "root" "/org/freedesktop/login1/user/_0"`)
	for _, uid := range []uint32{0, 999, 65534, 1<<32 - 1} {
		if err := n.Evict(t.Context(), roster.Leaver{Name: "x", UID: uid}); err == nil {
			t.Errorf("sessions of %d are ended", uid)
		}
	}
	n.check(t, "")
}

func TestWhatFailsAtLogindIsToldUnlessTheSessionsAreGone(t *testing.T) {
	n := newLogind(t, adaAndBob)
	n.write(t, "fails", "")
	n.write(t, "after", bobHere)
	if err := n.Evict(t.Context(), ada); err != nil {
		t.Errorf("ada has gone by herself, and it fails with %v", err)
	}
	err := n.Evict(t.Context(), roster.Leaver{Name: "bob", UID: 4712})
	if err == nil || !strings.Contains(err.Error(), `end the sessions of "bob", uid 4712: `+n.cfg.Busctl+` TerminateUser: exit status 1; its output ends in "Call failed: no"`) {
		t.Errorf("error %v", err)
	}
	for _, answer := range []string{"", "x", "a(uso)", "a(uso) 2 4711 x y", "a(uso) 1 4711 x", "a(uso) 1 -1 x y", "a(us) 1 4711 x", strings.Repeat("x", maxUsers+1)} {
		n.Actions.active = nil
		n.write(t, "users", answer)
		if err := n.Evict(t.Context(), ada); err == nil || !strings.Contains(err.Error(), "ask logind who is here") {
			t.Errorf("at the answer %.20q: error %v", answer, err)
		}
	}
	n.Actions.active = nil
	n.cfg.Busctl = "/nonexistent/busctl"
	if err := n.Evict(t.Context(), ada); err == nil || !strings.Contains(err.Error(), "/nonexistent/busctl") {
		t.Errorf("error %v", err)
	}
}
