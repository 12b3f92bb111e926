package pam

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// cryptOf is what the system's crypt(3) makes.
func cryptOf(t *testing.T, password, setting string) string {
	t.Helper()
	if _, err := exec.LookPath("perl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED HERE: perl is needed for crypt(3): %v", err)
	}
	cmd := exec.Command("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, setting)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("crypt(3) does not know %s: %q", setting, out)
	}
	return string(out)
}

func TestHashesOfCryptMatchTheirPasswordAndNoOther(t *testing.T) {
	for _, setting := range []string{
		"$1$", "$1$saltsalt", "$5$salt", "$5$saltsaltsaltsalt", "$5$rounds=1000$salt", "$6$", "$6$short", "$6$saltsaltsaltsalt", "$6$rounds=1500$s",
		"$y$j9T$F5Jx5fExrKuPp53xLKQ..1", "$y$j75$saltsalt", "$2b$04$abcdefghijklmnopqrstuu", "$2a$05$abcdefghijklmnopqrstuu", "$2y$04$abcdefghijklmnopqrstuu",
	} {
		for _, password := range []string{"x", "correct horse", "pässwörd", strings.Repeat("long", 18), strings.Repeat("a", 100), strings.Repeat("z", MaxPassword)} {
			if len(password) > 10 && strings.HasPrefix(setting, "$y$j9T") {
				continue // 16 MiB each
			}
			sum := cryptOf(t, password, setting)
			h, err := parseHash(sum)
			if err != nil {
				t.Fatalf("%s: %v", sum, err)
			}
			if yes, err := h.matches([]byte(password)); !yes || err != nil {
				t.Errorf("%s, %.20s: %v, %v", sum, password, yes, err)
			}
			for _, wrong := range []string{"", "y" + password[1:]} {
				if yes, _ := h.matches([]byte(wrong)); yes && !strings.HasPrefix(setting, "$2") {
					t.Errorf("%s is matched by %.20q", sum, wrong)
				}
			}
		}
	}
	h, err := parseHash("$apr1$saltsalt$Ad1PYHwTZDjWhAjKUfnuh/") // of openssl passwd -apr1
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("openssl", "passwd", "-apr1", "-salt", "saltsalt", "secret").Output(); err == nil {
		if h, err = parseHash(strings.TrimSpace(string(out))); err != nil {
			t.Fatal(err)
		}
		if yes, err := h.matches([]byte("secret")); !yes || err != nil {
			t.Errorf("apr1: %v, %v", yes, err)
		}
	}
	if yes, _ := h.matches([]byte("other")); yes {
		t.Error("apr1 matches another password")
	}
}

func TestHashesThatAreNoneOrCostTooMuchMatchNothing(t *testing.T) {
	sum86 := strings.Repeat(".", 86)
	for _, s := range []string{
		"", "*", "!", "!!", "x", "secret", "$", "$6", "$6$", "$6$salt", "$6$salt$", "$6$salt$short", "$6$salt$" + sum86 + "x", "$6$sal!t$" + sum86, "$6$" + strings.Repeat("s", 17) + "$" + sum86,
		"$6$rounds=999999999$salt$" + sum86, "$6$rounds=2000001$salt$" + sum86, "$6$rounds=-1$salt$" + sum86, "$6$rounds=$salt$" + sum86, "$6$rounds=99999999999999999999$salt$" + sum86,
		"$7$CU..../....salt$" + strings.Repeat(".", 43), "$gy$j9T$salt$" + strings.Repeat(".", 43), "$y$jzT$salt$" + strings.Repeat(".", 43), "$y$jFT$salt$" + strings.Repeat(".", 43), "$y$j9T$$", "$y$j9T.$salt$" + strings.Repeat(".", 43),
		"$2b$15$" + strings.Repeat(".", 53), "$2b$99$" + strings.Repeat(".", 53), "$2b$03$" + strings.Repeat(".", 53), "$2x$04$" + strings.Repeat(".", 53), "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
		"$1$" + strings.Repeat("s", 9) + "$" + strings.Repeat(".", 22), "rl.3StKT.4T8M", "$6$salt$" + strings.Repeat(".", 5000),
	} {
		if _, err := parseHash(s); !errors.Is(err, ErrHash) {
			t.Errorf("%.60q is taken: %v", s, err)
		}
	}
	for _, bad := range []string{"", "$6$rounds=3000000$", "$1$", "$6$salt", "$y$jzT$", "$2b$20$"} {
		if _, err := decoyHash(bad); err == nil || !strings.Contains(err.Error(), "decoy") {
			t.Errorf("decoy %q: %v", bad, err)
		}
	}
	for _, good := range []string{"$6$", "$6$rounds=5000$", "$5$rounds=5000$", "$y$j75$", "$2b$04$"} {
		h, err := decoyHash(good)
		if err != nil {
			t.Fatalf("decoy %q: %v", good, err)
		}
		if yes, err := h.matches([]byte("x")); yes || err != nil {
			t.Errorf("decoy %q: %v, %v", good, yes, err)
		}
	}
}

// FuzzParseHash: whatever the shadow file says, nothing panics, and what is taken for
// a hash can be computed.
func FuzzParseHash(f *testing.F) {
	for _, s := range []string{"$6$rounds=1000$salt$" + strings.Repeat(".", 86), "$y$j75$saltsalt$" + strings.Repeat(".", 43), "$2b$04$" + strings.Repeat(".", 53), "$1$salt$" + strings.Repeat(".", 22), "!$5$salt$" + strings.Repeat("a", 43)} {
		f.Add(s, "password")
	}
	f.Fuzz(func(t *testing.T, s, password string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		if strings.HasPrefix(s, "$5$rounds=") || strings.HasPrefix(s, "$6$rounds=") || strings.HasPrefix(s, "$y$") || strings.HasPrefix(s, "$2") {
			return // which may take long
		}
		if _, err := h.matches([]byte(password)); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}
