package answer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pwb/roster"
)

func TestTheDeskAnswersWhatTheFilesShow(t *testing.T) {
	p := newPlace(t).open()
	for asked, want := range map[string]string{
		"passwd name ada":      found("ada:x:1000:1000:Ada:/home/ada:/bin/sh"),
		"passwd name lady":     found("lady:x:1000:1000:Ada:/home/ada:/bin/sh"),
		"passwd id 1000":       found("ada:x:1000:1000:Ada:/home/ada:/bin/sh"),
		"group name eng":       found("eng:x:2000:ada,lady,bob"),
		"group id 1000":        found("ada:x:1000:"),
		"group id 2000":        found("eng:x:2000:ada,lady,bob"),
		"initgroups name ada":  found("2000"),
		"initgroups name lady": found("2000"),
		"initgroups name bob":  found("2001"),
		"shadow name ada":      found("ada:$6$salt$hash:::::::"),
		"shadow name bob":      found("bob:!*::::::1:"),
	} {
		if got := p.ask("pwb1 " + asked + "\n"); got != want {
			t.Errorf("%s: %q, want %q", asked, got, want)
		}
	}
	if n := p.passes.Load(); n != 0 {
		t.Errorf("%d passes for what is there", n)
	}
	for asked, want := range map[string]string{
		"pwb1 passwd name grace\n": "notfound\n", "pwb1 passwd id 1002\n": "notfound\n", "pwb1 group name grace\n": "notfound\n", "pwb1 group id 1001\n": "notfound\n",
		"pwb1 initgroups name eng\n": "notfound\n", "pwb1 shadow name eng\n": "notfound\n",
		"pwb1 passwd id 0\n": "notfound\n", "pwb1 passwd name ROOT\n": "notfound\n",
		"\n": "unavail\n", "pwb1\n": "unavail\n", "pwb1 passwd name a b\n": "unavail\n", strings.Repeat("\xff", 600): "unavail\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n": "unavail\n",
	} {
		if got := p.ask(asked); got != want {
			t.Errorf("%.40q: %q, want %q", asked, got, want)
		}
	}
}

func TestAMissIsAnsweredAfterAPassThatManyShare(t *testing.T) {
	p := newPlace(t)
	all := make(chan struct{})
	p.during = func(context.Context) error {
		<-all
		p.put("passwd", "grace:x:1906:1906::/home/grace:/bin/sh\n")
		return nil
	}
	p.open()
	began := time.Now()
	const n = 50 // nobody's rate and places are for more
	answers := make(chan string, n)
	for range n {
		go func() { answers <- p.ask("pwb1 passwd name grace\n") }()
	}
	close(all)
	for range n {
		if got := <-answers; got != found("grace:x:1906:1906::/home/grace:/bin/sh") {
			t.Fatalf("%q", got)
		}
	}
	if got := p.passes.Load(); got < 1 || got > int32(time.Since(began)/missFor)+1 {
		t.Errorf("%d passes", got)
	}
}

func TestAThousandMissesMakeFewPasses(t *testing.T) {
	p := newPlace(t).open()
	began := time.Now()
	var all sync.WaitGroup
	for worker := range 40 {
		all.Go(func() {
			for i := range 25 {
				if got := p.ask(fmt.Sprintf("pwb1 passwd name user%d-%d\n", worker, i)); got != "notfound\n" && got != "unavail\n" {
					t.Errorf("%q", got)
				}
			}
		})
	}
	all.Wait()
	if n, most := p.passes.Load(), int32(time.Since(began)/missFor)+2; n < 1 || n > most {
		t.Errorf("%d passes, at most %d are wanted", n, most)
	}
}

func TestWhatAPassThatFailsMeansForAMiss(t *testing.T) {
	for err, want := range map[error]string{
		errors.New("connection refused"): "unavail\n",
		errFuse:                          "notfound\n",
	} {
		p := newPlace(t)
		p.during = func(context.Context) error { return err }
		p.open()
		if got := p.ask("pwb1 passwd name grace\n"); got != want {
			t.Errorf("%v: %q", err, got)
		}
		if got := p.ask("pwb1 passwd name ada\n"); !strings.HasPrefix(got, "found ") {
			t.Errorf("%v: what is there became %q", err, got)
		}
	}
}

func TestALoginIsAnsweredAfterAPassThoughTheFilesShowTheAccount(t *testing.T) {
	p := newPlace(t)
	p.during = func(context.Context) error {
		p.put("passwd", "ada:x:1000:1000:Ada:/home/ada:/usr/sbin/nologin\n")
		return nil
	}
	p.open()
	if got := p.ask("pwb1 current name ada\n"); got != found("ada:x:1000:1000:Ada:/home/ada:/usr/sbin/nologin") || p.passes.Load() != 1 {
		t.Errorf("%q after %d passes", got, p.passes.Load())
	}
	if got := p.ask("pwb1 current name grace\n"); got != "notfound\n" {
		t.Errorf("nobody: %q", got)
	}
	q := newPlace(t)
	q.during = func(context.Context) error { return errors.New("connection refused") }
	q.open()
	if got := q.ask("pwb1 current name ada\n"); got != "unavail\n" {
		t.Errorf("after a pass that failed: %q", got)
	}
}

func TestFilesThatCannotBeReadAreNoMiss(t *testing.T) {
	p := newPlace(t).open()
	p.put("passwd", "ada:x\n")
	if err := os.Remove(filepath.Join(p.dir, "group")); err != nil {
		t.Fatal(err)
	}
	for _, asked := range []string{"passwd name ada", "passwd id 1000", "initgroups name ada", "group name eng"} {
		if got := p.ask("pwb1 " + asked + "\n"); got != "unavail\n" {
			t.Errorf("%s: %q", asked, got)
		}
	}
}

func TestShadowIsForRootAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED HERE: root is needed")
	}
	p := newPlace(t).open()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(p.dir, "client") // where nobody may start it
	if err := os.WriteFile(client, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid           uint32
		asked, answer string
	}{
		{0, "pwb1 shadow name ada\n", found("ada:$6$salt$hash:::::::")},
		{65534, "pwb1 shadow name ada\n", "denied\n"},
		{65534, "pwb1 shadow name grace\n", "denied\n"},
		{65534, "pwb1 current name ada\n", "denied\n"},
		{1000, "pwb1 shadow name ada\n", "denied\n"},
		{65534, "pwb1 passwd name ada\n", found("ada:x:1000:1000:Ada:/home/ada:/bin/sh")},
		{65534, "pwb1 passwd name grace\n", "notfound\n"},
	} {
		cmd := exec.Command(client)
		cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{clientEnv + "=" + p.socketPath()}, strings.NewReader(c.asked)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.uid}}
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != c.answer {
			t.Errorf("uid %d, %q: %q, %v", c.uid, c.asked, out, err)
		}
	}
	if fi, err := os.Stat(p.socketPath()); err != nil || fi.Mode().Perm() != 0o666 {
		t.Errorf("the socket: %v, %v", fi.Mode(), err)
	}
	if fi, err := os.Stat(filepath.Dir(p.socketPath())); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("the run directory: %v, %v", fi.Mode(), err)
	}
}

func TestNobodyKeepsTheDeskFromOthers(t *testing.T) {
	p := newPlace(t)
	inPass := make(chan struct{}, 1)
	p.during = func(ctx context.Context) error {
		inPass <- struct{}{}
		<-ctx.Done() // which those who ask do not wait for
		return ctx.Err()
	}
	p.open()
	var idle []net.Conn
	for range 50 { // who connect and say nothing, or half of it
		conn, err := net.Dial("unix", p.socketPath())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "pwb1 passwd na"[:len(idle)%14]); err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	gone, err := net.Dial("unix", p.socketPath()) // who hangs up while a pass is made for him
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(gone, "pwb1 passwd name grace\n"); err != nil {
		t.Fatal(err)
	}
	<-inPass
	gone.Close()
	if got := p.ask("pwb1 passwd name ada\n"); !strings.HasPrefix(got, "found ") {
		t.Errorf("beside them: %q", got)
	}
	if got := p.ask("pwb1 passwd name grace\n"); got != "unavail\n" {
		t.Errorf("a pass that does not end: %q", got)
	}
	for i, conn := range idle {
		b, err := io.ReadAll(conn)
		if string(b) != "unavail\n" {
			t.Errorf("who is slow, %d: %q, %v", i, b, err)
		}
		conn.Close()
	}
}

func TestPlacesAndRatesAreShared(t *testing.T) {
	l := newLimits()
	now := time.Now()
	var leave []func()
	take := func(uid uint32, want bool) {
		t.Helper()
		f, ok := l.enter(uid, now)
		if ok != want {
			t.Fatalf("uid %d: %v with %d connections, %d of its own", uid, ok, l.all, l.conns[uid])
		}
		if ok {
			leave = append(leave, f)
		}
	}
	for uid := uint32(1000); uid < 1003; uid++ {
		for range maxConnsUID {
			take(uid, true)
		}
		take(uid, uid < 1000)
	}
	take(1003, false) // the others have all places of theirs
	for range maxConns - maxConnsOther {
		take(0, true)
	}
	take(0, false)
	for _, f := range leave {
		f()
	}
	if l.all != 0 || l.other != 0 || len(l.conns) != 0 {
		t.Errorf("places left: %d, %d, %v", l.all, l.other, l.conns)
	}
	l.wait()

	n := 0
	for range 10 * burstUID {
		if f, ok := l.enter(2000, now); ok {
			n++
			f()
		}
	}
	if n != burstUID {
		t.Errorf("one uid asked %d times at once", n)
	}
	now = now.Add(time.Second)
	take(2000, true)
	for range 10 * burstUID {
		f, ok := l.enter(0, now)
		if !ok {
			t.Fatal("root has a rate")
		}
		f()
	}
	for uid := range uint32(3 * maxUIDs) {
		if f, ok := l.enter(10_000+uid, now); ok {
			f()
		}
	}
	if len(l.rates) > maxUIDs {
		t.Errorf("%d uids are remembered", len(l.rates))
	}
}

func TestARunDirectoryIsTakenOrLeft(t *testing.T) {
	for _, c := range []struct {
		sentence string
		before   func(dir string) error
		says     string // empty: it is taken
	}{
		{"none is there", func(string) error { return nil }, ""},
		{"one is there", func(dir string) error { return os.Mkdir(dir, 0o755) }, ""},
		{"nothing to make it in", func(dir string) error { return os.RemoveAll(filepath.Dir(dir)) }, "no such file"},
		{"others may write to it", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o777)) }, "chmod 0755"},
		{"it is a link", func(dir string) error { return os.Symlink("/tmp", dir) }, "not a directory"},
		{"it is a file", func(dir string) error { return os.WriteFile(dir, nil, 0o644) }, "not a directory"},
		{"something else is in the socket's place", func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, SocketName), nil, 0o644))
		}, "move it away"},
		{"a socket that nobody listens on any more", func(dir string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(filepath.Dir(dir), "s"), Net: "unix"})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return errors.Join(l.Close(), os.Mkdir(dir, 0o755), os.Rename(filepath.Join(filepath.Dir(dir), "s"), filepath.Join(dir, SocketName)))
		}, ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := newPlace(t)
			cfg := p.config()
			if err := c.before(cfg.Dir); err != nil {
				t.Fatal(err)
			}
			d, err := Open(cfg)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("%v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.ask("pwb1 passwd name ada\n"); !strings.HasPrefix(got, "found ") {
				t.Errorf("%q", got)
			}
			if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "another agent answers") {
				t.Errorf("a second agent: %v", err)
			}
			if got := p.ask("pwb1 passwd name ada\n"); !strings.HasPrefix(got, "found ") {
				t.Errorf("after a second agent came: %q", got)
			}
			d.Heard(true, true)
			d.Close()
			d.Heard(true, true) // nobody writes it again
			if left, err := os.ReadDir(cfg.Dir); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestTheEndEndsAnswersUnderWay(t *testing.T) {
	p := newPlace(t)
	inPass := make(chan struct{})
	p.during = func(ctx context.Context) error { close(inPass); <-ctx.Done(); return ctx.Err() }
	d, err := Open(p.config())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() { got <- p.ask("pwb1 passwd name grace\n") }()
	<-inPass
	d.Close()
	if answer := <-got; answer != "unavail\n" {
		t.Errorf("%q", answer)
	}
}

func TestLongLinesOfGroupAreRead(t *testing.T) {
	p := newPlace(t)
	var members []string
	for i := range 100_000 {
		members = append(members, fmt.Sprintf("user%d", i))
	}
	p.put("group", "big:x:3000:"+strings.Join(members, ",")+"\nlast:x:3001:ada\n")
	f := NewFiles(p.dir, "")
	g, ok, err := f.Group("big")
	if err != nil || !ok || !slices.Equal(g.Members, members) {
		t.Errorf("%d members, %v, %v", len(g.Members), ok, err)
	}
	if g, ok, err := f.GroupByGID(3001); err != nil || !ok || g.Name != "last" {
		t.Errorf("%+v, %v, %v", g, ok, err)
	}
	if gids, ok, err := f.Groups("ada"); err != nil || !ok || !slices.Equal(gids, []uint32{3001}) {
		t.Errorf("%v, %v, %v", gids, ok, err)
	}
	var _ Lookup = f
	if _, ok, err := f.Passwd("ad"); ok || err != nil {
		t.Errorf("a part of a name: %v, %v", ok, err)
	}
	if p, ok, err := f.PasswdByUID(1001); err != nil || !ok || p != (roster.Passwd{Name: "bob", Password: "x", UID: 1001, GID: 2000, Home: "/home/bob", Shell: "/bin/sh"}) {
		t.Errorf("%+v, %v, %v", p, ok, err)
	}
}
