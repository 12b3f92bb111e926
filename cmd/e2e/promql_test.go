package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// evaluation works out the part of PromQL that the rules use which tests have
// fire: numbers, time(), selectors with = != and =~, increase(), max(), absent(),
// - and /, comparisons that filter, and or. Whole expressions are promtool's to check.
type evaluation struct {
	rest          string
	now           time.Time
	before, after scrape
}

// evaluate returns the samples for which an alert fires.
func evaluate(expr string, now time.Time, before, after scrape) (v []sample, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", expr, p)
		}
	}()
	e := &evaluation{expr, now, before, after}
	v = e.or()
	if e.rest != "" {
		return nil, fmt.Errorf("%s: what is %q?", expr, e.rest)
	}
	return v, nil
}

var tokens = regexp.MustCompile(`^\s*([a-zA-Z_:][\w:]*|[\d.]+|==|!=|=~|<=|>=|[-+/<>=(){},]|"[^"]*"|\[\w+\])\s*`)

func (e *evaluation) peek() string {
	m := tokens.FindStringSubmatch(e.rest)
	if m == nil {
		return ""
	}
	return m[1]
}

func (e *evaluation) next() string {
	m := tokens.FindStringSubmatch(e.rest)
	if m == nil {
		panic("it ends early")
	}
	e.rest = e.rest[len(m[0]):]
	return m[1]
}

func (e *evaluation) takes(token string) bool {
	if e.peek() != token {
		return false
	}
	e.next()
	return true
}

func (e *evaluation) or() []sample {
	v := e.comparison()
	for e.takes("or") {
		v = append(v, e.comparison()...)
	}
	return v
}

func (e *evaluation) comparison() []sample {
	v := e.difference()
	holds := map[string]func(a, b float64) bool{
		"<": func(a, b float64) bool { return a < b }, ">": func(a, b float64) bool { return a > b }, "==": func(a, b float64) bool { return a == b },
	}[e.peek()]
	if holds == nil {
		return v
	}
	e.next()
	limit := e.difference()[0].value
	var kept []sample
	for _, s := range v {
		if holds(s.value, limit) {
			kept = append(kept, s)
		}
	}
	return kept
}

func (e *evaluation) difference() []sample {
	v := e.quotient()
	for e.takes("-") {
		v = match(v, e.quotient(), func(a, b float64) float64 { return a - b })
	}
	return v
}

func (e *evaluation) quotient() []sample {
	v := e.operand()
	for e.takes("/") {
		v = match(v, e.operand(), func(a, b float64) float64 { return a / b })
	}
	return v
}

// match applies an operator to samples with the same labels; one that is a number
// goes with all.
func match(a, b []sample, op func(a, b float64) float64) (v []sample) {
	for _, x := range a {
		for _, y := range b {
			switch {
			case x.name == "" && x.labels == nil:
				v = append(v, sample{labels: y.labels, value: op(x.value, y.value)})
			case y.name == "" && y.labels == nil, maps.Equal(x.labels, y.labels):
				v = append(v, sample{labels: x.labels, value: op(x.value, y.value)})
			}
		}
	}
	return v
}

func (e *evaluation) operand() []sample {
	word := e.next()
	if n, err := strconv.ParseFloat(word, 64); err == nil {
		return []sample{{value: n}}
	}
	call := func() []sample {
		e.next()
		v := e.or()
		if !e.takes(")") {
			panic("a parenthesis is open")
		}
		return v
	}
	switch {
	case word == "time":
		e.next()
		e.next()
		return []sample{{value: float64(e.now.UnixMilli()) / 1000}}
	case word == "max":
		var most []sample
		for _, s := range call() {
			if len(most) == 0 || s.value > most[0].value {
				most = []sample{{labels: map[string]string{}, value: s.value}}
			}
		}
		return most
	case word == "absent":
		if len(call()) > 0 {
			return nil
		}
		return []sample{{labels: map[string]string{}, value: 1}}
	case word == "increase":
		e.next()
		v := e.selected()
		if !strings.HasPrefix(e.next(), "[") || !e.takes(")") {
			panic("increase needs a range")
		}
		return v
	case e.peek() == "(":
		panic("the function " + word + " is not known here")
	}
	e.rest = word + e.rest
	return e.selected()
}

// selected reads a selector; with a range after it, how much its counters grew.
func (e *evaluation) selected() (v []sample) {
	name := e.next()
	var matchers []func(labels map[string]string) bool
	if e.takes("{") {
		for !e.takes("}") {
			label, op := e.next(), e.next()
			value := strings.Trim(e.next(), `"`)
			pattern := regexp.MustCompile("^(?:" + value + ")$")
			matchers = append(matchers, func(labels map[string]string) bool {
				switch op {
				case "=":
					return labels[label] == value
				case "!=":
					return labels[label] != value
				case "=~":
					return pattern.MatchString(labels[label])
				}
				panic("the operator " + op + " is not known here")
			})
			e.takes(",")
		}
	}
	fits := func(s sample) bool {
		for _, m := range matchers {
			if !m(s.labels) {
				return false
			}
		}
		return true
	}
	for _, s := range e.after[name] {
		if !fits(s) {
			continue
		}
		if strings.HasPrefix(e.rest, "[") {
			for _, was := range e.before[name] {
				if maps.Equal(was.labels, s.labels) {
					s.value -= was.value
				}
			}
		}
		v = append(v, s)
	}
	return v
}
