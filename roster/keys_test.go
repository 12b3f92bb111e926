package roster_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

// pubs are the lines of a file of testdata, which ssh-keygen(1) made.
func pubs(tb testing.TB, name string) []string {
	tb.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// blob is a key's blob of these parts.
func blob(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return base64.StdEncoding.EncodeToString(b)
}

var (
	ed25519Key = "ssh-ed25519 " + blob("ssh-ed25519", strings.Repeat("k", 32))
	modulus    = "\x00" + strings.Repeat("\xff", 256)
	point      = "\x04" + strings.Repeat("p", 64)
)

func TestKeysThatSSHKeygenMakesAreTakenWithoutTheirComment(t *testing.T) {
	for _, line := range pubs(t, "keys.pub") {
		kind, rest, _ := strings.Cut(line, " ")
		text, _, _ := strings.Cut(rest, " ")
		key, err := roster.ParseKey(line)
		if err != nil || key != kind+" "+text {
			t.Errorf("%.60s: %q, %v", line, key, err)
		}
	}
}

func TestParseKey(t *testing.T) {
	old := pubs(t, "refused.pub")
	for _, c := range []struct {
		sentence, line string
		wrong          string // a part of the error; empty: it is taken
	}{
		{"a key without a comment is taken", ed25519Key, ""},
		{"blanks and tabs around and between are nothing", " \t" + strings.Replace(ed25519Key, " ", " \t ", 1) + "  ", ""},
		{"a comment of many words is dropped", ed25519Key + ` ada's key, "old" é`, ""},
		{"a key of a security key is taken", "sk-ssh-ed25519@openssh.com " + blob("sk-ssh-ed25519@openssh.com", strings.Repeat("k", 32), "ssh:"), ""},
		{"an ECDSA key of a security key is taken", "sk-ecdsa-sha2-nistp256@openssh.com " + blob("sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", point, "ssh:"), ""},
		{"an RSA key of 2048 bits is taken", "ssh-rsa " + blob("ssh-rsa", "\x01\x00\x01", modulus), ""},

		{"nothing is no key", "", "empty"},
		{"blanks are no key", "  ", "empty"},
		{"a type alone is no key", "ssh-ed25519", "no key behind it"},
		{"a forced command is refused", `command="sh" ` + ed25519Key, "options before the key"},
		{"a flag is refused", `no-pty ` + ed25519Key, "options before the key"},
		{"an option right before the type is refused", `from="*",` + ed25519Key, "no type"},
		{"a second line is refused", ed25519Key + "\n" + ed25519Key, "control character"},
		{"a carriage return is refused", ed25519Key + "\r", "control character"},
		{"a NUL is refused", ed25519Key + " a\x00", "control character"},
		{"a key that is split is refused", strings.Replace(ed25519Key, "AAAA", "AA AA", 1), "base64"},
		{"ssh-dss is refused", old[0], "ssh-dss is broken"},
		{"RSA of 1024 bits is refused", old[1], "has 1024 bits"},
		{"a certificate is refused", old[2], "certificate"},
		{"an unknown type is refused", "ssh-mine " + blob("ssh-mine", "k"), "no type of key"},
		{"a comment line is refused", "# " + ed25519Key, "options before the key"},
		{"no base64 is refused", "ssh-ed25519 AAA*", "base64"},
		{"base64 with other bits at its end is refused", "ssh-rsa " + strings.TrimSuffix(blob("ssh-rsa", "\x03", modulus), "w==") + "x==", "base64"},
		{"one type in another's place is refused", "ssh-rsa " + blob("ssh-ed25519", strings.Repeat("k", 32)), "another type"},
		{"a short key is refused", "ssh-ed25519 " + blob("ssh-ed25519", "k"), "has 1 bytes in place of 32"},
		{"a key that is cut is refused", "ssh-ed25519 " + blob("ssh-ed25519"), "cut short"},
		{"a length beyond the end is refused", "ssh-ed25519 /////w==", "cut short"},
		{"something behind the key is refused", "ssh-ed25519 " + blob("ssh-ed25519", strings.Repeat("k", 32), "x"), "5 bytes too many"},
		{"another curve is refused", "ecdsa-sha2-nistp256 " + blob("ecdsa-sha2-nistp256", "nistp384", point), "not of the curve"},
		{"a compressed point is refused", "ecdsa-sha2-nistp256 " + blob("ecdsa-sha2-nistp256", "nistp256", "\x02"+point[1:33]), "uncompressed point"},
		{"a security key for nothing is refused", "sk-ssh-ed25519@openssh.com " + blob("sk-ssh-ed25519@openssh.com", strings.Repeat("k", 32), ""), "application"},
		{"a negative modulus is refused", "ssh-rsa " + blob("ssh-rsa", "\x03", modulus[1:]), "not positive"},
		{"an exponent of 1 is refused", "ssh-rsa " + blob("ssh-rsa", "\x01", modulus), "exponent"},
		{"an even modulus is refused", "ssh-rsa " + blob("ssh-rsa", "\x03", modulus[:256]+"\xfe"), "even"},
		{"RSA of more bits than OpenSSH takes is refused", "ssh-rsa " + blob("ssh-rsa", "\x03", "\x01"+strings.Repeat("\xff", 2048)), "has 16385 bits"},
		{"a line that is too long is refused", ed25519Key + strings.Repeat(" c", roster.MaxKeyLine/2), "bytes"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			key, err := roster.ParseKey(c.line)
			if c.wrong == "" {
				if again, err2 := roster.ParseKey(key); err != nil || err2 != nil || again != key || strings.Count(key, " ") != 1 {
					t.Errorf("%q, %v; again %q, %v", key, err, again, err2)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q, error %v, not one with %q", key, err, c.wrong)
			} else if strings.Contains(err.Error(), "AAAA") {
				t.Errorf("the error repeats the key: %v", err)
			}
		})
	}
}

func TestKeysOfAnAccountAreASet(t *testing.T) {
	all := pubs(t, "keys.pub")
	one, err := roster.ParseKeys(all)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	two, err := roster.ParseKeys(append(all, all[0]+" again"))
	if err != nil || !slices.Equal(one, two) || !slices.IsSorted(one) || len(one) != len(all) {
		t.Errorf("%q and %q, %v", one, two, err)
	}
	if none, err := roster.ParseKeys(nil); none != nil || err != nil {
		t.Errorf("of none came %q, %v", none, err)
	}
	if keys, err := roster.ParseKeys([]string{ed25519Key, "x"}); keys != nil || err == nil || !strings.HasPrefix(err.Error(), "key 2 of 2: ") {
		t.Errorf("%q, %v", keys, err)
	}
}

func TestTheMostKeysOfAnAccountFitIntoARow(t *testing.T) {
	key := func(n, size int) string {
		return "ssh-rsa " + blob("ssh-rsa", "\x03", "\x00\xff"+string(rune('A'+n))+strings.Repeat("\xff", size))
	}
	var many, large []string
	for n := range roster.MaxKeys + 1 {
		many, large = append(many, key(n, 600)), append(large, key(n, 1000))
	}
	keys, err := roster.ParseKeys(many[:roster.MaxKeys])
	if err != nil || len(keys) != roster.MaxKeys {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	row := roster.Row{Account: &roster.Account{ID: strings.Repeat("i", 64), Name: "ada", Gecos: strings.Repeat("é", 1024), Home: "/h", Shell: "/s", Keys: keys}}
	if n := len(row.Line()); n >= roster.MaxLine {
		t.Errorf("the row has %d bytes", n)
	}
	if _, err := roster.ParseKeys(many); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one too many: %v", err)
	}
	if _, err := roster.ParseKeys(large[:roster.MaxKeys]); err == nil || !strings.Contains(err.Error(), "bytes together") {
		t.Errorf("too large together: %v", err)
	}
}

// TestARowWithoutKeysIsWhatItWas: the digest of a roster that has none stays.
func TestARowWithoutKeysIsWhatItWas(t *testing.T) {
	a := roster.Account{ID: "u1", Name: "ada", UID: 1000, GID: 1000, Home: "/h", Shell: "/s"}
	for _, keys := range [][]string{nil, {}} {
		a.Keys = keys
		if got := string(roster.Row{Account: &a}.Line()); got != `["a/u1",{"name":"ada","uid":1000,"gid":1000,"home":"/h","shell":"/s"}]` {
			t.Error(got)
		}
	}
	a.Keys = []string{ed25519Key}
	line := roster.Row{Account: &a}.Line()
	if !bytes.Contains(line, []byte(`"keys":["`+ed25519Key+`"]`)) {
		t.Errorf("%s", line)
	}
	c, err := roster.ParseChange(line)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Row(); err != nil || !slices.Equal(r.Account.Keys, a.Keys) {
		t.Errorf("read again %+v, %v", r.Account, err)
	}
}

func TestWhoIsLockedIsNotKeyed(t *testing.T) {
	for sentence, c := range map[string]struct {
		a    roster.Account
		want bool
	}{
		"no keys":                   {roster.Account{}, false},
		"a key and no password":     {roster.Account{Keys: []string{ed25519Key}}, true},
		"a key and a password":      {roster.Account{Keys: []string{ed25519Key}, Hash: "$6$a$b"}, true},
		"a locked account":          {roster.Account{Keys: []string{ed25519Key}, Locked: true}, false},
		"a password that is locked": {roster.Account{Keys: []string{ed25519Key}, Hash: "!$6$a$b"}, false},
	} {
		if c.a.Keyed() != c.want {
			t.Errorf("%s: %v", sentence, !c.want)
		}
	}
}

// TestKeyFingerprint: the value is what ssh-keygen -lf says of the first key.
func TestKeyFingerprint(t *testing.T) {
	key, err := roster.ParseKey(pubs(t, "keys.pub")[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := roster.KeyFingerprint(key); got != "ssh-ed25519 SHA256:WFpokE01VRA7+PB7P51d8c6E39ITPXQLJG7vu4NHrGc" {
		t.Error(got)
	}
	if got := roster.KeyFingerprint("ssh-rsa *"); got != "ssh-rsa (malformed)" {
		t.Error(got)
	}
}

// FuzzParseKey: what is taken is one type and one word, parses as itself, and says
// inside what it says outside.
func FuzzParseKey(f *testing.F) {
	for _, line := range slices.Concat(pubs(f, "keys.pub"), pubs(f, "refused.pub")) {
		f.Add(line)
		f.Add(`command="x" ` + line)
	}
	f.Add(ed25519Key + "\n")
	f.Fuzz(func(t *testing.T, line string) {
		key, err := roster.ParseKey(line)
		if err != nil {
			if key != "" {
				t.Fatalf("%q with %v", key, err)
			}
			return
		}
		kind, text, _ := strings.Cut(key, " ")
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != text || !bytes.HasPrefix(raw[4:], []byte(kind)) {
			t.Fatalf("%q is taken as %q", line, key)
		}
		if again, err := roster.ParseKey(key + " comment"); err != nil || again != key {
			t.Fatalf("%q is %q, %v", key, again, err)
		}
	})
}

func keyList() *rapid.Generator[[]string] {
	return rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(rapid.OneOf(rapid.Just(ed25519Key), rapid.String()), 1, 3))
}
