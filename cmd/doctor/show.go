package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Exit statuses of the doctors; 1 is that they could not run.
const (
	exitWarnings = 2
	exitFailures = 3
)

// Verdict is the error of a doctor that found something.
type Verdict struct{ Warnings, Failures int }

// Error counts what was found.
func (v *Verdict) Error() string {
	count := func(n int, one string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %ss", n, one)
	}
	switch {
	case v.Failures == 0:
		return count(v.Warnings, "warning")
	case v.Warnings == 0:
		return count(v.Failures, "failure")
	}
	return count(v.Failures, "failure") + " and " + count(v.Warnings, "warning")
}

// Status is the exit status.
func (v *Verdict) Status() int {
	if v.Failures > 0 {
		return exitFailures
	}
	return exitWarnings
}

// Judge is nil when all is well, or else a *Verdict.
func Judge(all []Finding) error {
	var v Verdict
	for _, f := range all {
		switch f.State {
		case Warning:
			v.Warnings++
		case Failure:
			v.Failures++
		}
	}
	if v == (Verdict{}) {
		return nil
	}
	return &v
}

// Show writes one line for each check, and below what is wrong why that matters and
// what mends it.
func Show(w io.Writer, all []Finding) error {
	var b strings.Builder
	for _, f := range all {
		line := fmt.Sprintf("%-8s %s", f.State, f.Check)
		if f.What != "" {
			line += ": " + Line(f.What)
		}
		b.WriteString(line + "\n")
		for _, more := range []struct{ name, text string }{{"why", f.Why}, {"mend", f.Mend}, {"advice", f.Advice}} {
			if more.text != "" {
				fmt.Fprintf(&b, "%9s%s: %s\n", "", more.name, Line(more.text))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ShowJSON writes an object a line for each finding.
func ShowJSON(w io.Writer, all []Finding) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, f := range all {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

// Line is a text without what could move the cursor: much of it was read from files and
// servers.
func Line(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// Word is a text as one word for sh(1).
func Word(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+%", r))
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// Words is a command of these words for sh(1).
func Words(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Word(w)
	}
	return strings.Join(quoted, " ")
}
