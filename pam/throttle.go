package pam

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// FailuresName is the file in Failures.Dir.
const FailuresName = "failures"

// Failures is a Throttle for all processes of a node: a file of counters, a fixed
// number of them. A name has the one that a keyed hash gives it, whether there is
// such an account or not, so that the file can neither be filled nor tell who exists.
//
//	 0  PWBFAIL1
//	 8  32 bytes of key, random
//	40  24 bytes of zeros
//	64  4096 counters of names, then as many of hosts: u64 when the last attempt was,
//	    in nanoseconds of CLOCK_BOOTTIME, u32 attempts, u32 zero; little-endian
//
// It is of this boot: a file from another is begun anew.
type Failures struct {
	// Dir is for root alone; it is made if it is not there.
	Dir string
	// Max is how many attempts may fail before the next one must wait for Pause;
	// twice Pause after one more, then four times. After Window without a failure
	// they are forgotten. From one host it is HostFactor times Max.
	Max    int
	Window time.Duration
	Pause  time.Duration
	// Now is CLOCK_BOOTTIME; nil for the clock itself.
	Now func() time.Duration
}

// HostFactor is how many times as many failures a host may have as a name: many
// people come from one address.
const HostFactor = 4

const (
	failuresMagic  = "PWBFAIL1"
	failuresHeader = 64
	counters       = 4096
	counterSize    = 16
	doublings      = 2
)

// FailuresSize is the size of the file in bytes.
const FailuresSize = failuresHeader + 2*counters*counterSize

// counter counts attempts that have not been forgiven.
type counter struct {
	last time.Duration
	n    uint32
}

// Begin implements Throttle.
func (f *Failures) Begin(name, host string) (forgive func() error, err error) {
	var whose []int
	err = f.locked(func(b []byte) error {
		whose = f.places(b, name, host)
		now := f.now()
		for i, at := range whose {
			if wait := f.pause(read(b, at), f.most(i), now); wait > 0 {
				return refuse("too many attempts that failed", "Too many attempts. Please wait %d seconds.", int(wait.Seconds())+1)
			}
		}
		for i, at := range whose {
			c := read(b, at)
			if now < c.last || now-c.last > f.forgetting(c, f.most(i)) {
				c.n = 0
			}
			write(b, at, counter{now, c.n + 1})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		return f.locked(func(b []byte) error {
			for i, at := range whose {
				c := read(b, at)
				if i == 0 || c.n == 0 {
					c = counter{}
				} else {
					c.n-- // others' of the same host stay
				}
				write(b, at, c)
			}
			return nil
		})
	}, nil
}

// most is for the name first, then for the host.
func (f *Failures) most(i int) int {
	if i > 0 {
		return f.Max * HostFactor
	}
	return f.Max
}

// length is how long the pause after a counter's last attempt is; 0 for none.
func (f *Failures) length(c counter, most int) time.Duration {
	if int(c.n) < most {
		return 0
	}
	return f.Pause << min(int(c.n)-most, doublings)
}

// forgetting is how long after its last attempt a counter begins anew.
func (f *Failures) forgetting(c counter, most int) time.Duration {
	return max(f.Window, 2*f.length(c, most))
}

func (f *Failures) pause(c counter, most int, now time.Duration) time.Duration {
	if now < c.last {
		return 0
	}
	return f.length(c, most) - (now - c.last)
}

// places are where the counters are.
func (f *Failures) places(b []byte, name, host string) []int {
	place := func(kind int, what string) int {
		mac := hmac.New(sha256.New, b[8:40])
		mac.Write([]byte{byte(kind)})
		mac.Write([]byte(what))
		i := int(binary.LittleEndian.Uint32(mac.Sum(nil)) % counters)
		return failuresHeader + (kind*counters+i)*counterSize
	}
	all := []int{place(0, name)}
	if host != "" {
		all = append(all, place(1, network(host)))
	}
	return all
}

// network is what counts as one host: of IPv6 the 64 bits that one customer has.
func network(host string) string {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64) // of an address without a zone
		return p.String()
	}
	return a.String()
}

func read(b []byte, at int) counter {
	return counter{time.Duration(binary.LittleEndian.Uint64(b[at:])), binary.LittleEndian.Uint32(b[at+8:])}
}

func write(b []byte, at int, c counter) {
	binary.LittleEndian.PutUint64(b[at:], uint64(c.last))
	binary.LittleEndian.PutUint32(b[at+8:], c.n)
}

// locked changes the file while nobody else does; it is written when do succeeds.
func (f *Failures) locked(do func(b []byte) error) (err error) {
	if err := makePrivateDir(f.Dir); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(f.Dir, FailuresName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Errorf("count attempts: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("count attempts: lock %s: %w", file.Name(), err)
	}
	b := make([]byte, FailuresSize)
	n, _ := file.ReadAt(b, 0) // what cannot be read is begun anew
	if n != len(b) || string(b[:8]) != failuresMagic {
		clear(b)
		copy(b, failuresMagic)
		rand.Read(b[8:40]) // never fails, see crypto/rand
	}
	if err := do(b); err != nil {
		return err
	}
	if _, err := file.WriteAt(b, 0); err != nil {
		return fmt.Errorf("count attempts: %w", err)
	}
	return nil
}

func (f *Failures) now() time.Duration {
	if f.Now != nil {
		return f.Now()
	}
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// makePrivateDir makes a directory with mode 0700, or fails for one that does not
// belong to root, or this user, alone.
func makePrivateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o077 != 0 || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a directory for root alone; move it away, or run chown root and chmod 0700 on it", dir)
	}
	return nil
}
