package syncer

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pwb/roster"
)

func TestNewClientRefusesServersItCannotTrust(t *testing.T) {
	for server, want := range map[string]string{
		"":                                "no host",
		"pwb.example.com":                 "no host",
		"://":                             "no URL",
		"ftp://pwb.example.com":           "not an https URL",
		"http://pwb.example.com":          "not encrypted",
		"http://127.0.0.1.example.com":    "not encrypted",
		"https://user:pa55@example.com":   "scheme, host and path alone",
		"https://example.com/?x=1":        "scheme, host and path alone",
		"https://example.com/#top":        "scheme, host and path alone",
		"https://pwb.example.com/pre/fix": "",
		"http://localhost:8080":           "",
		"http://127.1.2.3":                "",
		"http://[::1]:1/x":                "",
	} {
		_, err := NewClient(ClientConfig{Server: server, TokenFile: "token"})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", server, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want %q", server, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "pa55") {
			t.Errorf("a password in %v", err)
		}
	}
	for name, cfg := range map[string]ClientConfig{
		"no token file":        {},
		"a node with newlines": {TokenFile: "t", Node: "a\nb"},
		"a negative timeout":   {TokenFile: "t", IdleTimeout: -1},
		"a negative limit":     {TokenFile: "t", MaxBody: -1},
	} {
		cfg.Server = "https://pwb.example.com"
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := onlyLoopback("tcp", "192.0.2.1:80", nil); err == nil {
		t.Error("localhost may resolve to anything")
	}
}

func TestATokenFileThatIsNotSafeIsNotUsed(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	for _, test := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"readable by the group", func(p string) error { return errors.Join(os.WriteFile(p, []byte("S3CRET"), 0o600), os.Chmod(p, 0o640)) }, "chmod 0600"},
		{"executable by others", func(p string) error { return errors.Join(os.WriteFile(p, []byte("S3CRET"), 0o600), os.Chmod(p, 0o601)) }, "chmod 0600"},
		{"absent", func(string) error { return nil }, "no such file"},
		{"empty", func(p string) error { return os.WriteFile(p, []byte("\n"), 0o600) }, "is empty"},
		{"of two words", func(p string) error { return os.WriteFile(p, []byte("S3CRET S3CRET2"), 0o600) }, "one word"},
		{"of two lines", func(p string) error { return os.WriteFile(p, []byte("S3CRET\nS3CRET2"), 0o600) }, "one word"},
		{"not ASCII", func(p string) error { return os.WriteFile(p, []byte("S3CRETé"), 0o600) }, "one word"},
		{"too long", func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("x", 4096)), 0o600) }, "more than 4095 bytes"},
		{"a directory", func(p string) error { return os.Mkdir(p, 0o700) }, "not a regular file"},
		{"a FIFO", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			must(test.make(path))
			c := newClient(t, server.URL, func(cfg *ClientConfig) { cfg.TokenFile = path })
			_, err := c.Snapshot(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "S3CRET") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	if asked {
		t.Error("the server was asked")
	}
}

func TestRequestsSayWhoAsksAndFromWhere(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "x"})
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	c := newClient(t, server.URL+"/pre/fix/", nil)
	pos := town().position()
	for i := range 2 {
		if _, err := c.Changes(t.Context(), pos, 30*time.Second); !errors.Is(err, ErrNoChange) {
			t.Fatal(err)
		}
		if want := "/pre/fix/sync/v1/changes?after=2&epoch=town&sum=" + pos.Sum.String() + "&wait=30s"; got.RequestURI != want {
			t.Errorf("asked %s, want %s", got.RequestURI, want)
		}
		for header, want := range map[string]string{
			"Authorization": "Bearer " + testToken, "Pwb-Node": "node1", "Pwb-Version": "1.2.3", "Accept": streamType,
			"Accept-Encoding": "gzip", "Cookie": "", "Pwb-Position": []string{"", pos.String()}[i],
		} {
			if got.Header.Get(header) != want {
				t.Errorf("%s is %q, want %q", header, got.Header.Get(header), want)
			}
		}
		c.Rendered(pos)
	}
	if _, err := c.Snapshot(t.Context()); err == nil || got.RequestURI != "/pre/fix/sync/v1/snapshot" {
		t.Errorf("asked %s: %v", got.RequestURI, err)
	}
	if c.transport.Proxy != nil { // net/http never uses one for localhost, so requests cannot tell
		t.Error("the environment may choose a proxy")
	}
	must(os.WriteFile(c.cfg.TokenFile, []byte("rotated"), 0o600))
	_, _ = c.Snapshot(t.Context())
	if auth := got.Header.Get("Authorization"); auth != "Bearer rotated" {
		t.Errorf("after a rotation: %q", auth)
	}
}

func TestCompressedAnswersAreRead(t *testing.T) {
	n, o := newNode(t), town()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		changed(o, zip)(w, r)
	}))
	defer server.Close()
	n.mustOnce(newClient(t, server.URL, nil))
	n.checkInStep(o)
}

func TestWhatAServerSaysIsShownShortQuotedAndWithoutTheToken(t *testing.T) {
	for name, text := range map[string]string{
		"short":              "no\nluck \x1b[31m" + testToken,
		"long":               strings.Repeat("words ", 1e5),
		"tokens end to end":  strings.Repeat(testToken, 1e4),
		"a token at the cut": strings.Repeat(" ", maxRefusal-5) + testToken,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/"+testToken)
				w.WriteHeader(http.StatusFound)
				_, _ = io.WriteString(w, text)
			}))
			defer server.Close()
			c := newClient(t, server.URL, nil)
			_, err := c.Snapshot(t.Context())
			status, ok := errors.AsType[*StatusError](err)
			if !ok || status.Code != http.StatusFound {
				t.Fatalf("error %v", err)
			}
			got := err.Error()
			if len(got) > 2000 || strings.Contains(got, testToken[:5]) || strings.ContainsAny(got, "\n\x1b") {
				t.Errorf("error %q", got)
			}
		})
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "0": 0, "7": 7 * time.Second, "99999999999999": 0,
		"Wed, 02 Jan 2030 03:05:05 GMT": time.Minute, "Wed, 02 Jan 2030 03:00:05 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestTLSTrustsTheGivenCertificatesAlone(t *testing.T) {
	o := town()
	server := httptest.NewUnstartedServer(o)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it notes each refused handshake
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	c := newClient(t, server.URL, func(cfg *ClientConfig) { cfg.CACert = ca })
	ask := func(c *Client) error {
		body, err := c.Snapshot(t.Context())
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			body.Close()
		}
		return err
	}
	if err := ask(newClient(t, server.URL, nil)); err == nil || !strings.Contains(err.Error(), "check the CA certificate") {
		t.Errorf("with the system's certificates: %v", err)
	}
	if err := ask(c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	must(os.WriteFile(ca, []byte("nonsense"), 0o644))
	if err := ask(c); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("with nonsense: %v", err)
	}
	good := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	must(os.WriteFile(ca, good, 0o644))
	for range 2 {
		if err := ask(c); err != nil {
			t.Errorf("with the right one: %v", err)
		}
	}
	if err := ask(newClient(t, strings.Replace(server.URL, "127.0.0.1", "127.0.0.2", 1), func(cfg *ClientConfig) { cfg.CACert = ca })); err == nil {
		t.Error("another host is accepted")
	}
}

// pipes is a listener and a dialer without a network, for tests in which time
// is not real.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestAnswersThatStallEndAndSlowOnesDoNot(t *testing.T) {
	lines := func(every time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", streamType)
			for range 100 {
				fmt.Fprintln(w, "line")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(every):
				case <-r.Context().Done():
					return
				}
			}
		}
	}
	never := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
		after  time.Duration
	}{
		{"no header within the wait and its slack", never, errLate, 90 * time.Second},
		{"nothing after the header", lines(time.Hour), errStalled, 30 * time.Second},
		{"a line every 29 seconds", lines(29 * time.Second), nil, 2900 * time.Second},
		{"a line every 31 seconds", lines(31 * time.Second), errStalled, 30 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := newClient(t, "http://localhost", nil).cfg.TokenFile
			synctest.Test(t, func(t *testing.T) {
				p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				server := &http.Server{Handler: test.answer}
				go func() { _ = server.Serve(p) }()
				defer server.Close()
				c, err := NewClient(ClientConfig{Server: "http://localhost", TokenFile: token})
				must(err)
				c.dial = p.dial
				defer c.Close()
				began := time.Now()
				body, err := c.Changes(t.Context(), roster.Position{Epoch: "e"}, time.Minute)
				if err == nil {
					_, err = io.Copy(io.Discard, body)
					body.Close()
				}
				if !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if took := time.Since(began); took != test.after {
					t.Errorf("it took %v, want %v", took, test.after)
				}
			})
		})
	}
}

func TestAnAnswerEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", streamType)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	body, err := newClient(t, server.URL, nil).Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	cancel()
	if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
