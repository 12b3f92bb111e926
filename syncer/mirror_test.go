package syncer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pwb/roster"
)

func inode(fi fs.FileInfo) string {
	return strconv.FormatUint(fi.Sys().(*syscall.Stat_t).Ino, 10)
}

// garble flips a bit of one byte of the mirror.
func garble(n *node, at int) {
	n.t.Helper()
	b, err := os.ReadFile(n.mirrorPath())
	if err != nil {
		n.t.Fatal(err)
	}
	b[at%len(b)] ^= 1
	must(os.WriteFile(n.mirrorPath(), b, 0o600))
}

func TestADamagedMirrorIsReplacedByASnapshot(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	good, err := os.ReadFile(n.mirrorPath())
	if err != nil {
		t.Fatal(err)
	}
	var damages [][]byte
	for i, line := 0, 0; i < len(good); i++ { // cut after each line and within it
		if good[i] == '\n' || i%40 == 0 {
			damages = append(damages, good[:i])
			line++
		}
	}
	for i := 0; i < len(good); i += 13 {
		b := bytes.Clone(good)
		b[i] ^= 2
		damages = append(damages, b)
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	damages = append(damages,
		append(bytes.Clone(good), "more\n"...),
		append(bytes.Clone(good), good...),
		bytes.Join(append(append([][]byte{}, lines[:2]...), lines[3:]...), nil), // one row lost
		bytes.Repeat([]byte("x"), 2*roster.MaxLine),
		nil,
	)
	for i, b := range damages {
		must(os.WriteFile(n.mirrorPath(), b, 0o600))
		if i%2 == 0 { // half of them while the server has news
			o.set(account(10 + i))
		}
		heals := n.state().Heals
		res, err := n.once(o)
		if err != nil {
			t.Fatalf("damage %d: %v", i, err)
		}
		if res.Snapshot == "" || n.state().Heals != heals+1 && res.Snapshot != ErrResync.Error() {
			t.Fatalf("damage %d: healed without a snapshot: %+v\n%s", i, res, b)
		}
		if strings.Contains(res.Snapshot, "TopSecret") {
			t.Fatalf("damage %d: a hash got into %q", i, res.Snapshot)
		}
		n.checkInStep(o)
		if t.Failed() {
			t.Fatalf("damage %d", i)
		}
	}
}

func TestAMirrorThatIsNoFileIsReplaced(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a symbolic link": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a FIFO":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			n, o := newNode(t), town()
			must(os.Mkdir(n.cfg.StateDir, 0o700))
			must(make(n.mirrorPath()))
			if _, err := OpenMirror(n.cfg.StateDir); !errors.Is(err, ErrMirror) {
				t.Errorf("error %v", err)
			}
			n.mustOnce(o)
			n.checkInStep(o)
		})
	}
}

func TestADamagedMirrorAndNoServerChangeNothing(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	garble(n, 400)
	mirror, rendered := n.bytes()
	down := errors.New("no route to the server")
	if _, err := n.once(away{down}); !errors.Is(err, down) {
		t.Errorf("error %v", err)
	}
	if m, r := n.bytes(); m != mirror || r != rendered {
		t.Error("files changed")
	}
}

func TestTheMirrorReadsAsRows(t *testing.T) {
	n, o := newNode(t), town()
	if _, err := OpenMirror(n.cfg.StateDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	n.mustOnce(o)
	m, err := OpenMirror(n.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Position() != o.position() {
		t.Errorf("position %v", m.Position())
	}
	for range 2 {
		count := 0
		for row, err := range m.Rows() {
			if err != nil {
				t.Fatal(err)
			}
			if got := string(row.Line()); got != string(o.rows[row.Key()]) {
				t.Errorf("row %s", got)
			}
			count++
		}
		if count != len(o.rows) {
			t.Errorf("%d rows, want %d", count, len(o.rows))
		}
	}
	o.set(account(77)) // a pass does not touch a mirror that is open
	n.mustOnce(o)
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
	garbled, err := os.OpenFile(n.mirrorPath(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer garbled.Close()
	_, err = garbled.WriteAt([]byte("?"), 400)
	must(err)
	m2, err := OpenMirror(n.cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer m2.Close()
	if err := m2.Verify(); !errors.Is(err, ErrMirror) {
		t.Errorf("error %v", err)
	}
	var last error
	for _, err := range m2.Rows() {
		last = err
	}
	if !errors.Is(last, ErrMirror) {
		t.Errorf("rows end with %v", last)
	}
}

func TestARowThatCameAndWentIsNoNews(t *testing.T) {
	n, o := newNode(t), town()
	n.mustOnce(o)
	from := o.position()
	o.set(account(9))
	o.drop(account(9).Key())
	var b bytes.Buffer
	w, err := roster.NewWriter(&b, &from, o.position())
	must(err)
	must(w.Write(roster.Change{Key: account(9).Key()}))
	must(w.Close())
	o.setFault(func(string) (io.ReadCloser, error, bool) { return textBody(b.String()), nil, true })
	if res := n.mustOnce(o); res.Snapshot != "" || !res.Pulled {
		t.Errorf("result %+v", res)
	}
	n.checkInStep(o)
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	n, o := newNode(t), town()
	n.mustOnce(o)
	for path, want := range map[string]os.FileMode{
		n.cfg.StateDir:                 0o700 | os.ModeDir,
		n.mirrorPath():                 0o600,
		n.cfg.StateDir + "/state.json": 0o600,
		n.cfg.StateDir + "/lock":       0o600,
	} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, fi.Mode(), want)
		}
	}
}

func TestQuotedContentIsHiddenFromErrors(t *testing.T) {
	_, err := roster.ParseChange([]byte(`$6$salt$TopSecret"] and more`))
	if err == nil {
		t.Fatal("parsed")
	}
	hidden := hideContent(err)
	if strings.Contains(hidden.Error(), "TopSecret") || !errors.Is(hidden, err) {
		t.Errorf("hidden: %v", hidden)
	}
	plain := errors.New(`stream after row "a/id-1": boom`)
	if got := hideContent(plain); got != plain {
		t.Errorf("a key was hidden: %v", got)
	}
}

// away is a server that cannot be reached.
type away struct{ err error }

func (a away) Changes(context.Context, roster.Position, time.Duration) (io.ReadCloser, error) {
	return nil, a.err
}
func (a away) Snapshot(context.Context) (io.ReadCloser, error) { return nil, a.err }
