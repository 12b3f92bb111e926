package credential

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestATokenIsReadOnlyFromAFileThatKeepsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		sentence, text string
		mode           os.FileMode
		alone, shared  string // what the errors say; empty: it is read
	}{
		{"its owner's", " the-token\n", 0o600, "", ""},
		{"its owner's, who may not write to it", "the-token", 0o400, "", ""},
		{"readable by a group", "the-token", 0o640, "chmod 0600", ""},
		{"readable by all", "the-token", 0o644, "chmod 0600", ""},
		{"writable by a group", "the-token", 0o660, "chmod 0600", "chmod 0640"},
		{"writable by all", "the-token", 0o666, "chmod 0600", "chmod 0644"},
		{"empty", "\n", 0o600, "is empty", "is empty"},
		{"two words", "the token", 0o600, "one word", "one word"},
		{"too long", strings.Repeat("x", 4096), 0o600, "more than 4095 bytes", "more than 4095 bytes"},
	} {
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte(c.text), 0o600), os.Chmod(path, c.mode)); err != nil {
			t.Fatal(err)
		}
		for _, read := range []struct {
			of   func(string) (string, error)
			says string
		}{{Token, c.alone}, {SharedToken, c.shared}} {
			token, err := read.of(path)
			if read.says == "" && (err != nil || token != "the-token") || read.says != "" && (err == nil || token != "" || !strings.Contains(err.Error(), read.says)) {
				t.Errorf("%s: %q, %v, want an error with %q", c.sentence, token, err, read.says)
			}
			if err != nil && strings.Contains(err.Error(), "the-token") {
				t.Errorf("%s: the error has the token: %v", c.sentence, err)
			}
		}
	}
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Token(path); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a FIFO: %v", err)
	}
}

func TestTheFirstBundleThatIsThereCounts(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	if Bundle([]string{filepath.Join(dir, "absent"), empty}) != nil || Bundle(nil) != nil {
		t.Error("authorities of nowhere")
	}
	if ca, err := CA(""); ca != nil || err != nil {
		t.Errorf("no file: %q, %v", ca, err)
	}
	if ca, err := CA(empty); string(ca) != "no certificate" || err != nil {
		t.Errorf("%q, %v", ca, err)
	}
	if _, err := CA(dir); err == nil {
		t.Error("a directory was read")
	}
}
