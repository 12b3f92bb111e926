package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// program is nss-live, built as it is shipped.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "nss-live-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // nobody runs it, too
			panic(err)
		}
		program = filepath.Join(dir, "nss-live")
		if out, err := exec.Command("go", "build", "-tags", "netgo", "-o", program, ".").CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v\n%s", err, out))
		}
		return m.Run()
	}())
}

// node is a node that asks a server.
type node struct {
	t                   testing.TB
	dir                 string
	conf, admin, shared string
	env                 []string
	uid                 uint32
}

func newNode(t testing.TB, server string, lines ...string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "nss-live-node-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{t: t, dir: dir, uid: uint32(os.Geteuid())}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n.admin = n.write("admin-token", "the-token-of-root\n", 0o600)
	n.shared = n.write("user-token", "the-token-of-all\n", 0o644)
	n.write("passwd", "root:x:0:0:root:/root:/bin/bash\nlocal:x:1500:1500::/home/local:/bin/sh\n", 0o644)
	n.write("group", "root:x:0:\nlocals:x:1501:local\nlocal:x:1500:\n", 0o644)
	text := append([]string{"# a comment", "server-address = " + server, "admin-token-path=" + n.admin, "user-token-path = " + n.shared, "something = else"}, lines...)
	n.conf = n.write("workbench-nss.conf", strings.Join(text, "\n"), 0o644)
	return n
}

func (n *node) write(name, text string, mode os.FileMode) string {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *node) command(flags ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{"--conf", n.conf, "--local-passwd-file", filepath.Join(n.dir, "passwd"), "--local-group-file", filepath.Join(n.dir, "group")}, flags...)...)
	cmd.Dir = "/"
	cmd.Env = append([]string{}, n.env...)
	if n.uid != uint32(os.Geteuid()) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: n.uid, Gid: n.uid}}
	}
	return cmd
}

// ask asks, and returns the answer and what it says why.
func (n *node) ask(question string) (answer, why string) {
	n.t.Helper()
	cmd := n.command("--explain")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(question), &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	if failed := err != nil; failed != (out.String() == "unavail\n") {
		n.t.Errorf("%q: %v with the answer %q", question, err, &out)
	}
	if strings.Contains(errs.String(), "the-token") || strings.Contains(errs.String(), "$6$") {
		n.t.Errorf("%q: a secret in %s", question, &errs)
	}
	return out.String(), errs.String()
}

// answers is a server that gives one answer to everything.
func answers(t testing.TB, status int, body string) *httptest.Server {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

const ada = "ada:x:1000:1000:Ada:/home/ada:/bin/zsh"

func found(line string) string { return fmt.Sprintf("found %d\n%s", len(line), line) }

func TestWhatIsBelievedOfAnAnswer(t *testing.T) {
	for _, c := range []struct {
		sentence, question string
		status             int
		body, answer, why  string
	}{
		{"a good line", "passwd name ada", 200, ada + "\n", found(ada), ""},
		{"a good line by number", "passwd id 1000", 200, ada + "\n", found(ada), ""},
		{"nobody", "passwd name ada", 404, "", "notfound\n", "no such entry"},
		{"nobody, from who knows no lookups", "passwd name ada", 404, "404 page not found\n", "unavail\n", "new enough"},
		{"a token that is none", "passwd name ada", 401, "", "unavail\n", "401"},
		{"a token for less", "shadow name ada", 403, "", "denied\n", "to the token"},
		{"a fault", "passwd name ada", 500, ada + "\n", "unavail\n", "500"},
		{"somewhere else", "passwd name ada", 302, "", "unavail\n", "302"},
		{"somebody else", "passwd name bob", 200, ada + "\n", "unavail\n", "none to this question"},
		{"another number", "passwd id 1001", 200, ada + "\n", "unavail\n", "none to this question"},
		{"two lines", "passwd name ada", 200, ada + "\nroot2:x:0:0::/:/bin/sh\n", "unavail\n", "not one line"},
		{"half a line", "passwd name ada", 200, ada, "unavail\n", "not one line"},
		{"no line", "passwd name ada", 200, "", "unavail\n", "not one line"},
		{"a page", "passwd name ada", 200, "<html>\n", "unavail\n", "seven fields"},
		{"root's number", "passwd name ada", 200, "ada:x:0:0::/home/ada:/bin/sh\n", "notfound\n", "root's"},
		{"root's group", "passwd name ada", 200, "ada:x:1000:0::/home/ada:/bin/sh\n", "notfound\n", "root's"},
		{"a number below 1000", "passwd name ada", 200, "ada:x:999:999::/home/ada:/bin/sh\n", "notfound\n", "999"},
		{"a number that means none", "passwd name ada", 200, "ada:x:4294967295:1000::/home/ada:/bin/sh\n", "notfound\n", "4294967295"},
		{"a password in passwd", "passwd name ada", 200, "ada::1000:1000::/home/ada:/bin/sh\n", "notfound\n", "password field"},
		{"a home of the system's", "passwd name ada", 200, "ada:x:1000:1000::/etc:/bin/sh\n", "notfound\n", "/etc"},
		{"a shell that is no path", "passwd name ada", 200, "ada:x:1000:1000::/home/ada:sh\n", "notfound\n", "absolute"},
		{"a control character", "passwd name ada", 200, "ada:x:1000:1000:\x1b[2J:/home/ada:/bin/sh\n", "notfound\n", "control"},
		{"a NUL", "passwd name ada", 200, "ada:x:1000:1000:\x00:/home/ada:/bin/sh\n", "unavail\n", "one line"},
		{"a local account's number", "passwd name ada", 200, "ada:x:1500:1000::/home/ada:/bin/sh\n", "notfound\n", `"local"`},
		{"a local account's name", "passwd name local", 200, "local:x:1000:1000::/home/local:/bin/sh\n", "notfound\n", "another account"},
		{"a local group's number", "passwd name ada", 200, "ada:x:1000:1501::/home/ada:/bin/sh\n", "notfound\n", `"locals"`},

		{"a group", "group name eng", 200, "eng:x:2000:ada,bob\n", found("eng:x:2000:ada,bob"), ""},
		{"a group's password", "group id 2000", 200, "eng:secret:2000:\n", found("eng:x:2000:"), ""},
		{"members that nobody shows", "group name eng", 200, "eng:x:2000:root,ada,B,local,daemon,\n", found("eng:x:2000:ada"), ""},
		{"a group of the system's", "group id 2000", 200, "docker:x:2000:ada\n", "notfound\n", "protected"},
		{"a local group's gid", "group name eng", 200, "eng:x:1501:ada\n", "notfound\n", `"locals"`},
		{"a group of another name", "group name eng", 200, "engines:x:2000:ada\n", "unavail\n", "none to this question"},
		{"a group of five fields", "group name eng", 200, "eng:x:2000:ada:\n", "unavail\n", "four fields"},

		{"groups", "initgroups name ada", 200, "2000 2001\n", found("2000 2001"), ""},
		{"no groups", "initgroups name ada", 200, "\n", found(""), ""},
		{"groups that nobody shows", "initgroups name ada", 200, "0 27 2000 1501 65534 1500\n", found("2000"), ""},
		{"groups that are none", "initgroups name ada", 200, "2000 eng\n", "unavail\n", "no gid"},
		{"groups of a local account", "initgroups name local", 200, "2000\n", "notfound\n", `"local"`},

		{"a shadow line", "shadow name ada", 200, "ada:$6$salt$hash::::::20000:\n", found("ada:$6$salt$hash::::::20000:"), ""},
		{"a locked one", "shadow name ada", 200, "ada:!*::::::1:\n", found("ada:!*::::::1:"), ""},
		{"one without a password", "shadow name ada", 200, "ada:::::::::\n", "unavail\n", "nine fields"},
		{"one with an empty password", "shadow name ada", 200, "ada::::::::\n", "notfound\n", "everybody could log in"},
		{"one with what is no hash", "shadow name ada", 200, "ada:secret:::::::\n", "notfound\n", "crypt(5)"},
		{"somebody else's", "shadow name ada", 200, "bob:$6$salt$hash:::::::\n", "unavail\n", "none to this question"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 && strings.HasPrefix(c.question, "shadow") {
				t.Skip("NOT TESTED HERE: root is needed")
			}
			n := newNode(t, answers(t, c.status, c.body).URL)
			answer, why := n.ask("pwb1 " + c.question + "\n")
			if answer != c.answer || !strings.Contains(why, c.why) || c.why == "" && why != "" {
				t.Errorf("answer %q, want %q, since %q (%s)", answer, c.answer, c.why, why)
			}
		})
	}
}

func TestWhatCannotBeIsNotAsked(t *testing.T) {
	var asked atomic.Int32
	n := newNode(t, serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) }).URL)
	for question, want := range map[string]string{
		"pwb1 passwd name root\n": "notfound\n", "pwb1 group name docker\n": "notfound\n", "pwb1 passwd id 0\n": "notfound\n", "pwb1 passwd name Ada\n": "notfound\n",
		"": "unavail\n", "\n": "unavail\n", "pwb1 passwd name ada": "unavail\n", "GET / HTTP/1.0\r\n\r\n": "unavail\n", "pwb1 passwd name ../../x\n": "notfound\n",
		strings.Repeat("\xff", 1<<20): "unavail\n", "pwb1 shadow id 1000\n": "unavail\n",
	} {
		if answer, why := n.ask(question); answer != want {
			t.Errorf("%.40q: %q (%s)", question, answer, why)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}

func TestRootAndOthersHaveTokensOfTheirOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED HERE: root is needed")
	}
	var last atomic.Pointer[string]
	n := newNode(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		last.Store(&token)
		_, _ = io.WriteString(w, ada+"\n")
	}).URL)
	check := func(uid uint32, question, answer, token, why string) {
		t.Helper()
		none := ""
		last.Store(&none)
		n.uid = uid
		got, says := n.ask(question)
		if got != answer || *last.Load() != token || !strings.Contains(says, why) {
			t.Errorf("uid %d got %q with the token %q (%s)", uid, got, *last.Load(), says)
		}
	}
	const q, nobody = "pwb1 passwd name ada\n", 65534
	check(0, q, found(ada), "Bearer the-token-of-root", "")
	check(nobody, q, found(ada), "Bearer the-token-of-all", "")
	check(nobody, "pwb1 shadow name ada\n", "denied\n", "", "root alone")

	n.write("admin-token", "the-token-of-root\n", 0o640)
	check(0, q, "unavail\n", "", "others may use it; run chmod 0600")
	n.write("user-token", "the-token-of-all\n", 0o666)
	check(nobody, q, "unavail\n", "", "others may change it; run chmod 0644")
	n.write("workbench-nss.conf", "server-address=http://127.0.0.1:1\n", 0o664)
	check(0, q, "unavail\n", "", "others may change it")
	if err := errors.Join(os.Chmod(n.conf, 0o644), os.Chown(n.conf, 1500, 0)); err != nil {
		t.Fatal(err)
	}
	check(0, q, "unavail\n", "", "does not belong to root")
	if err := os.Remove(n.conf); err != nil {
		t.Fatal(err)
	}
	check(nobody, q, "unavail\n", "", "no such file")
}

// secure is a server with TLS and the file of its authority.
func secure(t *testing.T, n string) (server *httptest.Server, ca string) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, ada+"\n") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it notes each refused handshake
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), n)
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	return s, ca
}

func TestTheEnvironmentChangesNothing(t *testing.T) {
	s, ca := secure(t, "ca.pem")
	var trapped atomic.Int32
	trap := serve(t, func(http.ResponseWriter, *http.Request) { trapped.Add(1) })
	const q = "pwb1 passwd name ada\n"
	for _, c := range []struct {
		sentence string
		server   string
		conf     []string
		answer   string
	}{
		{"its own authority", s.URL, []string{"ca-cert-path=" + ca}, found(ada)},
		{"no verification", s.URL, []string{"verify-ssl-certs = 0"}, found(ada)},
		{"the system's authorities", s.URL, nil, "unavail\n"},
		{"plain HTTP on this host", answers(t, 200, ada+"\n").URL, nil, found(ada)},
	} {
		for _, env := range [][]string{
			nil,
			{"HTTP_PROXY=" + trap.URL, "HTTPS_PROXY=" + trap.URL, "ALL_PROXY=" + trap.URL, "http_proxy=" + trap.URL, "https_proxy=" + trap.URL},
			{"SSL_CERT_FILE=" + ca, "SSL_CERT_DIR=" + filepath.Dir(ca)},
			{"SSL_CERT_FILE=/dev/null", "SSL_CERT_DIR=/nonexistent"},
			{"GODEBUG=http2debug=2,netdns=cgo+2,inittrace=0", "GOTRACEBACK=crash", "GOMAXPROCS=0", "RES_OPTIONS=ndots:9", "LOCALDOMAIN=evil.example"},
			{"PWB_CONF=/nonexistent", "HOME=/nonexistent", "TMPDIR=/nonexistent", "PATH="},
		} {
			n := newNode(t, c.server, c.conf...)
			n.env = env
			answer, why := n.ask(q)
			if answer != c.answer {
				t.Errorf("%s with %q: %q (%s)", c.sentence, env, answer, why)
			}
			if c.answer != "unavail\n" && why != "" {
				t.Errorf("%s with %q says %s", c.sentence, env, why)
			}
			if c.answer == "unavail\n" && !strings.Contains(why, "certificate") {
				t.Errorf("%s with %q does not say why: %s", c.sentence, env, why)
			}
		}
	}
	if trapped.Load() != 0 {
		t.Errorf("the proxy got %d requests", trapped.Load())
	}
	_, other := secure(t, "other.pem") // httptest's certificates are all the same: its authority is none of this
	if err := os.WriteFile(other, []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	if answer, why := newNode(t, s.URL, "ca-cert-path="+other).ask(q); answer != "unavail\n" || !strings.Contains(why, "no certificate in PEM form") {
		t.Errorf("a file that is none: %q (%s)", answer, why)
	}
}

func TestACertificateOfAnotherNameIsRefused(t *testing.T) {
	s, ca := secure(t, "ca.pem")
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer, why := newNode(t, "https://localhost:"+port, "ca-cert-path="+ca).ask("pwb1 passwd name ada\n")
	if answer != "unavail\n" || !strings.Contains(why, "localhost") {
		t.Errorf("%q (%s)", answer, why)
	}
}

func TestASocketOfThisHostIsAServerToo(t *testing.T) {
	n := newNode(t, "http://127.0.0.1")
	path := filepath.Join(n.dir, "server.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/nss/v1/passwd/id/1000" {
			t.Errorf("the path is %s", r.URL.Path)
		}
		_, _ = io.WriteString(w, ada+"\n")
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	defer s.Close()
	n.write("workbench-nss.conf", "server-address = unix:"+path+"\nadmin-token-path="+n.admin+"\nuser-token-path="+n.shared+"\n", 0o644)
	if answer, why := n.ask("pwb1 passwd id 1000\n"); answer != found(ada) {
		t.Errorf("%q (%s)", answer, why)
	}
}

// TestNobodyIsWaitedForForever has each of those that nss-live waits for hang. The
// test would not end otherwise.
func TestNobodyIsWaitedForForever(t *testing.T) {
	end := make(chan struct{})
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	trickling := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-end:
				return
			}
		}
	})
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("a"), 1<<16)); err != nil {
				return
			}
		}
	})
	mute, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	defer close(end)
	for sentence, server := range map[string]string{
		"silence": silent.URL, "a trickle": trickling.URL, "more and more": endless.URL,
		"nobody who accepts": "http://" + mute.Addr().String(), "TLS with nobody": "https://" + mute.Addr().String(),
	} {
		n := newNode(t, server, "timeout = 300")
		if answer, why := n.ask("pwb1 passwd name ada\n"); answer != "unavail\n" {
			t.Errorf("%s: %q (%s)", sentence, answer, why)
		}
	}
	n := newNode(t, silent.URL, "timeout = 300")
	cmd := n.command()
	in, err := cmd.StdinPipe() // from which nothing comes
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.Output(); string(out) != "unavail\n" || err == nil {
		t.Errorf("a question that does not come: %q, %v", out, err)
	}
	in.Close()

	// Whoever does not read the answer.
	big := "eng:x:2000:" + strings.Repeat("ada,", 1<<18) + "ada"
	n = newNode(t, answers(t, 200, big+"\n").URL, "timeout = 300")
	cmd = n.command()
	cmd.Stdin = strings.NewReader("pwb1 group name eng\n")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well though nobody read the answer")
	}
	if answer, why := n.ask("pwb1 group name eng\n"); answer != found(big) {
		t.Errorf("a large group: %d bytes, %.40q (%s)", len(answer), answer, why)
	}
}

func TestConfigurationIsStrictAboutWhatItKnows(t *testing.T) {
	dir := t.TempDir()
	read := func(text string) (*conf, error) {
		path := filepath.Join(dir, "conf")
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
		return readConf(path)
	}
	c, err := read("\n  # comment\n server-address\t=  https://pwb.example:8443/prefix  \r\nadmin-token-path=/a b#c\nuser-token-path = /u\nenumerate = 0\nca-cert-path=/ca\ntimeout=10\ntimeout= 1500\nverify-ssl-certs=0\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.server.String() != "https://pwb.example:8443/prefix" || c.adminToken != "/a b#c" || c.userToken != "/u" || c.ca != "/ca" || c.timeout != 1500*time.Millisecond || c.verify {
		t.Errorf("%+v", c)
	}
	c, err = read("server-address=http://[::1]:80\n")
	if err != nil || c.adminToken != "/etc/rstudio/admin-token" || c.userToken != "/etc/rstudio/user-token" || c.ca != "" || c.timeout != 2*time.Second || !c.verify {
		t.Errorf("defaults: %+v, %v", c, err)
	}
	const good = "server-address=https://h\n"
	for text, says := range map[string]string{
		"":                                         "no server-address",
		"server-address":                           "line 1: it is not of the form",
		"server-address=http://pwb.example":        "not https",
		"server-address=ftp://h":                   "not https",
		"server-address=https://":                  "not https",
		"server-address=https://u:secret@h":        "more than",
		"server-address=unix:relative":             "more than",
		"server-address=\x7f":                      "no URL",
		good + "timeout=2s":                        "line 2: timeout",
		good + "timeout=0":                         "1 to 60000",
		good + "timeout=60001":                     "1 to 60000",
		good + "timeout=-1":                        "timeout",
		good + "verify-ssl-certs=yes":              "0 or 1",
		good + "admin-token-path=token":            "absolute path",
		good + "user-token-path=":                  "absolute path",
		good + "ca-cert-path=ca.pem":               "absolute path",
		good + strings.Repeat("# comment\n", 7000): "more than 65536 bytes",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.60q: %v, want %q", text, err, says)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := readConf(filepath.Join(dir, "link")); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a directory: %v", err)
	}
}
