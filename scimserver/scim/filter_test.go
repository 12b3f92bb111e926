package scim

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseFilterWritesCanonically(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"a comparison", `userName eq "bjensen"`, `userName eq "bjensen"`},
		{"operators in any case", `userName Eq "a" AND NOT (title PR) oR active eQ true`, `userName eq "a" and not (title pr) or active eq true`},
		{"not without a space", `not(title pr)`, `not (title pr)`},
		{"and binds closer than or", `a pr or b pr and c pr`, `a pr or b pr and c pr`},
		{"parentheses that matter", `(a pr or b pr) and c pr`, `(a pr or b pr) and c pr`},
		{"parentheses that do not", `((a pr) and (b pr and c pr)) or (d pr or e pr)`, `a pr and b pr and c pr or d pr or e pr`},
		{"not keeps its parentheses", `not ((a pr) and b pr)`, `not (a pr and b pr)`},
		{"a value path", `emails[type eq "work" and value co "@x"]`, `emails[type eq "work" and value co "@x"]`},
		{"a value path and a sub-attribute", `emails[type eq "work"].value eq "x"`, `emails[type eq "work" and value eq "x"]`},
		{"a value path of alternatives and a sub-attribute", `emails[type eq "a" or type eq "b"].value pr`, `emails[(type eq "a" or type eq "b") and value pr]`},
		{"a word without quotes", `userName eq bob@example.com`, `userName eq "bob@example.com"`},
		{"a word before a parenthesis", `(externalId eq jyoung)`, `externalId eq "jyoung"`},
		{"a word before a bracket", `emails[type eq work]`, `emails[type eq "work"]`},
		{"a word that is an operator", `userName eq and and userName eq or`, `userName eq "and" and userName eq "or"`},
		{"a word with an apostrophe", `userName eq o'brien`, `userName eq "o'brien"`},
		{"numbers as they are written", `a eq 1 or a eq -2 or a eq 1.5`, `a eq 1 or a eq -2 or a eq 1.5`},
		{"numbers that would come back otherwise are words", `a eq 007 or a eq 1.50 or a eq 1E3 or a eq +1 or a eq -Inf`, `a eq "007" or a eq "1.50" or a eq "1E3" or a eq "+1" or a eq "-Inf"`},
		{"literals", `a eq true or a eq false or a eq null or a eq True`, `a eq true or a eq false or a eq null or a eq "True"`},
		{"escapes", `a eq "\u0041\ud83d\ude00\"\\\/\n"`, `a eq "A😀\"\\/\u000a"`},
		{"a sub-attribute", `name.familyName co "O'Malley"`, `name.familyName co "O'Malley"`},
		{"a reference", `members.$ref eq "x"`, `members.$ref eq "x"`},
		{"a URN with a version", EnterpriseURN + `:manager.value eq "m"`, EnterpriseURN + `:manager.value eq "m"`},
		{"spaces all around", "  a\teq   \"x\"  ", `a eq "x"`},
		{"a value right after the operator", `a eq"x"`, `a eq "x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := ParseFilter(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.String(); got != test.want {
				t.Fatalf("got  %s\nwant %s", got, test.want)
			}
			again, err := ParseFilter(test.want)
			if err != nil || !reflect.DeepEqual(f, again) {
				t.Errorf("parsing that again gives %#v, %v; want %#v", again, err, f)
			}
		})
	}
}

func TestParseFilterBuildsATreeForStores(t *testing.T) {
	f, err := ParseFilter(`id eq "u" and ` + EnterpriseURN + `:manager.value eq 7 and not (emails[type eq "work"] or title pr)`)
	if err != nil {
		t.Fatal(err)
	}
	want := And{
		Compare{AttrPath{Name: "id"}, Eq, "u"},
		Compare{AttrPath{URN: EnterpriseURN, Name: "manager", Sub: "value"}, Eq, int64(7)},
		Not{Or{
			ValuePath{AttrPath{Name: "emails"}, Compare{AttrPath{Name: "type"}, Eq, "work"}},
			Present{AttrPath{Name: "title"}},
		}},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got  %#v\nwant %#v", f, want)
	}
	if parts := Conjuncts(f); len(parts) != 3 {
		t.Errorf("Conjuncts are %v", parts)
	}
	if parts := Conjuncts(want[0]); len(parts) != 1 {
		t.Errorf("Conjuncts of a comparison are %v", parts)
	}
	for name, mentioned := range map[string]bool{"Emails": true, "manager": true, "title": true, "members": false} {
		if got := Mentions(f, name); got != mentioned {
			t.Errorf("Mentions(%s) = %v", name, got)
		}
	}
}

func TestParseFilterRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                           ``,
		"spaces":                            `  `,
		"an attribute alone":                `userName`,
		"no value":                          `userName eq`,
		"no operator":                       `userName "x"`,
		"an unknown operator":               `userName is "x"`,
		"an operator alone":                 `eq`,
		"a value for pr":                    `title pr "x"`,
		"two terms without a word between":  `a pr b pr`,
		"an and without a second term":      `a pr and`,
		"an or without a first term":        `or a pr`,
		"an open parenthesis":               `(a pr`,
		"a closing parenthesis":             `a pr)`,
		"empty parentheses":                 `()`,
		"an open bracket":                   `emails[type eq "x"`,
		"a closing bracket":                 `a pr]`,
		"empty brackets":                    `emails[]`,
		"brackets in brackets":              `a[b[c pr]]`,
		"a bracket and a dot":               `emails[type pr].`,
		"a bracket and two names":           `emails[type pr].a.b pr`,
		"a bracket, a name and no operator": `emails[type pr].value`,
		"not without parentheses":           `not a pr`,
		"an open string":                    `a eq "x`,
		"half a surrogate pair":             `a eq "\ud83d"`,
		"single quotes":                     `a eq 'x'`,
		"a raw control character":           "a eq x\x01y",
		"a raw control character in quotes": "a eq \"\x01\"",
		"invalid UTF-8":                     "a eq \"\xff\"",
		"a name that begins with a digit":   `1a pr`,
		"a name of three parts":             `a.b.c pr`,
		"a name that ends in a dot":         `a. pr`,
		"a URN without a name":              `urn:x: pr`,
		"a name with an umlaut":             `nämé pr`,
		"ordering of a boolean":             `active gt true`,
		"ordering of null":                  `title le null`,
		"too many parentheses":              strings.Repeat("(", MaxFilterDepth+1) + "a pr" + strings.Repeat(")", MaxFilterDepth+1),
		"a great many parentheses":          strings.Repeat("(", MaxFilterLength),
		"too long a filter":                 `a eq "` + strings.Repeat("x", MaxFilterLength) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFilter(in)
			wantError(t, err, InvalidFilter)
		})
	}
}

func TestParseFilterTakesAsManyLevelsAsItSays(t *testing.T) {
	in := strings.Repeat("(", MaxFilterDepth) + "a pr" + strings.Repeat(")", MaxFilterDepth)
	if _, err := ParseFilter(in); err != nil {
		t.Error(err)
	}
	if _, err := ParseFilter("a pr" + strings.Repeat(" or a pr", 1000)); err != nil {
		t.Error("a long chain is not deep: ", err)
	}
}

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		`userName`:                            `userName`,
		` active `:                            `active`,
		`name.familyName`:                     `name.familyName`,
		`emails[type eq "work"]`:              `emails[type eq "work"]`,
		`emails[type Eq work].value`:          `emails[type eq "work"].value`,
		`roles[primary eq "True"].value`:      `roles[primary eq "True"].value`,
		`a[b pr and (c pr or not(d pr))].e`:   `a[b pr and (c pr or not (d pr))].e`,
		EnterpriseURN:                         EnterpriseURN,
		EnterpriseURN + `:department`:         EnterpriseURN + `:department`,
		EnterpriseURN + `:manager.value`:      EnterpriseURN + `:manager.value`,
		UserURN + `:emails[type eq "x"].$ref`: UserURN + `:emails[type eq "x"].$ref`,
	} {
		p, err := ParsePath(in)
		if err != nil {
			t.Errorf("ParsePath(%s): %v", in, err)
			continue
		}
		if got := p.String(); got != want {
			t.Errorf("ParsePath(%s) is %s, want %s", in, got, want)
		}
		again, err := ParsePath(want)
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("parsing %s again gives %#v, %v", want, again, err)
		}
	}
	for _, in := range []string{``, ` `, `.`, `a.`, `.a`, `a.b.c`, `a b`, `a[`, `a[]`, `a[b]`, `a[b pr`, `a[b pr]c`, `a[b pr].`, `a[b pr].c.d`, `a[b pr].c eq "x"`, `a[b[c pr]]`,
		`1`, `urn:`, `:a`, `/emails/0`, "a\xff", strings.Repeat("\xbc", 100), `a[b eq "` + strings.Repeat("x", MaxFilterLength) + `"]`, `a[` + strings.Repeat("(", 1000)} {
		_, err := ParsePath(in)
		wantError(t, err, InvalidPath)
	}
}
