package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"pwb/roster"
)

const (
	// maxLocalFile is the most bytes that a local file may have.
	maxLocalFile = 64 << 20
	// settled is the age from which a file's time tells it from a later one:
	// below, two writes may have left the same.
	settled = 2 * time.Second
)

// localFiles are the node's own passwd and group files, as far as the server has
// to keep clear of them. They are read again only when they changed.
type localFiles struct {
	passwd, group string

	mu    sync.Mutex    // over the rest
	seen  []os.FileInfo // of the files that ids and names are from; nil for none
	ids   []uint32
	names []string
}

// read is syncer.Config.Local. What it returns is not to be changed.
func (l *localFiles) read() (ids []uint32, names []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unchanged() {
		return l.ids, l.names, nil
	}
	l.seen, l.ids, l.names = nil, nil, nil
	began := time.Now()
	var seen []os.FileInfo
	for _, file := range []struct {
		path string
		ids  []int // the fields that are ids
	}{{l.passwd, []int{2, 3}}, {l.group, []int{2}}} {
		content, fi, err := readLocalFile(file.path)
		if err != nil {
			return nil, nil, err
		}
		l.add(content, file.ids)
		if began.Sub(fi.ModTime()) >= settled {
			seen = append(seen, fi)
		}
	}
	if len(seen) == 2 {
		l.seen = seen
	}
	return l.ids, l.names, nil
}

// unchanged reports whether both files are those that were read.
func (l *localFiles) unchanged() bool {
	if l.seen == nil {
		return false
	}
	for i, path := range []string{l.passwd, l.group} {
		fi, err := os.Stat(path)
		was := l.seen[i]
		if err != nil || !os.SameFile(fi, was) || fi.Size() != was.Size() || !fi.ModTime().Equal(was.ModTime()) {
			return false
		}
	}
	return true
}

// add takes the ids of each entry that any account or group may have, and its
// name if there is one.
func (l *localFiles) add(content []byte, fields []int) {
	for line := range bytes.Lines(content) {
		f, ok := roster.LocalEntry(line)
		if !ok {
			continue
		}
		before := len(l.ids)
		for _, i := range fields {
			if id, ok := roster.LocalID(f, i); ok && id >= roster.MinID && roster.CheckNumber(id) == nil {
				l.ids = append(l.ids, id)
			}
		}
		if len(l.ids) > before {
			l.names = append(l.names, string(f[0]))
		}
	}
}

// readLocalFile reads a file and what identifies it.
func readLocalFile(path string) ([]byte, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hang
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file; set the file that NSS reads", path)
	}
	var content []byte
	if fi.Size() <= maxLocalFile { // else it need not even be read
		if content, err = io.ReadAll(io.LimitReader(f, maxLocalFile+1)); err != nil {
			return nil, nil, err
		}
	}
	if fi.Size() > maxLocalFile || len(content) > maxLocalFile {
		return nil, nil, fmt.Errorf("%s has more than %d bytes; see whether it is the right file", path, maxLocalFile)
	}
	return content, fi, nil
}
