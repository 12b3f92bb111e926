package main

import (
	"fmt"
	"io"
	"strings"
)

// progressFrom is the number of entries from which a bar is worth its line.
const progressFrom = 1000

// progress returns what draws a bar on a terminal, and what takes it away again;
// on anything else, and for few entries, both do nothing.
func progress(w io.Writer, total int) (draw func(n int), end func()) {
	if total <= progressFrom || !isTerminal(w) {
		return func(int) {}, func() {}
	}
	return bar(w, total)
}

func bar(w io.Writer, total int) (draw func(n int), end func()) {
	const width = 40
	draw = func(n int) {
		full := width * n / total
		fmt.Fprintf(w, "\r[%s%s] %d of %d", strings.Repeat("#", full), strings.Repeat(".", width-full), n, total)
	}
	return draw, func() { fmt.Fprint(w, "\r\x1b[K") }
}
