package altfiles

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// storeName is the directory below StateDir, mode 0700, in which the files of
// former generations lie, each under its SHA-256 in hexadecimal digits. Hashes are
// among them.
const storeName = "generations"

// openStore opens the store, and makes it when create is set. Without create
// the error is fs.ErrNotExist if it is not there.
func openStore(state *dir, create bool) (*dir, error) {
	if create {
		if err := state.Mkdir(storeName, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("store of generations: %w", err)
		}
	}
	path := filepath.Join(state.path, storeName)
	if info, err := state.Lstat(storeName); err != nil {
		return nil, fmt.Errorf("store of generations: %w", err)
	} else if !info.IsDir() {
		return nil, &ForeignError{path, "is not a directory", "move it away"}
	} else if info.Mode().Perm() != 0o700 {
		if err := state.Chmod(storeName, 0o700); err != nil {
			return nil, fmt.Errorf("store of generations: %w", err)
		}
	}
	store, err := openDir(path)
	if err != nil {
		return nil, fmt.Errorf("store of generations: %w", err)
	}
	return store, nil
}

// keeping is the part of a commit that keeps what it replaces. It never fails
// the commit: who is to be locked out is locked out.
type keeping struct {
	p        *Plan
	state, d *dir
	m        *manifest
	worth    map[string]int64 // digests that will be referred to
	failed   []error
	// recovered says that the manifest was mended and is to be written, noted that it
	// says something new of the lookup indexes.
	recovered, noted bool
}

// begin notes in the manifest which generation the files will be.
func (k *keeping) begin(at roster.Position) {
	k.m.adopt(k.p, k.d)
	next := k.p.target(k.m, k.d, at)
	after := k.m.Memory
	after.put(next, k.p.r.cfg.KeepGenerations)
	k.worth = sums(after.List)
	k.m.Memory.Next, k.m.Memory.Last = &next, after.Last
}

// old is the digest under which the file in f's place is to be kept, empty if it
// is not: nothing will refer to it, or somebody else wrote it. One that nobody
// touched since it was written is not read again.
func (k *keeping) old(f *plannedFile) string {
	r := k.m.record(k.d, f.name)
	if f.kind == "" || r.Written == nil || f.was.size == 0 || r.Written.Size != f.was.size {
		return ""
	}
	if _, ok := k.worth[r.Written.SHA256]; !ok || !f.gone && r.Written.SHA256 == f.content().SHA256 {
		return ""
	}
	if r.Placed != f.was.mark() {
		if is, err := k.d.of(f.name).is(f.name, f.was, *r.Written); err != nil || !is {
			return ""
		}
	}
	return r.Written.SHA256
}

// take moves what was replaced from its temporary names into the store.
func (k *keeping) take(drafts []*draft) {
	drafts = slices.DeleteFunc(slices.Clone(drafts), func(dr *draft) bool { return !dr.swapped })
	names := make(map[string]string, len(drafts))
	for _, dr := range drafts {
		names[dr.temp] = dr.old
		dr.swapped = false
	}
	k.move(names)
}

// move moves files into the store: temporary names to digests. Those that it
// fails for stay where they are.
func (k *keeping) move(names map[string]string) {
	if len(names) == 0 {
		return
	}
	store, err := openStore(k.state, true)
	if err != nil {
		k.failed = append(k.failed, err)
		return
	}
	defer store.Close()
	step := k.p.r.step
	for _, temp := range slices.Sorted(maps.Keys(names)) {
		err := step("keep "+temp, func() error { return moveTo(k.d.of(temp), temp, store, names[temp]) })
		if errors.Is(err, unix.EXDEV) {
			// Another file system: by copy, behind all renames that matter.
			err = k.copy(store, temp, names[temp])
		}
		if err != nil {
			k.failed = append(k.failed, fmt.Errorf("keep what %s held: %w", k.d.pathOf(temp), err))
		}
	}
	if err := store.sync(storeName, step); err != nil {
		k.failed = append(k.failed, err)
	}
}

func (k *keeping) copy(store *dir, temp, sum string) error {
	st, err := k.d.find(temp)
	if err != nil {
		return err
	}
	data, err := k.d.of(temp).read(temp, st)
	if err != nil {
		return err
	}
	return store.put(content{Size: st.size, SHA256: sum}, data, k.p.r.step)
}

// copyFirst keeps a file that is about to be replaced, where it cannot be
// exchanged.
func (k *keeping) copyFirst(name, sum string) {
	store, err := openStore(k.state, true)
	if err == nil {
		err = errors.Join(k.copy(store, name, sum), store.Close())
	}
	if err != nil {
		k.failed = append(k.failed, fmt.Errorf("keep what %s held: %w", k.d.pathOf(name), err))
	}
}

// put puts data into the store, durably and whole.
func (store *dir) put(c content, data []byte, step hook) error {
	if *contentOf(data) != c {
		return fmt.Errorf("%s: %w", c.SHA256, ErrStale)
	}
	dr, err := store.draft(c.SHA256, data, owner{-1, -1, 0o600}, step)
	if err != nil {
		return err
	}
	return errors.Join(dr.publish(), dr.discard())
}

// settle makes the generation that was put in place the one in place. Those whose
// files are not all there are forgotten.
func (k *keeping) settle() {
	if next := k.m.Memory.Next; next != nil {
		k.m.Memory.put(*next, k.p.r.cfg.KeepGenerations)
	}
	names, err := storedNames(k.state)
	if err != nil {
		k.failed = append(k.failed, err)
	}
	k.m.Memory.List = complete(k.m.Memory.List, k.m.Memory.InPlace, names)
}

// storedNames are the names of the files in the store.
func storedNames(state *dir) (map[string]bool, error) {
	store, err := openStore(state, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer store.Close()
	names, err := store.list()
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all, err
}

// prune removes what no generation refers to any more, once the manifest says so.
func (k *keeping) prune() {
	store, err := openStore(k.state, false)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		k.failed = append(k.failed, err)
		return
	}
	defer store.Close()
	wanted := sums(k.m.Memory.List)
	names, err := store.list()
	if err != nil {
		k.failed = append(k.failed, err)
	}
	for _, name := range names {
		if _, ok := wanted[name]; ok {
			continue
		}
		if err := k.p.r.step("prune", func() error { return store.Remove(name) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.failed = append(k.failed, fmt.Errorf("remove %s, which no generation needs any more: %w", filepath.Join(store.path, name), err))
		}
	}
}

// salvage keeps what a killed commit had replaced and not yet moved into the
// store, and returns the leftovers that are nothing of the kind. d has them.
func (k *keeping) salvage(d *dir, left []string) (rest []string) {
	wanted := map[int64][]string{} // digests by size, lest all be read
	for sum, size := range sums(k.m.Memory.List) {
		wanted[size] = append(wanted[size], sum)
	}
	keep := map[string]string{}
	for _, name := range left {
		st, err := d.inspect(name)
		if err == nil && k.d.of(name) == d && st.size > 0 && len(wanted[st.size]) > 0 {
			sum, err := d.digest(name, st)
			if text := hex.EncodeToString(sum[:]); err == nil && slices.Contains(wanted[st.size], text) {
				keep[name] = text
				continue
			}
		}
		rest = append(rest, name)
	}
	k.move(keep)
	// Copies leave what they are of, and so do failures.
	for name := range keep {
		if st, err := d.inspect(name); err != nil || st.exists {
			rest = append(rest, name)
		}
	}
	return rest
}

// list names all that lies in a directory.
func (d *dir) list() ([]string, error) {
	f, err := d.Open(".")
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", d.path, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", d.path, err)
	}
	return names, nil
}

// is reports whether a file has just this content.
func (d *dir) is(name string, st stamp, c content) (bool, error) {
	if !st.exists || st.size != c.Size {
		return false, nil
	}
	sum, err := d.digest(name, st)
	return err == nil && hex.EncodeToString(sum[:]) == c.SHA256, err
}

// read is what a file holds.
func (d *dir) read(name string, st stamp) ([]byte, error) {
	f, err := d.open(name, st)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, st.size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(d.path, name), err)
	}
	return data, nil
}

// moveTo renames a file into another directory.
func moveTo(from *dir, name string, to *dir, as string) error {
	return withFds(from, to, func(a, b int) error { return unix.Renameat(a, name, b, as) })
}

// exchange swaps the names of two files. The error is errNoExchange where the
// file system cannot; nothing has happened then.
func (d *dir) exchange(a, b string) error {
	err := withFds(d, d, func(fd, same int) error { return renameat2(fd, a, same, b, unix.RENAME_EXCHANGE) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: %w", errNoExchange, err)
	}
	return err
}

// renameat2 is the system's, but in a test.
var renameat2 = unix.Renameat2

var errNoExchange = errors.New("files cannot be exchanged here")

func withFds(a, b *dir, do func(a, b int) error) error {
	var fds [2]*os.File
	for i, d := range []*dir{a, b} {
		f, err := d.Open(".")
		if err != nil {
			return err
		}
		defer f.Close()
		fds[i] = f
	}
	return do(int(fds[0].Fd()), int(fds[1].Fd()))
}
