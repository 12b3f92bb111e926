package setup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pwb/syncer"
)

// registry is a server that takes tokens.
type registry struct {
	known map[string]bool // by both texts
	err   error           // what the next answer is lost or refused with
}

func (r *registry) ask(_ context.Context, admin, user syncer.NodeToken) error {
	r.known[admin.Text()+" "+user.Text()] = true
	return r.err
}

func newEnrolment(t *testing.T) (Enrolment, *registry) {
	return Enrolment{
		Root: t.TempDir(), AdminToken: "/etc/rstudio/admin-token", UserToken: "/etc/rstudio/user-token",
		ConfigFile: "/etc/pwb/agent.yaml", ConfigText: "server: https://pwb.example\n",
	}, &registry{known: map[string]bool{}}
}

// enrolled fails the test unless the two tokens that the registry knows are in place.
func (e Enrolment) enrolled(t *testing.T, r *registry) {
	t.Helper()
	var texts []string
	for name, mode := range map[string]os.FileMode{e.AdminToken: 0o600, e.UserToken: 0o644, e.ConfigFile: 0o644} {
		fi, err := os.Stat(filepath.Join(e.Root, name))
		if err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
	for _, name := range []string{e.AdminToken, e.UserToken} {
		data, err := os.ReadFile(filepath.Join(e.Root, name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, strings.TrimSpace(string(data)))
	}
	if len(r.known) != 1 || !r.known[strings.Join(texts, " ")] {
		t.Errorf("the server knows %d pairs; those in place are %q", len(r.known), texts)
	}
	left, err := filepath.Glob(filepath.Join(e.Root, "etc/rstudio/*"+pendingSuffix))
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestKilledAnywhereAnEnrolmentGoesOnWithTheSameTokens(t *testing.T) {
	killed := errors.New("killed")
	count := 0
	e, r := newEnrolment(t)
	e.Step = func(_ string, op func() error) error { count++; return op() }
	if err := e.Run(t.Context(), r.ask); err != nil {
		t.Fatal(err)
	}
	e.enrolled(t, r)
	for k := 1; k <= count; k++ {
		for _, behind := range []bool{false, true} {
			e, r := newEnrolment(t)
			i := 0
			e.Step = func(_ string, op func() error) error {
				if i++; i < k {
					return op()
				}
				if i == k && behind {
					_ = op() // nobody hears how it went
				}
				return killed
			}
			if err := e.Run(t.Context(), r.ask); !errors.Is(err, killed) {
				t.Fatalf("at step %d: %v", k, err)
			}
			e.Step = nil
			asked := len(r.known) > 0
			err := e.Run(t.Context(), r.ask)
			if err != nil && (!asked || !strings.Contains(err.Error(), "is enrolled")) {
				t.Fatalf("after a kill at step %d: %v", k, err)
			}
			e.enrolled(t, r)
		}
	}
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	e, r := newEnrolment(t)
	r.err = errors.New("the connection was closed")
	for range 2 {
		if err := e.Run(t.Context(), r.ask); !errors.Is(err, r.err) || !strings.Contains(err.Error(), "run it again") {
			t.Fatal(err)
		}
	}
	r.err = nil
	if err := e.Run(t.Context(), r.ask); err != nil {
		t.Fatal(err)
	}
	e.enrolled(t, r)
}

func TestARefusedEnrolmentLeavesNothing(t *testing.T) {
	e, r := newEnrolment(t)
	r.err = &syncer.StatusError{Code: 403}
	if err := e.Run(t.Context(), r.ask); !errors.Is(err, r.err) {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(e.Root, "etc/rstudio")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestARefusalThatSaysNothingOfTheTokensKeepsThem(t *testing.T) {
	e, r := newEnrolment(t)
	lost := errors.New("the connection was closed")
	for _, answer := range []error{lost, &syncer.StatusError{Code: 429}, &syncer.StatusError{Code: 404}, &syncer.StatusError{Code: 408}, &syncer.StatusError{Code: 503}} {
		r.err = answer
		if err := e.Run(t.Context(), r.ask); !errors.Is(err, answer) {
			t.Fatal(err)
		}
	}
	r.err = nil
	if err := e.Run(t.Context(), r.ask); err != nil {
		t.Fatal(err)
	}
	e.enrolled(t, r)
}

func TestAnEnrolledNodeKeepsItsTokensUnlessForced(t *testing.T) {
	e, r := newEnrolment(t)
	if err := e.Run(t.Context(), r.ask); err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context(), r.ask); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a second enrolment: %v", err)
	}
	e.enrolled(t, r)
	e.Force, r.known = true, map[string]bool{}
	if err := e.Run(t.Context(), r.ask); err != nil {
		t.Fatal(err)
	}
	e.enrolled(t, r)
}

func TestAConfigurationOfCommentsAloneGetsTheServerAtItsEnd(t *testing.T) {
	const comments = "# The server.\n#server: \"\"\n"
	for before, want := range map[string]string{
		comments:                comments + "\nserver: https://pwb.example\n",
		"":                      "server: https://pwb.example\n",
		"#\nlayout: nsscache\n": "#\nlayout: nsscache\n",
	} {
		e, r := newEnrolment(t)
		file := filepath.Join(e.Root, e.ConfigFile)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(before), 0o640), os.Chmod(file, 0o640)); err != nil {
			t.Fatal(err)
		}
		if is := e.Configures(); is != (before != want) {
			t.Errorf("it is to write after %q: %v", before, is)
		}
		if err := e.Run(t.Context(), r.ask); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("after %q there is %q, %v", before, got, err)
		}
		if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o640 {
			t.Errorf("its mode: %v, %v", fi, err)
		}
		if e.Configures() {
			t.Errorf("it would write again after %q", got)
		}
	}
	// A link is somebody else's, and the node is enrolled all the same.
	e, r := newEnrolment(t)
	file := filepath.Join(e.Root, e.ConfigFile)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.Symlink("/dev/null", file)); err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context(), r.ask); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(file); err != nil || to != "/dev/null" {
		t.Errorf("the link leads to %s, %v", to, err)
	}
}
