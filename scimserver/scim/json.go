package scim

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays of a body may be nested.
const MaxDepth = 32

// DecodeObject reads exactly one JSON object from data (RFC 8259). Objects
// become map[string]any, arrays []any, whole numbers int64 where they fit, and
// other numbers float64.
//
// It is stricter than encoding/json where leniency would let two readers of one
// body see different things: a name standing twice in an object, invalid UTF-8,
// half a surrogate pair and anything after the object are refused, as are more
// than [MaxDepth] levels and numbers beyond float64. Names that differ only in
// case are told apart here; [ResourceType.Normalize] refuses them where they
// mean the same attribute. The error is an [*Error] 400 invalidSyntax.
//
// The caller bounds the length of data.
func DecodeObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, Errorf(badRequest, InvalidSyntax, "the body is not valid UTF-8")
	}
	d := decoder{data: data}
	d.space()
	if d.peek() != '{' {
		return nil, d.fail("the body must be a JSON object")
	}
	m, err := d.object()
	if err != nil {
		return nil, err
	}
	if d.space(); d.pos < len(d.data) {
		return nil, d.fail("there is more after the object")
	}
	return m, nil
}

// decoder reads JSON by recursive descent; pos is the next byte to read.
type decoder struct {
	data  []byte
	pos   int
	depth int
}

func (d *decoder) fail(why string) error {
	return Errorf(badRequest, InvalidSyntax, "malformed JSON at byte %d: %s", d.pos, why)
}

// peek returns the next byte, or 0 at the end.
func (d *decoder) peek() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

func (d *decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// value reads the value that starts at pos.
func (d *decoder) value() (any, error) {
	switch c := d.peek(); {
	case c == '{':
		return d.object()
	case c == '[':
		return d.array()
	case c == '"':
		return d.string()
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case d.word("true"):
		return true, nil
	case d.word("false"):
		return false, nil
	case d.word("null"):
		return nil, nil
	}
	return nil, d.fail("a value is missing")
}

func (d *decoder) word(w string) bool {
	if end := d.pos + len(w); end <= len(d.data) && string(d.data[d.pos:end]) == w {
		d.pos = end
		return true
	}
	return false
}

// open steps over the bracket that begins an object or array.
func (d *decoder) open() error {
	if d.depth++; d.depth > MaxDepth {
		return d.fail("nested too deeply")
	}
	d.pos++
	d.space()
	return nil
}

// more steps over what follows an element: a comma, and then there is more, or
// the closing bracket.
func (d *decoder) more(closing byte) (bool, error) {
	d.space()
	switch d.peek() {
	case ',':
		d.pos++
		d.space()
		return true, nil
	case closing:
		d.close()
		return false, nil
	}
	return false, d.fail("a comma or closing bracket is missing")
}

func (d *decoder) close() {
	d.pos++
	d.depth--
}

func (d *decoder) object() (map[string]any, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	m := make(map[string]any)
	if d.peek() == '}' {
		d.close()
		return m, nil
	}
	for {
		if d.peek() != '"' {
			return nil, d.fail("a name in quotes is missing")
		}
		name, err := d.string()
		if err != nil {
			return nil, err
		}
		if _, twice := m[name]; twice {
			return nil, d.fail("the name " + excerpt(name) + " stands twice in one object")
		}
		if d.space(); d.peek() != ':' {
			return nil, d.fail("a colon is missing")
		}
		d.pos++
		d.space()
		if m[name], err = d.value(); err != nil {
			return nil, err
		}
		if more, err := d.more('}'); !more {
			return m, err
		}
	}
}

func (d *decoder) array() ([]any, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	list := []any{}
	if d.peek() == ']' {
		d.close()
		return list, nil
	}
	for {
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if more, err := d.more(']'); !more {
			return list, err
		}
	}
}

func (d *decoder) number() (any, error) {
	start, whole := d.pos, true
	if d.peek() == '-' {
		d.pos++
	}
	first := d.peek()
	if n := d.digits(); n == 0 || n > 1 && first == '0' {
		return nil, d.fail("a number must not be empty or begin with 0")
	}
	if d.peek() == '.' {
		whole = false
		d.pos++
		if d.digits() == 0 {
			return nil, d.fail("digits are missing after the decimal point")
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		whole = false
		d.pos++
		if c := d.peek(); c == '+' || c == '-' {
			d.pos++
		}
		if d.digits() == 0 {
			return nil, d.fail("digits are missing in the exponent")
		}
	}
	text := string(d.data[start:d.pos])
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, d.fail("the number is too large")
	}
	return f + 0, nil // -0 becomes 0, as it does for whole numbers
}

// digits steps over decimal digits and returns how many there were.
func (d *decoder) digits() int {
	start := d.pos
	for c := d.peek(); '0' <= c && c <= '9'; c = d.peek() {
		d.pos++
	}
	return d.pos - start
}

// string reads the string whose opening quote is at pos.
func (d *decoder) string() (string, error) {
	d.pos++
	start := d.pos
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			s := string(d.data[start:d.pos])
			d.pos++
			return s, nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return "", d.fail("control characters in a string must be escaped")
		}
		d.pos++
	}
	return "", d.fail("a string is not closed")
}

// escaped reads on in a string that began at start, from its first backslash.
func (d *decoder) escaped(start int) (string, error) {
	buf := append([]byte(nil), d.data[start:d.pos]...)
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		switch {
		case c == '"':
			d.pos++
			return string(buf), nil
		case c < ' ':
			return "", d.fail("control characters in a string must be escaped")
		case c != '\\':
			buf = append(buf, c)
			d.pos++
			continue
		}
		d.pos++
		c = d.peek()
		d.pos++
		switch c {
		case '"', '\\', '/':
			buf = append(buf, c)
		case 'b':
			buf = append(buf, '\b')
		case 'f':
			buf = append(buf, '\f')
		case 'n':
			buf = append(buf, '\n')
		case 'r':
			buf = append(buf, '\r')
		case 't':
			buf = append(buf, '\t')
		case 'u':
			r, ok := d.rune()
			if !ok {
				return "", d.fail(`\u must be followed by four hexadecimal digits that make a character`)
			}
			buf = utf8.AppendRune(buf, r)
		default:
			return "", d.fail("a backslash is followed by something unknown")
		}
	}
	return "", d.fail("a string is not closed")
}

// rune reads what follows \u, and the second half of a surrogate pair.
func (d *decoder) rune() (rune, bool) {
	r, ok := d.hex4()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if !d.word(`\u`) {
		return 0, false
	}
	second, ok := d.hex4()
	r = utf16.DecodeRune(r, second)
	return r, ok && r != utf8.RuneError
}

func (d *decoder) hex4() (rune, bool) {
	if d.pos+4 > len(d.data) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(d.data[d.pos:d.pos+4]), 16, 16)
	if err != nil {
		return 0, false
	}
	d.pos += 4
	return rune(n), true
}

// excerpt quotes s for an error message, cut to a length fit for one.
func excerpt(s string) string {
	const limit = 64
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}
