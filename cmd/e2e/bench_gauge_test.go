package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// gaugeEnv makes the test binary a gauge: it runs its arguments as a command and
// prints what that cost. A process counts what memory its parent had when it began,
// and the benchmark, whose memory is that of many users, would hide what it measures.
const gaugeEnv = "PWB_TEST_GAUGE"

func gauge(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	took, p := time.Since(began), cmd.ProcessState
	fmt.Println(took.Nanoseconds(), (p.UserTime() + p.SystemTime()).Nanoseconds(), p.SysUsage().(*syscall.Rusage).Maxrss)
	return 0
}

// cost is what a process took: its time, that of the processors, and the most
// memory it had, in KiB.
type cost struct {
	took, cpu time.Duration
	peak      int64
}

// timed runs a command.
func timed(b *testing.B, cmd *exec.Cmd) (c cost) {
	b.Helper()
	measured := exec.Command(os.Args[0], cmd.Args...)
	measured.Env = append(os.Environ(), gaugeEnv+"=1")
	var stderr strings.Builder
	measured.Stderr = &stderr
	out, err := measured.Output()
	if err != nil {
		b.Fatalf("%v: %s", err, &stderr)
	}
	if _, err := fmt.Sscan(string(out), &c.took, &c.cpu, &c.peak); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return c
}

// reportCosts reports the medians, the memory of the largest, and the bytes on the
// wire of one.
func reportCosts(b *testing.B, all []cost, wire int64) {
	var took, cpu []time.Duration
	var peak int64
	for _, c := range all {
		took, cpu, peak = append(took, c.took), append(cpu, c.cpu), max(peak, c.peak)
	}
	b.ReportMetric(median(took), "median-ms")
	b.ReportMetric(median(cpu), "cpu-ms")
	b.ReportMetric(float64(peak)/1024, "peak-MiB")
	b.ReportMetric(float64(wire), "wire-bytes")
	b.ReportMetric(0, "ns/op")
}

// meter is a TCP proxy on loopback that counts the bytes which go through it,
// those of both directions and of headers, too.
type meter struct {
	address string
	bytes   atomic.Int64
}

// newMeter starts a proxy for a server's address, host:port.
func newMeter(b *testing.B, server string) *meter {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	m := &meter{address: l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			go m.relay(client, server)
		}
	}()
	return m
}

// relay copies what a client and the server say until both have said all.
func (m *meter) relay(client net.Conn, server string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return // the client sees the end of its connection
	}
	defer upstream.Close()
	said := make(chan struct{})
	go func() {
		defer close(said)
		_, _ = io.Copy(io.MultiWriter(upstream, m), client)
		_ = upstream.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(io.MultiWriter(client, m), upstream)
	_ = client.(*net.TCPConn).CloseWrite()
	<-said
}

// Write counts.
func (m *meter) Write(p []byte) (int, error) {
	m.bytes.Add(int64(len(p)))
	return len(p), nil
}

// floor is the least that a pass with something to write can take here: it writes
// the bytes of the three files, with all that makes a write durable.
type floor struct {
	dir   string
	files map[string][]byte
}

// newFloor takes the files of an agent's directory.
func newFloor(b *testing.B, from, dir string) floor {
	b.Helper()
	f := floor{dir: mustMkdir(b, dir), files: map[string][]byte{}}
	for _, name := range rendered {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			b.Fatal(err)
		}
		f.files[name] = data
	}
	return f
}

// write writes the files and returns how long that took.
func (f floor) write(b *testing.B) time.Duration {
	b.Helper()
	began := time.Now()
	for _, name := range rendered {
		if err := writeDurably(f.dir, name, f.files[name]); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// writeDurably replaces a file: write, fsync, rename, fsync of the directory.
func writeDurably(dir, name string, data []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func mustMkdir(b *testing.B, dir string) string {
	b.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir
}
