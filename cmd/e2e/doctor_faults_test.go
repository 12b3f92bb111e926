package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// fault is something that goes wrong on a node.
type fault struct {
	check, state string
	// what is in what the doctor says.
	what string
	// plant is a script; $1 is the rig's directory. do is what no script does, before it.
	plant string
	do    func(t *testing.T, p *patient)
	// byHand puts right what no command of the doctor's can, and why says why not;
	// afterwards is what is left of the fault when it is mended.
	why, byHand, afterwards string
}

// faults are of one node, in this order. All that the doctor prints as a command is
// run as it is printed.
func faults(ids []string) []fault {
	const (
		yaml   = "/etc/pwb/agent.yaml"
		token  = "/etc/rstudio/admin-token"
		passwd = "/var/lib/extrausers/passwd"
	)
	return []fault{
		{check: "config", state: "fail", what: `the key "audti"`, plant: `echo "audti: 5m" >> ` + yaml},
		{check: "config", state: "fail", what: "keep-generations", plant: `echo "keep-generations: many" >> ` + yaml, why: "nobody knows what was meant", byHand: `sed -i /^keep-/d ` + yaml},
		{check: "place", state: "fail", what: "least id 5", plant: `echo "min-id: 5" >> ` + yaml, why: "nobody knows what was meant", byHand: `sed -i /^min-id/d ` + yaml},
		{check: "config-mode", state: "fail", what: "0666", plant: `chmod 0666 ` + yaml},
		{check: "token-file", state: "fail", what: "0644", plant: `chmod 0644 ` + token},
		{check: "token-file", state: "fail", what: "uid 65534", plant: `chown nobody ` + token},
		{check: "token-file", state: "fail", what: "no such file", plant: `mv ` + token + ` ` + token + `.away`, why: "the server makes another", byHand: `mv ` + token + `.away ` + token},
		{check: "user-token-file", state: "fail", what: "people cannot read it", plant: `chmod 0600 /etc/rstudio/user-token`},
		{check: "user-token-file", state: "fail", what: "0646", plant: `chmod 0646 /etc/rstudio/user-token`},
		{check: "token", state: "fail", what: "node-user", plant: `cp -p ` + token + ` ` + token + `.away; cat /etc/rstudio/user-token > ` + token, why: "the server makes another", byHand: `mv ` + token + `.away ` + token},
		{check: "token", state: "fail", what: "unknown, revoked or expired", plant: `cp -p ` + token + ` ` + token + `.away; echo pwb_abcdefgh_nobodys > ` + token, why: "the server makes another", byHand: `mv ` + token + `.away ` + token},
		{check: "token-expiry", state: "warn", what: `"short" ends on`, plant: `cp -p ` + token + ` ` + token + `.away; pwb-server token create short --scope node-admin --duration 5 --data-dir "$1/store" > ` + token, why: "the server makes another", byHand: `mv ` + token + `.away ` + token},

		{check: "state-dir", state: "fail", what: "cannot reach roster.idx", plant: `chmod 0700 "$1/state"`},
		{check: "state-dir", state: "fail", what: "0733", plant: `chmod 0733 "$1/state"`},
		{check: "state-dir", state: "warn", what: "others see", plant: `chmod 0755 "$1/state"`},
		{check: "mirror", state: "fail", what: "damaged", plant: `echo more >> "$1/state/mirror"`},
		{check: "rendered", state: "fail", what: "/var/lib/extrausers/passwd has", plant: `echo "eve:x:0:0::/root:/bin/sh" >> ` + passwd},
		{check: "rendered", state: "fail", what: "/var/lib/extrausers/group is gone", plant: `rm /var/lib/extrausers/group`},
		{check: "rendered", state: "fail", what: "roster.idx is gone", plant: `rm "$1/state/roster.idx"`},
		{check: "rendered-modes", state: "fail", what: "shadow has mode 0644", plant: `chmod 0644 /var/lib/extrausers/shadow`},
		{check: "rendered", state: "warn", what: "do not show what was pulled", plant: `echo "deny-users: [user1]" >> ` + yaml, afterwards: `sed -i /^deny-users/d ` + yaml + `; pwb-agent sync`},
		{check: "current", state: "warn", what: "did not take yet", do: func(t *testing.T, p *patient) {
			if _, err := p.scim.Create(t.Context(), "/Users", user("late")); err != nil {
				t.Fatal(err)
			}
		}},
		{check: "digest", state: "fail", what: "does not know", plant: `pwb-server backup "$1/backup.db" --data-dir "$1/store" && pwb-server restore "$1/backup.db" --yes --data-dir "$1/store"`},
		{check: "last-pass", state: "fail", what: "0644", plant: `chmod 0644 ` + token + `; ! pwb-agent sync; chmod 0600 ` + token},
		{check: "last-pass", state: "fail", what: "state.json", plant: `echo '{' > "$1/state/state.json"`},
		{check: "fuse", state: "fail", what: "lock 25", do: func(t *testing.T, p *patient) {
			parallel(t, 8, 25, func(i int) error {
				_, err := p.scim.Want(context.Background(), http.StatusOK, "PATCH", "/Users/"+ids[i], map[string]any{"Operations": []any{map[string]any{"op": "replace", "path": "active", "value": false}}})
				return err
			})
			p.sync(t, 3)
		}},
		{check: "pinned", state: "warn", what: "generation", plant: `pwb-agent rollback --yes`, do: func(t *testing.T, p *patient) {
			if _, err := p.scim.Create(t.Context(), "/Users", user("new")); err != nil {
				t.Fatal(err)
			}
			p.sync(t, 0)
		}},
		{check: "quarantine", state: "warn", what: "user7", plant: `echo "protect-names: [user7]" >> ` + yaml + `; pwb-agent sync`, why: "somebody has to decide", byHand: `sed -i /^protect-names/d ` + yaml + `; pwb-agent sync`},
		{check: "agent", state: "fail", what: "no agent runs", plant: `rm /etc/cron.d/pwb-agent`},
		{check: "leftovers", state: "warn", what: ".pwb-shadow.", plant: `touch -d "1 hour ago" /var/lib/extrausers/.pwb-shadow.ABCDEFGHIJKLMNOPQRSTUVWXYZ`},
		{check: "hooks", state: "warn", what: "something failed", why: "it is the hook's author's",
			plant:  `mkdir -p /etc/pwb/hooks.d; printf '#!/bin/sh\nexit 1\n' > /etc/pwb/hooks.d/10-broken; chmod 0755 /etc/pwb/hooks.d/10-broken; echo "deny-users: [user2]" >> ` + yaml + `; pwb-agent sync || true`,
			byHand: `rm /etc/pwb/hooks.d/10-broken; sed -i /^deny-users/d ` + yaml + `; pwb-agent sync`},
		{check: "local-clash", state: "fail", what: "user3", plant: `echo "user3:x:1999:1999::/home/user3:/bin/sh" >> /etc/passwd`, why: "somebody has to decide who keeps the name", byHand: `sed -i /^user3:/d /etc/passwd; pwb-agent sync`},
		{check: "homes", state: "warn", what: "/srv/people", plant: `echo "home-pattern: /srv/people/%u" >> ` + yaml + `; pwb-agent sync`, afterwards: `sed -i /^home-pattern/d ` + yaml + `; pwb-agent sync`},
		{check: "shells", state: "warn", what: "/usr/bin/fish", plant: `echo "shell-map: ['/bin/bash=/usr/bin/fish']" >> ` + yaml + `; pwb-agent sync`, why: "whether to install it or to map it is for somebody to decide", byHand: `sed -i /^shell-map/d ` + yaml + `; pwb-agent sync`},
		{check: "disk", state: "fail", what: "read-only", plant: `mount -t tmpfs -o mode=0711,size=100m none /mnt; cp -a "$1/state/." /mnt; mount --move /mnt "$1/state"; pwb-agent sync --check; mount -o remount,ro "$1/state"`, afterwards: `umount "$1/state"; pwb-agent sync --check`},
		{check: "disk", state: "warn", what: "MiB left", plant: `mount -t tmpfs -o mode=0711,size=20m none /mnt; cp -a "$1/state/." /mnt; mount --move /mnt "$1/state"; pwb-agent sync --check`, why: "what can go is for somebody to decide", byHand: `umount "$1/state"; pwb-agent sync --check`},
		{check: "disk", state: "warn", what: "inodes left", plant: `mount -t tmpfs -o mode=0711,size=100m,nr_inodes=100 none /mnt; cp -a "$1/state/." /mnt; mount --move /mnt "$1/state"; pwb-agent sync --check`, why: "what can go is for somebody to decide", byHand: `umount "$1/state"; pwb-agent sync --check`},

		{check: "nsswitch-sources", state: "fail", what: "group of /etc/nsswitch.conf names neither", plant: `sed -i "s/^group:.*/group:          files systemd/" /etc/nsswitch.conf`},
		{check: "nsswitch-shadow", state: "fail", what: "shadow", plant: `sed -i "s/^shadow:.*/shadow:         files/" /etc/nsswitch.conf`},
		{check: "nsswitch-order", state: "fail", what: "passwd: extrausers is asked before files", plant: `sed -i "s/^passwd:.*/passwd: extrausers files pwb/" /etc/nsswitch.conf`},
		{check: "nsswitch-order", state: "fail", what: "group: sss is asked before pwb", plant: `sed -i "s/^group:.*/group: files sss extrausers pwb/" /etc/nsswitch.conf`},
		{check: "nsswitch-actions", state: "fail", what: "[NOTFOUND=return] behind files", plant: `sed -i "s/^passwd:.*/passwd: files [NOTFOUND=return] extrausers pwb systemd # ours/" /etc/nsswitch.conf`},
		{check: "nsswitch-actions", state: "fail", what: "[!SUCCESS=return] behind extrausers", plant: `sed -i "s/^group:.*/group: files extrausers [!SUCCESS=return] pwb/" /etc/nsswitch.conf`},
		{check: "nsswitch-initgroups", state: "fail", what: "it has no pwb", plant: `echo "initgroups: files" >> /etc/nsswitch.conf`},
		{check: "nsswitch-initgroups", state: "fail", what: "files ends the search", plant: `sed -i /^initgroups/d /etc/nsswitch.conf; echo "initgroups: files extrausers pwb" >> /etc/nsswitch.conf`, afterwards: `sed -i /^initgroups/d /etc/nsswitch.conf`},
		{check: "nsswitch-merge", state: "fail", what: "[SUCCESS=merge]", plant: `echo "merge-members: [games=team]" >> ` + yaml + `; pwb-agent sync`, afterwards: `sed -i /^merge-members/d ` + yaml + `; pwb-agent sync`},
		{check: "module-config", state: "fail", what: "there is no", plant: `rm /etc/rstudio/workbench-nss.conf; echo "index: true" >> ` + yaml, afterwards: `sed -i /^index/d ` + yaml},
		{check: "module-config", state: "fail", what: "0666", plant: `chmod 0666 /etc/rstudio/workbench-nss.conf`},
		{check: "module-config", state: "fail", what: "server-address = https://other.example", plant: `sed -i "s,^server-address.*,server-address = https://other.example," /etc/rstudio/workbench-nss.conf`},
		{check: "module-file", state: "fail", what: "no library directory", plant: `mv /usr/local/lib/libnss_pwb.so.2 "$1/away"`, why: "it is in no package here", byHand: `mv "$1/away" /usr/local/lib/libnss_pwb.so.2`},
		{check: "module-file", state: "fail", what: "lacks _nss_pwb_getpwnam_r", plant: `mv /usr/local/lib/libnss_pwb.so.2 "$1/away"; cp /usr/lib/libnss_extrausers.so.2 /usr/local/lib/libnss_pwb.so.2`, why: "it is in no package here", byHand: `mv "$1/away" /usr/local/lib/libnss_pwb.so.2`},
		{check: "module-answers", state: "fail", what: "ld.so does not know", plant: `mv /usr/local/lib/libnss_pwb.so.2 "$1/away"; ldconfig; mv "$1/away" /usr/local/lib/libnss_pwb.so.2`},
		{check: "nscd", state: "warn", what: "nobody has it forget", plant: `sed -i "s/enable-cache\([[:blank:]]*\(passwd\|group\)[[:blank:]]*\)no/enable-cache\1yes/" /etc/nscd.conf; mkdir -p /run/nscd /var/cache/nscd; mount -t tmpfs none /var/cache/nscd; nscd; echo 'nscd-socket: ""' >> ` + yaml, afterwards: `nscd --shutdown`},

		{check: "pam-profile", state: "warn", what: "no service asks it", plant: `printf '#!/bin/sh\nexit 0\n' > /usr/libexec/pwb/pwb-pam; chmod 0755 /usr/libexec/pwb/pwb-pam`},
		{check: "pam-helper", state: "fail", what: "cannot be executed", plant: `chmod 0644 /usr/libexec/pwb/pwb-pam`},
		{check: "pam-helper", state: "fail", what: "0777", plant: `chmod 0777 /usr/libexec/pwb/pwb-pam`},
		{check: "pam-helper", state: "fail", what: "which is not there", plant: `rm /usr/libexec/pwb/pwb-pam`},
		{check: "sshd", state: "warn", what: "UsePAM no", plant: `sed -i "s/^UsePAM.*/UsePAM no/I" /etc/ssh/sshd_config`},
		{check: "sshd", state: "warn", what: "has no UsePAM yes", plant: `sed -i "/^UsePAM/Id" /etc/ssh/sshd_config`},
	}
}

func TestTheDoctorFindsEveryPlantedFaultAndItsAdviceMendsIt(t *testing.T) {
	t.Parallel()
	need(t, "sshd", "pam-auth-update")
	p, ids := populated(t)
	p.sh(t, `rm -f /etc/ssh/sshd_config.d/*.conf; grep -qi "^UsePAM yes" /etc/ssh/sshd_config`)
	p.isWell(t)
	byCommand := 0
	for _, f := range faults(ids) {
		well := false
		t.Run(f.check+" "+f.what, func(t *testing.T) {
			if p.finds(t, f) {
				byCommand++
			}
			well = true
		})
		if !well {
			t.FailNow() // the node is not as the next fault wants it
		}
	}
	t.Logf("%d faults mended by the command that the doctor prints", byCommand)
	if byCommand < 20 {
		t.Errorf("%d faults were mended by commands, want 20 or more", byCommand)
	}
}

// finds plants a fault, and reports whether the doctor's command mended it.
func (p *patient) finds(t *testing.T, f fault) (byCommand bool) {
	t.Helper()
	if f.do != nil {
		f.do(t, p)
	}
	if f.plant != "" {
		p.sh(t, `PATH="$2:$PATH"; `+f.plant, p.dir, string(bin))
	}
	wrong, _, status := p.doctor(t)
	want := map[string]int{"warn": 2, "fail": 3}[f.state]
	if len(wrong) != 1 || wrong[0].Check != f.check || wrong[0].State != f.state || !strings.Contains(wrong[0].What, f.what) || status != want {
		t.Errorf("status %d, not %d, and found\n%+v", status, want, wrong)
	}
	found := finding{}
	for _, w := range wrong {
		if w.Check == f.check {
			found = w
		}
	}
	if found.Why == "" || found.Mend == "" && found.Advice == "" {
		t.Errorf("it does not say why it matters, or what to do: %+v", found)
	}
	if (f.why == "") != (found.Mend != "") {
		t.Errorf("the command is %q", found.Mend)
	}
	if found.Mend != "" {
		if out, stderr, status := p.runs(t, "sh", "-c", found.Mend); status != 0 {
			t.Fatalf("%s: status %d\n%s%s", found.Mend, status, out, stderr)
		}
	}
	if f.byHand != "" {
		p.sh(t, `PATH="$2:$PATH"; `+f.byHand, p.dir, string(bin))
	}
	p.isWell(t)
	if f.afterwards != "" {
		p.sh(t, `PATH="$2:$PATH"; `+f.afterwards, p.dir, string(bin))
		p.isWell(t)
	}
	return found.Mend != ""
}
