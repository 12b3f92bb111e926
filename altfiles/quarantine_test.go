package altfiles

import (
	"strings"
	"testing"

	"pwb/roster"
)

func TestQuarantine(t *testing.T) {
	with := func(change func(*roster.Account)) []roster.Row {
		return []roster.Row{account("1", "ada", 2000, change)}
	}
	home := func(s string) []roster.Row { return with(func(a *roster.Account) { a.Home = s }) }
	hash := func(s string) []roster.Row { return with(func(a *roster.Account) { a.Hash = s }) }
	shell := func(s string) []roster.Row { return with(func(a *roster.Account) { a.Shell = s }) }
	gecos := func(s string) []roster.Row { return with(func(a *roster.Account) { a.Gecos = s }) }
	gid := func(gid uint32, more ...roster.Row) []roster.Row {
		return append(with(func(a *roster.Account) { a.GID = gid }), more...)
	}
	rows := func(rows ...roster.Row) []roster.Row { return rows }
	user := func(name string, uid uint32) []roster.Row {
		return rows(account("1", name, uid, func(a *roster.Account) { a.Home = "/home/x" }))
	}
	long := strings.Repeat("x", 2000)
	for name, c := range map[string]struct {
		rows  []roster.Row
		keys  string // of the rows that are refused
		cause string // what the reason must tell
	}{
		"a good account is not refused":                   {with(func(*roster.Account) {}), "", ""},
		"root's name":                                     {user("root", 2000), "a/1", "protected"},
		"a system account's name":                         {user("www-data", 2000), "a/1", "protected"},
		"the name of systemd's kin":                       {user("systemd-anything", 2000), "a/1", "protected"},
		"an account named like a protected group":         {user("docker", 2000), "a/1", "protected"},
		"an upper-case name":                              {user("Ada", 2000), "a/1", "lower-case"},
		"an empty name":                                   {user("", 2000), "a/1", "empty"},
		"a name with a colon":                             {user("a:0", 2000), "a/1", "allowed"},
		"a name with a newline":                           {user("a\nb", 2000), "a/1", "allowed"},
		"a compat name":                                   {user("+ada", 2000), "a/1", "begin"},
		"a name that is too long":                         {user(long, 2000), "a/1", "at most"},
		"uid 0":                                           {user("ada", 0), "a/1", "root"},
		"a uid below the floor":                           {user("ada", 999), "a/1", "below"},
		"nobody's uid":                                    {user("ada", 65534), "a/1", "nobody"},
		"the 16-bit -1":                                   {user("ada", 65535), "a/1", "no id"},
		"the 32-bit -1":                                   {user("ada", 1<<32-1), "a/1", "no id"},
		"gid 0":                                           {gid(0), "a/1", "gid"},
		"a gid below the floor":                           {gid(100), "a/1", "below"},
		"a gid of no group":                               {gid(5000), "a/1", "no group"},
		"a gid of a roster group is fine":                 {gid(5000, group("1", "eng", 5000)), "", ""},
		"a gid of a refused group":                        {gid(5000, group("1", "wheel", 5000)), "a/1 g/1", "no group"},
		"a gid of a local group is fine":                  {gid(1700), "", ""},
		"a gid of a protected local group":                {gid(1998), "a/1", "protected"},
		"a gid of a local account's own group":            {gid(1500), "a/1", "local account"},
		"a gid of another's private group":                {append(gid(2001), account("2", "bob", 2001)), "a/1", "no group"},
		"the name of a local account":                     {user("deploy", 2000), "a/1", "another account"},
		"a local account with the same uid":               {user("deploy", 1500), "a/1", "comes first"},
		"the uid of a local account":                      {user("ada", 1500), "a/1", `"deploy"`},
		"the name of a local line without number":         {user("badnumber", 2000), "a/1", "another account"},
		"the uid of a short local line":                   {user("ada", 1503), "a/1", `"short"`},
		"the uid of a local line that is indented":        {user("ada", 1501), "a/1", `"indented"`},
		"a comment in the local files takes nothing":      {user("a", 3000), "", ""},
		"a compat line in the local files takes nothing":  {user("nisuser", 2000), "", ""},
		"a nameless local line takes nothing":             {user("ada", 3001), "", ""},
		"the name of a local group":                       {user("localteam", 2000), "a/1", "group"},
		"the gid of a local group for a private one":      {user("ada", 1700), "a/1", "localteam"},
		"a local primary gid without a group":             {user("ada", 1600), "a/1", "primary group"},
		"a colon in gecos":                                {gecos("a:b"), "a/1", "colon"},
		"a newline in gecos":                              {gecos("a\nroot2::0:0:::"), "a/1", "control"},
		"a carriage return in gecos":                      {gecos("a\r"), "a/1", "control"},
		"a NUL in gecos":                                  {gecos("a\x00"), "a/1", "control"},
		"gecos that is not UTF-8":                         {gecos("a\xff"), "a/1", "UTF-8"},
		"gecos that is too long":                          {gecos(long), "a/1", "at most"},
		"no home":                                         {home(""), "a/1", "home"},
		"a relative home":                                 {home("home/ada"), "a/1", "absolute"},
		"a home with dots in it":                          {home("/home/../etc"), "a/1", "shortest"},
		"a home with a slash at its end":                  {home("/home/ada/"), "a/1", "shortest"},
		"a home with two slashes before":                  {home("//etc"), "a/1", "shortest"},
		"/ for a home":                                    {home("/"), "a/1", "root of"},
		"root's home":                                     {home("/root"), "a/1", "/root"},
		"a home in /etc":                                  {home("/etc/ssh"), "a/1", "/etc"},
		"a home in /usr":                                  {home("/usr/local/ada"), "a/1", "/usr"},
		"a home in /lib64":                                {home("/lib64/ada"), "a/1", "/lib64"},
		"a home in /dev":                                  {home("/dev/shm/ada"), "a/1", "/dev"},
		"a home in /proc":                                 {home("/proc/self"), "a/1", "/proc"},
		"a home in /run":                                  {home("/run/ada"), "a/1", "/run"},
		"a home in the other /run":                        {home("/var/run/ada"), "a/1", "/var/run"},
		"a home where anybody writes":                     {home("/tmp/ada"), "a/1", "/tmp"},
		"the place of all homes":                          {home("/home"), "a/1", "many"},
		"a home with a newline":                           {home("/home/a\nb"), "a/1", "control"},
		"a home that is too long":                         {home("/" + long), "a/1", "at most"},
		"a home elsewhere is fine":                        {home("/data/homes/ada"), "", ""},
		"a home that begins like a refused one":           {home("/etcetera/ada"), "", ""},
		"no shell":                                        {shell(""), "a/1", "shell"},
		"a shell that is not allowed":                     {shell("/bin/evil"), "a/1", "allow it"},
		"a shell with a newline":                          {shell("/bin/sh\n"), "a/1", "shell"},
		"a password in the clear":                         {hash("hunter2"), "a/1", "crypt(5)"},
		"a hash with a colon":                             {hash("$6$a$b:0"), "a/1", "crypt(5)"},
		"a hash with a newline":                           {hash("$6$a$b\n"), "a/1", "crypt(5)"},
		"a hash with a blank":                             {hash("$6$a b$c"), "a/1", "crypt(5)"},
		"a locked hash with a colon":                      {hash("!:0"), "a/1", "crypt(5)"},
		"a hash without a method":                         {hash("$$a$b"), "a/1", "crypt(5)"},
		"a hash that ends behind its method":              {hash("$6$"), "a/1", "crypt(5)"},
		"a hash that is too long":                         {hash("$6$a$" + long), "a/1", "at most"},
		"a day before 1970":                               {with(func(a *roster.Account) { a.Expire = -1 }), "a/1", "expiry"},
		"a day after all days":                            {with(func(a *roster.Account) { a.Expire = 1 << 40 }), "a/1", "expiry"},
		"the second of a name":                            {rows(account("1", "ada", 2000), account("2", "ada", 2001)), "a/2", "account 1"},
		"the second of a uid":                             {rows(account("1", "ada", 2000), account("2", "bob", 2000)), "a/2", "account 1"},
		"a refused account takes no name":                 {rows(account("1", "ada", 0), account("2", "ada", 2000)), "a/1", "root"},
		"a protected group":                               {rows(group("1", "sudo", 3000)), "g/1", "protected"},
		"a group with a bad name":                         {rows(group("1", "The Group", 3000)), "g/1", "lower-case"},
		"a group with gid 0":                              {rows(group("1", "eng", 0)), "g/1", "root"},
		"the name of a local group for a group":           {rows(group("1", "localteam", 3000)), "g/1", "localteam"},
		"the gid of a local group for a group":            {rows(group("1", "eng", 1700)), "g/1", "localteam"},
		"a local account's primary gid for a group":       {rows(group("1", "eng", 1600)), "g/1", "primary"},
		"the second group of a name":                      {rows(group("1", "eng", 3000), group("2", "eng", 3001)), "g/2", "group 1"},
		"the second group of a gid":                       {rows(group("1", "eng", 3000), group("2", "ops", 3000)), "g/2", "group 1"},
		"an account named like a group":                   {rows(account("1", "eng", 2000), group("1", "eng", 3000)), "a/1", "group 1"},
		"an account numbered like a group":                {rows(account("1", "ada", 3000), group("1", "eng", 3000)), "a/1", "group 1"},
		"an account named like a refused group is fine":   {rows(account("1", "eng", 2000), group("1", "eng", 0)), "g/1", "root"},
		"an account named like its primary group is fine": {rows(account("1", "eng", 2000, func(a *roster.Account) { a.GID = 3000 }), group("1", "eng", 3000)), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			// Whatever is refused, a stranger beside it is rendered.
			witness := account("zz", "witness", 60000)
			all := append([]roster.Row{}, c.rows...)
			i := 0
			for i < len(all) && all[i].Account != nil {
				i++
			}
			all = append(all[:i], append([]roster.Row{witness}, all[i:]...)...)
			o := renderTest(t, DefaultPolicy(), all...)
			var keys []string
			told := false
			for _, q := range o.quarantined {
				keys = append(keys, q.Key)
				told = told || strings.Contains(q.Reason, c.cause)
				if strings.Contains(q.Reason, "hunter2") || len(q.Reason) > 600 {
					t.Errorf("reason %q", q.Reason)
				}
			}
			if got := strings.Join(keys, " "); got != c.keys {
				t.Errorf("refused %q, not %q: %v", got, c.keys, o.quarantined)
			}
			if c.keys != "" && !told {
				t.Errorf("no reason tells %q: %v", c.cause, o.quarantined)
			}
			if !strings.Contains(string(o.passwd), "witness:") || !strings.Contains(string(o.shadow), "witness:") {
				t.Error("the other account is not rendered")
			}
		})
	}
}

func TestMembersAreRenderedAccountsOfRenderedGroups(t *testing.T) {
	o := renderTest(t, DefaultPolicy(),
		account("1", "ada", 2000), account("2", "root", 2001), account("3", "bob", 2002), account("4", "eng", 2003),
		group("1", "eng", 3000), group("2", "wheel", 3001), group("3", "ops", 3002),
		member("1", "1"), member("1", "2"), member("1", "3"), member("1", "4"), member("1", "9"),
		member("2", "1"), member("3", "4"), member("9", "1"))
	if got, want := string(o.group), "ada:x:2000:\nbob:x:2002:\neng:x:3000:ada,bob\nops:x:3002:\n"; got != want {
		t.Errorf("group\n%s", got)
	}
	if o.skipped != 6 {
		t.Errorf("%d skipped", o.skipped)
	}
}

func TestPolicyAllowsAndForbids(t *testing.T) {
	p := DefaultPolicy()
	p.AllowNames = []string{"wheel", "docker"}
	p.MinID = 5000
	p.Shells = []string{"/opt/sh"}
	o := renderTest(t, p,
		account("1", "ada", 6000, func(a *roster.Account) { a.Shell = "/opt/sh" }),
		account("2", "bob", 6001),
		account("3", "carol", 4999, func(a *roster.Account) { a.Shell = "/opt/sh" }),
		group("1", "wheel", 7000), group("2", "docker", 7001), group("3", "eng", 4000))
	var keys []string
	for _, q := range o.quarantined {
		keys = append(keys, q.Key)
	}
	// The name docker is allowed, but the node has such a group.
	if got := strings.Join(keys, " "); got != "a/2 g/2" {
		t.Errorf("refused %s: %v", got, o.quarantined)
	}
	// What min-id leaves out is absent by choice.
	if o.left.Accounts["min-id"] != 1 || o.left.Groups != 1 {
		t.Errorf("left out %v", o.left)
	}
}

func TestPoliciesThatMakeNoSenseAreRefused(t *testing.T) {
	for name, p := range map[string]Policy{
		"a floor among the system's numbers": {MinID: 500},
		"a shell that is no path":            {Shells: []string{"bash"}},
		"a shell that breaks lines":          {Shells: []string{"/bin/sh\n"}},
		"a nologin shell with a colon":       {NologinShell: "/a:b"},
		"an allowed name that is none":       {AllowNames: []string{"Domain Admins"}},
	} {
		if _, err := New(Config{Dir: "a", StateDir: "b", Policy: p}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Config{StateDir: "b"}); err == nil {
		t.Error("no directory: accepted")
	}
	if r, err := New(Config{Dir: "a", StateDir: "b"}); err != nil || !r.rules.shadow || !r.rules.shells["/bin/bash"] {
		t.Errorf("the zero policy is not the default one: %v", err)
	}
}
