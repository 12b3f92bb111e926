package main

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
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
		n.beat(b, state{flags: reachable | current, generation: 1})
		for _, c := range []struct{ name, op, key string }{
			{"getpwnam", "pwnam", "user777"}, {"getpwuid", "pwuid", "10777"}, {"getgrnam", "grnam", "team7"}, {"getgrgid", "grgid", "5007"},
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
	n.helper(b, n.answering())
	b.Run("live", func(b *testing.B) { n.bench(b, "pwnam", "lisa") })
}

func (n *node) bench(b *testing.B, op, key string) {
	f := strings.Fields(n.drive(b, fmt.Sprintf("bench %s %s %d", op, key, max(20, min(b.N, 20000))))[0])
	for i, unit := range []string{"first-us/op", "min-us/op", "us/op"} {
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(v, unit)
	}
}

// crowd is a roster of many: each user in their own group and in ten of a hundred.
func crowd(users int) index {
	x := index{generation: 1}
	for i := range users {
		name := fmt.Sprintf("user%d", i)
		u := user{name, "x", "User " + name, "/home/" + name, "/bin/bash", uint32(10_000 + i), uint32(10_000 + i), nil}
		if reserved := u.uid == 65534 || u.uid == 65535; reserved {
			continue
		}
		for g := range 10 {
			u.groups = append(u.groups, uint32(5000+(i+g*7)%100))
		}
		x.users = append(x.users, u)
		x.teams = append(x.teams, team{name, "x", u.gid, nil})
	}
	for g := range 100 {
		t := team{fmt.Sprintf("team%d", g), "x", uint32(5000 + g), nil}
		for i := range 50 {
			t.members = append(t.members, fmt.Sprintf("user%d", g+i*100))
		}
		x.teams = append(x.teams, t)
	}
	return x
}
