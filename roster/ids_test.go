package roster_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"pwb/roster"
)

func TestReserved(t *testing.T) {
	for _, c := range []struct {
		sentence string
		id       uint32
		reserved bool
	}{
		{"root is reserved", 0, true},
		{"the last system account is reserved", 999, true},
		{"the first ordinary account is free", 1000, false},
		{"the last before systemd-homed is free", 60000, false},
		{"systemd-homed begins", 60001, true},
		{"nobody is reserved", 65534, true},
		{"the 16-bit minus one is reserved", 65535, true},
		{"the first above 16 bits is free", 65536, false},
		{"the last before the containers is free", 524287, false},
		{"the containers begin", 524288, true},
		{"the containers end", 1879048191, true},
		{"the first after the containers is free", 1879048192, false},
		{"the greatest positive number is free", math.MaxInt32, false},
		{"what may be read as negative is reserved", 1 << 31, true},
		{"minus one is reserved", math.MaxUint32, true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			r, reserved := roster.Reserved(c.id)
			if reserved != c.reserved {
				t.Fatalf("Reserved(%d) = %v, %v", c.id, r, reserved)
			}
			if reserved && !r.Contains(c.id) {
				t.Errorf("Reserved(%d) names %v, which does not hold it", c.id, r)
			}
		})
	}
}

func TestRangesThatAreReservedAscendWithoutOverlap(t *testing.T) {
	next := uint64(0)
	for _, r := range roster.ReservedIDs {
		if uint64(r.First) < next || r.First > r.Last {
			t.Errorf("range %v does not follow the one before it", r)
		}
		next = uint64(r.Last) + 1
	}
	if next != 1<<32 {
		t.Errorf("an allocator would run past the greatest id: the last range ends before %d", next)
	}
}

func TestIDRangeHoldsBothItsEnds(t *testing.T) {
	r := roster.IDRange{First: 10, Last: 12}
	for id, want := range map[uint32]bool{9: false, 10: true, 11: true, 12: true, 13: false} {
		if r.Contains(id) != want {
			t.Errorf("%v.Contains(%d) = %v", r, id, !want)
		}
	}
	if r.String() != "10-12" {
		t.Errorf("String() = %q", r)
	}
}

func TestCheckNumber(t *testing.T) {
	for id, ok := range map[uint32]bool{
		0: false, 1: false, 999: false, 1000: true, 65533: true, 65534: false, 65535: false, 65536: true,
		math.MaxInt32: true, math.MaxUint32 - 1: true, math.MaxUint32: false,
	} {
		if err := roster.CheckNumber(id); (err == nil) != ok {
			t.Errorf("CheckNumber(%d) = %v", id, err)
		}
	}
}

func TestWhatAnAllocatorMayGiveEveryNodeMayRender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Uint32().Draw(t, "id")
		if _, reserved := roster.Reserved(id); !reserved && roster.CheckNumber(id) != nil {
			t.Fatalf("%d is not reserved and yet refused: %v", id, roster.CheckNumber(id))
		}
	})
}
