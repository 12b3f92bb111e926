package scim

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what one attribute may hold.
const (
	MaxString = 8192  // bytes of a string
	MaxLine   = 1024  // bytes of a name; keys may be MaxString long
	MaxBinary = 65536 // bytes of base64
	MaxValues = 256   // elements of a multi-valued attribute other than members
)

// normalize returns v as a Resource holds it, or nil when v leaves the
// attribute unassigned: null, [], {} or nothing but unknown and readOnly parts.
func (a *Attribute) normalize(v any) (any, error) {
	if !a.MultiValued {
		return a.normalizeOne(v)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	return a.normalizeList(list)
}

func (a *Attribute) normalizeList(list []any) (any, error) {
	if len(list) > MaxValues {
		return nil, a.tooMany()
	}
	out := make([]any, 0, len(list))
	for _, v := range list {
		n, err := a.normalizeOne(v)
		if err != nil {
			return nil, err
		}
		if n != nil {
			out = append(out, n)
		}
	}
	return a.tidy(out, nil)
}

func (a *Attribute) tooMany() error {
	return badValue("%s must not have more than %d values", a.Name, MaxValues)
}

// normalizeOne normalizes a single value or one element of several.
func (a *Attribute) normalizeOne(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if a.Type != Complex {
		if inner, ok := wrapped(v); ok && !a.MultiValued {
			if v = inner; v == nil {
				return nil, nil
			}
		}
		return a.scalar(v)
	}
	parts, err := a.parts(v)
	if err != nil {
		return nil, err
	}
	m, err := a.fill(make(map[string]any, len(parts)), parts)
	if err != nil || !a.assigned(m) {
		return nil, err
	}
	return m, nil
}

// wrapped returns what stands in [{"$ref": null, "value": …}], in which older
// jobs of Entra pack single values, also the one that locks a leaver.
func wrapped(v any) (any, bool) {
	list, _ := v.([]any)
	if len(list) != 1 {
		return nil, false
	}
	m, _ := list[0].(map[string]any)
	for name := range m {
		switch name {
		case "value", "$ref":
		default:
			return nil, false
		}
	}
	inner, ok := m["value"]
	return inner, ok
}

// parts returns the sub-attributes in a complex value. A list of one object
// stands for the object and a bare string for {"value": string}, which is how
// managers and roles arrive from Entra.
func (a *Attribute) parts(v any) (map[string]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	case string:
		if a.subs["value"] != nil {
			return map[string]any{"value": v}, nil
		}
	case []any:
		switch {
		case a.MultiValued: // an element is not a list
		case len(v) == 0:
			return nil, nil
		case len(v) == 1:
			if _, nested := v[0].([]any); !nested {
				return a.parts(v[0])
			}
		}
	}
	return nil, badValue("%s must be an object, not %s", a.Name, kindOf(v))
}

// fill stores the normalized parts in dst, a map of the caller's own: parts
// that are null clear what dst has, unknown and readOnly ones are passed over.
func (a *Attribute) fill(dst, parts map[string]any) (map[string]any, error) {
	for name, v := range parts {
		sub := a.subs.find(name)
		if sub == nil || !sub.writable() {
			continue
		}
		if name != sub.Name && a.subs.twice(parts, name, sub) {
			return nil, badValue("%s.%s is given twice", a.Name, sub.Name)
		}
		n, err := sub.normalize(v)
		if err != nil {
			return nil, within(a.Name+".", err)
		}
		if n == nil {
			delete(dst, sub.Name)
		} else {
			dst[sub.Name] = n
		}
	}
	return dst, nil
}

// twice reports whether m holds a under another name than this one as well,
// as {"value": …, "Value": …} would.
func (x attributeIndex) twice(m map[string]any, name string, a *Attribute) bool {
	for other := range m {
		if other != name && x.find(other) == a {
			return true
		}
	}
	return false
}

// assigned reports whether the complex value m says anything. A single one
// whose value is "" does not: that is how Entra clears a manager.
func (a *Attribute) assigned(m map[string]any) bool {
	return len(m) > 0 && (a.MultiValued || m["value"] != "")
}

// scalar checks a value of a simple type and converts what stands for it:
// "True" for a boolean, "1001" or 1001.0 for an integer.
func (a *Attribute) scalar(v any) (any, error) {
	switch a.Type {
	case Boolean:
		if b, ok := toBool(v); ok {
			return b, nil
		}
	case Integer:
		if n, ok := toInt(v); ok {
			return n, nil
		}
	case Decimal:
		if f, ok := toFloat(v); ok {
			return f, nil
		}
	default:
		if s, ok := v.(string); ok {
			return v, a.checkText(s) // v, so that s is not boxed anew
		}
	}
	return nil, badValue("%s must be %s, not %s", a.Name, article(a.Type), kindOf(v))
}

func (a *Attribute) checkText(s string) error {
	limit := MaxString
	switch {
	case a.Type == Binary:
		limit = MaxBinary
	case a.line && !a.MultiValued:
		limit = MaxLine
	}
	switch {
	case len(s) > limit:
		return badValue("%s must not be longer than %d bytes", a.Name, limit)
	case !utf8.ValidString(s):
		return badValue("%s must be valid UTF-8", a.Name)
	case strings.IndexByte(s, 0) >= 0:
		return badValue("%s must not contain a NUL character", a.Name)
	case a.line && strings.ContainsFunc(s, unicode.IsControl):
		return badValue("%s must not contain control characters", a.Name)
	case a.Type == Binary && !isBase64(s):
		return badValue("%s must be base64", a.Name)
	}
	if a.Type == DateTime {
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			return badValue("%s must be a date and time such as 2026-01-31T23:59:59Z", a.Name)
		}
	}
	return nil
}

// isBase64 reports whether s is base64 in either alphabet (RFC 4648 §4, §5),
// with or without padding; line breaks are passed over.
func isBase64(s string) bool {
	n, pad := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\r' || c == '\n':
		case c == '=':
			pad++
		case pad > 0:
			return false
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/', c == '-', c == '_':
			n++
		default:
			return false
		}
	}
	return n%4 != 1 && (pad == 0 || pad <= 2 && (n+pad)%4 == 0)
}

// toBool converts booleans, also those Entra and OneLogin put in quotes.
func toBool(v any) (b, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		switch lower(v) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	return false, false
}

func toInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case float64:
		const exact = 1 << 53 // beyond it not every whole number has a float64
		return int64(v), v == math.Trunc(v) && math.Abs(v) <= exact
	case json.Number:
		return toInt(string(v))
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case json.Number:
		return toFloat(string(v))
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

// kindOf names the JSON type of v for error messages.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	}
	return "a number"
}

func article(t Type) string {
	switch t {
	case Integer:
		return "a whole number"
	case Decimal:
		return "a number"
	case Boolean:
		return "a boolean"
	}
	return "a string"
}
