package roster

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Position says which store, how many changes, and what the whole roster was
// after them. Two holders of equal positions hold equal rosters.
type Position struct {
	// Epoch names one life of one store; a restore or a new store has another.
	Epoch string `json:"epoch"`
	// Seq counts the changes of rows since the store began.
	Seq int64 `json:"seq"`
	// Sum is the digest of all rows present at Seq.
	Sum Sum `json:"sum"`
}

// String writes the position as epoch/seq/sum, the form ParsePosition reads.
func (p Position) String() string {
	return p.Epoch + "/" + strconv.FormatInt(p.Seq, 10) + "/" + p.Sum.String()
}

// IsZero reports whether p is the position of somebody who holds nothing.
func (p Position) IsZero() bool { return p == Position{} }

// ParsePosition reads what String wrote.
func ParsePosition(s string) (Position, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || CheckID(parts[0]) != nil {
		return Position{}, fmt.Errorf("position %q is not epoch/seq/sum", s)
	}
	seq, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || seq < 0 {
		return Position{}, fmt.Errorf("position %q: sequence number %q is not a count", s, parts[1])
	}
	p := Position{Epoch: parts[0], Seq: seq}
	if err := p.Sum.UnmarshalText([]byte(parts[2])); err != nil {
		return Position{}, fmt.Errorf("position %q: %w", s, err)
	}
	return p, nil
}

// Sum is an order-independent digest of a set of rows: the SHA-256 values of
// their lines added modulo 2^256. One row's change therefore costs one
// subtraction and one addition, whatever the size of the roster.
//
// It guards against lost, doubled and mixed-up rows, not against a forger: the
// stream is authenticated by TLS and a token. The zero Sum is that of no rows.
type Sum [sha256.Size]byte

// Add counts a row's line in.
func (s *Sum) Add(line []byte) {
	h := sha256.Sum256(line)
	var carry uint64
	for i := len(s) - 8; i >= 0; i -= 8 {
		var v uint64
		v, carry = bits.Add64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(h[i:]), carry)
		binary.BigEndian.PutUint64(s[i:], v)
	}
}

// Remove takes a row's line out again.
func (s *Sum) Remove(line []byte) {
	h := sha256.Sum256(line)
	var borrow uint64
	for i := len(s) - 8; i >= 0; i -= 8 {
		var v uint64
		v, borrow = bits.Sub64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(h[i:]), borrow)
		binary.BigEndian.PutUint64(s[i:], v)
	}
}

// String is the sum in 64 hexadecimal digits.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it takes exactly 64
// hexadecimal digits.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("digest has %d characters, not %d", len(text), hex.EncodedLen(len(s)))
	}
	if _, err := hex.Decode(s[:], text); err != nil {
		return fmt.Errorf("digest is not hexadecimal: %w", err)
	}
	return nil
}
