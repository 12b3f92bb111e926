package question

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAQuestionIsReadAsItWasMeantOrNotAtAll(t *testing.T) {
	for line, want := range map[string]Question{
		"pwb1 passwd name ada\n":              {Database: Passwd, Name: "ada"},
		"pwb1 passwd id 1000\n":               {Database: Passwd, ID: 1000},
		"pwb1 group name eng\nand what comes": {Database: Group, Name: "eng"},
		"pwb1 group id 4294967294\n":          {Database: Group, ID: 4294967294},
		"pwb1 shadow name a.b-c_d\n":          {Database: Shadow, Name: "a.b-c_d"},
		"pwb1 initgroups name ada\n":          {Database: Initgroups, Name: "ada"},
		"pwb1 current name ada\n":             {Database: Current, Name: "ada"},
	} {
		q, err := Read(iotest.OneByteReader(strings.NewReader(line)))
		if err != nil || q != want {
			t.Errorf("%q: %+v, %v", line, q, err)
		}
		if again, err := Parse(q.String()); err != nil || again != q {
			t.Errorf("%q became %q: %+v, %v", line, q.String(), again, err)
		}
	}
	for _, line := range []string{
		"pwb1 passwd name Ada\n", "pwb1 passwd name a:b\n", "pwb1 group name " + strings.Repeat("a", 33) + "\n", "pwb1 passwd name -\n", "pwb1 passwd name \x00\n",
		"pwb1 passwd id 0\n", "pwb1 group id 999\n", "pwb1 passwd id 65534\n", "pwb1 passwd id 4294967295\n",
	} {
		if q, err := Read(strings.NewReader(line)); !errors.Is(err, ErrNever) || q.Database == "" || q.Name != "" {
			t.Errorf("%q: %+v, %v", line, q, err)
		}
	}
	for _, line := range []string{
		"", "\n", "pwb1 passwd name ada", "pwb2 passwd name ada\n", "pwb1 passwd name\n", "pwb1 passwd name \n", "pwb1 passwd  name ada\n", "pwb1 passwd name ada \n",
		"pwb1 hosts name ada\n", "pwb1 passwd mail ada\n", "pwb1 shadow id 1000\n", "pwb1 current id 1000\n", "pwb1 initgroups id 1000\n", "pwb1 passwd id 01000\n", "pwb1 passwd id +1000\n",
		"pwb1 passwd id 4294967296\n", "pwb1 passwd id x\n", "GET / HTTP/1.1\r\n", "pwb1 passwd name " + strings.Repeat("a", MaxLine) + "\n", strings.Repeat("x", 1<<20),
	} {
		if q, err := Read(strings.NewReader(line)); err == nil || errors.Is(err, ErrNever) || q != (Question{}) {
			t.Errorf("%.60q: %+v, %v", line, q, err)
		}
	}
}

func TestAnAnswerSaysHowLongItsLineIs(t *testing.T) {
	for line, want := range map[string]string{"": "found 0\n", "1001 1002": "found 9\n1001 1002"} {
		if got := string(Found([]byte(line))); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pwb1 passwd name ada")
	f.Add("pwb1 group id 1000")
	f.Fuzz(func(t *testing.T, line string) {
		q, err := Parse(line)
		if err == nil && q.String() != line {
			t.Errorf("%q is taken for %q", line, q.String())
		}
	})
}
