package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What two nodes have.
const (
	passwdA = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
ada:x:1100:1100:Ada Lovelace:/home/ada:/bin/bash
grace:x:1101:1101:Grace Hopper:/home/grace:/bin/bash
jean:x:1102:1500:Jean Bartik:/home/jean:/bin/sh
`
	passwdB = `root:x:0:0:root:/root:/bin/bash
grace:x:1100:1100:Grace Hopper:/home/grace:/bin/bash
jean:x:1102:1500:Jean Bartik:/home/jean:/bin/sh
broken:x:many:1:::
`
	groupA = `root:x:0:
ada:x:1100:
grace:x:1101:
staff2:x:1500:
compilers:x:1600:ada,grace,nobody-here
`
	groupB = `grace:x:1100:
staff2:x:1500:
compilers:x:1601:grace,jean
`
	shadowA = `root:$6$aaaaaaaa$rootsecret:19000:0:99999:7:::
ada:$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.:19000:0:99999:7:::
grace:!$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.:19000:0:99999:7:::
jean:*:19000:0:99999:7::12000:
`
)

func (s *transcript) nodes() {
	s.t.Helper()
	s.file("passwd.a", passwdA, 0o644)
	s.file("passwd.b", passwdB, 0o644)
	s.file("group.a", groupA, 0o644)
	s.file("group.b", groupB, 0o644)
	s.file("shadow.a", shadowA, 0o600)
}

func TestImportCommands(t *testing.T) {
	s := newTranscript(t, "import")
	s.nodes()
	s.run("token create provider --scope scim")
	s.run("user list --json")
	s.both("import passwd a=passwd.a b=passwd.b --group a=group.a")
	s.remark("undecided, so nothing is there")
	s.run("user list")
	s.file("decisions", "# one person\ntake grace a\n", 0o644)
	s.both("import passwd a=passwd.a b=passwd.b --group a=group.a --decisions decisions --dry-run")
	s.run("import passwd a=passwd.a b=passwd.b --group a=group.a --decisions decisions")
	s.remark("again: nothing is new")
	s.both("import passwd a=passwd.a b=passwd.b --group a=group.a --decisions decisions")
	s.run("user list")
	s.remark("passwords")
	s.both("import shadow a=shadow.a --dry-run")
	s.run("import shadow a=shadow.a")
	s.both("import shadow a=shadow.a")
	s.run("user list")
	s.run("user show jean")
	s.remark("whom an administrator locks, no import unlocks")
	s.run("user lock ada")
	s.run("import shadow a=shadow.a")
	s.run("user list --state held")
	s.remark("accounts that are a provider's: a hash where there is none, but none that was locked")
	s.run("user add open@acme.example --json")
	s.run("user add shut@acme.example --json")
	hash := strings.Split(strings.Split(shadowA, "\n")[1], ":")[1]
	s.file("shadow.p", "open:"+hash+":19000::::::\nshut:!"+hash+":19000::::::\n", 0o600)
	s.run("import shadow p=shadow.p --json")
	s.run("import shadow p=shadow.p")
	s.run("user show open --json")
	s.run("user show shut --json")
	s.run("user delete open --json")
	s.run("user delete shut --json")
	s.remark("groups")
	s.both("import group a=group.a b=group.b")
	s.file("decisions", "take compilers a\n", 0o644)
	s.both("import group a=group.a b=group.b --decisions decisions --dry-run")
	s.run("import group a=group.a b=group.b --decisions decisions")
	s.both("import group a=group.a b=group.b --decisions decisions")
	s.run("group list")
	s.run("group show compilers")
	s.remark("a member more")
	s.file("group.c", "compilers:x:1600:jean,ada\n", 0o644)
	s.run("import group group.c")
	s.run("group show compilers")
	s.run("ids check")
	s.run("audit --user compilers")
	s.remark("what is exported can be imported elsewhere")
	s.run("export")
	s.run("export --format passwd")
	s.run("export --format group")
}

func TestImportChoosesNumbersWhereDecisionsSaySo(t *testing.T) {
	s := newTranscript(t, "import-new")
	s.nodes()
	s.run("token create provider --scope scim")
	s.file("decisions", "renumber ada new\nrenumber grace@a new\nrenumber grace@b new\nprivate jean\n", 0o644)
	s.run("import passwd a=passwd.a b=passwd.b --decisions decisions --json")
	s.run("import group a=group.a --json")
}

func TestImportCommandsSayWhatIsWrong(t *testing.T) {
	s := newTranscript(t, "import-wrong")
	s.nodes()
	s.run("import passwd a=passwd.a")
	s.run("token create provider --scope scim")
	s.run("import passwd")
	s.run("import passwd absent")
	s.run("import passwd a=passwd.a a=passwd.b")
	s.run("import passwd 'a b=passwd.a'")
	s.run("import passwd a=passwd.a")
	s.file("decisions", "take\n", 0o644)
	s.run("import passwd a=passwd.a --decisions decisions")
	s.file("decisions", "skip nobody-here\n", 0o644)
	s.run("import passwd a=passwd.a --decisions decisions")
	s.run("import passwd a=passwd.a --decisions absent")
	s.file("group.x", "other:x:1500:\n", 0o644)
	s.run("import passwd a=passwd.a --group a=group.a --group x=group.x")
	s.file("group.x", "grace:x:1500:\n", 0o644)
	s.run("import passwd a=passwd.a --group x=group.x")
	s.file("shadow.open", shadowA, 0o644)
	s.run("import shadow a=shadow.open")
	s.run("import shadow a=passwd.a")
	s.run("import shadow a=shadow.a")
	s.remark("a number of the ledger's")
	s.run("user add other@acme.example --uid 1100 --json")
	s.both("import passwd a=passwd.a --group a=group.a")
	s.remark("a number of the host's")
	s.file("passwd.c", "mary:x:1200:1200:Mary:/home/mary:/bin/sh\n", 0o644)
	s.run("import passwd c=passwd.c")
	s.run("export --format yaml")
	s.run("export --format passwd --json")
}

func TestNodeIsMadeOfTheFilesPath(t *testing.T) {
	for arg, want := range map[string][2]string{
		"web1=/tmp/passwd":        {"web1", "/tmp/passwd"},
		"/srv/nodes/web1/passwd":  {"srv-nodes-web1-passwd", "/srv/nodes/web1/passwd"},
		"./odd=name/passwd":       {"odd-name-passwd", "./odd=name/passwd"},
		"/dev/fd/63":              {"dev-fd-63", "/dev/fd/63"},
		"web1.acme.example=a=b":   {"web1.acme.example", "a=b"},
		"../übung/passwd":         {"-bung-passwd", "../übung/passwd"},
		"=/tmp/passwd":            {"", "/tmp/passwd"},
		"web1=":                   {"web1", ""},
		"/home/ada/node=1/passwd": {"home-ada-node-1-passwd", "/home/ada/node=1/passwd"},
	} {
		if node, file := splitNode(arg); strings.TrimLeft(node, "-") != strings.TrimLeft(want[0], "-") || file != want[1] {
			t.Errorf("%s is %q of node %q, want %q of %q", arg, file, node, want[1], want[0])
		}
	}
}

func TestProgressDrawsOnTerminalsAlone(t *testing.T) {
	var out bytes.Buffer
	draw, end := progress(&out, progressFrom+1)
	draw(1)
	end()
	if out.Len() > 0 {
		t.Errorf("on what is no terminal it draws %q", &out)
	}
	draw, end = bar(&out, 2000)
	draw(500)
	draw(2000)
	end()
	want := fmt.Sprintf("\r[%s%s] 500 of 2000\r[%s] 2000 of 2000\r\x1b[K", strings.Repeat("#", 10), strings.Repeat(".", 30), strings.Repeat("#", 40))
	if out.String() != want {
		t.Errorf("it draws %q, want %q", &out, want)
	}
}
