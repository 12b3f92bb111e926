package scim

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestFoldAgreesWithEqualFold(t *testing.T) {
	letters := rapid.StringOf(rapid.RuneFrom([]rune("aAkK\u212asSſßẞσςΣ\u00b5μΜåÅ\u212biİıI1@é😀"), unicode.Letter))
	rapid.Check(t, func(t *rapid.T) {
		a, b := letters.Draw(t, "a"), letters.Draw(t, "b")
		for _, other := range []string{b, strings.ToUpper(a), strings.ToLower(a), strings.ToTitle(a)} {
			if (Fold(a) == Fold(other)) != strings.EqualFold(a, other) {
				t.Fatalf("Fold(%q) = %q, Fold(%q) = %q, EqualFold = %v", a, Fold(a), other, Fold(other), strings.EqualFold(a, other))
			}
		}
		if Fold(Fold(a)) != Fold(a) {
			t.Fatalf("Fold(%q) = %q is not settled", a, Fold(a))
		}
	})
}

func TestFoldKeepsLowerCaseASCII(t *testing.T) {
	for in, want := range map[string]string{"": "", "bob@x-1": "bob@x-1", "BoB": "bob", "KELVIN": "kelvin", "Ünal": "Ünal"} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
	if lower("\u212a") != "\u212a" {
		t.Error("a letter beyond ASCII was taken for one of ASCII")
	}
}
