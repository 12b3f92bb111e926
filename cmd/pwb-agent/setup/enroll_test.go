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
