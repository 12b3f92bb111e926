package scimserver

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/GehirnInc/crypt"
	_ "github.com/GehirnInc/crypt/sha512_crypt" // registers $6$

	"pwb/scimserver/scim"
)

// maxPassword is the most bytes of a password: crypt(3)'s cost grows with it.
const maxPassword = 512

// takePassword removes the password from the user and returns its hash, empty
// when there is none. Hashing is slow on purpose: it happens before the store's
// writer is asked for, and one processor at least is left to everything else.
func (s *Server) takePassword(ctx context.Context, user scim.Resource) (string, error) {
	password, _ := user["password"].(string)
	delete(user, "password")
	if password == "" {
		return "", nil
	}
	if len(password) > maxPassword || strings.ContainsAny(password, "\x00\n") {
		return "", scim.Errorf(http.StatusBadRequest, scim.InvalidValue, "password must have at most %d bytes, no newline and no NUL", maxPassword)
	}
	release, err := s.hashing.take(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	defer spent(ctx, phaseHash, time.Now())
	var random [12]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	// crypt(5): 16 characters of ./0-9A-Za-z.
	salt := strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(random[:]), "+", ".")
	hash, err := crypt.SHA512.New().Generate([]byte(password), fmt.Appendf(nil, "$6$rounds=%d$%s", s.cfg.HashRounds, salt))
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}
