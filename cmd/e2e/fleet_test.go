package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pwb/roster"
)

// bareServer is what BenchmarkWaitingAgents compares the server with: the least
// that holds long polls. GET waits until somebody POSTs.
const bareServer = "PWB_TEST_BARE_SERVER"

func init() {
	if os.Getenv(bareServer) == "" {
		return
	}
	var mu sync.Mutex
	moved := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		wait := moved
		if r.Method == http.MethodPost {
			close(moved)
			moved = make(chan struct{})
		}
		mu.Unlock()
		if r.Method == http.MethodPost {
			return
		}
		select {
		case <-wait:
			_, _ = io.WriteString(w, strings.Repeat("x", 400)) // about a delta of one row
		case <-r.Context().Done():
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	if cert := os.Getenv(bareServer + "_CERT"); cert != "" {
		err = http.ServeTLS(l, handler, cert, os.Getenv(bareServer+"_KEY"))
	} else {
		err = http.Serve(l, handler)
	}
	panic(err)
}

// startBare starts the bare server and returns its address and process.
func startBare(t testing.TB, cert, key string) (address string, pid int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), bareServer+"=1")
	if cert != "" {
		cmd.Env = append(cmd.Env, bareServer+"_CERT="+cert, bareServer+"_KEY="+key)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

// TestTheServersFuseIsSetByItsKeys drives the fuse of the real server.
func TestTheServersFuseIsSetByItsKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, "--fuse-window", "1h", "--fuse-count", "2", "--fuse-percent", "20")
	ids := r.push(t, 1, 5, "user")
	for i, want := range []int{http.StatusNoContent, http.StatusNoContent, http.StatusServiceUnavailable} {
		if _, err := r.scim.Want(t.Context(), want, http.MethodDelete, "/Users/"+ids[i], nil); err != nil {
			t.Error(err)
		}
	}
	keys := []string{"--data-dir", r.server.DataDir, "--fuse-window", "1h", "--fuse-count", "2"}
	if out, err := bin.Command(t.Context(), "pwb-server", append([]string{"fuse", "release"}, keys...)...).CombinedOutput(); err != nil {
		t.Fatalf("fuse release: %v\n%s", err, out)
	}
	if _, err := r.scim.Want(t.Context(), http.StatusNoContent, http.MethodDelete, "/Users/"+ids[2], nil); err != nil {
		t.Error(err)
	}
}

// waiter is an agent that does no more than wait.
type waiter struct {
	conn net.Conn
	r    *bufio.Reader
}

// waiters connects n agents; request is what each of them sends, by its number.
func waiters(b *testing.B, address string, secure bool, n int, request func(i int) string) []waiter {
	b.Helper()
	all := make([]waiter, n)
	b.Cleanup(func() {
		for _, w := range all {
			if w.conn != nil {
				w.conn.Close()
			}
		}
	})
	parallel(b, 64, n, func(i int) error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if secure {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // the test's own certificate
		}
		all[i] = waiter{conn, bufio.NewReaderSize(conn, 1<<10)}
		_, err = io.WriteString(conn, request(i))
		return err
	})
	return all
}

// told reads the answers of all and returns when the last had its own.
func told(b *testing.B, all []waiter, status string) time.Time {
	b.Helper()
	parallel(b, len(all), len(all), func(i int) error {
		line, err := all[i].r.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "HTTP/1.1 "+status) {
			err = fmt.Errorf("agent %d is told %q", i, line)
		}
		return err
	})
	return time.Now()
}

// processStat reads of a process its memory in KiB and the CPU time it has had.
func processStat(b *testing.B, pid int) (rss float64, cpu time.Duration) {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest) // from the third on, see proc(5)
	number := func(n int) float64 {
		v, err := strconv.ParseFloat(fields[n-3], 64)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	return number(24) * float64(os.Getpagesize()) / 1024, time.Duration(number(14)+number(15)) * 10 * time.Millisecond
}

// BenchmarkWaitingAgents holds 10,000 agents that wait, and measures the memory
// for each, the CPU that the server takes meanwhile, and the time until the
// last one has a change; beside a server that can do nothing else.
func BenchmarkWaitingAgents(b *testing.B) {
	const agents = 10_000
	cert, key := "", ""
	for _, secure := range []bool{false, true} {
		scheme := "plain"
		if secure {
			scheme = "tls"
			cert, key = keyPair(b)
		}
		b.Run(scheme+"/bare", func(b *testing.B) {
			address, pid := startBare(b, cert, key)
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			defer client.CloseIdleConnections()
			url := map[bool]string{false: "http://", true: "https://"}[secure] + address
			waitingAgents(b, address, secure, pid, agents, func(int) string { return "GET / HTTP/1.1\r\nHost: pwb\r\nAuthorization: Bearer x\r\n\r\n" }, func() error {
				res, err := client.Post(url, "text/plain", nil)
				if err == nil {
					res.Body.Close()
				}
				return err
			})
		})
		b.Run(scheme+"/pwb-server", func(b *testing.B) {
			var flags []string
			if secure {
				flags = []string{"--tls-cert", cert, "--tls-key", key}
			}
			r := newRig(b, flags...)
			r.scim.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			defer r.scim.Client.CloseIdleConnections()
			r.push(b, 1, 100, "before")
			token, err := os.ReadFile(r.agent.TokenFile)
			if err != nil {
				b.Fatal(err)
			}
			var at roster.Position
			n := 0
			address := r.server.URL[strings.LastIndex(r.server.URL, "/")+1:]
			waitingAgents(b, address, secure, r.server.PID(), agents, func(i int) string {
				if i == 0 {
					at = r.standing(b, r.scim.Client, strings.TrimSpace(string(token)))
				}
				return fmt.Sprintf("GET /sync/v1/changes?epoch=%s&after=%d&sum=%s&wait=60s HTTP/1.1\r\nHost: pwb\r\nUser-Agent: pwb-agent\r\nAccept: application/x-ndjson\r\nAccept-Encoding: gzip\r\n"+
					"Authorization: Bearer %s\r\nPwb-Node: node%d\r\nPwb-Version: 1\r\nPwb-Position: %s\r\n\r\n", at.Epoch, at.Seq, at.Sum, strings.TrimSpace(string(token)), i, at)
			}, func() error {
				n++
				_, err := r.scim.Create(context.Background(), "/Users", user(fmt.Sprint("late", n)))
				return err
			})
		})
	}
}

// keyPair writes a self-signed certificate and its key.
func keyPair(b *testing.B) (cert, key string) {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		b.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	cert, key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	if err := errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600),
	); err != nil {
		b.Fatal(err)
	}
	return cert, key
}

// standing is where the feed stands.
func (r *rig) standing(b *testing.B, client *http.Client, token string) roster.Position {
	b.Helper()
	req, err := http.NewRequest(http.MethodGet, r.server.URL+"/sync/v1/snapshot", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	stream, err := roster.NewReader(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return stream.Header().To
}

func waitingAgents(b *testing.B, address string, secure bool, pid, agents int, request func(i int) string, change func() error) {
	var kib, cpu, last float64
	rounds := 0
	for b.Loop() {
		first := request(0) // before the others, which do so at once
		before, _ := processStat(b, pid)
		all := waiters(b, address, secure, agents, func(i int) string {
			if i == 0 {
				return first
			}
			return request(i)
		})
		// What the arrival took is over when the CPU rests.
		_, busy := processStat(b, pid)
		for range 40 {
			time.Sleep(250 * time.Millisecond)
			_, now := processStat(b, pid)
			if now == busy {
				break
			}
			busy = now
		}
		const idle = 5 * time.Second
		time.Sleep(idle)
		rss, now := processStat(b, pid)
		done := make(chan time.Time)
		go func() { done <- told(b, all, "200") }()
		time.Sleep(500 * time.Millisecond) // the readers are in place
		began := time.Now()
		if err := change(); err != nil {
			b.Fatal(err)
		}
		last += float64((<-done).Sub(began).Microseconds()) / 1000
		if rounds == 0 { // later rounds find the memory of the first
			kib = (rss - before) / float64(agents)
		}
		cpu += milliseconds(now - busy)
		rounds++
		for _, w := range all {
			w.conn.Close()
		}
	}
	b.ReportMetric(kib, "KiB/agent")
	b.ReportMetric(cpu/float64(rounds), "CPU-ms-in-5s-of-waiting")
	b.ReportMetric(last/float64(rounds), "ms-to-the-last")
	b.ReportMetric(0, "ns/op")
}
