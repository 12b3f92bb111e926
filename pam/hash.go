package pam

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/GehirnInc/crypt"
	_ "github.com/GehirnInc/crypt/apr1_crypt"
	_ "github.com/GehirnInc/crypt/md5_crypt"
	_ "github.com/GehirnInc/crypt/sha256_crypt"
	_ "github.com/GehirnInc/crypt/sha512_crypt"
	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
)

// Bounds on what a hash may cost, whoever made it: about 2 s each. A hash beyond
// them matches nothing.
const (
	maxHash   = 512       // bytes
	maxRounds = 2_000_000 // of $5$ and $6$
	maxMemory = 256 << 20 // bytes of $y$
	maxBcrypt = 14        // cost of $2b$, the logarithm of its rounds
)

// ErrHash says that a hash is of no form that is known here, or costs too much.
var ErrHash = errors.New("the hash is of a form that is not known here, or costs more than is allowed")

// hash is a password hash of crypt(5), understood.
type hash struct {
	sum string
	// again makes the same from a password.
	again func(password []byte) (sum string, err error)
}

// parseHash reads a hash: $1$, $apr1$, $5$, $6$, $2a$, $2b$, $2y$ or $y$. It makes
// none, and costs nothing.
func parseHash(s string) (hash, error) {
	if len(s) > maxHash {
		return hash{}, ErrHash
	}
	switch {
	case strings.HasPrefix(s, "$y$"):
		return parseYescrypt(s)
	case strings.HasPrefix(s, "$2"):
		return parseBcrypt(s)
	case strings.HasPrefix(s, "$1$"):
		return parseCrypt(s, crypt.MD5, "$1$", 22, 8)
	case strings.HasPrefix(s, "$apr1$"):
		return parseCrypt(s, crypt.APR1, "$apr1$", 22, 8)
	case strings.HasPrefix(s, "$5$"):
		return parseCrypt(s, crypt.SHA256, "$5$", 43, 16)
	case strings.HasPrefix(s, "$6$"):
		return parseCrypt(s, crypt.SHA512, "$6$", 86, 16)
	}
	return hash{}, ErrHash
}

// parseCrypt reads prefix, "rounds=N$" of the SHA ones, salt, "$" and a sum. The
// library takes what follows a short salt behind rounds for a part of it; so it is
// handed salts alone.
func parseCrypt(s string, kind crypt.Crypt, prefix string, sumLen, maxSalt int) (hash, error) {
	rest := s[len(prefix):]
	setting := prefix
	if n, after, ok := strings.Cut(rest, "$"); ok && strings.HasPrefix(n, "rounds=") && maxSalt == 16 {
		rounds, err := strconv.ParseUint(n[len("rounds="):], 10, 32)
		if err != nil || rounds > maxRounds {
			return hash{}, ErrHash
		}
		setting += fmt.Sprintf("rounds=%d$", max(rounds, 1000)) // crypt(5) knows no fewer
		rest = after
	}
	salt, sum, ok := strings.Cut(rest, "$")
	if !ok || len(salt) > maxSalt || len(sum) != sumLen || !crypt64(salt) || !crypt64(sum) {
		return hash{}, ErrHash
	}
	return hash{sum, func(password []byte) (string, error) {
		made, err := kind.New().Generate(password, []byte(setting+salt))
		if err != nil || len(made) < sumLen {
			return "", errors.Join(ErrHash, err)
		}
		return made[len(made)-sumLen:], nil
	}}, nil
}

// crypt64 reports whether all of s is of the alphabet of crypt(5).
func crypt64(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '.' <= c && c <= '9') {
			return false
		}
	}
	return true
}

// index64 is what a character of that alphabet stands for.
func index64(c byte) int {
	return strings.IndexByte("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c)
}

// parseYescrypt reads $y$jNR$SALT$SUM, the form without further parameters, which is
// all that crypt_gensalt(3) makes.
func parseYescrypt(s string) (hash, error) {
	f := strings.Split(s, "$")
	if len(f) != 5 || len(f[2]) != 3 || f[2][0] != 'j' || len(f[3]) > 86 || len(f[4]) != 43 || !crypt64(f[2]+f[3]+f[4]) {
		return hash{}, ErrHash
	}
	logN, r := index64(f[2][1])+1, index64(f[2][2])+1
	if logN < 10 || logN > 21 || 128*r<<logN > maxMemory {
		return hash{}, ErrHash
	}
	digest, err := scrypt.DecodeVariant(scrypt.VariantYescrypt)(s)
	return parsed(digest, err)
}

// parseBcrypt reads $2b$COST$SALT-AND-SUM, and $2a$ and $2y$, which mean the same.
func parseBcrypt(s string) (hash, error) {
	f := strings.Split(s, "$")
	if len(f) != 4 || f[1] != "2a" && f[1] != "2b" && f[1] != "2y" || len(f[2]) != 2 || len(f[3]) != 53 || !crypt64(f[3]) {
		return hash{}, ErrHash
	}
	if cost, err := strconv.ParseUint(f[2], 10, 8); err != nil || cost < 4 || cost > maxBcrypt {
		return hash{}, ErrHash
	}
	digest, err := bcrypt.DecodeVariant(bcrypt.VariantStandard)("$2b$" + f[2] + "$" + f[3])
	return parsed(digest, err)
}

// parsed is a hash that the library compares itself, in constant time.
func parsed(d algorithm.Digest, err error) (hash, error) {
	if err != nil {
		return hash{}, errors.Join(ErrHash, err)
	}
	const yes, no = "1", "0"
	return hash{yes, func(password []byte) (string, error) {
		match, err := d.MatchBytesAdvanced(password)
		if err != nil || !match {
			return no, err
		}
		return yes, nil
	}}, nil
}

// matches hashes the password and compares in constant time.
func (h hash) matches(password []byte) (bool, error) {
	sum, err := h.again(password)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(sum), []byte(h.sum)) == 1, nil
}

// decoyHash is a hash that no password has, with a method and cost: a setting of
// crypt(5) without salt, such as "$6$rounds=100000$" or "$y$j9T$".
func decoyHash(setting string) (hash, error) {
	var s string
	switch {
	case strings.HasPrefix(setting, "$6$"):
		s = setting + "pwbpwbpwbpwbpwbp$" + strings.Repeat(".", 86)
	case strings.HasPrefix(setting, "$5$"):
		s = setting + "pwbpwbpwbpwbpwbp$" + strings.Repeat(".", 43)
	case strings.HasPrefix(setting, "$y$"):
		s = setting + "pwbpwbpwbpwbpwbpwbpwb.$" + strings.Repeat(".", 43)
	case strings.HasPrefix(setting, "$2b$"):
		s = setting + strings.Repeat(".", 53)
	}
	h, err := parseHash(s)
	if err != nil {
		return h, fmt.Errorf("decoy %q is no setting of crypt(5) that is known here, such as $6$rounds=100000$, $5$rounds=100000$, $y$j9T$ or $2b$10$", setting)
	}
	return h, nil
}
