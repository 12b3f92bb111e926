package altfiles

import (
	"bytes"
	"testing"
)

// indexBytes is what an index of a plan holds.
func indexBytes(tb testing.TB, p *Plan, x *plannedIndex) []byte {
	tb.Helper()
	image, err := x.image(p)
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := image.writeTo(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
