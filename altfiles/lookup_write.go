package altfiles

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// writeTo writes the index.
func (x *indexImage) writeTo(w io.Writer) error {
	out := &recordWriter{out: w, buf: make([]byte, 0, writeBlock+writeBlock/4)}
	out.buf = append(out.buf, x.header.encode()...)
	n := 0
	for _, t := range x.header.tables {
		if t.slots > 0 {
			out.table(t, x.tables[n])
			n++
		}
	}
	if err := x.write(out); err != nil {
		return err
	}
	out.flush()
	if out.err == nil && out.written != x.header.size {
		return fmt.Errorf("the lookup index became %d bytes in place of %d, which is a defect of pwb", out.written, x.header.size)
	}
	return out.err
}

// writeBlock is about how many bytes are written at once.
const writeBlock = 256 << 10

// recordWriter writes records, and nothing more after an error.
type recordWriter struct {
	out     io.Writer
	buf     []byte // what is yet to be written
	at      int    // where the record in it begins that is being made
	written uint64
	err     error
}

func (w *recordWriter) flush() {
	if w.err == nil {
		_, w.err = w.out.Write(w.buf)
	}
	w.written += uint64(len(w.buf))
	w.buf = w.buf[:0]
}

// table writes entries, each in the first free slot from where it belongs.
func (w *recordWriter) table(t indexTable, entries []uint64) {
	le := binary.LittleEndian
	next := uint64(0)
	put := func(slot uint64) {
		if w.buf = le.AppendUint64(w.buf, slot); len(w.buf) >= writeBlock {
			w.flush()
		}
		next++
	}
	for _, e := range entries {
		for home := t.slot(uint32(e >> 32)); next < home; {
			put(0)
		}
		put(e>>32 | e<<32) // the hash first
	}
	for next < t.size()/slotSize {
		put(0)
	}
}

// begin begins a record: its sum and length come when it ends.
func (w *recordWriter) begin(kind uint16, name []byte) {
	w.at = len(w.buf)
	w.long(0)
	w.word(0)
	w.half(kind)
	w.half(uint16(len(name)))
}

func (w *recordWriter) half(n uint16) { w.buf = binary.LittleEndian.AppendUint16(w.buf, n) }
func (w *recordWriter) word(n uint32) { w.buf = binary.LittleEndian.AppendUint32(w.buf, n) }
func (w *recordWriter) long(n uint64) { w.buf = binary.LittleEndian.AppendUint64(w.buf, n) }

func (w *recordWriter) texts(all ...[]byte) {
	for _, s := range all {
		w.buf = append(append(w.buf, s...), 0)
	}
}

func (w *recordWriter) end() {
	for (len(w.buf)-w.at)%8 != 0 {
		w.buf = append(w.buf, 0)
	}
	b := w.buf[w.at:]
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	binary.LittleEndian.PutUint64(b, IndexSum(b[8:]))
	if len(w.buf) >= writeBlock {
		w.flush()
	}
}

func (w *recordWriter) passwd(l *lines, groups *groupsOf) error {
	var f [7][]byte
	for i := range l.count() {
		if err := splitLine(l.line(i), f[:]); err != nil {
			return fmt.Errorf("passwd: line %d: %w", i+1, err)
		}
		w.begin(passwdRecord, f[0])
		w.word(number(f[2]))
		w.word(number(f[3]))
		w.word(uint32(len(groups.of(i))))
		for _, s := range [][]byte{f[4], f[5], f[6], f[1]} {
			w.half(uint16(len(s)))
		}
		w.word(0)
		for _, gid := range groups.of(i) {
			w.word(gid)
		}
		w.texts(f[0], f[1], f[4], f[5], f[6])
		w.end()
	}
	return nil
}

func (w *recordWriter) group(l *lines) error {
	var f [4][]byte
	for i := range l.count() {
		if err := splitLine(l.line(i), f[:]); err != nil {
			return fmt.Errorf("group: line %d: %w", i+1, err)
		}
		members := 0
		if len(f[3]) > 0 {
			members = 1 + bytes.Count(f[3], []byte{','})
		}
		w.begin(groupRecord, f[0])
		w.word(number(f[2]))
		w.word(uint32(members))
		w.half(uint16(len(f[1])))
		w.half(0)
		w.word(0)
		w.texts(f[0], f[1])
		if members > 0 {
			from := len(w.buf)
			w.texts(f[3])
			for list := w.buf[from:]; ; {
				comma := bytes.IndexByte(list, ',')
				if comma < 0 {
					break
				}
				list[comma], list = 0, list[comma+1:]
			}
		}
		w.end()
	}
	return nil
}

func (w *recordWriter) shadow(l *lines) error {
	var f [9][]byte
	for i := range l.count() {
		if err := splitLine(l.line(i), f[:]); err != nil {
			return fmt.Errorf("shadow: line %d: %w", i+1, err)
		}
		w.begin(shadowRecord, f[0])
		for _, days := range f[2:8] {
			n := int64(-1)
			if len(days) > 0 {
				if n = int64(0); len(days) > 9 {
					return fmt.Errorf("shadow: line %d has a number of %d digits", i+1, len(days))
				}
				n = int64(number(days))
			}
			w.long(uint64(n))
		}
		flag := uint64(math.MaxUint64)
		if len(f[8]) > 0 {
			flag = uint64(number(f[8]))
		}
		w.long(flag)
		w.half(uint16(len(f[1])))
		w.half(0)
		w.word(0)
		w.texts(f[0], f[1])
		w.end()
	}
	return nil
}

// splitLine fills f with the fields of a line, and fails if there are not as many
// or one has more bytes than its length can say; the last may have any.
func splitLine(line []byte, f [][]byte) error {
	for i := range len(f) - 1 {
		end := bytes.IndexByte(line, ':')
		if end < 0 || end > math.MaxUint16 {
			return errNoLine
		}
		f[i], line = line[:end], line[end+1:]
	}
	f[len(f)-1] = line
	return nil
}

var errNoLine = errors.New("it has too few fields, or one of more than 65535 bytes")
