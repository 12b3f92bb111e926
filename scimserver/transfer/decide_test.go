package transfer

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseDecisions(t *testing.T) {
	for _, c := range []struct {
		sentence, text string
		want           []Decision
		says           string
	}{
		{"nothing decides nothing", "", nil, ""},
		{"comments and blank lines are nothing", "# skip ada\n \n\t# x", nil, ""},
		{"a comment may follow", "skip ada # gone", []Decision{{Verb: SkipIt, Name: "ada", Line: 1}}, ""},
		{"blanks do not matter", "\n  take\tada  node1\r\n", []Decision{{Verb: TakeIt, Name: "ada", Node: "node1", Line: 2}}, ""},
		{"skip may be for a node", "skip ada@node1", []Decision{{Verb: SkipIt, Name: "ada", Node: "node1", Line: 1}}, ""},
		{"renumber has a number", "renumber bob@node2 5001", []Decision{{Verb: Renumber, Name: "bob", Node: "node2", Number: 5001, Line: 1}}, ""},
		{"or new", "renumber bob new", []Decision{{Verb: Renumber, Name: "bob", Line: 1}}, ""},
		{"private has a name", "private bob", []Decision{{Verb: Private, Name: "bob", Line: 1}}, ""},
		{"another verb is refused", "\nburn bob", nil, `decisions: line 2: "burn" is no decision`},
		{"a word too few is refused", "take bob", nil, "line 1: take has 1 words behind it, not 2: write take NAME NODE"},
		{"a word too many is refused", "skip bob node1", nil, "write skip NAME or skip NAME@NODE"},
		{"take names its node behind", "take bob@node1 node1", nil, "no use for @NODE"},
		{"private is for all nodes", "private bob@node1", nil, "no use for @NODE"},
		{"a name must be one", "skip Bob", nil, "must begin with"},
		{"a node must be one", "skip bob@", nil, "no name of a node"},
		{"a taken node must be one", "take bob a/b", nil, "no name of a node"},
		{"a number must be one", "renumber bob -1", nil, `"-1" is no number`},
		{"a number must fit", "renumber bob 4294967296", nil, "is no number"},
		{"root's is refused", "renumber bob 0", nil, "root's"},
		{"the system's are refused", "renumber bob 999", nil, "choose another number, or new"},
		{"a long line is refused", strings.Repeat(" ", maxLine+1), nil, "line 1 has more than 65536 bytes"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			got, err := ParseDecisions(strings.NewReader(c.text))
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, not %+v", got, c.want)
			}
			if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, not %q", err, c.says)
			}
		})
	}
}
