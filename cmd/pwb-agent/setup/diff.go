package setup

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// hunk is a run of lines that differ: a[a0:a1] became b[b0:b1].
type hunk struct{ a0, a1, b0, b1 int }

// hunks compares two lists of lines by their longest common subsequence, ascending.
// It takes time and memory in the product of their lengths, once equal beginnings and
// ends are left out: it is for configuration files.
func hunks(a, b []string) (all []hunk) {
	begin := 0
	for begin < len(a) && begin < len(b) && a[begin] == b[begin] {
		begin++
	}
	endA, endB := len(a), len(b)
	for endA > begin && endB > begin && a[endA-1] == b[endB-1] {
		endA, endB = endA-1, endB-1
	}
	a, b = a[begin:endA], b[begin:endB]
	longest := make([][]int, len(a)+1)
	for i := range longest {
		longest[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		if i < len(a) && j < len(b) && a[i] == b[j] {
			i, j = i+1, j+1
			continue
		}
		h := hunk{a0: i, b0: j}
		for i < len(a) || j < len(b) {
			switch {
			case i < len(a) && j < len(b) && a[i] == b[j]:
			case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
				i++
				continue
			default:
				j++
				continue
			}
			break
		}
		all = append(all, hunk{h.a0 + begin, i + begin, h.b0 + begin, j + begin})
	}
	return all
}

func linesOf(text string) []string { return slices.Collect(strings.Lines(text)) }

// merge applies to theirs the change from base to ours. It reports false, and nothing
// else, where both changed the same or adjacent lines in different ways.
func merge(base, ours, theirs string) (string, bool) {
	b, o, t := linesOf(base), linesOf(ours), linesOf(theirs)
	mine, others := hunks(b, o), hunks(b, t)
	var out []string
	at, k, shift := 0, 0, 0 // in theirs; the next of others; theirs minus base
	for _, m := range mine {
		for k < len(others) && others[k].a1 < m.a0 {
			shift += (others[k].b1 - others[k].b0) - (others[k].a1 - others[k].a0)
			k++
		}
		if k < len(others) && others[k].a0 <= m.a1 {
			n := others[k]
			if n.a0 != m.a0 || n.a1 != m.a1 || !slices.Equal(t[n.b0:n.b1], o[m.b0:m.b1]) {
				return "", false
			}
			continue // they made the same change
		}
		out = append(append(out, t[at:m.a0+shift]...), o[m.b0:m.b1]...)
		at = m.a1 + shift
	}
	return strings.Join(append(out, t[at:]...), ""), true
}

const diffContext = 3

// writeDiff writes a unified diff of two texts, as diff -u does without times.
func writeDiff(w io.Writer, from, to, a, b string) error {
	la, lb := linesOf(a), linesOf(b)
	all := hunks(la, lb)
	if len(all) == 0 {
		return nil
	}
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, to)
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].a0-all[n-1].a1 <= 2*diffContext {
			n++
		}
		writeHunks(&out, la, lb, all[:n])
		all = all[n:]
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func writeHunks(out *strings.Builder, a, b []string, near []hunk) {
	first, last := near[0], near[len(near)-1]
	a0, a1 := max(0, first.a0-diffContext), min(len(a), last.a1+diffContext)
	b0, b1 := first.b0-(first.a0-a0), last.b1+(a1-last.a1)
	fmt.Fprintf(out, "@@ -%s +%s @@\n", span(a0, a1), span(b0, b1))
	at := a0
	for _, h := range near {
		writeLines(out, " ", a[at:h.a0])
		writeLines(out, "-", a[h.a0:h.a1])
		writeLines(out, "+", b[h.b0:h.b1])
		at = h.a1
	}
	writeLines(out, " ", a[at:a1])
}

// span is how unified diffs count lines: from 1, and before the line where there is
// none.
func span(from, to int) string {
	switch to - from {
	case 0:
		return fmt.Sprintf("%d,0", from)
	case 1:
		return fmt.Sprint(from + 1)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

func writeLines(out *strings.Builder, sign string, lines []string) {
	for _, l := range lines {
		out.WriteString(sign + l)
		if !strings.HasSuffix(l, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
