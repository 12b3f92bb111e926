package altfiles

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// makeIndex makes an index as libnss-cache reads it: a line of the same length
// for each key, sorted by bytes as strcmp(3) does, that says where in the file
// the key's line begins.
//
//	key NUL offset NUL padding newline
//
// Of lines with the same key the first is found, as without an index. The module
// searches the file from its beginning where an index is absent, empty, or older
// than the file; it does not where the index lacks a key.
func makeIndex(l *lines, key func(line []byte) []byte) []byte {
	type entry struct {
		key []byte
		at  uint32
	}
	all := make([]entry, 0, l.count())
	longest := 0
	for i := range l.count() {
		e := entry{key(l.line(i)), l.at[i]}
		all = append(all, e)
		longest = max(longest, len(e.key))
	}
	slices.SortStableFunc(all, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	all = slices.CompactFunc(all, func(a, b entry) bool { return bytes.Equal(a.key, b.key) })
	digits := 0
	if len(all) > 0 {
		digits = len(strconv.Itoa(len(l.data)))
	}
	width := longest + digits + 3
	index := make([]byte, 0, width*len(all))
	for _, e := range all {
		end := len(index) + width
		index = append(append(index, e.key...), 0)
		index = append(strconv.AppendUint(index, uint64(e.at), 10), 0)
		for len(index) < end-1 {
			index = append(index, 0)
		}
		index = append(index, '\n')
	}
	return index
}

// numberText is the third field of a line: the uid in passwd, the gid in group.
func numberText(line []byte) []byte {
	for range 2 {
		_, line, _ = bytes.Cut(line, []byte{':'})
	}
	return nameOf(line)
}

// fresh reports whether an index is not older than its file, by the seconds that
// libnss-cache compares.
func (p *Plan) fresh(f *plannedFile) bool {
	of := p.file(f.index)
	return of == nil || f.was.mtime.Sec >= of.was.mtime.Sec
}

// withIndexes adds, to the files that are to be written, the indexes of those:
// they must not be older.
func (p *Plan) withIndexes(todo []*plannedFile) []*plannedFile {
	var all []*plannedFile
	for i := range p.files {
		f := &p.files[i]
		if slices.Contains(todo, f) || f.index != "" && slices.ContainsFunc(todo, func(of *plannedFile) bool { return of.kind == f.index }) {
			all = append(all, f)
		}
	}
	return all
}

// dropIndexes removes the indexes that are to be written again, before the first
// file is replaced: in the same second the module would take an old index for a
// new file's.
func (p *Plan) dropIndexes(d *dir, todo []*plannedFile) error {
	for _, f := range todo {
		if f.index == "" || f.gone {
			continue
		}
		st, err := d.inspect(f.name)
		if err != nil {
			return err
		}
		if st.exists {
			if err := d.remove(f.name, p.r.step); err != nil {
				return err
			}
		}
	}
	return nil
}

// diffIndex shows that an index is made anew; what it says follows from its file.
func (f *plannedFile) diffIndex(w io.Writer) error {
	if f.was.exists && !f.gone {
		if _, err := io.WriteString(w, " the index is made anew\n"); err != nil {
			return err
		}
	}
	return f.diffRest(w, true)
}

// freshen gives an index the time of its file where that is in the future, or it
// would count as stale until then.
func (p *Plan) freshen(d *dir, f *plannedFile, dr *draft) error {
	if f.index == "" {
		return nil
	}
	of := p.file(f.index)
	at := time.Unix(of.was.mtime.Unix())
	if !of.right || !at.After(time.Now()) {
		return nil
	}
	if err := d.Chtimes(dr.temp, at, at); err != nil {
		return fmt.Errorf("set the time of %s: %w", dr.tempPath(), err)
	}
	return nil
}
