package after

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// daemon answers at a socket in the place of nscd, until the test ends.
func daemon(t *testing.T, answer func(net.Conn)) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answer(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return socket
}

// request reads one.
func request(conn net.Conn) (words [3]uint32, key string) {
	_ = binary.Read(conn, binary.NativeEndian, &words)
	text := make([]byte, min(words[2], 100))
	_, _ = io.ReadFull(conn, text)
	return words, string(text)
}

func TestNscdForgetsAccountsAndGroups(t *testing.T) {
	var got []string
	n := newNode(t)
	n.cfg.NscdSocket = daemon(t, func(conn net.Conn) {
		words, key := request(conn)
		if words != [3]uint32{2, 10, uint32(len(key))} {
			t.Errorf("header %v", words)
		}
		got = append(got, key)
		_, _ = conn.Write(make([]byte, 4))
	})
	if err := n.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, ",") != "passwd\x00,group\x00" {
		t.Errorf("asked for %q", got)
	}
}

func TestWhereNscdDoesNotRunNothingIsWrong(t *testing.T) {
	n := newNode(t)
	stale := filepath.Join(t.TempDir(), "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, socket := range []string{"", stale, filepath.Join(t.TempDir(), "none")} {
		n.cfg.NscdSocket = socket
		if err := n.Refresh(t.Context()); err != nil {
			t.Errorf("%q: %v", socket, err)
		}
	}
}

func TestANscdThatDoesNotObeyIsTold(t *testing.T) {
	errno := func(e uint32) func(net.Conn) {
		return func(conn net.Conn) {
			request(conn)
			_ = binary.Write(conn, binary.NativeEndian, e)
		}
	}
	for want, answer := range map[string]func(net.Conn){
		"invalid argument": errno(22),
		"obeys root alone": func(conn net.Conn) { request(conn) },
		"unexpected EOF":   func(conn net.Conn) { request(conn); _, _ = conn.Write([]byte{0}) },
	} {
		n := newNode(t)
		n.cfg.NscdSocket = daemon(t, answer)
		if err := n.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cache of passwd") {
			t.Errorf("error %v, not %q", err, want)
		}
	}
}

func TestANscdThatHangsIsLeft(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	n.cfg.NscdSocket = daemon(t, func(conn net.Conn) {
		request(conn)
		cancel()
		var rest bytes.Buffer
		_, _ = rest.ReadFrom(conn) // until the other side hangs up
	})
	if err := n.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
