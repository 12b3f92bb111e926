package doctor

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestChecksAreToldInTheirOrder(t *testing.T) {
	found := Run(t.Context(), []Check{
		{"quiet", func(context.Context, *Report) {}},
		{"twice", func(_ context.Context, r *Report) {
			r.Warn(Problem{What: "a", Mend: "mend a"})
			r.Fail(Problem{What: "b\x1b[2J", Why: "it is", Advice: "ask"})
		}},
		{"blind", func(_ context.Context, r *Report) { r.Skip("not root") }},
	})
	var b strings.Builder
	if err := Show(&b, found); err != nil {
		t.Fatal(err)
	}
	const want = `ok       quiet
warn     twice: a
         mend: mend a
fail     twice: b [2J
         why: it is
         advice: ask
skipped  blind: not root
`
	if b.String() != want {
		t.Errorf("shown is\n%swant\n%s", &b, want)
	}
	err := Judge(found)
	if v, ok := err.(*Verdict); !ok || v.Status() != 3 || v.Error() != "1 failure and 1 warning" {
		t.Errorf("the verdict is %v", err)
	}
	if err := Judge(found[:1]); err != nil {
		t.Errorf("the verdict on what is well is %v", err)
	}
	b.Reset()
	if err := ShowJSON(&b, found[1:2]); err != nil || b.String() != `{"check":"twice","state":"warn","what":"a","mend":"mend a"}`+"\n" {
		t.Errorf("%v: %s", err, &b)
	}
}

func TestACheckThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		checks := []Check{{"dead", func(_ context.Context, r *Report) { <-release; r.OK("too late") }},
			{"waits", func(ctx context.Context, r *Report) { <-ctx.Done(); r.Skip("nobody answered") }}}
		began := time.Now()
		found := Run(t.Context(), checks)
		if took := time.Since(began); took > CheckTime+grace {
			t.Errorf("it took %v", took)
		}
		close(release)
		synctest.Wait()
		if len(found) != 2 || found[0].State != Skipped || !strings.Contains(found[0].What, "3s") || found[1].What != "nobody answered" {
			t.Errorf("%+v", found)
		}
	})
}

func TestAllChecksTogetherEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var checks []Check
		for range 100 {
			checks = append(checks, Check{"dead", func(context.Context, *Report) { <-release }})
		}
		began := time.Now()
		found := Run(t.Context(), checks)
		if took := time.Since(began); took > TotalTime+grace {
			t.Errorf("it took %v", took)
		}
		close(release)
		synctest.Wait()
		late := 0
		for _, f := range found {
			if f.State != Skipped {
				t.Errorf("found %+v", f)
			}
			if strings.Contains(f.What, "no time left") {
				late++
			}
		}
		if len(found) != 100 || late < 50 {
			t.Errorf("%d findings, of which %d had no time", len(found), late)
		}
	})
}

func TestWordsComeBackFromTheShellAsTheyWere(t *testing.T) {
	for _, words := range [][]string{{"a", "b c", "it's", "$HOME", "", "*", "~", "a\nb", "`id`", "#x", "ä"}} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s\\0' "+Words(words...)).Output()
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); err != nil || strings.Join(got, "\x00") != strings.Join(words, "\x00") {
			t.Errorf("%q became %q (%v)", words, got, err)
		}
	}
}
