package ledger_test

import (
	"testing"

	"pwb/roster"
	"pwb/scimserver/ledger"
)

// FuzzUserName: whatever the rule and the userName, what comes out is a name,
// and the same each time.
func FuzzUserName(f *testing.F) {
	for _, s := range [][2]string{
		{"", "Ada@corp.example"}, {`^(.*)@acme\.example$ $1`, "Ada@acme.example"}, {`. $0$0`, "山田"}, {`^ ..`, "x"}, {`x* \\`, "a\x00b"},
		{`(?P<a>.) ${a}-${a}`, "-"}, {`$ @`, "ada"}, {`^.* root`, "ada"}, {`. :`, "a\nb"}, {`.`, "\xff\xfe"}, {`(?i)A $$`, "ÄaA"}, {`\b 1`, "x y"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text, userName string) {
		if len(text) > 100 || len(userName) > 1000 {
			return // a pattern may repeat what it likes; configuration is not hostile
		}
		var rule *ledger.Rule
		if text != "" {
			var err error
			if rule, err = ledger.ParseRule(text); err != nil {
				return
			}
		}
		l, err := ledger.New(ledger.Config{Rewrite: rule})
		if err != nil {
			t.Fatal(err)
		}
		name := l.UserName(userName)
		if err := roster.CheckName(name); err != nil {
			t.Fatalf("by %q %q becomes %q: %v", text, userName, name, err)
		}
		if again := l.UserName(userName); again != name {
			t.Fatalf("by %q %q becomes %q and %q", text, userName, name, again)
		}
		if name != roster.UserName(rule.Apply(userName)) {
			t.Fatalf("by %q %q becomes %q", text, userName, name)
		}
	})
}

func TestRulesThatAreRefused(t *testing.T) {
	for _, text := range []string{"", " ", "a b c", "(", `\8`, "a $1", "(a) $2", "(a) $1b", "(a) ${x}", "a{1001}"} {
		if _, err := ledger.ParseRule(text); err == nil {
			t.Errorf("the rule %q is taken", text)
		}
	}
	for _, text := range []string{"a", "a b", "(a) $1", "(a) ${1}b", "(?P<x>a) $x", "a $$1", "a $0", "a $", "a ${", "a $-"} {
		if _, err := ledger.ParseRule(text); err != nil {
			t.Errorf("the rule %q is refused: %v", text, err)
		}
	}
}
