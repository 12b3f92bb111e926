package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// kept runs testdata/kept.c, which holds the module's C, in one of its modes.
func kept(t *testing.T, build string, flags []string, mode string, rounds int) {
	t.Helper()
	conf := filepath.Join(once.dir, "kept.conf")
	program := made(t, build, func(to string) *exec.Cmd {
		cmd := compile(t, to, append(flags, fmt.Sprintf("-DPWB_CONF=%q", conf), "-O2", "testdata/kept.c", "-ldl", "-lpthread")...)
		cmd.Args = slices.DeleteFunc(cmd.Args, func(arg string) bool { return arg == "cache.c" }) // kept.c includes it
		return cmd
	})
	n := newNode(t)
	for _, which := range []string{"a", "b"} {
		x := sample()
		x.users[0].home = "/home/" + which
		write(t, n.path(which, "roster.idx"), x.bytes(1), 0o644)
		write(t, n.path("other", n.dir, which, "roster.idx"), x.bytes(1), 0o644)
	}
	write(t, n.path("other", conf), []byte("state-dir = "+n.path("a")+"\n"), 0o644)
	os.Remove(conf)
	t.Cleanup(func() { os.Remove(conf) })
	if out, err := exec.Command(program, mode, n.dir, fmt.Sprint(rounds)).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", mode, err, out)
	}
}

// At once: files of the tests are not left alone for seconds.
var atOnce = []string{"-DPWB_SETTLED=-1", "-DPWB_UNASKED=0"}

func TestAChangedConfigurationIsSeenByTheNextLookup(t *testing.T) {
	kept(t, "kept", atOnce, "everything", 0)
}

func TestNobodyAsksForTheConfigurationTwiceInAWhile(t *testing.T) {
	kept(t, "kept.unasked", []string{"-DPWB_SETTLED=-1", "-DPWB_UNASKED=600000"}, "unasked", 0)
}

func TestAChildOfAWriteThatNeverEndsLooksUp(t *testing.T) {
	kept(t, "kept", atOnce, "middle", 0)
}

func TestAnswersAreByTheOldOrTheNewConfiguration(t *testing.T) {
	kept(t, "kept", atOnce, "replaced", 2000)
	kept(t, "kept", atOnce, "words", 200_000)
}

func TestThreadsShareTheConfigurationWithoutARace(t *testing.T) {
	race := append([]string{"-fsanitize=thread", "-Wno-tsan"}, atOnce...)
	if out, err := exec.Command("sh", "-c", "echo 'int main(){return 0;}' > $0.c && gcc -fsanitize=thread -o $0 $0.c && $0", filepath.Join(t.TempDir(), "t")).CombinedOutput(); err != nil {
		t.Skipf("no thread sanitizer here: %v: %s", err, out)
	}
	kept(t, "kept.race", race, "replaced", 300)
	kept(t, "kept.race", race, "words", 20_000)
}

func TestOnlyAFileThatWasLeftAloneIsKept(t *testing.T) {
	kept(t, "kept.settled", nil, "settled", 0)
}
