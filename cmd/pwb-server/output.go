package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// output is where a command writes, and in which form.
type output struct {
	// w is standard output. note is standard error, for what is no result.
	w, note io.Writer
	json    bool
}

// object prints one JSON object as a line.
func (o output) object(v any) error {
	enc := json.NewEncoder(o.w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say prints lines of text; a write that fails is met again when all is flushed.
func (o output) say(format string, args ...any) { fmt.Fprintf(o.w, format+"\n", args...) }

// field is a line of the text about one thing.
type field struct{ name, value string }

// fields prints what is known of one thing, without what is empty.
func (o output) fields(all []field) error {
	w := tabwriter.NewWriter(o.w, 0, 8, 2, ' ', 0)
	for _, f := range all {
		if f.value != "" {
			fmt.Fprintf(w, "%s:\t%s\n", f.name, shown(f.value))
		}
	}
	return w.Flush()
}

// alignRows is how many rows of a list are aligned with each other, so that a
// long one is not held in memory.
const alignRows = 1000

// list prints what each yields: in text a table, or the words for none on
// standard error; with --json an object a line.
func list[T any](o output, none string, head []string, each func(yield func(T) error) error, cells func(T) []string) error {
	w := tabwriter.NewWriter(o.w, 0, 8, 2, ' ', 0)
	n := 0
	err := each(func(v T) error {
		if o.json {
			return o.object(v)
		}
		if n == 0 {
			fmt.Fprintln(w, strings.Join(head, "\t"))
		}
		row := cells(v)
		for i := range row {
			row[i] = shown(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
		if n++; n%alignRows == 0 {
			return w.Flush()
		}
		return nil
	})
	if flush := w.Flush(); err == nil {
		err = flush
	}
	if err == nil && n == 0 && !o.json {
		fmt.Fprintln(o.note, none)
	}
	return err
}

// shown is a text as a terminal may have it: what could steer the terminal is
// quoted, and what is empty is a dash.
func shown(s string) string {
	switch {
	case s == "":
		return "-"
	case !utf8.ValidString(s), strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return strconv.Quote(s)
	}
	return s
}

// timeLayout is how times are written in text, in UTC.
const timeLayout = "2006-01-02 15:04"

func timeText(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// parseTime reads a moment; without a zone it is UTC, and a date is its beginning.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, timeLayout, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %.40q is not a time: write it as 2026-01-31, \"2026-01-31 23:59\" (both UTC) or 2026-01-31T23:59:59Z", flag, text)
}

// plural is a count with its word.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
