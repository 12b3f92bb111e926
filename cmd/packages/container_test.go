package packages_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	suite   = "bookworm"
	mirror  = "http://deb.debian.org/debian"
	include = "openssh-server,openssh-client,libnss-extrausers,systemd,dbus,ca-certificates,curl"
)

// debian is a minimal Debian as debootstrap(8) makes it. It is made once for each
// user of this machine, and nobody changes it.
func debian(t *testing.T) string {
	t.Helper()
	need(t, "debootstrap")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(cache, "pwb-tests"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "pwb-tests", suite+"-"+strings.ReplaceAll(include, ",", "-"))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(unfinished)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--include="+include, suite, unfinished, mirror).CombinedOutput()
	if err != nil {
		missing(t, "debootstrap must reach "+mirror, fmt.Errorf("%w\n%s", err, out))
	}
	if err := errors.Join(os.Chmod(unfinished, 0o755), os.Rename(unfinished, dir)); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		t.Fatal(err)
	}
	return dir
}

// boot makes a machine of a directory: namespaces of its own for mounts, processes,
// network, cgroups and names, and systemd as its first process.
const boot = `
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do : > dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm run/test
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount --bind "$2/notify" run/test
pivot_root . mnt
umount -l /mnt
exec env -i container=pwb NOTIFY_SOCKET=/run/test/socket PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal --show-status=false
`

// machine is a Debian that runs systemd.
type machine struct {
	pid  string // of its first process
	root string // its root directory, seen from here
}

// start boots a Debian and returns when systemd says that it is up.
func start(t *testing.T) *machine {
	t.Helper()
	needRoot(t)
	need(t, "unshare", "nsenter", "mount", "pivot_root")
	base, dir := debian(t), t.TempDir()
	for _, d := range []string{"upper", "work", "root", "notify"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	group := cgroup(t)
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify", "socket"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	cmd := exec.Command("sh", "-c", `echo $$ > "$3/cgroup.procs"; exec unshare -m -p -f -C -i -u -n --kill-child sh -c "$4" sh "$1" "$2"`, "sh", base, dir, group, boot)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); told.Close() }()
	m := &machine{}
	t.Cleanup(func() {
		// The first process takes all others with it, and then unshare ends.
		if pid, err := strconv.Atoi(m.pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		} else {
			_ = cmd.Process.Kill()
		}
		<-ended
	})
	if err := told.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 4096); ; {
		n, err := told.Read(buf)
		if err != nil {
			missing(t, "systemd must run in namespaces of its own", fmt.Errorf("%w\n%s", err, &log))
		}
		if strings.Contains("\n"+string(buf[:n]), "\nREADY=1") {
			break
		}
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m.pid = strings.Fields(string(children))[0]
	m.root = filepath.Join("/proc", m.pid, "root")
	return m
}

// cgroup is a new cgroup of version 2, without which systemd cannot run.
func cgroup(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		group, err := os.MkdirTemp(dir, "pwb-packages-")
		if err != nil {
			missing(t, "a cgroup of its own is needed", err)
		}
		t.Cleanup(func() {
			// From the leaves to the root; only empty ones can be removed.
			var all []string
			_ = filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					all = append(all, path)
				}
				return nil
			})
			for i := len(all) - 1; i >= 0; i-- {
				_ = os.Remove(all[i])
			}
		})
		return group
	}
	missing(t, "a cgroup of its own is needed", errors.New("no cgroup2 is mounted below /sys/fs/cgroup"))
	return ""
}

// try runs a script of sh on the machine and returns what it prints, and whether it
// ended well.
func (m *machine) try(t *testing.T, script string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "-t", m.pid, "-a", "sh", "-euc", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%s: %v\n%s", script, errors.Join(err, context.Cause(ctx)), out)
	}
	return string(out), err == nil
}

// sh is try for what must end well.
func (m *machine) sh(t *testing.T, script string) string {
	t.Helper()
	out, ok := m.try(t, script)
	if !ok {
		journal, _ := m.try(t, "journalctl --no-pager -n 50")
		t.Fatalf("%s failed:\n%s\n%s", script, out, journal)
	}
	return out
}
