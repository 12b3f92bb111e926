package scim

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a filter, also of one in a PATCH path.
const (
	MaxFilterLength = 8192 // bytes
	MaxFilterDepth  = 32   // parentheses and brackets around a term
)

// ParseFilter reads a filter (RFC 7644 §3.4.2.2, figure 1): comparisons, pr,
// and, or, not (…), parentheses and value paths, with operators in any case. It
// also reads what identity providers make of it:
//
//   - values without quotes, up to the next space, parenthesis or bracket:
//     userName Eq bob@example.com. They are strings unless they read true,
//     false, null, or are a number as Go or JSON would write it;
//   - a value path followed by a sub-attribute: emails[type eq "work"].value eq
//     "x" is emails[type eq "work" and value eq "x"].
//
// Names are not looked up: see [ResourceType.CheckFilter] and
// [ResourceType.Match]. The error is an [*Error] 400 invalidFilter: bad syntax,
// invalid UTF-8, ordering of true, false or null, more than [MaxFilterLength]
// bytes or [MaxFilterDepth] levels.
func ParseFilter(s string) (Filter, error) {
	return parseFilter(s, MaxFilterLength, MaxFilterDepth)
}

func parseFilter(s string, maxLength, maxDepth int) (Filter, error) {
	p := filterParser{text: s, maxDepth: maxDepth}
	if len(s) > maxLength {
		return nil, Errorf(badRequest, InvalidFilter, "the filter is longer than %d bytes", maxLength)
	}
	if !utf8.ValidString(s) {
		return nil, p.fail("it is not valid UTF-8")
	}
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(s) {
		return nil, p.fail("and, or, or the end was expected")
	}
	return f, nil
}

// filterParser is a recursive-descent parser; pos is the next byte to read.
type filterParser struct {
	text      string
	pos       int
	depth     int
	maxDepth  int
	inBracket bool    // value paths are not nested
	json      decoder // over text, for what stands in quotes
}

func (p *filterParser) fail(why string) error {
	return Errorf(badRequest, InvalidFilter, "malformed filter at byte %d: %s", p.pos, why)
}

func (p *filterParser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *filterParser) space() {
	for p.peek() == ' ' || p.peek() == '\t' {
		p.pos++
	}
}

// path reads a run of the bytes that attribute paths and operators consist of.
func (p *filterParser) path() string {
	start := p.pos
	for isPathByte(p.peek()) {
		p.pos++
	}
	return p.text[start:p.pos]
}

// keyword steps over the word if it stands next, in any case.
func (p *filterParser) keyword(word string) bool {
	start := p.pos
	p.space()
	if lower(p.path()) == word {
		return true
	}
	p.pos = start
	return false
}

func (p *filterParser) enter() error {
	if p.depth++; p.depth > p.maxDepth {
		return p.fail("nested too deeply")
	}
	return nil
}

func (p *filterParser) or() (Filter, error) {
	f, err := p.and()
	if err != nil {
		return nil, err
	}
	var list Or
	for p.keyword("or") {
		g, err := p.and()
		if err != nil {
			return nil, err
		}
		if list == nil {
			list = appendOr(nil, f)
		}
		list = appendOr(list, g)
	}
	if list != nil {
		return list, nil
	}
	return f, nil
}

func (p *filterParser) and() (Filter, error) {
	f, err := p.term()
	if err != nil {
		return nil, err
	}
	for p.keyword("and") {
		g, err := p.term()
		if err != nil {
			return nil, err
		}
		f = conjoin(f, g)
	}
	return f, nil
}

// appendOr appends f to list, or its parts if it is an Or.
func appendOr(list Or, f Filter) Or {
	if parts, ok := f.(Or); ok {
		return append(list, parts...)
	}
	return append(list, f)
}

// conjoin makes one And of two filters, with no And inside.
func conjoin(f, g Filter) Filter {
	list, ok := f.(And)
	if !ok {
		list = And{f}
	}
	if parts, ok := g.(And); ok {
		return append(list, parts...)
	}
	return append(list, g)
}

// term reads a comparison, a value path, or something in parentheses.
func (p *filterParser) term() (Filter, error) {
	p.space()
	if p.peek() == '(' {
		return p.group()
	}
	word := p.path()
	if word == "" {
		return nil, p.fail("an attribute was expected")
	}
	if lower(word) == "not" {
		if p.space(); p.peek() == '(' {
			f, err := p.group()
			if err != nil {
				return nil, err
			}
			return Not{f}, nil
		}
	}
	attr, ok := parseAttrPath(word)
	if !ok {
		return nil, p.fail(excerpt(word) + " is not the name of an attribute")
	}
	if p.peek() == '[' {
		return p.valuePath(attr)
	}
	return p.comparison(attr)
}

// group reads a filter in parentheses.
func (p *filterParser) group() (Filter, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.pos++
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.peek() != ')' {
		return nil, p.fail("a closing parenthesis is missing")
	}
	p.pos++
	p.depth--
	return f, nil
}

// bracket reads a filter in brackets.
func (p *filterParser) bracket() (Filter, error) {
	if p.inBracket {
		return nil, p.fail("brackets cannot be nested")
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.inBracket = true
	p.pos++
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.peek() != ']' {
		return nil, p.fail("a closing bracket is missing")
	}
	p.pos++
	p.depth--
	p.inBracket = false
	return f, nil
}

func (p *filterParser) valuePath(attr AttrPath) (Filter, error) {
	f, err := p.bracket()
	if err != nil {
		return nil, err
	}
	if p.peek() != '.' {
		return ValuePath{attr, f}, nil
	}
	sub, err := p.dotted()
	if err != nil {
		return nil, err
	}
	g, err := p.comparison(AttrPath{Name: sub})
	if err != nil {
		return nil, err
	}
	return ValuePath{attr, conjoin(f, g)}, nil
}

// dotted reads the sub-attribute after a bracket.
func (p *filterParser) dotted() (string, error) {
	p.pos++
	sub := p.path()
	if !isAttrName(sub) {
		return "", p.fail("the name of a sub-attribute was expected")
	}
	return sub, nil
}

// comparison reads the operator and the value that follow an attribute.
func (p *filterParser) comparison(attr AttrPath) (Filter, error) {
	p.space()
	op := CompareOp(lower(p.path()))
	if op == "pr" {
		return Present{attr}, nil
	}
	if !op.known() {
		return nil, p.fail("a comparison operator was expected after " + excerpt(attr.String()))
	}
	p.space()
	v, err := p.literal()
	if err != nil {
		return nil, err
	}
	if _, isBool := v.(bool); op.orders() && (isBool || v == nil) {
		return nil, p.fail(string(op) + " cannot order " + literalText(v))
	}
	return Compare{attr, op, v}, nil
}

// literal reads a comparison value, in quotes or bare.
func (p *filterParser) literal() (any, error) {
	if p.peek() == '"' {
		return p.quoted()
	}
	start := p.pos
	for p.pos < len(p.text) && strings.IndexByte(" \t()[]\"", p.text[p.pos]) < 0 {
		if p.text[p.pos] < ' ' {
			return nil, p.fail("control characters must be escaped")
		}
		p.pos++
	}
	word := p.text[start:p.pos]
	switch {
	case word == "":
		return nil, p.fail("a value was expected")
	case word[0] == '\'':
		return nil, p.fail("strings stand in double quotes")
	case word == "true":
		return true, nil
	case word == "false":
		return false, nil
	case word == "null":
		return nil, nil
	}
	return bareValue(word), nil
}

// bareValue takes a word for a number if writing the number gives the word
// again, so that no user is looked up by another name than was sent.
func bareValue(word string) any {
	if last := word[len(word)-1]; !isDigit(last) {
		return word
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil && strconv.FormatInt(n, 10) == word {
		return n
	}
	if f, err := strconv.ParseFloat(word, 64); err == nil && formatFloat(f) == word {
		return f
	}
	return word
}

// quoted reads a JSON string.
func (p *filterParser) quoted() (any, error) {
	if p.json.data == nil {
		p.json.data = []byte(p.text)
	}
	p.json.pos = p.pos
	s, err := p.json.string()
	p.pos = p.json.pos
	if err != nil {
		return nil, p.fail("the string is not closed or not valid JSON")
	}
	return s, nil
}
