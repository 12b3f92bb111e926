package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ward is a server as its administrator left it, and its doctor.
type ward struct {
	*rig
	config string
}

func newWard(t *testing.T) (w *ward, ids []string) {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	w = &ward{rig: newRig(t, "--tls-cert", cert, "--tls-key", key, "--user-provisioning-start-uid", "70000")}
	w.scim.Client = trusting(t, cert)
	w.config = filepath.Join(w.dir, "server.yaml")
	text := "listen: " + strings.TrimPrefix(w.server.URL, "https://") + "\ndata-dir: " + w.server.DataDir + "\ntls-cert: " + cert + "\ntls-key: " + key +
		"\nbase-url: " + w.server.URL + "\nlocal-nss: false\nuser-provisioning-start-uid: 70000\n"
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.agent.Flags = []string{"--ca-cert", cert}
	ids = w.push(t, 4, 10, "user")
	w.sync(t, 0)
	return w, ids
}

// doctor returns what is not well, and the exit status.
func (w *ward) doctor(t *testing.T, args ...string) (wrong []finding, status int) {
	t.Helper()
	cmd := bin.Command(t.Context(), "pwb-server", append([]string{"doctor", "--json"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if status = cmd.ProcessState.ExitCode(); status == 1 {
		t.Fatalf("the doctor could not run: %s\n%s", &stderr, out)
	}
	for line := range strings.Lines(string(out)) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if f.State == "warn" || f.State == "fail" {
			wrong = append(wrong, f)
		}
	}
	return wrong, status
}

func (w *ward) sh(t *testing.T, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script, "sh", w.dir, w.config, w.server.DataDir)
	cmd.Env = append(os.Environ(), "PATH="+string(bin)+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func TestTheServersDoctorFindsEveryPlantedFaultAndItsAdviceMendsIt(t *testing.T) {
	t.Parallel()
	w, ids := newWard(t)
	well := func(t *testing.T) {
		t.Helper()
		if wrong, status := w.doctor(t, "--config", w.config); status != 0 || len(wrong) > 0 {
			t.Fatalf("the server is not well, status %d: %+v", status, wrong)
		}
	}
	well(t)
	for _, f := range []struct {
		check, what string
		status      int
		plant       string
		byHand      string // where no command of the doctor's mends it
	}{
		{"config", "lisen", 3, `echo "lisen: 1" >> "$2"`, ""},
		{"config", "password-hash-rounds", 3, `echo "password-hash-rounds: 1" >> "$2"`, `sed -i "/^password/d" "$2"`},
		{"config-mode", "0666", 3, `chmod 0666 "$2"`, ""},
		{"transport", "tls-key", 3, `cp "$2" "$2.away"; sed -i "s,^tls-key:.*,tls-key: /nowhere," "$2"`, `mv "$2.away" "$2"`},
		{"transport", "0604", 3, `chmod 0604 "$(sed -n "s/^tls-key: //p" "$2")"`, ""},
		{"certificate-name", "other.example", 2, `cp "$2" "$2.away"; sed -i "s,^base-url:.*,base-url: https://other.example," "$2"`, `mv "$2.away" "$2"`},
		{"running", "nobody answers", 3, `cp "$2" "$2.away"; sed -i "s,^listen:.*,listen: 127.0.0.1:9," "$2"`, `mv "$2.away" "$2"`},
		{"data-dir", "0755", 3, `chmod 0755 "$3"`, ""},
		{"tokens", "short", 2, `pwb-server token create short --scope scim --duration 13 --config "$2" > /dev/null; pwb-server token create brief --scope enroll --config "$2" > /dev/null`, `pwb-server token revoke short --config "$2"; pwb-server token revoke brief --config "$2"`},
		{"store", "no store", 3, `cp "$2" "$2.away"; mkdir -m 0700 "$1/empty"; sed -i "s,^data-dir:.*,data-dir: $1/empty," "$2"`, `mv "$2.away" "$2"`},
		{"numbers", "10 of 11", 2, `cp "$2" "$2.away"; echo "user-provisioning-end-uid: 70010" >> "$2"`, `mv "$2.away" "$2"`},
	} {
		t.Run(f.check+" "+f.what, func(t *testing.T) {
			w.sh(t, f.plant)
			wrong, status := w.doctor(t, "--config", w.config)
			if status != f.status || len(wrong) == 0 || wrong[0].Check != f.check || !strings.Contains(wrong[0].What, f.what) {
				t.Errorf("status %d, found %+v", status, wrong)
			}
			for _, found := range wrong {
				if found.Check != f.check || found.Why == "" || (found.Mend != "") != (f.byHand == "") {
					t.Errorf("found %+v", found)
				}
				if found.Mend != "" {
					w.sh(t, found.Mend)
				}
			}
			if f.byHand != "" {
				w.sh(t, f.byHand)
			}
			well(t)
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Run("nodes-well, a node that refuses somebody", func(t *testing.T) {
		w.sync(t, 0, "--protect-names", "user3")
		w.finds(t, 2, "nodes-well", "refuse accounts")
		w.sync(t, 0)
		well(t)
	})
	t.Run("fuse, which opened", func(t *testing.T) {
		for _, id := range ids[:2] {
			if _, err := w.scim.Want(t.Context(), http.StatusNoContent, "DELETE", "/Users/"+id, nil); err != nil {
				t.Fatal(err)
			}
		}
		w.sync(t, 0)
		w.sh(t, `printf "fuse-count: 1\nfuse-percent: 1\n" >> "$2"`)
		w.sh(t, w.finds(t, 3, "fuse", "it is open").Mend)
		well(t)
	})
	t.Run("certificate, which is over", func(t *testing.T) {
		cert, key := certificateOf(t, t.TempDir(), "old", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
		w.sh(t, `cp "$2" "$2.away"; sed -i "s,^tls-cert:.*,tls-cert: `+cert+`,; s,^tls-key:.*,tls-key: `+key+`," "$2"`)
		w.finds(t, 3, "certificate", "expired on")
		w.sh(t, `mv "$2.away" "$2"`)
		well(t)
	})
}

// finds fails the test unless the doctor finds just this.
func (w *ward) finds(t *testing.T, status int, check, what string) finding {
	t.Helper()
	wrong, got := w.doctor(t, "--config", w.config)
	if got != status || len(wrong) != 1 || wrong[0].Check != check || !strings.Contains(wrong[0].What, what) {
		t.Fatalf("status %d, found %+v; want %s: %s", got, wrong, check, what)
	}
	return wrong[0]
}

func TestTheServersDoctorProbesAnEndpoint(t *testing.T) {
	t.Parallel()
	w, _ := newWard(t)
	token := filepath.Join(w.dir, "scim-token")
	if err := w.server.TokenFile(t.Context(), token, "probe", "scim"); err != nil {
		t.Fatal(err)
	}
	args := []string{"--scim", w.server.URL + "/scim/v2", "--token-file", token, "--ca-cert", w.agent.Flags[1]}
	for _, more := range [][]string{nil, {"--write"}} {
		if wrong, status := w.doctor(t, append(args, more...)...); status != 0 || len(wrong) > 0 {
			t.Errorf("%q: status %d, %+v", more, status, wrong)
		}
	}
	answer, err := w.scim.Want(t.Context(), http.StatusOK, "GET", "/Users", nil)
	if err != nil || answer["totalResults"] != 10.0 {
		t.Errorf("the provider sees %v users (%v)", answer["totalResults"], err)
	}
	if err := os.WriteFile(token, []byte("pwb_abcdefgh_nobodys"), 0o600); err != nil {
		t.Fatal(err)
	}
	if wrong, status := w.doctor(t, append(args, "--write")...); status != 3 || len(wrong) != 1 || wrong[0].Check != "token" {
		t.Errorf("with a token that is none: status %d, %+v", status, wrong)
	}
	out, err := bin.Command(t.Context(), "pwb-server", "doctor", "--scim", "https://127.0.0.1:9/scim/v2", "--token-file", token).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("nobody answers: %v\n%s", err, out)
	}
}

// TestTheServersDoctorKnowsWhatTimeDoes has the store say that time went by.
func TestTheServersDoctorKnowsWhatTimeDoes(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	w, _ := newWard(t)
	const edit = `python3 -c 'import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=20); c.execute(sys.argv[2]); c.commit()' "$3/pwb.db" `
	for _, f := range []struct {
		check, what string
		status      int
		plant       string
	}{
		{"tokens-over", "spare", 2, `pwb-server token create spare --scope scim --config "$2" > /dev/null; ` + edit + `"UPDATE tokens SET expires = created + 1, created = created - 9 WHERE name = 'spare'"`},
		{"tokens-unused", "spare", 2, `pwb-server token create spare --scope operator --no-expiry --config "$2" > /dev/null; ` + edit + `"UPDATE tokens SET created = created - 8000000000 WHERE name = 'spare'"`},
		{"nodes-seen", "gone", 2, edit + `"INSERT INTO nodes (name, version, seen) SELECT 'gone', version, seen - 9000000 FROM nodes LIMIT 1"`},
	} {
		t.Run(f.check, func(t *testing.T) {
			w.sh(t, f.plant)
			found := w.finds(t, f.status, f.check, f.what)
			w.sh(t, found.Mend)
			if wrong, status := w.doctor(t, "--config", w.config); status != 0 {
				t.Errorf("afterwards, status %d: %+v", status, wrong)
			}
		})
	} // The audit log forgets nothing, so that this stays.
	w.sh(t, edit+`"INSERT INTO events (at, actor, action, name, uid, gid) SELECT at + 9000000, actor, action, name, uid, gid FROM events ORDER BY seq DESC LIMIT 1"`)
	w.finds(t, 3, "clock", "from now")
}
