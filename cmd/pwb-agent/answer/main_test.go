package answer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// clientEnv makes the test's binary a client of the socket that it names: it asks
// what comes from standard input.
const clientEnv = "PWB_TEST_CLIENT"

func TestMain(m *testing.M) {
	if path := os.Getenv(clientEnv); path != "" {
		conn, err := net.Dial("unix", path)
		if err == nil {
			_, err = io.Copy(conn, os.Stdin)
		}
		if err == nil {
			_, err = io.Copy(os.Stdout, conn)
		}
		if err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// place is a desk with what it rests on.
type place struct {
	*Desk
	t      testing.TB
	dir    string
	log    bytes.Buffer
	passes atomic.Int32
	// during is called in each pass.
	during func(context.Context) error
}

func newPlace(t testing.TB) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "pwb-desk-") // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: dir}
	p.put("passwd", "ada:x:1000:1000:Ada:/home/ada:/bin/sh\nbob:x:1001:2000::/home/bob:/bin/sh\nlady:x:1000:1000:Ada:/home/ada:/bin/sh\n")
	p.put("group", "ada:x:1000:\nlady:x:1000:\neng:x:2000:ada,lady,bob\nops:x:2001:bob\n")
	p.put("shadow", "ada:$6$salt$hash:::::::\nbob:!*::::::1:\nlady:$6$salt$hash:::::::\n")
	return p
}

// put replaces a rendered file.
func (p *place) put(file, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, file+".new"), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(p.dir, file+".new"), filepath.Join(p.dir, file)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) config() Config {
	files := NewFiles(p.dir, "")
	return Config{
		Dir:    filepath.Join(p.dir, "run"),
		Lookup: func() (Lookup, func() error, error) { return files, func() error { return nil }, nil },
		Refresh: func(ctx context.Context) error {
			p.passes.Add(1)
			if p.during != nil {
				return p.during(ctx)
			}
			return nil
		},
		Settled: func(err error) bool { return errors.Is(err, errFuse) },
		Wait:    30 * time.Second,
		Index:   filepath.Join(p.dir, "roster.idx"),
		Log:     slog.New(slog.NewTextHandler(&p.log, nil)),
	}
}

var errFuse = errors.New("the fuse stopped the pass")

func (p *place) open() *place {
	p.t.Helper()
	d, err := Open(p.config())
	if err != nil {
		p.t.Fatal(err)
	}
	p.Desk = d
	p.t.Cleanup(d.Close)
	return p
}

func (p *place) socketPath() string { return filepath.Join(p.dir, "run", SocketName) }

// ask sends what is asked and returns what comes back.
func (p *place) ask(asked string) string {
	conn, err := net.Dial("unix", p.socketPath())
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, asked); err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(conn)
	if err != nil && len(b) == 0 {
		return err.Error()
	}
	return string(b)
}

func found(line string) string { return fmt.Sprintf("found %d\n%s", len(line), line) }
