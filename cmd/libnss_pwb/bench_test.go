package main

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkNSS measures what a process pays: loading, the first lookup, and those
// after it, from the index, as a fresh miss, by the agent's socket and by a process
// of its own. us/op is the median in one process, min-us/op the least; the first
// lookup has its own line.
func BenchmarkNSS(b *testing.B) {
	b.Run("load", func(b *testing.B) {
		load, lib := program(b, "load"), library(b)
		least := 0.0
		for b.Loop() {
			out, err := exec.Command(load, lib).Output()
			if err != nil {
				b.Fatal(err)
			}
			f := strings.Fields(string(out))
			us, _ := strconv.ParseFloat(f[len(f)-2], 64)
			if least == 0 || us < least {
				least = us
			}
		}
		b.ReportMetric(least, "min-us/op")
	})
	for _, users := range []int{1000, 100_000, 1_000_000} {
		n := newNode(b)
		n.publish(b, crowd(users))
		for _, c := range []struct{ name, op, key string }{
			{"getpwnam", "pwnam", "user777"}, {"getpwuid", "pwuid", "100777"}, {"getgrnam", "grnam", "team7"}, {"getgrgid", "grgid", "2000007"},
			{"initgroups", "initgroups", "user777"}, {"miss", "pwnam", "nobodyhere"}, {"impossible", "pwnam", "Nobody"},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, users), func(b *testing.B) { n.bench(b, c.op, c.key) })
		}
	}
	n := newNode(b)
	n.publish(b, crowd(1000))
	n.listen(b, func(_ string, to net.Conn) { fmt.Fprint(to, found(lisa)) })
	b.Run("socket", func(b *testing.B) { n.bench(b, "pwnam", "lisa") })
	n = newNode(b)
	n.publish(b, crowd(1000))
	n.live(b)
	b.Run("live", func(b *testing.B) { n.bench(b, "pwnam", "lisa") })
}

// live puts the real nss-live in place, and a server that knows lisa alone; without
// namespaces there is no configuration that the program would read.
func (n *node) live(b *testing.B) {
	if err := namespaces(); err != nil {
		b.Skip(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/nss/v1/passwd/name/lisa" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, lisa)
	}))
	b.Cleanup(server.Close)
	write(b, n.path("token"), []byte("a-token-of-a-benchmark\n"), 0o600)
	n.configure(b, "server-address = "+server.URL, "admin-token-path = "+n.path("token"))
	program := made(b, "nss-live", func(to string) *exec.Cmd { return exec.Command("go", "build", "-tags", "netgo", "-o", to, "./live") })
	binary, err := os.ReadFile(program)
	if err != nil {
		b.Fatal(err)
	}
	write(b, n.path("libexec", "nss-live"), binary, 0o755)
	if got := n.drive(b, "pwnam lisa 1024")[0]; got != "SUCCESS "+lisa {
		b.Fatal(got)
	}
}

// quiet waits until the configuration is one that the module keeps, and says that
// the index is current.
func (n *node) quiet(b *testing.B) {
	fi, err := os.Stat(n.path("etc", "rstudio", "workbench-nss.conf"))
	if err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Until(fi.ModTime().Add(3500 * time.Millisecond)))
	n.beat(b, state{flags: reachable | current, generation: 1})
}

func (n *node) bench(b *testing.B, op, key string) {
	n.quiet(b)
	if op == "pwnam" && key == "lisa" {
		os.Remove(n.path("run", "state")) // whoever is to be asked is asked
	}
	report(b, func() string { return n.drive(b, fmt.Sprintf("bench %s %s %d", op, key, calls))[0] })
}

const calls = 5000 // of a process

// report runs a process as often as there is time for, and reports the figures of
// the one whose median is the median.
func report(b *testing.B, run func() string) {
	var all [][]float64
	for b.Loop() {
		var figures []float64
		for f := range strings.FieldsSeq(run()) {
			v, err := strconv.ParseFloat(f, 64)
			if err != nil {
				b.Fatal(err)
			}
			figures = append(figures, v)
		}
		all = append(all, figures)
	}
	slices.SortFunc(all, func(a, b []float64) int { return cmp.Compare(a[2], b[2]) })
	for i, v := range all[len(all)/2] {
		b.ReportMetric(v, []string{"first-us/op", "min-us/op", "us/op", "grown-kB"}[i])
	}
	b.ReportMetric(0, "ns/op") // of the processes, not of the calls
}

// BenchmarkSources measures the same lookups of the same accounts beside each other,
// through glibc: by pwb, by glibc's own files and by libnss-extrausers. What is
// looked up stands in the middle of the files.
func BenchmarkSources(b *testing.B) {
	if err := namespaces(); err != nil {
		b.Skip(err)
	}
	host, lib := program(b, "host"), filepath.Dir(library(b))
	for _, users := range []int{1000, 10_000, 100_000, 1_000_000} {
		x := crowd(users)
		passwd, group := x.text()
		for _, source := range []string{"pwb", "files", "extrausers"} {
			n := newNode(b)
			write(b, n.path("etc", "nsswitch.conf"), []byte(strings.ReplaceAll("passwd: X\ngroup: X\n", "X", source)), 0o644)
			run := []string{"env", "LD_LIBRARY_PATH=" + lib}
			switch source {
			case "pwb":
				n.publish(b, x)
			case "files":
				write(b, n.path("etc", "passwd"), passwd, 0o644)
				write(b, n.path("etc", "group"), group, 0o644)
			case "extrausers":
				if fi, err := os.Stat("/var/lib/extrausers"); err != nil || !fi.IsDir() {
					b.Log("libnss-extrausers is not installed")
					continue
				}
				write(b, n.path("extrausers", "passwd"), passwd, 0o644)
				write(b, n.path("extrausers", "group"), group, 0o644)
				run = append(run, "sh", "-c", `mount --bind "$0" /var/lib/extrausers && exec "$@"`, n.path("extrausers"))
			}
			middle := users / 2
			for _, c := range []struct{ name, op, key string }{
				{"getpwnam", "pwnam", fmt.Sprintf("user%d", middle)}, {"getpwuid", "pwuid", strconv.Itoa(100_000 + middle)},
				{"getgrnam", "grnam", fmt.Sprintf("team%d", middle/10)}, {"initgroups", "initgroups", fmt.Sprintf("user%d", middle)},
				{"miss", "pwnam", "nobodyhere"},
			} {
				b.Run(fmt.Sprintf("%s/%d/%s", c.name, users, source), func(b *testing.B) {
					if source == "pwb" {
						n.quiet(b)
					}
					report(b, func() string {
						out, err := n.run(b, "", slices.Concat(run, []string{host, c.op, c.key, strconv.Itoa(calls)})...)
						if err != nil {
							b.Fatal(err)
						}
						return out
					})
				})
			}
		}
	}
}

// crowd is a roster of many: each user in their own group and in five teams of fifty.
// A team stands behind each ten users' groups.
func crowd(users int) index {
	x := index{generation: 1}
	teams := users / 10
	for i := range users {
		name := fmt.Sprintf("user%d", i)
		u := user{name, "x", "User " + name, "/home/" + name, "/bin/bash", uint32(100_000 + i), uint32(100_000 + i), nil}
		for g := range 5 {
			u.groups = append(u.groups, uint32(2_000_000+(i/10+g*7)%teams))
		}
		x.users = append(x.users, u)
		x.teams = append(x.teams, team{name, "x", u.gid, nil})
		if i%10 != 9 {
			continue
		}
		t := team{fmt.Sprintf("team%d", i/10), "x", uint32(2_000_000 + i/10), nil}
		for g := range 5 {
			for k := range 10 {
				t.members = append(t.members, fmt.Sprintf("user%d", (i/10-g*7+teams)%teams*10+k))
			}
		}
		x.teams = append(x.teams, t)
	}
	return x
}

// text is the roster as passwd(5) and group(5).
func (x index) text() (passwd, group []byte) {
	for _, u := range x.users {
		passwd = fmt.Appendf(passwd, "%s:%s:%d:%d:%s:%s:%s\n", u.name, u.passwd, u.uid, u.gid, u.gecos, u.home, u.shell)
	}
	for _, g := range x.teams {
		group = fmt.Appendf(group, "%s:%s:%d:%s\n", g.name, g.passwd, g.gid, strings.Join(g.members, ","))
	}
	return passwd, group
}
