package difftest

import (
	"fmt"
	"strings"
	"testing"

	"pwb/scimserver/scim"
)

const person = `{"userName": "Ada", "id": "i1", "meta": {"created": "2026-05-01T10:00:00.000Z"},
	"emails": [{"value": "a@x", "type": "work"}, {"value": "b@x", "type": "home"}]}`

var knownFilters = []known{
	{name: "case of strings", filter: `userName eq "ada"`, ours: "true", user: person,
		reason: "strings compare by caseExact, and userName is not (RFC 7643 §2.3.1, §8.7.1); they compare exactly"},
	{name: "ne of an absent attribute", filter: `title ne "x"`, ours: "true", user: person,
		reason: "what is absent is not identical to the value (RFC 7644 table 3); they want a value that differs. Dialect: ne is not eq"},
	{name: "ne of several values", filter: `emails.type ne "work"`, ours: "false", user: person,
		reason: "dialect: ne is the contrary of eq, which one element meets; they want one element that differs"},
	{name: "a complex attribute itself", filter: `emails co "a@x"`, ours: "true", user: person,
		reason: "a complex attribute is compared by its value (RFC 7643 §2.4 and the filter emails co in RFC 7644 §3.4.2.2); they compare the object"},
	{name: "a value path", filter: `emails[type eq "work" and value eq "b@x"]`, ours: "false", user: person,
		reason: "one element must match the whole filter in brackets (RFC 7644 §3.4.2.2, complex attribute filter grouping); with them each part may find its own"},
	{name: "null", filter: `title eq null`, ours: "true", user: person,
		reason: "null and absence are one (RFC 7643 §2.5); they find null only where it stands in the resource"},
	{name: "moments in other zones", filter: `meta.created eq "2026-05-01T12:00:00+02:00"`, ours: "true", user: person,
		reason: "dateTimes compare as moments (RFC 7644 table 3: chronological); they compare text"},
	{name: "core URN", filter: scim.UserURN + `:userName sw "Ada"`, ours: "true", user: person,
		reason: "every attribute may be written with its schema's URN (RFC 7644 §3.10); they look for an object under the URN"},
	{name: "escapes", filter: `userName eq "\u0041da"`, ours: "true", user: person,
		reason: "a value is a JSON string (RFC 7644 §3.4.2.2); they take a backslash before anything but a quote literally"},
	{name: "order of booleans", filter: `active gt false`, ours: "refused", user: `{"userName": "a", "active": true}`,
		reason: "booleans have no order and are 400 invalidFilter (RFC 7644 table 3); they compare"},
	{name: "a boolean in quotes", filter: `active eq "True"`, ours: "true", user: `{"userName": "a", "active": true}`,
		reason: "dialect: Entra writes booleans so"},
	{name: "no quotes", filter: `userName eq Ada`, ours: "true", user: person,
		reason: "dialect: WSO2 and authentik leave the quotes out"},
	{name: "enterprise attribute without URN", filter: `department eq "d"`, ours: "true",
		user:   `{"userName": "a", "` + scim.EnterpriseURN + `": {"department": "d"}}`,
		reason: "dialect: Entra asks for manager so"},
}

// term is a filter as this side is given it and, with what is known to differ
// written in another way, as the other side is.
type term struct{ ours, theirs string }

// attr is an attribute to filter by.
type attr struct {
	name  string
	kind  kind
	exact bool
	bare  bool // complex: filtered by its value without naming it
}

type kind int

const (
	str kind = iota
	boolean
	moment
)

var userAttrs = []attr{
	{name: "userName"}, {name: "displayName"}, {name: "nickName"}, {name: "title"}, {name: "externalId", exact: true}, {name: "id", exact: true},
	{name: "name.givenName"}, {name: "name.familyName"}, {name: "active", kind: boolean}, {name: "meta.created", kind: moment},
	{name: "emails.value"}, {name: "emails.type"}, {name: "emails.display"}, {name: "emails.primary", kind: boolean}, {name: "emails", bare: true},
	{name: "phoneNumbers.value"}, {name: "phoneNumbers", bare: true}, {name: "addresses.locality"}, {name: "addresses.type"},
	{name: scim.EnterpriseURN + ":department"}, {name: scim.EnterpriseURN + ":manager.value", exact: true},
}

var elementAttrs = map[string][]attr{
	"emails":       {{name: "type"}, {name: "value"}, {name: "display"}, {name: "primary", kind: boolean}},
	"phoneNumbers": {{name: "type"}, {name: "value"}, {name: "primary", kind: boolean}},
	"addresses":    {{name: "type"}, {name: "locality"}, {name: "country"}, {name: "primary", kind: boolean}},
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func (s source) filter(attrs []attr, depth int) term {
	if depth > 0 && s.chance(60) {
		switch s.IntN(4) {
		case 0:
			f := s.filter(attrs, depth-1)
			op := s.mix("not") + " "
			return term{op + "(" + f.ours + ")", op + "(" + f.theirs + ")"}
		case 1:
			if attrs[0].name == "userName" {
				name := pick(s, lists...)
				f := s.filter(elementAttrs[name], depth-1)
				name = s.mix(name)
				// They are asked about each element apart: see the value path among
				// the known differences.
				var each []string
				for i := range maxElements {
					each = append(each, fmt.Sprintf("%s%d[%s]", name, i, f.theirs))
				}
				return term{name + "[" + f.ours + "]", "(" + strings.Join(each, " or ") + ")"}
			}
			f := s.filter(attrs, depth-1)
			return term{"(" + f.ours + ")", "(" + f.theirs + ")"}
		default:
			// Without parentheses, so that precedence is compared too.
			op := " " + s.mix(pick(s, "and", "or")) + " "
			f, g := s.filter(attrs, depth-1), s.filter(attrs, depth-1)
			return term{f.ours + op + g.ours, f.theirs + op + g.theirs}
		}
	}
	return s.comparison(pick(s, attrs...))
}

func (s source) comparison(a attr) term {
	name := s.mix(a.name)
	theirName := name
	if a.bare {
		theirName += ".value"
	}
	if !strings.Contains(a.name, ":") && s.chance(10) && a.name != "type" && a.name != "value" && a.name != "primary" && a.name != "display" && a.name != "locality" && a.name != "country" && a.name != "id" && a.kind != moment {
		name = scim.UserURN + ":" + name
	}
	if s.chance(15) {
		op := " " + s.mix("pr")
		return term{name + op, theirName + op}
	}
	op, ours, theirs := pick(s, "eq", "eq", "ne"), "", ""
	switch a.kind {
	case boolean:
		ours = pick(s, "true", "false")
		theirs = ours
	case moment:
		op = pick(s, "eq", "ne", "gt", "ge", "lt", "le")
		day := pick(s, "2026-05-01", "2026-05-02", "2026-05-03")
		ours, theirs = `"`+day+pick(s, "T10:00:00Z", "T12:00:00+02:00", "T10:00:00.000Z", "T05:30:00-04:30")+`"`, `"`+day+`T10:00:00.000Z"`
	default:
		op = pick(s, "eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")
		w := s.word()
		ours, theirs = quote(w), quote(w)
		if !a.exact {
			ours, theirs = quote(s.mix(w)), quote(strings.ToLower(w))
		}
	}
	theirOp := op
	if op == "ne" {
		theirOp = "eq"
	}
	f := term{name + " " + s.mix(op) + " " + ours, theirName + " " + theirOp + " " + theirs}
	if op == "ne" {
		f.theirs = "not (" + f.theirs + ")"
	}
	return f
}

// lower returns v with its strings in lower case, but for those that are
// compared exactly.
func lower(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if k == "externalId" || k == "id" || k == "meta" || k == "manager" {
				out[k] = e
			} else {
				out[k] = lower(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = lower(e)
		}
		return out
	case string:
		return strings.ToLower(v)
	}
	return v
}

func TestFilters(t *testing.T) {
	p := newPeer(t)
	checkKnown(t, p, knownFilters)

	s := newSource(t, 1)
	ours := make([]reply, *cases)
	questions := make([]question, *cases)
	terms := make([]term, *cases)
	for i := range questions {
		body := s.user()
		body["id"] = s.word()
		body["meta"] = map[string]any{"created": pick(s, "2026-05-01", "2026-05-02", "2026-05-03") + "T10:00:00.000Z"}
		r, theirs := user(t, body)
		terms[i] = s.filter(userAttrs, 3)
		ours[i] = ourMatch(terms[i].ours, r)
		theirs = lower(theirs).(map[string]any)
		for _, name := range lists {
			list, _ := theirs[name].([]any)
			for j, e := range list {
				theirs[fmt.Sprint(name, j)] = e
			}
		}
		questions[i] = question{Resource: theirs, Filter: &terms[i].theirs}
	}
	matched, shown := 0, 0
	for i, theirs := range p.ask(t, questions) {
		if ours[i].Match {
			matched++
		}
		if (ours[i].Error != "" || !ours[i].same(theirs)) && shown < 10 {
			shown++
			t.Errorf("case %d\nhere  %s\n      %s\nthere %s\n      %s\nuser  %s", i, terms[i].ours, ours[i], terms[i].theirs, theirs, text(questions[i].Resource))
		}
	}
	if matched < *cases/5 || matched > *cases*4/5 {
		t.Errorf("%d of %d filters match: the cases say little", matched, *cases)
	}
	t.Logf("%d filters, of which %d match", *cases, matched)
}
