package transfer

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadPasswdPassesOver(t *testing.T) {
	for _, c := range []struct{ sentence, line, reason string }{
		{"an account is imported", user("ada", 1000), ""},
		{"a blank line is nothing", " \t", ""},
		{"a comment is no account", "# ada", "comment"},
		{"a plus is for nss_compat", "+ada::::::", "nss_compat"},
		{"a minus is for nss_compat", "-ada::::::", "nss_compat"},
		{"six fields are too few", "ada:x:1000:1000:/home/ada:/bin/sh", "6 fields, not 7"},
		{"a line without a name is malformed", ":x:1000:1000::/home/ada:/bin/sh", "its name is empty"},
		{"a uid that is no number is malformed", "ada:x:1e3:1000::/home/ada:/bin/sh", "no number from 0"},
		{"a uid beyond 32 bits is malformed", "ada:x:4294967296:1000::/home/ada:/bin/sh", "no number from 0"},
		{"root is never imported", user("rot", 0), "root's"},
		{"the system's own are never imported", user("ada", 999), "below 1000"},
		{"nobody's uid is never imported", user("ada", 65534), "nobody's"},
		{"the 16-bit -1 is never imported", user("ada", 65535), "no id"},
		{"the 32-bit -1 is never imported", user("ada", 4294967295), "no id"},
		{"a protected name is never imported", user("docker", 1000), "protected"},
		{"a capital letter makes no name here", user("Ada", 1000), `"Ada" must begin`},
		{"a dollar in a name may be a hash's", user("$6$x", 1000), "(not shown)"},
		{"a relative home is refused", "ada:x:1000:1000::home/ada:/bin/sh", "not an absolute path"},
		{"a home with a slash at the end is refused", "ada:x:1000:1000::/home/ada/:/bin/sh", "shortest form"},
		{"a missing home is refused", "ada:x:1000:1000:::/bin/sh", "home is missing"},
		{"the root of the file system is no home", "ada:x:1000:1000::/:/bin/sh", "root of the file system"},
		{"a long home is refused", "ada:x:1000:1000::/" + strings.Repeat("x", 1024) + ":/bin/sh", "1025 bytes"},
		{"a control character in a home is refused", "ada:x:1000:1000::/home/\x01:/bin/sh", "control character"},
		{"a relative shell is refused", "ada:x:1000:1000::/home/ada:bash", "its shell"},
		{"a carriage return is part of the shell", "ada:x:1000:1000::/home/ada:/bin/sh\r", "its shell"},
		{"nologin is a service's shell", "ada:x:1000:1000::/home/ada:/usr/sbin/nologin", "lets nobody in"},
		{"false is a service's shell", "ada:x:1000:1000::/home/ada:/bin/false", "lets nobody in"},
		{"the first of doubled lines counts", user("ada", 1000) + user("ada", 1001), "an earlier line"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			got := texts(accounts(t, c.line).Skipped)
			if (c.reason == "") != (got == "") || !strings.Contains(got, c.reason) {
				t.Errorf("%q, not %q", got, c.reason)
			}
		})
	}
}

func TestTheFloorIsTheAdministrators(t *testing.T) {
	for floor, reason := range map[uint32]string{0: "", 500: "", 2000: "below 2000"} {
		a, err := ReadPasswd(sources(user("ada", 1500)), Rules{Floor: floor, Protected: rules.Protected})
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(a.Skipped); (reason == "") != (got == "") || !strings.Contains(got, reason) {
			t.Errorf("floor %d: %q", floor, got)
		}
	}
	if got := texts(accounts(t, user("ada", 999)).Skipped); got != "node1, f1:1: ada: uid: id 999 is below 1000, where the system's own accounts lie\n" {
		t.Errorf("skipped %q", got)
	}
}

func TestReadPasswdMakesAccounts(t *testing.T) {
	for _, c := range []struct{ sentence, lines, account, note string }{
		{"the gecos is cleaned", "ada:x:1000:1000:Ada  \x01 L:/home/ada:/bin/sh", "ada:1000:1000:/home/ada@node1", ""},
		{"an empty shell is sh", "ada:x:1000:1000::/home/ada:", "ada:1000:1000:/home/ada@node1", "means /bin/sh"},
		{"a gid below the floor becomes a group of its own", userIn("ada", 1000, 100), "ada:1000:0:/home/ada@node1", "a group of its own"},
		{"nobody's gid becomes a group of its own", userIn("ada", 1000, 65534), "ada:1000:0:/home/ada@node1", "a group of its own"},
		{"another gid stays", userIn("ada", 1000, 2000), "ada:1000:2000:/home/ada@node1", ""},
		{"a password in passwd is noted and not shown", "ada:$6$salt$SECRET:1000:1000::/home/ada:/bin/sh", "ada:1000:1000:/home/ada@node1", "pwconv"},
		{"an empty password is noted", "ada::1000:1000::/home/ada:/bin/sh", "ada:1000:1000:/home/ada@node1", "without a password"},
		{"a last line needs no newline", strings.TrimSuffix(user("ada", 1000), "\n"), "ada:1000:1000:/home/ada@node1", ""},
		{"accounts are sorted by uid", user("zoe", 1000) + user("ada", 1001), "zoe:1000:1000:/home/zoe@node1 ada:1001:1001:/home/ada@node1", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := plan(t, ledger{}, "", c.lines)
			if got := brief(p.Import); got != c.account {
				t.Errorf("%s, not %s", got, c.account)
			}
			if got := texts(p.Notes); (c.note == "") != (got == "") || !strings.Contains(got, c.note) || strings.Contains(got, "SECRET") {
				t.Errorf("notes %q", got)
			}
			if a := p.Import[0]; a.Gecos != strings.Join(strings.Fields(a.Gecos), " ") {
				t.Errorf("gecos %q", a.Gecos)
			}
		})
	}
}

func TestSourcesAreRefused(t *testing.T) {
	good := strings.NewReader
	long := strings.Repeat("x", maxLine+1)
	for _, c := range []struct {
		sentence string
		sources  []Source
		says     string
	}{
		{"a node without a name", []Source{{"", "f", good("")}}, "no name of a node"},
		{"a node that two words would be", []Source{{"a b", "f", good("")}}, "no name of a node"},
		{"a node given twice", []Source{{"a", "f", good("")}, {"a", "g", good("")}}, "with f and g: give each node one passwd file"},
		{"a line that is too long", []Source{{"a", "f", good("\n" + long + "\n")}}, "line 2 has more than 65536 bytes"},
		{"a last line that is too long", []Source{{"a", "f", good(long)}}, "line 1 has more than 65536 bytes"},
		{"too many lines", []Source{{"a", "f", io.LimitReader(newlines{}, maxLines+1)}}, "more than 1000000 lines"},
		{"a file that cannot be read", []Source{{"a", "f", iotest.ErrReader(errLedger)}}, "reading passwd file f of node a: line 1: the store is away"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if _, err := ReadPasswd(c.sources, rules); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, not %q", err, c.says)
			}
		})
	}
	t.Run("a line as long as allowed and as many as allowed are read", func(t *testing.T) {
		if _, err := ReadPasswd([]Source{{"a", "f", good(long[1:])}, {"b", "g", io.LimitReader(newlines{}, maxLines)}}, rules); err != nil {
			t.Error(err)
		}
	})
	t.Run("rules without protected names", func(t *testing.T) {
		if _, err := ReadPasswd(nil, Rules{}); err == nil {
			t.Error("taken")
		}
		if _, err := ReadGroup(nil, Rules{}); err == nil {
			t.Error("taken")
		}
	})
	t.Run("the fault of a file can be asked for", func(t *testing.T) {
		if _, err := ReadShadow([]Source{{"a", "f", iotest.ErrReader(errLedger)}}, nil); !errors.Is(err, errLedger) {
			t.Errorf("error %v", err)
		}
	})
}

type newlines struct{}

func (newlines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}
