package packages_test

import (
	"slices"
	"strings"
	"testing"
)

// serve has the server run, with TLS, and know ada.
func (m *machine) serve(t *testing.T) {
	t.Helper()
	// A token that root makes before the server ever ran.
	m.sh(t, `umask 077; pwb-server token create my-idp --scope scim > /root/scim`)
	if out := m.sh(t, `stat -c %U:%a /var/lib/pwb-server /var/lib/pwb-server/pwb.db`); out != "pwb:700\npwb:600\n" {
		t.Errorf("owner and mode of the store are\n%s", out)
	}
	m.sh(t, `mkdir /etc/ssl/pwb; cd /etc/ssl/pwb
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=pwb -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt
		chgrp pwb tls.key; chmod 640 tls.key
		printf 'listen: 127.0.0.1:8443\ntls-cert: /etc/ssl/pwb/tls.crt\ntls-key: /etc/ssl/pwb/tls.key\n' >> /etc/pwb/server.yaml
		pwb-server config check; systemctl enable --now pwb-server`)
	m.sh(t, create+`'{"userName": "ada@acme.example", "active": true, "password": "c0bol-1959"}'`)
}

// follow makes a node of the machine, by the packages' commands alone.
func (m *machine) follow(t *testing.T) {
	t.Helper()
	m.sh(t, `umask 077; pwb-server token create rack7 --scope enroll --uses 1 --expires 1h > /root/rack7
		pwb-agent enroll --server https://127.0.0.1:8443 --ca-cert /etc/ssl/pwb/tls.crt --token-file /root/rack7 --name web1`)
	has(t, "agent.yaml after the enrolment", m.sh(t, `cat /etc/pwb/agent.yaml`), "#state-dir: ", "\nserver: 'https://127.0.0.1:8443'\nnode: 'web1'\n")
	was := m.settings(t)
	if out, ok := m.try(t, `pwb-agent setup --homes pwb --dry-run`); ok || m.settings(t) != was {
		t.Errorf("a dry run of setup finds nothing to do, or does it:\n%s", out)
	}
	has(t, "setup", m.sh(t, `pwb-agent setup --homes pwb`), "+passwd:", "pwb-pam account", "pwb-pam session")
	m.sh(t, `mkdir -p /var/lib/prometheus/node-exporter; echo 'metrics-file: /var/lib/prometheus/node-exporter/pwb.prom' >> /etc/pwb/agent.yaml
		systemctl enable --now pwb-agent
		until [ -s /var/lib/prometheus/node-exporter/pwb.prom ] && [ -s /run/pwb/state ]; do sleep 0.1; done`)
	for _, source := range []string{"extrausers", "pwb"} {
		has(t, "getent by "+source, m.sh(t, `getent -s `+source+` passwd ada; getent -s `+source+` shadow ada`), "ada:x:1000:1000:", "ada:$6$")
	}
	if out := m.sh(t, `stat -c %U:%G:%a /var/lib/extrausers/shadow /var/lib/pwb /run/pwb /run/pwb/agent.sock /run/pwb-pam`); out != "root:shadow:640\nroot:root:711\nroot:root:755\nroot:root:666\nroot:root:700\n" {
		t.Errorf("owner and mode of what the agent makes are\n%s", out)
	}
	has(t, "the metrics", m.sh(t, `cat /var/lib/prometheus/node-exporter/pwb.prom`), "pwb_agent_")
	if out, ok := m.try(t, `pwb-agent doctor`); !ok {
		t.Errorf("the doctor of a node that is set up says\n%s", out)
	}
}

// logIn has ada come by a password, which makes her home, and by a key; while she is
// locked, by neither.
func (m *machine) logIn(t *testing.T) {
	t.Helper()
	m.sh(t, `printf '#!/bin/sh\necho c0bol-1959\n' > /root/password; chmod 700 /root/password; ssh-keygen -q -t ed25519 -N '' -f /root/key`)
	if _, there := m.try(t, `ls -d /home/ada`); there {
		t.Error("there is a home before the first login")
	}
	if out := m.sh(t, password+`'id -un; pwd; stat -c %U:%G:%a .; ls -A'`); !strings.Contains(out, "ada\n/home/ada\nada:ada:700\n") || !strings.Contains(out, ".profile") {
		t.Errorf("the first login says\n%s", out)
	}
	m.sh(t, `install -d -o ada -g ada -m 700 /home/ada/.ssh; install -o ada -g ada -m 600 /root/key.pub /home/ada/.ssh/authorized_keys`)
	has(t, "ssh", m.sh(t, login+`id -un`), "ada")

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
		while systemctl -q is-active job; do sleep 0.1; done`)
	if out, found := m.try(t, `ls /etc/written /home/written`); found {
		t.Errorf("a hook wrote %s", out)
	}
	for _, how := range []string{login, password} {
		if out, in := m.try(t, how+`id -un`); in {
			t.Errorf("who is locked gets in: %s\n%s", how, out)
		}
	}
	m.sh(t, `pwb-server user unlock ada; pwb-agent sync; `+login+`true; `+password+`true`)

	// That pwb-pam is asked, pam.yaml tells: with a key that is none, nobody can tell.
	if out, in := m.try(t, `echo 'frehs: 3s' >> /etc/pwb/pam.yaml; `+login+`id -un`); in {
		t.Errorf("pwb-pam does not read pam.yaml, or is not asked: %s", out)
	}
	m.sh(t, `sed -i '$d' /etc/pwb/pam.yaml; `+login+`true`)
	has(t, "the system's log", m.sh(t, `journalctl --sync; journalctl -q --no-pager -t pwb-pam`), `msg="made a home" home=/home/ada user=ada`, "phase=account user=ada service=sshd", "frehs")
}

// upgrade puts the second version in the place of the first. With the socket unit,
// that turns nobody away.
func (m *machine) upgrade(t *testing.T) {
	t.Helper()
	m.sh(t, `systemctl stop pwb-server; systemctl enable --now pwb-server.socket; systemctl start pwb-server
		systemd-run -q --unit=asks sh -c 'n=0; while [ ! -e /run/enough ]; do `+ready+`-o /dev/null || exit 1; n=$((n+1)); echo $n > /run/asked; done'
		while [ ! -s /run/asked ]; do sleep 0.1; done`)
	pids := m.sh(t, `systemctl show -P MainPID pwb-server pwb-agent`)
	out := m.sh(t, `dpkg -i /root/*_1.1.0_*.deb`)
	m.sh(t, `n=$(cat /run/asked); while [ "$(cat /run/asked)" = "$n" ] && systemctl -q is-active asks; do sleep 0.1; done; systemctl is-active asks; touch /run/enough`)
	if strings.Contains(out, "enable --now") {
		t.Errorf("the upgrade says what is for beginners:\n%s", out)
	}
	if now := m.sh(t, `systemctl -q is-active pwb-server pwb-agent; systemctl show -P MainPID pwb-server pwb-agent`); slices.ContainsFunc(strings.Fields(now), func(pid string) bool {
		return slices.Contains(strings.Fields(pids), pid)
	}) {
		t.Errorf("not everything was restarted: %q became %q", pids, now)
	}
	has(t, "what is there after the upgrade", m.sh(t, `pwb-agent --version; grep server: /etc/pwb/agent.yaml; `+ready+`; getent passwd ada; pwb-agent sync; pwb-agent status; `+login+`id -un`),
		"version 1.1.0", "server: 'https://127.0.0.1:8443'", "ready", "ada:x:1000:1000:")
	has(t, "setup after the upgrade", m.sh(t, `pwb-agent setup --homes pwb`), "nothing is to be done")
}

// analyze has systemd look at the units where they are at home.
func (m *machine) analyze(t *testing.T) {
	t.Helper()
	if out := m.sh(t, `systemd-analyze verify --man=no pwb-server.service pwb-server.socket pwb-agent.service pwb-agent-sync.service pwb-agent-sync.timer 2>&1`); strings.Contains(out, "pwb") {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
}
