package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// listens is where a process takes connections and datagrams from the network.
func listens(t *testing.T, pid int) (all []string) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("the descriptors of %d: %q, %v", pid, links, err)
	}
	mine := map[string]bool{}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				mine[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6"} {
		for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/net/%s", pid, proto))) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) > 9 && mine[f[9]] && (f[3] == listening || !strings.HasPrefix(proto, "tcp")) {
				all = append(all, proto+" "+f[1])
			}
		}
	}
	return all
}

// TestNothingListensThatNobodyAskedFor: the server on its one address, the agent on
// none of the network's.
func TestNothingListensThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, t.TempDir(), "server")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.server.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	var number int
	fmt.Sscan(port, &number)
	if got, want := listens(t, r.server.PID()), []string{fmt.Sprintf("tcp 0100007F:%04X", number)}; !slices.Equal(got, want) {
		t.Errorf("the server listens on %q, not on %q alone", got, want)
	}
	r.agent.Flags = append(r.agent.Flags, "--ca-cert", cert)
	d := r.daemonize(t, "--run-dir", filepath.Join(r.dir, "run"))
	d.tells("READY=1")
	if got := listens(t, d.cmd.Process.Pid); len(got) != 0 {
		t.Errorf("the agent listens on %q", got)
	}
}

// TestTLSOfTheDefaultConfigurationIsOfToday tries what a scanner tries.
func TestTLSOfTheDefaultConfigurationIsOfToday(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, t.TempDir(), "server")
	r := newRig(t, "--tls-cert", cert, "--tls-key", key)
	address := strings.TrimPrefix(r.server.URL, "https://")
	dial := func(c *tls.Config) (tls.ConnectionState, error) {
		c.InsecureSkipVerify = true // what is shown is looked at by other tests
		conn, err := tls.Dial("tcp", address, c)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.ConnectionState(), nil
	}
	for version, taken := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		s, err := dial(&tls.Config{MinVersion: version, MaxVersion: version})
		if (err == nil) != taken || taken && s.Version != version {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	var weak []uint16
	for _, c := range tls.InsecureCipherSuites() {
		weak = append(weak, c.ID)
	}
	for _, id := range weak {
		if _, err := dial(&tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}); err == nil {
			t.Errorf("%s is taken", tls.CipherSuiteName(id))
		}
	}
	s, err := dial(&tls.Config{MaxVersion: tls.VersionTLS12})
	if err != nil || !regexp.MustCompile(`^TLS_ECDHE_.*_(GCM|POLY1305)_`).MatchString(tls.CipherSuiteName(s.CipherSuite)) {
		t.Errorf("TLS 1.2 with %s, %v", tls.CipherSuiteName(s.CipherSuite), err)
	}
	if _, err := dial(&tls.Config{ServerName: "another.example"}); err != nil {
		t.Errorf("a name that is not its own: %v", err)
	}
	// Whoever forgets the s is told so, and nothing else.
	resp, err := http.Get("http://" + address + "/scim/v2/Users")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "HTTPS") {
		t.Errorf("plain HTTP: %d %q", resp.StatusCode, body)
	}
}
