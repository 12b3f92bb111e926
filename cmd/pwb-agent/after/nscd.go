package after

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// nscdTimeout is how long nscd may take for each of its tables.
const nscdTimeout = 2 * time.Second

// The protocol of nscd, from glibc's nscd/nscd-client.h: a header, and a table's
// name with a NUL; the answer is an errno.
const (
	nscdVersion    = 2
	nscdInvalidate = 10
)

// invalidate makes nscd, where it runs, forget accounts and groups: by itself it
// watches the system's own files alone. That is what nscd --invalidate does, without
// the program and whatever the socket is called.
func (a *Actions) invalidate(ctx context.Context) error {
	if a.cfg.NscdSocket == "" {
		return nil
	}
	for _, table := range []string{"passwd", "group"} {
		running, err := invalidate(ctx, a.cfg.NscdSocket, table)
		if err != nil {
			return fmt.Errorf("nscd at %s still answers from its cache of %s, for as long as nscd.conf says: %w", a.cfg.NscdSocket, table, err)
		}
		if !running {
			return nil
		}
	}
	return nil
}

// invalidate makes the nscd at a socket forget a table. It reports whether there is
// one.
func invalidate(ctx context.Context, socket, table string) (running bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, nscdTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	key := append([]byte(table), 0)
	request := make([]byte, 0, 12+len(key))
	for _, word := range []int{nscdVersion, nscdInvalidate, len(key)} {
		request = binary.NativeEndian.AppendUint32(request, uint32(word))
	}
	if _, err := conn.Write(append(request, key...)); err != nil {
		return true, cut(ctx, err)
	}
	var answer [4]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it hung up; it obeys root alone")
		}
		return true, cut(ctx, err)
	}
	if errno := binary.NativeEndian.Uint32(answer[:]); errno != 0 {
		return true, syscall.Errno(errno)
	}
	return true, nil
}

// cut is err, or why the connection was closed on this side.
func cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("no answer within %v: %w", nscdTimeout, context.Cause(ctx))
	}
	return err
}
