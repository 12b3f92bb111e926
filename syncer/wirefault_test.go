package syncer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// raw answers on the bare connection, and closes it: with a reset if that is
// wanted.
func raw(reset bool, answer func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		must(err)
		defer c.Close()
		answer(c)
		if tcp, ok := c.(*net.TCPConn); ok && reset {
			must(tcp.SetLinger(0))
		}
	}
}

// sends answers with text as it is.
func sends(text string) http.HandlerFunc {
	return raw(false, func(c net.Conn) { _, _ = io.WriteString(c, text) })
}

// framed answers with the origin's stream after f has put it into an answer.
func framed(o *origin, f func(body string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		o.ServeHTTP(rec, r)
		sends(f(rec.Body.String()))(w, r)
	}
}

const okHeader = "HTTP/1.1 200 OK\r\nContent-Type: " + streamType + "\r\n"

func withLength(body string, length int) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", okHeader, length, body)
}

func page(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "<html><body><h1>Sorry</h1>\n")
	}
}

func TestAfterEveryFaultOfTheWayEverythingIsAsItWasAndTheNextGoodAnswerHeals(t *testing.T) {
	always := func(h http.HandlerFunc) func(*origin) http.HandlerFunc {
		return func(*origin) http.HandlerFunc { return h }
	}
	of := func(f func(string) string) func(*origin) http.HandlerFunc {
		return func(o *origin) http.HandlerFunc { return framed(o, f) }
	}
	const secret = `["a/id-000001",{"hash":"$6$TopSecret"}]` + "\n"
	checkFaults(t, []fault{
		{"a proxy cannot reach the server", always(page(502)), "502 Bad Gateway"},
		{"a proxy knows no server", always(page(503)), "503 Service Unavailable"},
		{"a proxy waited too long", always(page(504)), "504 Gateway Timeout"},
		{"a proxy wants a login", always(page(407)), "something on the way wants a login"},
		{"a network wants a login", always(page(511)), "something on the way wants a login"},
		{"a captive portal", always(page(200)), "is this the pwb server"},
		{"a redirect to itself", func(*origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			}
		}, "redirects are not followed"},
		{"another protocol is agreed to", always(sends("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")), "101"},
		{"the answer is not HTTP", always(sends("SSH-2.0-OpenSSH_9.2\r\n" + secret)), "malformed HTTP response"},
		{"the answer is a row", always(sends(secret)), "malformed HTTP response"},
		{"the header is a row", always(sends(okHeader + secret + "\r\n")), "malformed MIME header"},
		{"the length is a row", always(sends(okHeader + "Content-Length: " + secret + "\r\n")), "Content-Length"},
		{"the status is a row", always(sends("HTTP/1.1 " + secret + "\r\n")), "malformed HTTP status"},
		{"there is a TLS alert", always(sends("\x15\x03\x01\x00\x02\x02\x16")), "malformed HTTP response"},
		{"two lengths differ", of(func(b string) string {
			return okHeader + "Content-Length: 1\r\n" + withLength(b, len(b))[len(okHeader):]
		}), "Content-Length"},
		{"the connection is closed without a byte", always(sends("")), "closed without an answer"},
		{"the connection is closed in the header", always(sends(okHeader)), "unexpected EOF"},
		{"the connection is reset", always(raw(true, func(net.Conn) {})), "connection reset by peer"},
		{"the connection is reset in the body", func(o *origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				rec := httptest.NewRecorder()
				o.ServeHTTP(rec, r)
				raw(true, func(c net.Conn) { _, _ = io.WriteString(c, withLength(rec.Body.String()[:100], rec.Body.Len())) })(w, r)
			}
		}, ""}, // a reset may overtake the bytes before it
		{"the answer is shorter than its length", of(func(b string) string { return withLength(b, len(b)+10) }), "unexpected EOF"},
		{"the answer is longer than its length", of(func(b string) string { return withLength(b, len(b)-10) }), "unexpected EOF"},
		{"half the answer is longer than its length", of(func(b string) string { return withLength(b, len(b)/2) }), "unexpected EOF"},
		{"a chunk is cut", of(func(b string) string {
			return fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s", okHeader, len(b), b[:len(b)-10])
		}), "unexpected EOF"},
		{"the last chunk is missing", of(func(b string) string {
			return fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", okHeader, len(b), b)
		}), "unexpected EOF"},
		{"chunks are announced and do not come", of(func(b string) string { return okHeader + "Transfer-Encoding: chunked\r\n\r\n" + b }), "chunk"},
		{"a trailer is a row", of(func(b string) string {
			return fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n\r\n", okHeader, len(b), b, strings.TrimSpace(secret))
		}), "malformed"},
		{"an answer of HTTP/1.0 is cut", of(func(b string) string {
			return "HTTP/1.0 200 OK\r\nContent-Type: " + streamType + "\r\n\r\n" + b[:len(b)/2]
		}), "unexpected EOF"},
		{"a storm of early hints", always(raw(false, func(c net.Conn) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
			}
		})), "exceeded"},
		{"a header without an end", always(raw(false, func(c net.Conn) {
			_, err := io.WriteString(c, okHeader)
			for err == nil {
				_, err = io.WriteString(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n")
			}
		})), "exceeded"},
		{"a compressed answer without an end", func(o *origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				changed(o, func(b []byte) []byte {
					out := bytes.NewBuffer(b[:bytes.IndexByte(b, '\n')+1])
					for i := range 20_000 {
						fmt.Fprintf(out, "%s\n", account(i).Line())
					}
					return zip(out.Bytes())
				})(w, r)
			}
		}, "more than 1048576 bytes"},
	})
}

func TestAWholeAnswerOfAnOldProxyIsTaken(t *testing.T) {
	n, o := newNode(t), town()
	w := newWeb(t, o)
	w.breakWith(framed(o, func(b string) string {
		return "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\nContent-Type: " + streamType + "\r\n\r\n" + b
	}))
	c := newClient(t, w.URL, nil)
	n.mustOnce(c)
	n.checkInStep(o)
	o.set(account(6))
	n.mustOnce(c)
	n.checkInStep(o)
}

func TestANameThatDoesNotResolveChangesNothing(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	mirror, rendered := n.bytes()
	c := newClient(t, "https://pwb.example.com", nil)
	dialer := net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}}
	c.dial = dialer.DialContext
	for range 2 {
		if _, err := n.once(c); err == nil {
			t.Error("accepted")
		}
		n.checkTold("lookup pwb.example.com")
	}
	if m, r := n.bytes(); m != mirror || r != rendered {
		t.Error("mirror or files changed")
	}
	n.mustOnce(o)
	n.checkWell()
}

// In these a server holds a connection and says nothing, or as good as nothing.
func TestAServerThatHangsIsGivenUpAndTheStateSaysSo(t *testing.T) {
	slowly := func(text string, every time.Duration) func(net.Conn) {
		return func(c net.Conn) {
			for _, b := range []byte(text) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(every)
			}
		}
	}
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for _, test := range []struct {
		name   string
		server string
		conn   func(net.Conn)
		want   string
		within time.Duration
	}{
		{"it takes the connection and is silent", "http://localhost", silent, errLate.Error(), 30 * time.Second},
		{"its header comes byte by byte", "http://localhost", slowly(okHeader+strings.Repeat("X-Filler: x\r\n", 9999), time.Second), errLate.Error(), 30 * time.Second},
		{"its early hints have no end", "http://localhost", slowly(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 9999), time.Second), errLate.Error(), 30 * time.Second},
		{"its body stops", "http://localhost", func(c net.Conn) {
			_, _ = io.WriteString(c, withLength(`{"pwb":1`, 9999))
			silent(c)
		}, errStalled.Error(), 30 * time.Second},
		{"its TLS handshake hangs", "https://localhost", silent, "TLS handshake timeout", 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, o := newNode(t), town()
			n.mustOnce(o)
			mirror, rendered := n.bytes()
			o.set(account(6))
			token := newClient(t, "http://localhost", nil).cfg.TokenFile
			synctest.Test(t, func(t *testing.T) {
				c, err := NewClient(ClientConfig{Server: test.server, TokenFile: token})
				must(err)
				var conns sync.WaitGroup
				defer conns.Wait()
				c.dial = func(context.Context, string, string) (net.Conn, error) {
					client, server := net.Pipe()
					conns.Go(func() {
						defer server.Close()
						if strings.HasPrefix(test.server, "http:") { // it answers when it was asked
							_, err := http.ReadRequest(bufio.NewReader(server))
							must(err)
						}
						// A pipe has no buffer for what comes.
						conns.Go(func() { _, _ = io.Copy(io.Discard, server) })
						test.conn(server)
					})
					return client, nil
				}
				defer c.Close()
				began := time.Now()
				if _, err = n.syncer(c).Once(t.Context()); err == nil {
					t.Error("accepted")
				}
				if took := time.Since(began); took > test.within {
					t.Errorf("it took %v", took)
				}
			})
			n.checkTold(test.want)
			if m, r := n.bytes(); m != mirror || r != rendered {
				t.Error("mirror or files changed")
			}
			n.mustOnce(o)
			n.checkInStep(o)
			n.checkWell()
		})
	}
}
