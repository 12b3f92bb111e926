package setup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMergeTakesOursOutAndKeepsTheirs(t *testing.T) {
	for _, c := range []struct {
		name, base, ours, theirs, want string
		ok                             bool
	}{
		{"apart", "a\nB\nc\nd\n", "a\nb\nc\nd\n", "a\nB\nc\nD\n", "a\nb\nc\nD\n", true},
		{"lines before", "a\nB\nc\n", "a\nb\nc\n", "x\ny\na\nB\nc\n", "x\ny\na\nb\nc\n", true},
		{"a line of ours goes", "a\nB\nc\nd\n", "a\nc\nd\n", "a\nB\nc\nd\ne\n", "a\nc\nd\ne\n", true},
		{"the same change", "a\nB\nc\n", "a\nb\nc\n", "a\nb\nc\n", "a\nb\nc\n", true},
		{"the same line", "a\nB\nc\n", "a\nb\nc\n", "a\nX\nc\n", "", false},
		{"the line beside", "a\nB\nc\n", "a\nb\nc\n", "a\nB\nX\n", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := merge(c.base, c.ours, c.theirs); ok != c.ok || got != c.want {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
}

func drawText(t *rapid.T, label string) string {
	text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a\n", "b\n", "c\n", "\n"}), 0, 12).Draw(t, label), "")
	if rapid.Bool().Draw(t, label+" ends") {
		text += "end"
	}
	return text
}

func TestMergeWithNobodyElsesEditsIsOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, other := drawText(t, "base"), drawText(t, "other")
		if got, ok := merge(base, other, base); !ok || got != other {
			t.Fatalf("ours %q becomes %q, %v", other, got, ok)
		}
		if got, ok := merge(base, base, other); !ok || got != other {
			t.Fatalf("theirs %q becomes %q, %v", other, got, ok)
		}
	})
}

// TestDiffsAreThoseThatPatchReads has patch(1) make one text of the other.
func TestDiffsAreThoseThatPatchReads(t *testing.T) {
	patch, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("LEFT OUT: patch is not here")
	}
	file := filepath.Join(t.TempDir(), "file")
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drawText(rt, "a"), drawText(rt, "b")
		var diff strings.Builder
		if err := writeDiff(&diff, file, file, a, b); err != nil {
			rt.Fatal(err)
		}
		if (diff.Len() == 0) != (a == b) {
			rt.Fatalf("of %q and %q the diff is %q", a, b, diff.String())
		}
		if a == b || b == "" {
			return // patch removes a file that becomes empty
		}
		if err := os.WriteFile(file, []byte(a), 0o600); err != nil {
			rt.Fatal(err)
		}
		cmd := exec.Command(patch, "-s", "--no-backup-if-mismatch", file)
		cmd.Stdin = strings.NewReader(diff.String())
		out, err := cmd.CombinedOutput()
		got, err2 := os.ReadFile(file)
		if err != nil || err2 != nil || string(got) != b {
			rt.Fatalf("%v %v %s: %q becomes %q, not %q, by\n%s", err, err2, out, a, got, b, diff.String())
		}
	})
}
