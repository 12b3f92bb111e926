package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Hashes of nodes, made by openssl passwd -6 and by crypt(3) of libxcrypt, and
// the passwords that they are of.
const (
	sha512Hash       = "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG."
	sha512Password   = "secret"
	yescryptHash     = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79"
	yescryptPassword = "correct horse"
)

// nodeFiles are the files of two nodes on which a uid is two people's.
var nodeFiles = map[string]string{
	"a/passwd": "root:x:0:0::/root:/bin/sh\nada:x:28400:28400:Ada Lovelace:/home/ada:/bin/bash\njean:x:28402:28402:Jean:/home/jean:/bin/sh\n",
	"a/shadow": "root:" + sha512Hash + ":19000::::::\nada:" + yescryptHash + ":19000:0:99999:7:::\njean:!" + sha512Hash + ":19000::::::\n",
	"a/group":  "root:x:0:\nada:x:28400:\njean:x:28402:\nteam:x:28500:ada,jean\n",
	"b/passwd": "grace:x:28400:28400:Grace Hopper:/home/grace:/bin/bash\n",
	"b/shadow": "grace:" + sha512Hash + ":19000:0:99999:7:::\n",
	"b/group":  "grace:x:28400:\nteam:x:28500:grace\n",
}

func TestImportOfTwoNodesThatClash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	files := filepath.Join(r.dir, "nodes")
	at := func(name string) string { return filepath.Join(files, name) }
	for name, text := range nodeFiles {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	passwd := []string{"import", "passwd", "a=" + at("a/passwd"), "b=" + at("b/passwd")}

	status, matrix, errs := r.command(t, passwd...)
	if status != 1 || strings.Count(errs, "\n") != 1 {
		t.Fatalf("the import ended with status %d: %s", status, errs)
	}
	for _, want := range []string{"ada    28400  28400", "grace  28400  28400", "renumber grace new", "uid 28400 has several names"} {
		if !strings.Contains(matrix, want) {
			t.Errorf("the matrix does not show %q:\n%s", want, matrix)
		}
	}
	if out := r.administer(t, "user", "list", "--json"); out != "" {
		t.Errorf("undecided, it imported all the same: %s", out)
	}

	if err := os.WriteFile(at("decisions"), []byte("# ada was first\nrenumber grace 28401\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	passwd = append(passwd, "--decisions", at("decisions"))
	out := r.administer(t, passwd...)
	if !strings.Contains(out, "imported 3 accounts") || !strings.Contains(out, "find /home/grace -xdev -uid 28400 -exec chown --no-dereference --from=28400 28401 {} +") {
		t.Errorf("the import says\n%s", out)
	}
	r.administer(t, "import", "shadow", "a="+at("a/shadow"), "b="+at("b/shadow"))
	r.administer(t, "import", "group", "a="+at("a/group"), "b="+at("b/group"))

	t.Run("to repeat it changes nothing", func(t *testing.T) {
		before, audit := r.standsAt(t), r.administer(t, "audit", "--json")
		r.administer(t, passwd...)
		r.administer(t, "import", "shadow", "a="+at("a/shadow"), "b="+at("b/shadow"))
		r.administer(t, "import", "group", "a="+at("a/group"), "b="+at("b/group"))
		if now := r.standsAt(t); now != before {
			t.Errorf("the feed went from %v to %v", before, now)
		}
		if r.administer(t, "audit", "--json") != audit {
			t.Error("the audit log has more")
		}
	})

	r.sync(t, 0)
	rendered := map[string]map[string]string{}
	for _, name := range []string{"passwd", "group", "shadow"} {
		rendered[name] = lines(t, filepath.Join(r.agent.Dir, name))
	}
	for _, want := range []struct{ file, line string }{
		{"passwd", "ada:x:28400:28400:Ada Lovelace:/home/ada:/bin/bash"},
		{"passwd", "grace:x:28401:28401:Grace Hopper:/home/grace:/bin/bash"},
		{"passwd", "jean:x:28402:28402:Jean:/home/jean:/usr/sbin/nologin"}, // locked there
		{"group", "grace:x:28401:"},
		{"group", "team:x:28500:ada,grace,jean"},
		{"shadow", "jean:!" + sha512Hash + "::::::1:"},
	} {
		name, _, _ := strings.Cut(want.line, ":")
		if got := rendered[want.file][name]; got != want.line {
			t.Errorf("%s has %q, want %q", want.file, got, want.line)
		}
	}
	if len(rendered["passwd"]) != 3 {
		t.Errorf("passwd has %v", rendered["passwd"])
	}
	for name, password := range map[string]string{"ada": yescryptPassword, "grace": sha512Password} {
		t.Run("the password of "+name+" still works", func(t *testing.T) {
			hash := strings.Split(rendered["shadow"][name], ":")[1]
			if !verifies(t, password, hash) {
				t.Error("crypt(3) does not take the rendered hash")
			}
			if verifies(t, password+" ", hash) {
				t.Error("crypt(3) takes another password, too")
			}
		})
	}

	t.Run("the provider's user takes the account over, with its number and password", func(t *testing.T) {
		if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
			t.Fatal(err)
		}
		r.administer(t, "import", "shadow", "a="+at("a/shadow"))
		r.sync(t, 0)
		if line := lines(t, filepath.Join(r.agent.Dir, "passwd"))["ada"]; !strings.HasPrefix(line, "ada:x:28400:28400:User ada:") {
			t.Errorf("passwd has %q", line)
		}
		if line := lines(t, filepath.Join(r.agent.Dir, "shadow"))["ada"]; !strings.HasPrefix(line, "ada:"+yescryptHash+":") {
			t.Error("shadow has another password")
		}
	})
	t.Run("a shadow file that everybody can read is refused", func(t *testing.T) {
		if err := os.Chmod(at("a/shadow"), 0o644); err != nil {
			t.Fatal(err)
		}
		if status, _, errs := r.command(t, "import", "shadow", "a="+at("a/shadow")); status != 1 || !strings.Contains(errs, "chmod 0600") {
			t.Errorf("the import ended with status %d: %s", status, errs)
		}
	})
}

// importFiles writes a node's files for imports, and returns their directory.
func importFiles(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"passwd": "mary:x:28100:28100:Mary:/home/mary:/bin/sh\n",
		"shadow": "mary:$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.:19000::::::\n",
		"group":  "imports:x:28200:mary\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// verifies asks crypt(3) whether a hash is of the password. Neither of them is
// among the process's arguments.
func verifies(t *testing.T, password, hash string) bool {
	t.Helper()
	perl, err := exec.LookPath("perl")
	if err != nil {
		missing(t, "perl is needed", err)
	}
	cmd := exec.Command(perl, "-e", `my $c = crypt($ENV{P}, $ENV{H}); print defined $c && $c =~ /^\$/ ? ($c eq $ENV{H} ? "yes" : "no") : "unknown"`)
	cmd.Env = append(os.Environ(), "P="+password, "H="+hash)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) == "unknown" {
		missing(t, "a crypt(3) that knows "+hash[:3]+" is needed", os.ErrNotExist)
	}
	return string(out) == "yes"
}
