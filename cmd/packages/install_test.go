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

const create = `curl -sf http://127.0.0.1:8443/scim/v2/Users -H "Authorization: Bearer $(cat /root/scim)" -H 'Content-Type: application/scim+json' -d `

const login = `ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -i /root/key ada@127.0.0.1 id -un`

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
	before := m.files(t)
	for _, name := range []string{"pwb-server", "pwb-agent"} {
		m.put(t, deb(dir, name, first))
		m.put(t, deb(newer, name, second))
	}

	out := m.sh(t, `dpkg -i /root/*_1.0.0_*.deb`)
	has(t, "the installation", out, "systemctl enable --now pwb-server", "systemctl enable --now pwb-agent")
	if out, ok := m.try(t, `systemctl is-active pwb-server pwb-agent pwb-agent-sync.timer`); ok || strings.Contains(out, "\nactive") {
		t.Errorf("something runs before it is configured:\n%s", out)
	}
	has(t, "the version", m.sh(t, "pwb-server --version; pwb-agent --version"), "pwb-server version 1.0.0", "pwb-agent version 1.0.0")

	// A token that root makes before the server ever ran.
	m.sh(t, `umask 077; pwb-server token create my-idp --scope scim > /root/scim`)
	if out := m.sh(t, `stat -c %U:%a /var/lib/pwb-server /var/lib/pwb-server/pwb.db`); out != "pwb:700\npwb:600\n" {
		t.Errorf("owner and mode of the store are\n%s", out)
	}
	m.sh(t, `printf 'insecure-http: true\nlisten: 127.0.0.1:8443\n' >> /etc/pwb/server.yaml; pwb-server config check`)
	m.sh(t, `systemctl enable --now pwb-server`)
	m.sh(t, create+`'{"userName": "ada@acme.example", "active": true, "password": "c0bol-1959"}'`)

	m.sh(t, `mkdir /etc/rstudio; cp -p /var/lib/pwb-server/nodes/* /etc/rstudio/; chown root:root /etc/rstudio/*
		printf 'server: http://127.0.0.1:8443\n' >> /etc/pwb/agent.yaml
		sed -i 's/^\(passwd\|group\|shadow\):.*/\1: files extrausers pwb/' /etc/nsswitch.conf
		systemctl enable --now pwb-agent`)
	for _, source := range []string{"extrausers", "pwb"} {
		has(t, "getent by "+source, m.sh(t, `getent -s `+source+` passwd ada; getent -s `+source+` shadow ada`), "ada:x:1000:1000:", "ada:$6$")
	}
	if out := m.sh(t, `stat -c %U:%G:%a /var/lib/extrausers/shadow /var/lib/pwb /run/pwb /run/pwb/agent.sock`); out != "root:shadow:640\nroot:root:711\nroot:root:755\nroot:root:666\n" {
		t.Errorf("owner and mode of what the agent makes are\n%s", out)
	}
	m.sh(t, `ssh-keygen -q -t ed25519 -N '' -f /root/key; install -d -o ada -g ada -m 700 /home/ada /home/ada/.ssh
		install -o ada -g ada -m 600 /root/key.pub /home/ada/.ssh/authorized_keys`)
	has(t, "ssh", m.sh(t, login), "ada")

	// A hook may end processes of others, and write nowhere.
	m.sh(t, `systemd-run -q --uid=ada --unit=job sleep infinity
		cat > /etc/pwb/hooks.d/50-processes <<'END'
#!/bin/sh
[ "$PWB_EVENT" = lock ] || exit 0
touch /etc/written /home/written 2>/dev/null && exit 1
kill -KILL "$(systemctl show -P MainPID job)"
END
		chmod 755 /etc/pwb/hooks.d/50-processes
		pwb-server user lock ada
		while systemctl -q is-active job; do sleep 0.1; done
		pwb-server user unlock ada`)
	if out, found := m.try(t, `ls /etc/written /home/written`); found {
		t.Errorf("a hook wrote %s", out)
	}

	// One pass by the timer's service, without the daemon.
	m.sh(t, `systemctl stop pwb-agent; `+create+`'{"userName": "bob@acme.example", "active": true}'; systemctl start pwb-agent-sync; systemctl start pwb-agent-sync.timer
		systemctl -q is-active pwb-agent-sync.timer; systemctl stop pwb-agent-sync.timer; systemctl start pwb-agent`)
	has(t, "getent after the timer's service", m.sh(t, `getent -s extrausers passwd bob`), "bob:x:1001:")
	m.analyze(t)

	// With the socket unit, an upgrade turns nobody away.
	m.sh(t, `systemctl stop pwb-server; systemctl enable --now pwb-server.socket; systemctl start pwb-server
		systemd-run -q --unit=asks sh -c 'n=0; while [ ! -e /run/enough ]; do curl -sf -o /dev/null http://127.0.0.1:8443/readyz || exit 1; n=$((n+1)); echo $n > /run/asked; done'
		while [ ! -s /run/asked ]; do sleep 0.1; done`)
	pids := m.sh(t, `systemctl show -P MainPID pwb-server pwb-agent`)
	out = m.sh(t, `dpkg -i /root/*_1.1.0_*.deb`)
	m.sh(t, `n=$(cat /run/asked); while [ "$(cat /run/asked)" = "$n" ] && systemctl -q is-active asks; do sleep 0.1; done; systemctl is-active asks; touch /run/enough`)
	if strings.Contains(out, "enable --now") {
		t.Errorf("the upgrade says what is for beginners:\n%s", out)
	}
	if now := m.sh(t, `systemctl -q is-active pwb-server pwb-agent; systemctl show -P MainPID pwb-server pwb-agent`); slices.ContainsFunc(strings.Fields(now), func(pid string) bool {
		return slices.Contains(strings.Fields(pids), pid)
	}) {
		t.Errorf("not everything was restarted: %q became %q", pids, now)
	}
	has(t, "what is there after the upgrade", m.sh(t, `pwb-agent --version; tail -1 /etc/pwb/agent.yaml; curl -sf http://127.0.0.1:8443/readyz; getent passwd ada; pwb-agent sync; pwb-agent status; `+login),
		"version 1.1.0", "server: http://127.0.0.1:8443", "ready", "ada:x:1000:1000:")

	out = m.sh(t, `rm /etc/pwb/hooks.d/50-processes; dpkg -r pwb-agent`)
	has(t, "the removal of the agent", out, "who leaves is not locked out")
	has(t, "what is there without the agent", m.sh(t, `getent passwd ada; ls /etc/pwb/agent.yaml /var/lib/pwb/manifest.json; `+login), "ada:x:1000:1000:")
	m.sh(t, `dpkg -i /root/pwb-agent_1.1.0_*.deb; systemctl start pwb-agent; pwb-agent sync; pwb-agent status`)
	out = m.sh(t, `dpkg -P pwb-agent; dpkg -r pwb-server; dpkg -P pwb-server`)
	has(t, "the purge", out, "/var/lib/pwb-server stays")
	if out, found := m.try(t, `getent passwd ada`); found {
		t.Errorf("after the purge there is still %s", out)
	}

	var left []string
	for _, f := range m.files(t) {
		if !slices.Contains(before, f) {
			left = append(left, f)
		}
	}
	// The store, by design; what the test wrote; what the creation of a user leaves.
	documented := []string{"/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-"}
	left = slices.DeleteFunc(left, func(f string) bool {
		return slices.Contains(documented, f) || strings.HasPrefix(f, "/var/lib/pwb-server") || strings.HasPrefix(f, "/etc/rstudio")
	})
	if len(left) > 0 {
		t.Errorf("the packages leave behind:\n%s", strings.Join(left, "\n"))
	}
	has(t, "the store that stays", m.sh(t, `ls /var/lib/pwb-server`), "pwb.db")
}

// analyze has systemd look at the units where they are at home.
func (m *machine) analyze(t *testing.T) {
	t.Helper()
	if out := m.sh(t, `systemd-analyze verify --man=no pwb-server.service pwb-server.socket pwb-agent.service pwb-agent-sync.service pwb-agent-sync.timer 2>&1`); strings.Contains(out, "pwb") {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
}
