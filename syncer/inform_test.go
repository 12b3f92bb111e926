package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAReportOnTheWireIsWhatTheProtocolSays(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	c := newClient(t, server.URL+"/pre/fix", nil)
	pos := town().position()
	c.Rendered(pos)
	facts := adaAndBob
	facts.Former = []Former{{Key: "a/ID", Name: "ada", UID: 1001, GID: 1001}, {Key: "g/ID", Name: "eng", GID: 1002}}
	must(c.Inform(t.Context(), facts))
	if got.Method != "POST" || got.RequestURI != "/pre/fix/sync/v1/node" {
		t.Errorf("asked %s %s", got.Method, got.RequestURI)
	}
	for header, want := range map[string]string{
		"Authorization": "Bearer " + testToken, "Pwb-Node": "node1", "Pwb-Version": "1.2.3", "Pwb-Position": pos.String(),
		"User-Agent": "pwb-agent", "Content-Type": "application/json", "Content-Length": fmt.Sprint(len(body)), "Cookie": "",
	} {
		if got.Header.Get(header) != want && (header != "Content-Length" || got.ContentLength != int64(len(body))) {
			t.Errorf("%s is %q, want %q", header, got.Header.Get(header), want)
		}
	}
	const want = `{"version":"1.2.3","ids":[1000,1001],"names":["ada","bob"],"former":[{"key":"a/ID","name":"ada","uid":1001,"gid":1001},{"key":"g/ID","name":"eng","gid":1002}]}`
	if string(body) != want {
		t.Errorf("sent %s\nwant %s", body, want)
	}
}

func TestWhatAServerAnswersToAReport(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // in the error; empty for none
		older  bool
	}{
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "", false},
		{"200 with a page", says("text/html", "<html>"), "", false},
		{"202", status(202), "", false},
		{"404", status(404), "takes no reports", true},
		{"405", status(405), "takes no reports", true},
		{"400", status(400), `400 Bad Request "refused with 400"`, false},
		{"401", status(401), "node-admin token", false},
		{"410", status(410), "410 Gone", false},
		{"429", status(429, "Retry-After", "7"), "left alone for 7s", false},
		{"500", status(500), "500 Internal", false},
		{"a redirect", status(307, "Location", "https://login.example.com/"), "redirects are not followed", false},
		{"nothing", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			err := newClient(t, server.URL, nil).Inform(t.Context(), adaAndBob)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrNotTaken) != test.older {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if _, refused := errors.AsType[*StatusError](err); refused && !strings.HasPrefix(err.Error(), "POST "+server.URL+"/sync/v1/node: ") {
				t.Errorf("error %v", err)
			}
		})
	}
	web := newWeb(t, town())
	web.breakWith(func(w http.ResponseWriter, r *http.Request) { status(500)(w, r); fmt.Fprint(w, testToken) })
	if err := newClient(t, web.URL, nil).Inform(t.Context(), adaAndBob); err == nil || strings.Contains(err.Error(), testToken) {
		t.Errorf("error %v", err)
	}
}

// Whatever a server keeps back, a report ends with the client's deadline.
func TestAReportEndsInTime(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"without an answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"with a refusal that comes a byte at a time": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			for r.Context().Err() == nil {
				fmt.Fprint(w, "x")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(20 * time.Second):
				case <-r.Context().Done():
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			token := newClient(t, "http://localhost", nil).cfg.TokenFile
			synctest.Test(t, func(t *testing.T) {
				p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // only then does it see the client go
					answer(w, r)
				})}
				go func() { _ = server.Serve(p) }()
				defer server.Close()
				c, err := NewClient(ClientConfig{Server: "http://localhost", TokenFile: token})
				must(err)
				c.dial = p.dial
				defer c.Close()
				began := time.Now()
				if err := c.Inform(t.Context(), adaAndBob); err == nil {
					t.Error("taken")
				}
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("it took %v", took)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began = time.Now()
				if err := c.Inform(ctx, adaAndBob); err == nil || time.Since(began) != time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}
