package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// sample is a small roster with an alias, a group of the node's own with members of
// ours, and fields of every length.
func sample() index {
	return index{
		generation: 7,
		users: []user{
			{"ada", "x", "Ada Lovelace", "/home/ada", "/bin/bash", 5001, 5001, []uint32{6000, 998, 6001}},
			{"countess", "x", "Ada Lovelace", "/home/ada", "/bin/bash", 5001, 5001, []uint32{6000}},
			{"grace.hopper-1", "*", "", "/home/grace", "/bin/sh", 5002, 6000, nil},
			{"_" + strings.Repeat("n", 31), "x", strings.Repeat("g", 700), "/" + strings.Repeat("h", 600), "/bin/sh", 5003, 5003, nil},
		},
		teams: []team{
			{"ada", "x", 5001, nil},
			{"compilers", "x", 6000, []string{"ada", "countess"}},
			{"languages", "x", 6001, []string{"ada"}},
			{"docker", "x", 998, []string{"ada"}},
		},
		secrets: []secret{
			{"ada", "$6$salt$hash", [6]int64{19000, 0, 99999, 7, -1, -1}, ^uint64(0)},
			{"grace.hopper-1", "!*", [6]int64{-1, -1, -1, -1, 3, 1}, 5},
		},
	}
}

const adaLine = "SUCCESS ada:x:5001:5001:Ada Lovelace:/home/ada:/bin/bash"

func TestEveryEntryAnswersFromTheIndex(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	long := "_" + strings.Repeat("n", 31)
	n.expect(t,
		"pwnam ada 1024", adaLine,
		"pwuid 5001 1024", adaLine, // the present name, not the alias
		"pwnam countess 1024", strings.Replace(adaLine, "ada:x", "countess:x", 1),
		"pwnam grace.hopper-1 1024", "SUCCESS grace.hopper-1:*:5002:6000::/home/grace:/bin/sh",
		"pwnam "+long+" 2048", "SUCCESS "+long+":x:5003:5003:"+strings.Repeat("g", 700)+":/"+strings.Repeat("h", 600)+":/bin/sh",
		"pwnam "+long+" 1024", "TRYAGAIN ERANGE",
		"grnam compilers 1024", "SUCCESS compilers:x:6000:ada,countess",
		"grgid 6000 1024", "SUCCESS compilers:x:6000:ada,countess",
		"grnam ada 1024", "SUCCESS ada:x:5001:",
		"grnam docker 1024", "SUCCESS docker:x:998:ada",
		"grgid 998 1024", "SUCCESS docker:x:998:ada",
		"initgroups ada 5001 0", "SUCCESS 6000 998 6001",
		"initgroups ada 6000 0", "SUCCESS 998 6001", // the primary is there already
		"initgroups ada 5001 3", "SUCCESS 6000 998",
		"initgroups ada 5001 1", "SUCCESS",
		"initgroups grace.hopper-1 6000 0", "SUCCESS",
		"pwnam nobodyhere 1024", "NOTFOUND ENOENT",
		"pwuid 7777 1024", "NOTFOUND ENOENT",
		"grnam nogroup 1024", "NOTFOUND ENOENT",
		"grgid 7777 1024", "NOTFOUND ENOENT",
		"initgroups nobodyhere 7777 0", "NOTFOUND ENOENT",
	)
}

func TestShadowIsForWhoMayReadIt(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.expect(t,
		"spnam ada 1024", "SUCCESS ada:$6$salt$hash:19000:0:99999:7:-1:-1:-1",
		"spnam grace.hopper-1 1024", "SUCCESS grace.hopper-1:!*:-1:-1:-1:-1:3:1:5",
		"spnam nobodyhere 1024", "NOTFOUND ENOENT",
		"sizes spnam ada 256", "SUCCESS ada:$6$salt$hash:19000:0:99999:7:-1:-1:-1",
	)
	if os.Geteuid() != 0 {
		t.Log("not root: what others see of shadow is left out")
		return
	}
	n.expect(t, "uid 65534", "", "spnam ada 1024", "NOTFOUND ENOENT", "pwnam ada 1024", adaLine)
}

func TestWithoutConfigurationTheModuleIsDormant(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	conf := n.path("etc", "rstudio", "workbench-nss.conf")
	check := func() {
		t.Helper()
		n.expect(t, "pwnam ada 1024", "UNAVAIL ENOENT", "grgid 6000 1024", "UNAVAIL ENOENT", "spnam ada 1024", "UNAVAIL ENOENT",
			"initgroups ada 5001 0", "UNAVAIL ENOENT", "setpwent", "SUCCESS", "pwent 0 1024", "UNAVAIL ENOENT", "endpwent", "SUCCESS")
	}
	if err := os.Chmod(conf, 0o646); err != nil { // everybody may say what root runs
		t.Fatal(err)
	}
	check()
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestConfigurationIsReadAsAdministratorsWriteIt(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	conf := n.path("etc", "rstudio", "workbench-nss.conf")
	for name, c := range map[string]struct{ text, want string }{
		"blanks and carriage returns": {"  state-dir \t=  " + n.path("state") + " \r\n", adaLine},
		"no last newline":             {"state-dir=" + n.path("state"), adaLine},
		"the last of two wins":        {"state-dir=/nowhere\nstate-dir=" + n.path("state") + "\n", adaLine},
		"a relative path is ignored":  {"state-dir=" + n.path("state") + "\nstate-dir=etc\n", adaLine},
		"a long line is ignored":      {"x=" + strings.Repeat("y", 5000) + "state-dir=/nowhere\nstate-dir=" + n.path("state") + "\n", adaLine},
		"a comment is none":           {"#state-dir=" + n.path("state") + "\n", "UNAVAIL ENOENT"},
		"an empty file":               {"", "UNAVAIL ENOENT"},
		"a NUL":                       {"state-dir=" + n.path("state") + "\x00\n", "UNAVAIL ENOENT"},
	} {
		t.Run(name, func(t *testing.T) {
			// What is not said is not this test's node, but nothing is there.
			text := "socket-path=/nowhere/s\nlive-path=/nowhere/l\nstate-path=/nowhere/t\n" + c.text
			if c.want != adaLine {
				text = "state-dir=/nowhere\n" + text
			}
			write(t, conf, []byte(text), 0o644)
			n.expect(t, "pwnam ada 1024", c.want)
		})
	}
}

func TestWhatCannotBeOursIsNotLookedUp(t *testing.T) {
	n := newNode(t)
	// With no index and nobody to ask, what is looked up is UNAVAIL.
	var pairs []string
	for _, name := range []string{"%00", "Ada", "ada%3a", "ada/x", "a%20b", "a%0ab", "%ff", "-ada", "1ada", ".ada", "a$b", "a%7f", "pam_unix_non_existent%3a",
		strings.Repeat("a", 33), strings.Repeat("a", 3000)} {
		pairs = append(pairs, "pwnam "+name+" 1024", "NOTFOUND ENOENT", "grnam "+name+" 1024", "NOTFOUND ENOENT",
			"spnam "+name+" 1024", "NOTFOUND ENOENT", "initgroups "+name+" 5000 0", "NOTFOUND ENOENT")
	}
	for _, name := range []string{"a", "_", "host$", "a.b-c_9", strings.Repeat("a", 32)} {
		pairs = append(pairs, "pwnam "+name+" 1024", "UNAVAIL ENOENT")
	}
	for _, id := range []string{"0", "65534", "65535", "4294967295", "1", "999"} {
		pairs = append(pairs, "pwuid "+id+" 1024", "NOTFOUND ENOENT", "grgid "+id+" 1024", "NOTFOUND ENOENT")
		if id != "4294967295" { // what "getent initgroups" says
			pairs = append(pairs, "initgroups ada "+id+" 0", "NOTFOUND ENOENT")
		}
	}
	pairs = append(pairs, "pwuid 1000 1024", "UNAVAIL ENOENT", "grgid 1000 1024", "UNAVAIL ENOENT")
	n.expect(t, pairs...)
}

func TestABufferOfEverySizeIsEnoughOrTooSmall(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	long := "_" + strings.Repeat("n", 31)
	n.expect(t,
		"sizes pwnam ada 2048", adaLine,
		"sizes pwuid 5001 256", adaLine,
		"sizes grnam compilers 2048", "SUCCESS compilers:x:6000:ada,countess",
		"sizes grgid 6001 256", "SUCCESS languages:x:6001:ada",
		"sizes pwnam "+long+" 2048", "SUCCESS "+long+":x:5003:5003:"+strings.Repeat("g", 700)+":/"+strings.Repeat("h", 600)+":/bin/sh",
	)
}

func TestAGroupOfAMegabyteIsReadWhole(t *testing.T) {
	n := newNode(t)
	x := sample()
	var members []string
	for i := range 100_000 {
		members = append(members, fmt.Sprintf("member%06d", i))
	}
	x.teams = append(x.teams, team{"everybody", "x", 6100, members})
	groups := make([]uint32, 65536)
	for i := range groups {
		groups[i] = uint32(10_000 + i)
		if groups[i] == 65534 || groups[i] == 65535 {
			groups[i] = 100_000 + uint32(i)
		}
	}
	x.users = append(x.users, user{"joiner", "x", "", "/home/joiner", "/bin/sh", 5100, 5100, groups})
	n.publish(t, x)
	want := "SUCCESS everybody:x:6100:" + strings.Join(members, ",")
	all := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(groups)), " "), "[]")
	n.expect(t,
		"grnam everybody 1000000", "TRYAGAIN ERANGE",
		"grnam everybody 4000000", want,
		"grgid 6100 4000000", want,
		"initgroups joiner 5100 0", "SUCCESS "+all,
		"pwnam joiner 100", "SUCCESS joiner:x:5100:5100::/home/joiner:/bin/sh",
	)
	// Damage in its last byte: nothing is answered from it.
	b := x.bytes(1)
	end := le.Uint64(b[136:])
	b[end-10] ^= 1
	write(t, n.path("state", "roster.idx"), b, 0o644)
	n.expect(t, "grnam everybody 4000000", "UNAVAIL ENOENT", "grnam compilers 1024", "SUCCESS compilers:x:6000:ada,countess")
}

func TestEntriesWithTheSameHashAreToldApart(t *testing.T) {
	n := newNode(t)
	// In a table of eight slots many stand in line; found by trying names until two
	// have the same 32 bits, so that both are compared by name.
	seen := map[uint32]string{}
	var a, b string
	for i := 0; b == ""; i++ {
		name := fmt.Sprintf("u%d", i)
		if other, ok := seen[hashName(3, name)]; ok {
			a, b = other, name
		}
		seen[hashName(3, name)] = name
	}
	x := index{seed: 3, generation: 1}
	for i, name := range []string{a, b} {
		x.users = append(x.users, user{name, "x", "", "/home/" + name, "/bin/sh", uint32(5000 + i), 5000, []uint32{uint32(7000 + i)}})
		x.teams = append(x.teams, team{name, "x", uint32(5000 + i), nil})
	}
	n.publish(t, x)
	for i, name := range []string{a, b} {
		n.expect(t, "pwnam "+name+" 99", fmt.Sprintf("SUCCESS %s:x:%d:5000::/home/%s:/bin/sh", name, 5000+i, name),
			"grnam "+name+" 99", fmt.Sprintf("SUCCESS %s:x:%d:", name, 5000+i),
			"initgroups "+name+" 5000 0", fmt.Sprintf("SUCCESS %d", 7000+i))
	}
	n.publish(t, index{seed: 3, generation: 2, users: x.users[:1], teams: x.teams[:1]})
	n.expect(t, "pwnam "+b+" 99", "NOTFOUND ENOENT", "grnam "+b+" 99", "NOTFOUND ENOENT", "initgroups "+b+" 5000 0", "NOTFOUND ENOENT")
}

func TestAFullTableIsReadToItsEnd(t *testing.T) {
	n := newNode(t)
	x := index{slots: 16}
	for i := range 60 {
		name := fmt.Sprintf("u%d", i)
		x.users = append(x.users, user{name, "x", "", "/home/" + name, "/bin/sh", uint32(5000 + i), 5000, nil})
	}
	n.publish(t, x)
	var pairs []string
	for i := range 60 {
		want := fmt.Sprintf("SUCCESS u%d:x:%d:5000::/home/u%d:/bin/sh", i, 5000+i, i)
		pairs = append(pairs, fmt.Sprintf("pwnam u%d 64", i), want, fmt.Sprintf("pwuid %d 64", 5000+i), want, fmt.Sprintf("pwnam v%d 64", i), "NOTFOUND ENOENT")
	}
	n.expect(t, pairs...)
}

func TestEnumerationIsOffUnlessConfigured(t *testing.T) {
	n := newNode(t)
	n.publish(t, sample())
	n.expect(t, "setpwent", "SUCCESS", "pwent 0 1024", "NOTFOUND ENOENT", "endpwent", "SUCCESS", "grent 0 1024", "NOTFOUND ENOENT", "spent 0 1024", "NOTFOUND ENOENT")

	n.configure(t, "enumerate = 1")
	countess := strings.Replace(adaLine, "ada:x", "countess:x", 1)
	grace := "SUCCESS grace.hopper-1:*:5002:6000::/home/grace:/bin/sh"
	n.expect(t,
		"pwent 0 1024", adaLine, // without setpwent
		"pwent 0 5", "TRYAGAIN ERANGE", // nothing is passed over
		"pwent 0 1024", countess,
		"grent 0 1024", "SUCCESS ada:x:5001:", // each database stands where it stands
		"pwent 0 1024", grace,
		"pwent 0 1024", "TRYAGAIN ERANGE",
		"pwent 0 2048", "SUCCESS _"+strings.Repeat("n", 31)+":x:5003:5003:"+strings.Repeat("g", 700)+":/"+strings.Repeat("h", 600)+":/bin/sh",
		"pwent 0 1024", "NOTFOUND ENOENT",
		"pwent 0 1024", "NOTFOUND ENOENT",
		"setpwent", "SUCCESS",
		"pwent 0 1024", adaLine,
		"endpwent", "SUCCESS",
		"grent 0 1024", "SUCCESS compilers:x:6000:ada,countess",
		"setgrent", "SUCCESS",
		"grent 0 1024", "SUCCESS ada:x:5001:",
		"endgrent", "SUCCESS",
		"setspent", "SUCCESS",
		"spent 0 1024", "SUCCESS ada:$6$salt$hash:19000:0:99999:7:-1:-1:-1",
		"spent 0 1024", "SUCCESS grace.hopper-1:!*:-1:-1:-1:-1:3:1:5",
		"spent 0 1024", "NOTFOUND ENOENT",
		"endspent", "SUCCESS",
	)
}
