package syncer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWatchTellsOfFilesThatAreReplaced(t *testing.T) {
	dir := t.TempDir()
	token, ca, link := filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "link")
	must(os.WriteFile(token, []byte("one"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "a"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "a", "f"), []byte("a"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "b"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "b", "f"), []byte("bb"), 0o600))
	must(os.Symlink("a", filepath.Join(dir, "now")))
	must(os.Symlink("now/f", link))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake, err := Watch(ctx, token, ca, link)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"replaced by a rename", func() error {
			must(os.WriteFile(token+".new", []byte("two"), 0o600))
			return os.Rename(token+".new", token)
		}},
		{"made", func() error { return os.WriteFile(ca, []byte("cert"), 0o600) }},
		{"changed in place", func() error { return os.WriteFile(ca, []byte("certificate"), 0o600) }},
		{"given other modes", func() error { return os.Chmod(token, 0o400) }},
		{"removed", func() error { return os.Remove(token) }},
		{"behind a link that is switched over", func() error {
			must(os.Symlink("b", filepath.Join(dir, "next")))
			return os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "now"))
		}},
	} {
		must(step.do())
		<-wake // or the test's time limit
		select {
		case <-wake: // one step may be seen as two
		default:
		}
	}
}

func TestWhatCannotBeWatchedIsLookedAtFromTimeToTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	token := filepath.Join(dir, "token")
	wake, err := watch(t.Context(), time.Millisecond, []string{token})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
	must(os.Mkdir(dir, 0o700))
	must(os.WriteFile(token, []byte("one"), 0o600))
	<-wake
}

func TestOtherFilesWakeNobody(t *testing.T) {
	dir := t.TempDir()
	wake, err := Watch(t.Context(), filepath.Join(dir, "token"))
	must(err)
	must(os.WriteFile(filepath.Join(dir, "other"), nil, 0o600))
	must(os.WriteFile(filepath.Join(dir, "token"), []byte("x"), 0o600))
	<-wake
}
