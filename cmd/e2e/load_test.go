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
}

// loaders are one loader for each client of a benchmark.
func loaders(b *testing.B, n int, r *rig) chan *loader {
	b.Helper()
	all := make(chan *loader, n)
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.server.URL, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		all <- &loader{conn, bufio.NewReaderSize(conn, 16<<10), r.scim.Token}
	}
	return all
}

// do sends a request below /scim/v2 and wants a status.
func (l *loader) do(method, path, body string, want int) error {
	_, err := fmt.Fprintf(l.conn, "%s /scim/v2%s HTTP/1.1\r\nHost: pwb\r\nAuthorization: Bearer %s\r\nContent-Type: application/scim+json\r\nContent-Length: %d\r\n\r\n%s",
		method, path, l.token, len(body), body)
	if err != nil {
		return err
	}
	line, err := l.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	status := string(line[9:12])
	length := 0
	for {
		if line, err = l.r.ReadSlice('\n'); err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return err
			}
		}
	}
	if status == strconv.Itoa(want) {
		_, err = l.r.Discard(length)
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(l.r, int64(length)))
	if err != nil {
		return err
	}
	return fmt.Errorf("%s %s answered %s, not %d: %s", method, path, status, want, answer)
}
