package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// loader is an HTTP/1.1 client that does as little as can be: in a benchmark
// the client shares the processors with the server, and that of net/http takes
// about as much of them as the server does.
type loader struct {
	conn  net.Conn
	r     *bufio.Reader
	token string
	// answer is the buffer of the last one's body.
	answer []byte
}

// loaders are one loader for each client of a benchmark.
func loaders(b *testing.B, n int, r *rig, token string) chan *loader {
	b.Helper()
	all := make(chan *loader, n)
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.server.URL, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		all <- &loader{conn: conn, r: bufio.NewReaderSize(conn, 16<<10), token: token}
	}
	return all
}

// do sends a request below /scim/v2 and wants a status.
func (l *loader) do(method, path, body string, want int) error {
	status, answer, err := l.send(method, "/scim/v2"+path, body)
	if err == nil && status != want {
		err = fmt.Errorf("%s %s answered %d, not %d: %s", method, path, status, want, answer)
	}
	return err
}

// send sends a request and returns the answer, whose bytes hold until the next.
func (l *loader) send(method, path, body string) (status int, answer []byte, err error) {
	if _, err := fmt.Fprintf(l.conn, "%s %s HTTP/1.1\r\nHost: pwb\r\nAuthorization: Bearer %s\r\nContent-Type: application/scim+json\r\nContent-Length: %d\r\n\r\n%s",
		method, path, l.token, len(body), body); err != nil {
		return 0, nil, err
	}
	line, err := l.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length := 0
	for {
		if line, err = l.r.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return 0, nil, err
			}
		}
	}
	if cap(l.answer) < length {
		l.answer = make([]byte, length)
	}
	l.answer = l.answer[:length]
	_, err = io.ReadFull(l.r, l.answer)
	return status, l.answer, err
}
