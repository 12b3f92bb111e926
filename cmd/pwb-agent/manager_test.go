package main

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"pwb/roster"
	"pwb/syncer"
)

func TestAReloadIsOverWhenTheNewAgentSaysSoNotTheOldOne(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 1000)
		n, err := conn.Read(buf)
		if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("told %q, not %q, %v", got, want, err)
		}
	}
	m := newManager(t.Context(), slog.New(slog.DiscardHandler))
	well := syncer.Event{Result: syncer.Result{Position: roster.Position{Epoch: "e", Seq: 1}}}
	m.observe(well)
	told("STATUS=at change 1\nREADY=1")
	m.reloading()
	told("RELOADING=1\nMONOTONIC_USEC=")
	m.observe(well) // of the agent that is about to end
	m.tell("STATUS=the old one ends")
	told("STATUS=the old one ends")
	m.begins()
	m.observe(well)
	told("READY=1")
}
