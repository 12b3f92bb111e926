package packages_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files lists what is on the machine, but for what changes by itself.
func (m *machine) files(t *testing.T) []string {
	t.Helper()
	return strings.Fields(m.sh(t, `find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /root -o -path /home \
		-o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/tmp -o -path '/var/lib/systemd/*' -o -path '/run/*' \
		-o -path /etc/ld.so.cache \) -prune -o -print | sort`))
}

// put copies a file to /root of the machine.
func (m *machine) put(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.root, "root", filepath.Base(file)), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// has fails unless text has all of these.
func has(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s does not say %q:\n%s", what, want, text)
		}
	}
}

// settings are sums of what the packages' commands may edit, the accounts of services apart.
func (m *machine) settings(t *testing.T) string {
	t.Helper()
	return m.sh(t, `find /etc /var/lib/pam /usr/share/pam-configs -type f ! -path '/etc/pwb/*' ! -path '/etc/rstudio/*' ! -path '/etc/ssl/pwb/*' \
		! -path '/etc/systemd/*' ! -name 'passwd*' ! -name 'group*' ! -name 'shadow*' ! -name 'gshadow*' ! -name ld.so.cache -exec sha256sum {} + | sort -k 2`)
}

// untouched fails for each line in which settings are others than before.
func (m *machine) untouched(t *testing.T, what, before string) {
	t.Helper()
	now := strings.Split(m.settings(t), "\n")
	was := strings.Split(before, "\n")
	for _, line := range now {
		if !slices.Contains(was, line) {
			t.Errorf("%s leaves %s", what, line)
		}
	}
	for _, line := range was {
		if !slices.Contains(now, line) {
			t.Errorf("%s does not give back %s", what, line)
		}
	}
}

const create = `curl -sf --cacert /etc/ssl/pwb/tls.crt https://127.0.0.1:8443/scim/v2/Users -H "Authorization: Bearer $(cat /root/scim)" -H 'Content-Type: application/scim+json' -d `

const ready = `curl -sf --cacert /etc/ssl/pwb/tls.crt https://127.0.0.1:8443/readyz `

// Logins of ada, by a key and by a password; what follows is done there.
const (
	login    = `ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -i /root/key ada@127.0.0.1 `
	password = `SSH_ASKPASS=/root/password SSH_ASKPASS_REQUIRE=force ssh -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 -o StrictHostKeyChecking=no -o LogLevel=ERROR ada@127.0.0.1 `
)

// TestADebianNodeIsInstalledUpgradedAndTakenOffAgain goes the whole way on a Debian
// of its own, with systemd, which runs server and agent in their confinement.
func TestADebianNodeIsInstalledUpgradedAndTakenOffAgain(t *testing.T) {
	needRoot(t)
	need(t, "debootstrap")
	dir := packed(t)
	newer := filepath.Join(built, second)
	if err := pack("../..", newer, nil, "-version", second, "-formats", "deb"); err != nil {
		t.Fatal(err)
	}
	m := start(t)
	before, untouched := m.files(t), m.settings(t)
	for _, name := range []string{"pwb-server", "pwb-agent"} {
		m.put(t, deb(dir, name, first))
		m.put(t, deb(newer, name, second))
	}

	out := m.sh(t, `dpkg -i /root/*_1.0.0_*.deb`)
	has(t, "the installation", out, "systemctl enable --now pwb-server", "pwb-agent enroll")
	if out, ok := m.try(t, `systemctl is-active pwb-server pwb-agent pwb-agent-sync.timer`); ok || strings.Contains(out, "\nactive") {
		t.Errorf("something runs before it is configured:\n%s", out)
	}
	has(t, "the version", m.sh(t, "pwb-server --version; pwb-agent --version; /usr/libexec/pwb/pwb-pam --version"),
		"pwb-server version 1.0.0", "pwb-agent version 1.0.0", "pwb-pam version 1.0.0")
	m.serve(t)
	m.follow(t)
	m.logIn(t)

	// One pass by the timer's service, without the daemon.
	m.sh(t, `systemctl stop pwb-agent; `+create+`'{"userName": "bob@acme.example", "active": true}'; systemctl start pwb-agent-sync; systemctl start pwb-agent-sync.timer
		systemctl -q is-active pwb-agent-sync.timer; systemctl stop pwb-agent-sync.timer; systemctl start pwb-agent`)
	has(t, "getent after the timer's service", m.sh(t, `getent -s extrausers passwd bob`), "bob:x:1001:")
	m.analyze(t)
	m.upgrade(t)

	// Taken back by hand, set up again, and taken back by the removal.
	m.sh(t, `pwb-agent setup --undo`)
	m.untouched(t, "setup --undo", untouched)
	m.sh(t, `pwb-agent setup; `+login+`true`)
	out = m.sh(t, `rm /etc/pwb/hooks.d/50-processes; dpkg -r pwb-agent`)
	has(t, "the removal of the agent", out, "who leaves is not locked out")
	has(t, "what is there without the agent", m.sh(t, `getent -s extrausers passwd ada; ls /etc/pwb/agent.yaml /etc/pwb/pam.yaml /var/lib/pwb/manifest.json`), "ada:x:1000:1000:")
	m.untouched(t, "the removal", untouched)
	m.sh(t, `dpkg -i /root/pwb-agent_1.1.0_*.deb; pwb-agent setup; systemctl start pwb-agent; pwb-agent sync; pwb-agent status; `+login+`true`)
	out = m.sh(t, `dpkg -P pwb-agent; dpkg -r pwb-server; dpkg -P pwb-server`)
	has(t, "the purge", out, "/var/lib/pwb-server stays", "/etc/rstudio/admin-token and user-token stay")
	if out, found := m.try(t, `getent passwd ada || getent -s extrausers passwd ada`); found {
		t.Errorf("after the purge there is still %s", out)
	}
	m.untouched(t, "the purge", untouched)

	var left []string
	for _, f := range append(m.files(t), strings.Fields(m.sh(t, `ls -d /run/*pwb* 2>/dev/null || true`))...) {
		if !slices.Contains(before, f) {
			left = append(left, f)
		}
	}
	// The store, by design; what the test wrote, enrolled with or logged; what the creation of a user leaves.
	documented := []string{"/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-", "/etc/rstudio", "/etc/rstudio/admin-token", "/etc/rstudio/user-token"}
	left = slices.DeleteFunc(left, func(f string) bool {
		return slices.Contains(documented, f) || strings.HasPrefix(f, "/var/lib/pwb-server") || strings.HasPrefix(f, "/etc/ssl/pwb") || strings.HasPrefix(f, "/var/lib/prometheus")
	})
	if len(left) > 0 {
		t.Errorf("the packages leave behind:\n%s", strings.Join(left, "\n"))
	}
	has(t, "the store that stays", m.sh(t, `ls /var/lib/pwb-server`), "pwb.db")
}
