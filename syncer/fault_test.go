package syncer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pwb/roster"
)

// web is an origin behind HTTP whose answers can be replaced.
type web struct {
	*httptest.Server
	origin *origin
	broken atomic.Pointer[http.HandlerFunc]
}

const testToken = "node-admin-token-0123456789"

func newWeb(t testing.TB, o *origin) *web {
	t.Helper()
	w := &web{origin: o}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testToken {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		if h := w.broken.Load(); h != nil {
			(*h)(rw, r)
			return
		}
		o.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *web) breakWith(h http.HandlerFunc) { w.broken.Store(&h) }
func (w *web) mend()                        { w.broken.Store(nil) }

func newClient(t testing.TB, server string, change func(*ClientConfig)) *Client {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	must(os.WriteFile(token, []byte(testToken+"\n"), 0o600))
	cfg := ClientConfig{Server: server, TokenFile: token, Node: "node1", Version: "1.2.3"}
	if change != nil {
		change(&cfg)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, "refused with %d", code)
	}
}

func says(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

// changed answers with the origin's own answer after f has had it.
func changed(o *origin, f func(body []byte) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		o.ServeHTTP(rec, r)
		if rec.Code == http.StatusOK {
			w.Header().Set("Content-Type", streamType)
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(f(rec.Body.Bytes()))
	}
}

func swapRows(body []byte) []byte {
	lines := bytes.SplitAfter(body, []byte("\n"))
	lines[1], lines[2] = lines[2], lines[1]
	return bytes.Join(lines, nil)
}

// repeat writes s until the client has gone away.
func repeat(w http.ResponseWriter, s string) {
	for {
		if _, err := io.WriteString(w, s); err != nil {
			return
		}
	}
}

// fault is what a server, or something before it, may do to every answer.
type fault struct {
	name   string
	broken func(o *origin) http.HandlerFunc
	want   string // in the error and the state
}

func TestAfterEveryFaultEverythingIsAsItWasAndTheNextGoodAnswerHeals(t *testing.T) {
	checkFaults(t, []fault{
		{"the server fails", func(*origin) http.HandlerFunc { return status(500) }, "500 Internal Server Error"},
		{"the server is a gateway without a back end", func(*origin) http.HandlerFunc { return status(502) }, "502"},
		{"the token is unknown", func(*origin) http.HandlerFunc { return status(401) }, "node-admin token"},
		{"the token is of the wrong kind", func(*origin) http.HandlerFunc { return status(403) }, "node-admin token"},
		{"the path is wrong", func(*origin) http.HandlerFunc { return status(404) }, "check the server's address"},
		{"the server is overloaded", func(*origin) http.HandlerFunc { return status(429, "Retry-After", "7") }, "left alone for 7s"},
		{"the server is in maintenance", func(*origin) http.HandlerFunc {
			return status(503, "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		}, "left alone for"},
		{"the answer is a redirect", func(*origin) http.HandlerFunc { return status(302, "Location", "https://login.example.com/") }, "redirects are not followed"},
		{"the answer is a part", func(*origin) http.HandlerFunc { return status(206) }, "206"},
		{"the answer is an empty object", func(*origin) http.HandlerFunc { return says(streamType, "{}\n") }, "no roster stream"},
		{"the answer is an empty list", func(*origin) http.HandlerFunc { return says(streamType, "[]\n") }, "no roster stream"},
		{"the answer is empty", func(*origin) http.HandlerFunc { return says(streamType, "") }, "no roster stream"},
		{"the answer is a login page", func(*origin) http.HandlerFunc { return says("text/html", "<html>Sign in") }, "is this the pwb server"},
		{"the answer is a login page in disguise", func(*origin) http.HandlerFunc { return says(streamType, "<html>\nSign in\n") }, "no roster stream"},
		{"the answer has no type", func(o *origin) http.HandlerFunc { return says("", "") }, "is this the pwb server"},
		{"the answer is JSON of an API", func(*origin) http.HandlerFunc { return says("application/json", `{"status":"ok"}`) }, "is this the pwb server"},
		{"the stream is of another version", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte { return bytes.Replace(b, []byte(`{"pwb":1`), []byte(`{"pwb":9`), 1) })
		}, "version 9"},
		{"the connection breaks", func(o *origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				changed(o, func(b []byte) []byte { return b[:len(b)/2] })(w, r)
				must(http.NewResponseController(w).Flush())
				panic(http.ErrAbortHandler)
			}
		}, "unexpected EOF"},
		{"the answer ends early", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte { return b[:len(b)-20] })
		}, "unexpected EOF"},
		{"the answer has no trailer", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] })
		}, "unexpected EOF"},
		{"the trailer counts wrong", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte { return bytes.Replace(b, []byte(`"rows":`), []byte(`"rows":1`), 1) })
		}, "trailer"},
		{"the trailer says another position", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte {
				return bytes.Replace(b, []byte(`{"end":{"epoch":"t`), []byte(`{"end":{"epoch":"x`), 1)
			})
		}, "trailer"},
		{"there is more after the trailer", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte { return append(b, "x"...) })
		}, "after the stream's trailer"},
		{"a row is other than the sum says", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("/bin/bash"), []byte("/bin/tcsh")) })
		}, "add up to"},
		{"a row is missing", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte {
				lines := bytes.SplitAfter(b, []byte("\n"))
				n := len(lines) - 4 // without header, one row, trailer and the rest after it
				b = bytes.Join(append(lines[:1:1], lines[2:]...), nil)
				return bytes.Replace(b, fmt.Appendf(nil, `"rows":%d`, n+1), fmt.Appendf(nil, `"rows":%d`, n), 1)
			})
		}, "add up to"},
		{"the keys are in disorder", func(o *origin) http.HandlerFunc { return changed(o, swapRows) }, "does not come after"},
		{"a line never ends", func(o *origin) http.HandlerFunc {
			return changed(o, func(b []byte) []byte {
				lines := bytes.SplitAfter(b, []byte("\n"))
				return append(lines[0], bytes.Repeat([]byte("x"), 2*roster.MaxLine)...)
			})
		}, "more than"},
		{"the answer never ends", func(o *origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				changed(o, func(b []byte) []byte { return b[:bytes.IndexByte(b, '\n')+1] })(w, r)
				for i := 0; ; i++ {
					if _, err := fmt.Fprintf(w, "%s\n", account(i).Line()); err != nil {
						return
					}
				}
			}
		}, "more than 1048576 bytes"},
		{"the header never ends", func(*origin) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", streamType)
				repeat(w, strings.Repeat(" ", 4096))
			}
		}, "more than"},
		{"the compression is garbled", func(o *origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				changed(o, func(b []byte) []byte { z := zip(b); z[len(z)/2] ^= 0x55; return z })(w, r)
			}
		}, ""},
		{"the compression is none", func(o *origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				changed(o, func(b []byte) []byte { return b })(w, r)
			}
		}, "gzip"},
		{"the compressed answer is cut", func(o *origin) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				changed(o, func(b []byte) []byte { z := zip(b); return z[:len(z)-9] })(w, r)
			}
		}, "unexpected EOF"},
		{"the compressed answer is a bomb", func(*origin) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Header().Set("Content-Type", streamType)
				_, _ = w.Write(zip(bytes.Repeat([]byte("\n"), 2<<20)))
			}
		}, "no roster stream"},
	})
}

// checkFaults breaks every answer, twice, on a new node and on an old one: mirror
// and files stay, error and state say why, and a good answer heals.
func checkFaults(t *testing.T, faults []fault) {
	for _, fault := range faults {
		for _, fresh := range []bool{true, false} {
			name := fault.name + map[bool]string{true: ", first time", false: ", later"}[fresh]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				n, o := newNode(t), town()
				w := newWeb(t, o)
				c := newClient(t, w.URL, func(cfg *ClientConfig) { cfg.MaxBody = 1 << 20 })
				if !fresh {
					n.mustOnce(c)
					o.set(account(6), account(7), locked(2))
				}
				mirror, rendered := n.bytes()
				w.breakWith(fault.broken(o))
				for range 2 {
					res, err := n.once(c)
					if err == nil {
						t.Fatalf("accepted: %+v", res)
					}
					if !strings.Contains(err.Error(), fault.want) {
						t.Errorf("error %q does not say %q", err, fault.want)
					}
					if strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), "TopSecret") {
						t.Errorf("a secret in %q", err)
					}
					if m, r := n.bytes(); m != mirror || r != rendered {
						t.Fatal("mirror or files changed")
					}
					n.checkTold(fault.want)
					if res.Reached {
						t.Errorf("result %+v", res)
					}
				}
				w.mend()
				n.mustOnce(c)
				n.checkInStep(o)
				n.checkWell()
			})
		}
	}
}

// checkTold fails unless the state says since when passes fail and why, without a
// secret, and still knows what is rendered.
func (n *node) checkTold(why string) {
	n.t.Helper()
	st := n.state()
	if st.LastError == "" || !strings.Contains(st.LastError, why) || st.LastErrorSince.IsZero() {
		n.t.Errorf("the state does not say %q: %+v", why, st)
	}
	if strings.Contains(st.LastError, testToken) || strings.Contains(st.LastError, "TopSecret") {
		n.t.Errorf("a secret in the state: %q", st.LastError)
	}
	if _, rendered := n.bytes(); (st.Rendered == nil) != (rendered == "absent") {
		n.t.Errorf("the state says that %v is rendered, the file is %q", st.Rendered, rendered)
	}
}

// checkWell fails unless the state says that all is well.
func (n *node) checkWell() {
	n.t.Helper()
	if st := n.state(); st.LastError != "" || !st.LastErrorSince.IsZero() || st.Stopped != nil {
		n.t.Errorf("the state does not say that all is well: %+v", st)
	}
}

func zip(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, err := w.Write(b)
	must(errors.Join(err, w.Close()))
	return z.Bytes()
}

func TestAServerThatIsDownChangesNothing(t *testing.T) {
	n, o := newNode(t), town()
	w := newWeb(t, o)
	c := newClient(t, w.URL, nil)
	n.mustOnce(c)
	mirror, rendered := n.bytes()
	w.Close()
	res, err := n.once(c)
	if err == nil || !strings.Contains(err.Error(), "refused") || res.Position != o.position() {
		t.Errorf("%+v, %v", res, err)
	}
	if m, r := n.bytes(); m != mirror || r != rendered {
		t.Error("mirror or files changed")
	}
	n.checkTold("connection refused")
}

// A delta alone can be wrong in ways that a snapshot mends.
func TestADeltaThatDoesNotFitIsReplacedByASnapshot(t *testing.T) {
	stream := func(from *roster.Position, to roster.Position, changes ...roster.Change) string {
		rows := map[string][]byte{}
		for _, c := range changes {
			rows[c.Key] = c.Line
		}
		return string(write(from, to, rows))
	}
	for _, test := range []struct {
		name  string
		delta func(was roster.Position, o *origin) string
	}{
		{"it begins elsewhere", func(was roster.Position, o *origin) string {
			was.Seq--
			return stream(&was, o.pos)
		}},
		{"it begins elsewhere, and its rows would fit", func(was roster.Position, o *origin) string {
			was.Seq--
			return stream(&was, o.pos, roster.Change{Key: account(6).Key(), Line: account(6).Line()})
		}},
		{"it begins at another sum", func(was roster.Position, o *origin) string {
			was.Sum[0] ^= 1
			return stream(&was, o.pos)
		}},
		{"it is of another epoch", func(was roster.Position, o *origin) string {
			was.Epoch = "village"
			return stream(&was, roster.Position{Epoch: "village", Seq: 9})
		}},
		{"it lacks a row", func(was roster.Position, o *origin) string { return stream(&was, o.pos) }},
		{"it has a row too many", func(was roster.Position, o *origin) string {
			return stream(&was, o.pos, roster.Change{Key: account(6).Key(), Line: account(6).Line()}, roster.Change{Key: account(9).Key(), Line: account(9).Line()})
		}},
		{"it removes a row too many", func(was roster.Position, o *origin) string {
			return stream(&was, o.pos, roster.Change{Key: account(1).Key()}, roster.Change{Key: account(6).Key(), Line: account(6).Line()})
		}},
		{"it is a snapshot", func(was roster.Position, o *origin) string { return string(o.snapshot()) }},
		{"its keys are in disorder", func(was roster.Position, o *origin) string {
			return string(swapRows([]byte(stream(&was, o.pos, roster.Change{Key: account(1).Key()}, roster.Change{Key: account(6).Key(), Line: account(6).Line()}))))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, o := newNode(t), town()
			n.mustOnce(o)
			was := o.position()
			o.set(account(6))
			o.setFault(func(kind string) (io.ReadCloser, error, bool) {
				return textBody(test.delta(was, o)), nil, kind == "changes"
			})
			res := n.mustOnce(o)
			if res.Snapshot == "" || n.state().Heals != 1 {
				t.Errorf("result %+v", res)
			}
			n.checkInStep(o)

			// And with a snapshot that is wrong as well, nothing happens.
			mirror, rendered := n.bytes()
			was = o.position()
			o.set(account(6), account(7))
			o.setFault(func(kind string) (io.ReadCloser, error, bool) {
				if kind == "changes" {
					return textBody(test.delta(was, o)), nil, true
				}
				return textBody(strings.Replace(string(o.snapshot()), "User 1", "User X", 1)), nil, true
			})
			if _, err := n.once(o); err == nil || !strings.Contains(err.Error(), "add up to") {
				t.Errorf("error %v", err)
			}
			if m, r := n.bytes(); m != mirror || r != rendered {
				t.Error("mirror or files changed")
			}
		})
	}
}

func TestAStreamCutAtAnyByteChangesNothing(t *testing.T) {
	for _, kind := range []string{"snapshot", "changes"} {
		t.Run(kind, func(t *testing.T) {
			n, o := newNode(t), newOrigin("e")
			o.set(account(1), group(1))
			if kind == "changes" {
				n.mustOnce(o)
				o.set(account(2))
				o.drop(group(1).Key())
			}
			mirror, rendered := n.bytes()
			var whole []byte
			for cut := 0; whole == nil || cut < len(whole); cut++ {
				for i, how := range []error{io.EOF, errors.New("connection reset")} {
					if i > 0 && cut%5 != 0 {
						continue
					}
					o.setFault(func(asked string) (io.ReadCloser, error, bool) {
						if asked != kind {
							t.Errorf("byte %d: a %s was asked for", cut, asked)
						}
						if whole = o.snapshot(); kind == "changes" {
							for pos := range o.past {
								if pos.Seq == 1 {
									whole = o.delta(pos)
								}
							}
						}
						return io.NopCloser(io.MultiReader(bytes.NewReader(whole[:cut]), broken{how})), nil, true
					})
					if res, err := n.once(o); err == nil || res.Reached {
						t.Fatalf("cut at byte %d: accepted", cut)
					}
					if m, r := n.bytes(); m != mirror || r != rendered {
						t.Fatalf("cut at byte %d: mirror or files changed", cut)
					}
				}
			}
			o.setFault(nil)
			n.mustOnce(o)
			n.checkInStep(o)
		})
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestTwoServersThatTakeTurnsNeverMixTheirRosters(t *testing.T) {
	n, a := newNode(t), town()
	b := newOrigin("village")
	b.set(account(1), account(3), account(20))
	for i := range 4 {
		for _, o := range []*origin{a, b} {
			o.set(account(30 + i))
			res := n.mustOnce(o)
			if res.Snapshot == "" {
				t.Errorf("turn %d: a delta between two servers: %+v", i, res)
			}
			n.checkInStep(o)
		}
	}
}

func TestAServerThatWentBackIsFollowed(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	old := town()
	old.set(account(1))
	o.set(account(6))
	o.set(account(7))
	n.mustOnce(o)
	n.mustOnce(old)
	n.checkInStep(old)
	n.checkWell()
	if st := n.state(); st.Resyncs != 1 {
		t.Errorf("the state does not count it: %+v", st)
	}
	old.set(account(8)) // and it goes on from there
	if res := n.mustOnce(old); res.Snapshot != "" || n.state().Resyncs != 0 {
		t.Errorf("result %+v, state %+v", res, n.state())
	}
	n.checkInStep(old)
}
