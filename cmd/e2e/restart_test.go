package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pwb/cmd/harness"
)

// held is a socket that outlives servers, as systemd's do.
func held(t *testing.T) *os.File {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// startOn starts the rig's server on a socket that is held.
func (r *rig) startOn(t *testing.T, socket *os.File, flags ...string) {
	t.Helper()
	s, err := harness.StartServerOn(context.Background(), bin, filepath.Join(r.dir, "store"), []*os.File{socket},
		append([]string{"--password-hash-rounds", "5000", "--rate-limit", "0", "--fuse-window", "0"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	r.server = s
}

// TestNoRequestIsLostWhileServersFollowEachOther upgrades the server three times
// under a load of writes, and with an agent that waits for changes.
func TestNoRequestIsLostWhileServersFollowEachOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.server.Stop()
	socket := held(t)
	r.startOn(t, socket)
	r.scim.URL, r.agent.Server = r.server.URL, r.server.URL
	agent := r.agent.Command(t.Context(), "run", "--wait", "30s")
	var log strings.Builder
	agent.Stderr = &log
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	var written atomic.Int64
	done := make(chan struct{})
	var load sync.WaitGroup
	for client := range 8 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := r.scim.Create(context.Background(), "/Users", user("user-"+strconv.Itoa(client)+"-"+strconv.Itoa(n))); err != nil {
					t.Errorf("client %d, request %d: %v", client, n, err)
					return
				}
				written.Add(1)
			}
		})
	}
	reach := func(n int64) {
		t.Helper()
		for ctx := within(t); written.Load() < n && !t.Failed(); {
			select {
			case <-ctx.Done():
				t.Fatalf("%d of %d requests were answered", written.Load(), n)
			case <-time.After(time.Millisecond):
			}
		}
	}
	for range 3 {
		reach(written.Load() + 200)
		r.server.Stop()
		r.startOn(t, socket)
	}
	reach(written.Load() + 200)
	close(done)
	load.Wait()
	answer, err := r.scim.Want(t.Context(), 200, http.MethodGet, "/Users?count=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if total := answer["totalResults"]; total != float64(written.Load()) {
		t.Errorf("%d users were created, and %v are there", written.Load(), total)
	}
	if _, err := r.scim.Create(t.Context(), "/Users", user("last")); err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); lines(t, filepath.Join(r.agent.Dir, "passwd"))["last"] == ""; {
		select {
		case <-ctx.Done():
			t.Fatalf("the agent does not follow:\n%s", &log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "failed") {
		t.Errorf("to the agent a restart is a failure:\n%s", &log)
	}
}

// TestAServerThatEndsFinishesWhatHasBegun: the body of a request that it has
// begun to read may come while it ends, and no other connection is taken.
func TestAServerThatEndsFinishesWhatHasBegun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	address := strings.TrimPrefix(r.server.URL, "http://")
	body, err := json.Marshal(user("ada"))
	if err != nil {
		t.Fatal(err)
	}
	begin := func() net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		head := "POST /scim/v2/Users HTTP/1.1\r\nHost: pwb\r\nAuthorization: Bearer " + r.scim.Token + "\r\nContent-Type: application/scim+json\r\n" +
			"Expect: 100-continue\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
		if _, err := c.Write([]byte(head)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	read := func(c net.Conn, want string) string {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		got := ""
		for buffer := make([]byte, 4096); !strings.Contains(got, want); {
			n, err := c.Read(buffer)
			if got += string(buffer[:n]); err != nil && !strings.Contains(got, want) {
				t.Fatalf("%v after %q", err, got)
			}
		}
		return got
	}
	c := begin()
	read(c, "100 Continue") // it reads
	ended := make(chan struct{})
	go func() { defer close(ended); r.server.Stop() }()
	for ctx := within(t); ; { // until it takes no more connections
		other, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		other.Close()
		if ctx.Err() != nil {
			t.Fatal("the server goes on to listen")
		}
	}
	if _, err := c.Write(body); err != nil {
		t.Fatal(err)
	}
	if got := read(c, "\r\n\r\n"); !strings.Contains(got, "201 Created") {
		t.Errorf("the answer is %q", got)
	}
	<-ended
	if log := r.server.Log(); !strings.Contains(log, `"msg":"stopping"`) || strings.Contains(log, "cut off") {
		t.Errorf("the server says\n%s", log)
	}
}
