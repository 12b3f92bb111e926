package signin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// attempt is a sign-in that has begun. Its browser keeps it, sealed, so that
// sign-ins that nobody finishes cost the server nothing.
type attempt struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Until    time.Time `json:"u"`
}

// attemptLife is how long a person may take at the provider.
const attemptLife = 10 * time.Minute

// seal is a key that lives as long as the process: nothing that it sealed is of
// use to another one.
type seal struct{ aead cipher.AEAD }

func newSeal() (seal, error) {
	var key [32]byte
	rand.Read(key[:]) // never fails, see crypto/rand
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return seal{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return seal{aead}, err
}

func (s seal) close(a attempt) (string, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encode a sign-in: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, nil)), nil
}

func (s seal) open(text string) (a attempt, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return a, false
	}
	plain, err := s.aead.Open(nil, nil, sealed, nil)
	return a, err == nil && json.Unmarshal(plain, &a) == nil
}

// cookie is the browser's: for this host and its secure pages alone. On loopback
// without TLS a name that promises these would be refused.
func cookie(secure bool, value string, age time.Duration) *http.Cookie {
	c := &http.Cookie{Name: cookieName(secure), Value: value, Path: "/", MaxAge: int(age.Seconds()), Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if age <= 0 {
		c.MaxAge = -1
	}
	return c
}

func cookieName(secure bool) string {
	if secure {
		return "__Host-pwb-login"
	}
	return "pwb-login"
}
