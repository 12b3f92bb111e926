package altfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pwb/roster"
)

// Bounds of what a lookup reads of KeysFile.
const (
	// maxKeyLine is the most bytes a line has: a name, a day and a key.
	maxKeyLine = roster.MaxName + 12 + roster.MaxKeyBytes
	// keyProbe is how much is read to find the line that follows an offset.
	keyProbe = 4 << 10
	// keyBlock is how much of a file is left to read from line to line.
	keyBlock = 16 << 10
)

// ReadKeys returns the SSH keys that may log in as name on the day that now has in
// UTC, each TYPE BASE64, from the file at path; see KeysFile. Where the file is not
// there, or has nothing of the name, there are none, and no error.
//
// An account of this name in passwdFile, the node's own, has none either: it comes
// first in every lookup, so it is not the roster's, be the file as old as it will.
//
// It needs no rights but to read the two files, and reads a few pieces of the first
// however large that is. It believes nothing: a file that belongs to neither root
// nor the user we are, or that others may write to, a line that is not as they are
// written here, and one out of its order where that is seen, are errors.
func ReadKeys(path, passwdFile, name string, now time.Time) (keys []string, err error) {
	if roster.CheckName(name) != nil {
		return nil, nil // nobody of the roster is called so
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	defer f.Close()
	size, err := keysSize(f)
	if err != nil {
		return nil, err
	}
	today := now.Unix() / (24 * 60 * 60)
	err = (&keyReader{f, size}).each(name, func(k keyLine) {
		if !k.expired(today) {
			keys = append(keys, k.key)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; the next pass of pwb-agent mends it", path, err)
	}
	if len(keys) > 0 {
		if own, err := hasAccount(passwdFile, name); err != nil || own {
			return nil, err
		}
	}
	return keys, nil
}

// keysSize is the size of the file, if it is one to be believed.
func keysSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", f.Name(), err)
	}
	st := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return 0, &ForeignError{f.Name(), "is no regular file", "remove it"}
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return 0, &ForeignError{f.Name(), fmt.Sprintf("belongs to uid %d", st.Uid), "remove it"}
	case info.Mode().Perm()&0o022 != 0:
		return 0, &ForeignError{f.Name(), fmt.Sprintf("has mode %#o, others may write to it", info.Mode().Perm()), "remove it"}
	}
	return info.Size(), nil
}

// hasAccount reports whether a passwd file has a line of the name.
func hasAccount(path, name string) (has bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("find out whether the node has an account %q of its own: %w", name, err)
	}
	defer f.Close()
	err = eachLine(f, path, func(line []byte) error {
		f, ok := roster.LocalEntry(line)
		has = has || ok && string(f[0]) == name
		return nil
	})
	return has, err
}

// keyReader looks for lines in a file of them that is sorted.
type keyReader struct {
	file io.ReaderAt
	size int64
}

// each calls do with the lines of a name.
func (r *keyReader) each(name string, do func(keyLine)) error {
	if r.size == 0 {
		return nil
	}
	var failed error
	// before reports whether the line that begins at or after the nth block is one
	// before those of the name.
	before := func(n int) bool {
		_, line, err := r.lineFrom(int64(n) * keyBlock)
		if err != nil {
			failed = err
			return false
		}
		return line != nil && string(firstWord(line)) < name
	}
	blocks := int(r.size/keyBlock) + 1
	n := sort.Search(blocks, func(n int) bool { return failed != nil || !before(n) })
	if failed != nil {
		return failed
	}
	// The first line of the name, if any, begins behind that of the block before.
	at := int64(0)
	if n > 0 {
		var err error
		if at, _, err = r.lineFrom(int64(n-1) * keyBlock); err != nil {
			return err
		}
	}
	return r.scan(at, name, do)
}

// scan reads from line to line, from one that begins at an offset and is before all
// of the name, or the first.
func (r *keyReader) scan(at int64, name string, do func(keyLine)) error {
	var buf []byte
	var last string
	for ; ; at += keyBlock {
		block := make([]byte, min(keyBlock, r.size-at))
		if _, err := r.file.ReadAt(block, at); err != nil {
			return err
		}
		buf = append(buf, block...)
		for {
			line, rest := cutLine(buf)
			if len(line) == 0 {
				break
			}
			buf = rest
			text := string(line[:len(line)-1])
			if text <= last {
				return errKeyOrder
			}
			last = text
			switch of := string(firstWord(line)); {
			case of > name:
				return nil
			case of == name:
				k, err := parseKeyLine(text)
				if err != nil {
					return err
				}
				do(k)
			}
		}
		if at+int64(len(block)) >= r.size {
			if len(buf) > 0 {
				return errKeyCut
			}
			return nil
		}
		if len(buf) > maxKeyLine {
			return errKeyLine
		}
	}
}

// lineFrom returns the first line that begins at an offset or behind, as far as it
// was read, which is its name at least, and where it begins; nil at the end.
func (r *keyReader) lineFrom(at int64) (int64, []byte, error) {
	from := max(at-1, 0) // a line begins behind a newline
	var buf []byte
	for {
		piece := make([]byte, min(keyProbe, r.size-from-int64(len(buf))))
		if _, err := r.file.ReadAt(piece, from+int64(len(buf))); err != nil {
			return 0, nil, err
		}
		buf = append(buf, piece...)
		start := 0
		if at > 0 {
			start = bytes.IndexByte(buf, '\n') + 1
		}
		end := from+int64(len(buf)) >= r.size
		if start > 0 || at == 0 {
			if line := buf[start:]; bytes.IndexByte(line, ' ') >= 0 || end {
				if len(line) == 0 {
					line = nil
				}
				return from + int64(start), line, nil
			}
		}
		if end {
			return 0, nil, errKeyCut
		}
		if len(buf) > maxKeyLine+keyProbe {
			return 0, nil, errKeyLine
		}
	}
}

var (
	errKeyOrder = errors.New("its lines are out of order")
	errKeyCut   = errors.New("its last line has no end")
)

// firstWord is what stands before the first blank.
func firstWord(line []byte) []byte {
	word, _, _ := bytes.Cut(line, []byte{' '})
	return word
}
