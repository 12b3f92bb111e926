package roster

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Limits of an account's SSH keys. A row with MaxKeys keys of MaxKeyBytes in all
// still fits into MaxLine.
const (
	// MaxKeys is how many keys an account may have.
	MaxKeys = 32
	// MaxKeyLine is the most bytes of a key's line, its comment included.
	MaxKeyLine = 16 << 10
	// MaxKeyBytes is the most bytes that all keys of an account may have, written
	// as ParseKey returns them.
	MaxKeyBytes = 32 << 10
)

// Lengths of an RSA modulus in bits. OpenSSH refuses longer ones; shorter ones than
// 2048 are within reach of those who have the means.
const (
	minRSA = 2048
	maxRSA = 16384
)

// keyFields says what the blob of each type of key holds behind the type, by RFC
// 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4 and OpenSSH's PROTOCOL.u2f. Certificates
// are for TrustedUserCAKeys, not for authorized_keys without options.
var keyFields = map[string][]func(part []byte) error{
	"ssh-ed25519":                        {isLong(32)},
	"ssh-rsa":                            {isExponent, isModulus},
	"ecdsa-sha2-nistp256":                {isText("nistp256"), isPoint(32)},
	"ecdsa-sha2-nistp384":                {isText("nistp384"), isPoint(48)},
	"ecdsa-sha2-nistp521":                {isText("nistp521"), isPoint(66)},
	"sk-ssh-ed25519@openssh.com":         {isLong(32), isApplication},
	"sk-ecdsa-sha2-nistp256@openssh.com": {isText("nistp256"), isPoint(32), isApplication},
}

// ParseKey reads a public key as a line of authorized_keys (sshd(8)) has it,
// without options: TYPE BASE64, and perhaps a comment. It returns TYPE and BASE64,
// one blank between them, which is the same for equal keys. Its errors say what is
// wrong, and repeat nothing longer than a type.
//
// Taken are ssh-ed25519, ssh-rsa from 2048 to 16384 bits, ecdsa-sha2-nistp256, -384
// and -521, and the two of security keys (sk-). Certificates and ssh-dss are not,
// nor is any option: what one may do, a command or an address, is sshd's and the
// administrator's to say.
func ParseKey(line string) (string, error) {
	if len(line) > MaxKeyLine {
		return "", fmt.Errorf("it has %d bytes, %d at most", len(line), MaxKeyLine)
	}
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", errors.New("it holds a control character: a key is one line")
		}
	}
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) == 0 {
		return "", errors.New("it is empty")
	}
	kind := fields[0]
	parts, ok := keyFields[kind]
	if !ok {
		return "", typeFault(kind, fields[1:])
	}
	if len(fields) == 1 {
		return "", fmt.Errorf("%s has no key behind it", kind)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return "", fmt.Errorf("what stands behind %s is no base64", kind)
	}
	if err := checkBlob(blob, kind, parts); err != nil {
		return "", fmt.Errorf("the %s key %w", kind, err)
	}
	return kind + " " + fields[1], nil
}

// typeFault says why a line does not begin with a type that is taken.
func typeFault(kind string, rest []string) error {
	switch {
	case kind == "ssh-dss":
		return errors.New("ssh-dss is broken and no longer in OpenSSH: make an ssh-ed25519 key")
	case strings.Contains(kind, "-cert-v01@openssh.com"):
		return errors.New("it is a certificate: give the key itself, or have sshd trust the authority (TrustedUserCAKeys)")
	}
	for _, word := range rest {
		if _, ok := keyFields[strings.Trim(word, `"`)]; ok {
			return errors.New("it has options before the key: give TYPE BASE64 alone")
		}
	}
	return fmt.Errorf("%.40q is no type of key that is taken: ssh-ed25519, ssh-rsa, ecdsa-sha2-nistp256, -384, -521, and those with sk- are", kind)
}

func checkBlob(blob []byte, kind string, parts []func([]byte) error) error {
	inner, rest, ok := cutString(blob)
	if !ok {
		return errors.New("is cut short")
	}
	if string(inner) != kind {
		return errors.New("says inside that it is of another type")
	}
	for _, check := range parts {
		var part []byte
		if part, rest, ok = cutString(rest); !ok {
			return errors.New("is cut short")
		}
		if err := check(part); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("has %d bytes too many", len(rest))
	}
	return nil
}

// cutString cuts off a string of RFC 4251 §5: four bytes of length, most
// significant first, and as many of text.
func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if b = b[4:]; n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

func isLong(n int) func([]byte) error {
	return func(part []byte) error {
		if len(part) != n {
			return fmt.Errorf("has %d bytes in place of %d", len(part), n)
		}
		return nil
	}
}

func isText(text string) func([]byte) error {
	return func(part []byte) error {
		if string(part) != text {
			return fmt.Errorf("is not of the curve %s", text)
		}
		return nil
	}
}

// isPoint takes an uncompressed point, SEC 1 §2.3.3: 4 and two numbers.
func isPoint(size int) func([]byte) error {
	return func(part []byte) error {
		if len(part) != 1+2*size || part[0] != 4 {
			return errors.New("holds no uncompressed point of its curve")
		}
		return nil
	}
}

func isApplication(part []byte) error {
	if len(part) == 0 {
		return errors.New("names no application")
	}
	return nil
}

func isExponent(part []byte) error {
	e, err := mpint(part)
	if err == nil && (e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0 || e.BitLen() > 64) {
		err = errors.New("has an exponent that no key has")
	}
	return err
}

func isModulus(part []byte) error {
	n, err := mpint(part)
	switch {
	case err != nil:
		return err
	case n.BitLen() < minRSA:
		return fmt.Errorf("has %d bits, and %d at least are needed: make a new one", n.BitLen(), minRSA)
	case n.BitLen() > maxRSA:
		return fmt.Errorf("has %d bits, %d at most", n.BitLen(), maxRSA)
	case n.Bit(0) == 0:
		return errors.New("has an even modulus")
	}
	return nil
}

// mpint is a positive number of RFC 4251 §5 in its only form.
func mpint(part []byte) (*big.Int, error) {
	if len(part) == 0 || part[0]&0x80 != 0 || len(part) > 1 && part[0] == 0 && part[1]&0x80 == 0 {
		return nil, errors.New("holds a number that is not positive, or has needless zeros")
	}
	return new(big.Int).SetBytes(part), nil
}

// ParseKeys is ParseKey for the keys of an account. It returns each once, in
// ascending order, so that equal sets are equal lists; nil for none. Its error
// says which of lines is wrong, from 1.
func ParseKeys(lines []string) (keys []string, err error) {
	for i, line := range lines {
		key, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(lines), err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	total := 0
	for _, key := range keys {
		total += len(key)
	}
	switch {
	case len(keys) > MaxKeys:
		return nil, fmt.Errorf("%d keys are too many: an account has %d at most", len(keys), MaxKeys)
	case total > MaxKeyBytes:
		return nil, fmt.Errorf("the keys have %d bytes together, %d at most", total, MaxKeyBytes)
	}
	return keys, nil
}

// KeyFingerprint is what people know a key by that ParseKey returned: its type, and
// SHA256: with the digest of its blob, as ssh-keygen(1) -l and sshd's log have it.
func KeyFingerprint(key string) string {
	kind, text, _ := strings.Cut(key, " ")
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return kind + " (malformed)"
	}
	sum := sha256.Sum256(blob)
	return kind + " SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}
