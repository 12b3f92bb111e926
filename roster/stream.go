package roster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A stream carries a snapshot or a delta as lines of JSON: a header, the
// changes in ascending order of their keys, and a trailer that repeats the
// position and counts the changes, so that a cut stream is recognised.
//
//	{"pwb":1,"to":{"epoch":"…","seq":7,"sum":"…"}}
//	["a/…",{…}]
//	["m/…/…",null]
//	{"end":{"epoch":"…","seq":7,"sum":"…"},"rows":2}
//
// The header of a delta also has "from"; a snapshot has no row that is gone.
const streamVersion = 1

// Header opens a stream. From is nil for a snapshot.
type Header struct {
	Version int       `json:"pwb"`
	From    *Position `json:"from,omitempty"`
	To      Position  `json:"to"`
}

type trailer struct {
	End  *Position `json:"end"`
	Rows int64     `json:"rows"`
}

// Writer writes a stream. Its methods fail with what the underlying writer
// fails with, or when they are called with keys out of order.
type Writer struct {
	w    io.Writer
	to   Position
	last string
	rows int64
}

// NewWriter writes the header. From is nil for a snapshot.
func NewWriter(w io.Writer, from *Position, to Position) (*Writer, error) {
	b, err := json.Marshal(Header{Version: streamVersion, From: from, To: to})
	if err != nil {
		return nil, err
	}
	_, err = w.Write(append(b, '\n'))
	return &Writer{w: w, to: to}, err
}

// Write adds a change.
func (w *Writer) Write(c Change) error {
	if c.Key <= w.last {
		return fmt.Errorf("row %s does not come after row %s", c.Key, w.last)
	}
	w.last = c.Key
	w.rows++
	line := c.Line
	if line == nil {
		line = GoneLine(c.Key)
	}
	if len(line) >= MaxLine {
		return fmt.Errorf("row %s has %d bytes, %d at most", c.Key, len(line), MaxLine-1)
	}
	if _, err := w.w.Write(line); err != nil {
		return err
	}
	_, err := w.w.Write([]byte{'\n'})
	return err
}

// Close writes the trailer; it does not close the underlying writer.
func (w *Writer) Close() error {
	b, err := json.Marshal(trailer{End: &w.to, Rows: w.rows})
	if err != nil {
		return err
	}
	_, err = w.w.Write(append(b, '\n'))
	return err
}

// Reader reads a stream and refuses everything that is not one: no header,
// another version, keys that do not ascend, lines over MaxLine, a trailer that
// is absent or does not agree.
//
// It makes nothing for each line: keys are parts of a text of up to 64 KiB, so
// clone those that are kept for long.
type Reader struct {
	r      io.Reader
	buf    []byte // what was read and not yet taken is buf[at:]
	at     int
	text   string // buf[:len(text)] as text: whole lines
	err    error  // what r failed with, once buf is taken
	header Header
	last   string
	rows   int64
	done   bool
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	sr := &Reader{r: r, buf: make([]byte, 0, MaxLine)}
	line, _, err := sr.line()
	if err != nil {
		return nil, fmt.Errorf("header of the stream: %w", err)
	}
	if err := json.Unmarshal(line, &sr.header); err != nil {
		return nil, fmt.Errorf("header of the stream: %w", err)
	}
	h := sr.header
	if h.Version != streamVersion {
		return nil, fmt.Errorf("header of the stream: version %d is not known here (%d is)", h.Version, streamVersion)
	}
	if err := CheckID(h.To.Epoch); err != nil {
		return nil, fmt.Errorf("header of the stream: epoch: %w", err)
	}
	if h.To.Seq < 0 || h.From != nil && (h.From.Epoch != h.To.Epoch || h.From.Seq > h.To.Seq) {
		return nil, fmt.Errorf("header of the stream: from %v to %v is no way forward", h.From, h.To)
	}
	return sr, nil
}

// Header is the stream's first line.
func (r *Reader) Header() Header { return r.header }

// Next reads a change. It fails with io.EOF, alone, only after a trailer that
// agrees with what was read; a cut stream is io.ErrUnexpectedEOF.
func (r *Reader) Next() (Change, error) {
	if r.done {
		return Change{}, io.EOF
	}
	line, text, err := r.line()
	if err != nil {
		return Change{}, fmt.Errorf("stream after row %q: %w", r.last, err)
	}
	if len(line) > 0 && line[0] == '{' {
		return Change{}, r.end(line)
	}
	c, err := parseChange(text, line)
	if err != nil {
		return Change{}, fmt.Errorf("stream after row %q: %w", r.last, err)
	}
	if c.Key <= r.last {
		return Change{}, fmt.Errorf("stream: row %s does not come after row %s", c.Key, r.last)
	}
	if c.Line == nil && r.header.From == nil {
		return Change{}, fmt.Errorf("stream: row %s is gone, which a snapshot cannot say", c.Key)
	}
	r.last = c.Key
	r.rows++
	return c, nil
}

func (r *Reader) end(line []byte) error {
	var t trailer
	if err := json.Unmarshal(line, &t); err != nil {
		return fmt.Errorf("trailer of the stream: %w", err)
	}
	switch {
	case t.End == nil:
		return errors.New("trailer of the stream has no position")
	case *t.End != r.header.To:
		return fmt.Errorf("trailer of the stream says position %v, its header %v", *t.End, r.header.To)
	case t.Rows != r.rows:
		return fmt.Errorf("trailer of the stream counts %d rows, %d came", t.Rows, r.rows)
	}
	for r.at == len(r.buf) && r.err == nil {
		r.read()
	}
	if r.at < len(r.buf) {
		return fmt.Errorf("byte %q after the stream's trailer", r.buf[r.at])
	}
	if r.err != io.EOF {
		return fmt.Errorf("after the stream's trailer: %w", r.err)
	}
	r.done = true
	return io.EOF
}

// line takes the next line, without its newline, as bytes that hold until the
// next and as text.
func (r *Reader) line() ([]byte, string, error) {
	for r.at == len(r.text) {
		end := bytes.LastIndexByte(r.buf[r.at:], '\n')
		switch {
		case end >= 0:
			r.buf, r.at = r.buf[:copy(r.buf, r.buf[r.at:])], 0
			r.text = string(r.buf[:end+1])
		case len(r.buf)-r.at >= MaxLine:
			return nil, "", fmt.Errorf("a line has more than %d bytes", MaxLine)
		case r.err == io.EOF:
			return nil, "", io.ErrUnexpectedEOF
		case r.err != nil:
			return nil, "", r.err
		default:
			r.read()
		}
	}
	text := r.text[r.at:]
	text = text[:strings.IndexByte(text, '\n')]
	line := r.buf[r.at : r.at+len(text)]
	r.at += len(text) + 1
	return line, text, nil
}

// read reads what there is into the buffer, in which every whole line is taken.
func (r *Reader) read() {
	r.buf, r.at, r.text = r.buf[:copy(r.buf, r.buf[r.at:])], 0, ""
	for range 100 {
		n, err := r.r.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf, r.err = r.buf[:len(r.buf)+n], err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}
