package roster_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

const zeroSum = "0000000000000000000000000000000000000000000000000000000000000000"

func TestParsePosition(t *testing.T) {
	for _, c := range []struct {
		sentence, text string
		ok             bool
	}{
		{"epoch, number and digest make a position", "e-1/7/" + zeroSum, true},
		{"the number may be as great as there are", "e/9223372036854775807/" + zeroSum, true},
		{"nothing is no position", "", false},
		{"two parts are too few", "e/7", false},
		{"four parts are too many", "e/7/" + zeroSum + "/", false},
		{"the epoch is not empty", "/7/" + zeroSum, false},
		{"the epoch has no space", "e 1/7/" + zeroSum, false},
		{"the number is not negative", "e/-1/" + zeroSum, false},
		{"the number is not empty", "e//" + zeroSum, false},
		{"the number fits", "e/9223372036854775808/" + zeroSum, false},
		{"the number is decimal", "e/0x7/" + zeroSum, false},
		{"the digest is not short", "e/7/" + zeroSum[1:], false},
		{"the digest is not long", "e/7/" + zeroSum + "0", false},
		{"the digest is hexadecimal", "e/7/" + zeroSum[1:] + "g", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p, err := roster.ParsePosition(c.text)
			if (err == nil) != c.ok {
				t.Fatalf("ParsePosition(%q) = %v, %v", c.text, p, err)
			}
			if !c.ok && p != (roster.Position{}) {
				t.Errorf("the error comes with position %v", p)
			}
			if c.ok && p.String() != c.text {
				t.Errorf("%q became %q", c.text, p)
			}
		})
	}
}

func TestPositionsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := position().Draw(t, "position")
		if back, err := roster.ParsePosition(p.String()); err != nil || back != p {
			t.Fatalf("text: %v came back as %v, %v", p, back, err)
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back roster.Position
		if err := json.Unmarshal(text, &back); err != nil || back != p {
			t.Fatalf("JSON: %v came back as %v, %v", p, back, err)
		}
		if p.IsZero() {
			t.Fatalf("position %v of somebody is that of nobody", p)
		}
	})
	if !(roster.Position{}).IsZero() {
		t.Error("the zero position is not that of nobody")
	}
}

func TestSumOfKnownLinesIsKnown(t *testing.T) {
	// The two SHA-256 values, added with another program.
	var s roster.Sum
	s.Add([]byte("a"))
	if want := "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"; s.String() != want {
		t.Errorf("sum of a is %v, want %v", s, want)
	}
	s.Add([]byte("b"))
	if want := "08bb6928ca5517152e4b8118ff058d82334469f89d507abd84f46634858a4958"; s.String() != want {
		t.Errorf("sum of a and b is %v, want %v", s, want)
	}
}

func TestSumDoesNotDependOnTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "lines")
		var there, back roster.Sum
		for _, line := range lines {
			there.Add(line)
		}
		for _, line := range rapid.Permutation(lines).Draw(t, "otherwise") {
			back.Add(line)
		}
		if there != back {
			t.Fatalf("%v one way, %v the other", there, back)
		}
		for _, line := range rapid.Permutation(lines).Draw(t, "away") {
			there.Remove(line)
		}
		if there != (roster.Sum{}) {
			t.Fatalf("with every line removed %v is left", there)
		}
	})
}

func TestRemoveUndoesAddFromAnySum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, line := sum().Draw(t, "sum"), rapid.SliceOf(rapid.Byte()).Draw(t, "line")
		s := before
		s.Add(line)
		if s == before {
			t.Fatal("a line that is added changes nothing")
		}
		s.Remove(line)
		if s != before {
			t.Fatalf("add and remove make %v of %v", s, before)
		}
		s.Remove(line)
		s.Add(line)
		if s != before {
			t.Fatalf("remove and add make %v of %v", s, before)
		}
	})
}

func TestSumTellsADoubledRowFromASingleOne(t *testing.T) {
	var once, twice roster.Sum
	once.Add([]byte("x"))
	twice.Add([]byte("x"))
	twice.Add([]byte("x"))
	if once == twice || twice == (roster.Sum{}) {
		t.Errorf("once %v, twice %v", once, twice)
	}
}

func TestSumsAreReadInEitherCaseOnly(t *testing.T) {
	var lower, upper roster.Sum
	text := strings.Repeat("ab", 32)
	if err := lower.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := upper.UnmarshalText([]byte(strings.ToUpper(text))); err != nil {
		t.Fatal(err)
	}
	if lower != upper || !slices.Equal(lower[:], []byte(strings.Repeat("\xab", 32))) {
		t.Errorf("%v and %v", lower, upper)
	}
}
