package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Lengths of secrets.
const (
	minPassword = 8
	maxPassword = 72 // bcrypt looks at no more
	minToken    = 24 // a token is not slowed down by its hash, so it must not be guessable
	maxToken    = 4096
)

const (
	tokenHashPrefix = "sha256:"
	tokenPrefix     = "spoold_" // so that scanners of repositories find one that was left there
)

// cost is bcrypt's: about 60 ms on a server of 2024.
const cost = 10

// HashPassword makes what a users file holds of a password.
func HashPassword(password []byte) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", fmt.Errorf("the password has %d bytes: it must have %d to %d", len(password), minPassword, maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword(password, cost)
	return string(hash), err
}

// NewToken makes a token of 256 random bits.
func NewToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// HashToken makes what a users file holds of a token.
func HashToken(token []byte) (string, error) {
	if len(token) < minToken || len(token) > maxToken {
		return "", fmt.Errorf("the token has %d bytes: it must have %d to %d, and be random; for a password use spoold hash-password", len(token), minToken, maxToken)
	}
	if strings.ContainsAny(string(token), " \t\r\n") {
		return "", errors.New("the token has a space or a line end: a header cannot hold it")
	}
	sum := sha256.Sum256(token)
	return tokenHashPrefix + hex.EncodeToString(sum[:]), nil
}

func parseTokenHash(text string) (sum [32]byte, err error) {
	digits, ok := strings.CutPrefix(text, tokenHashPrefix)
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != len(sum) {
		return sum, errors.New("is not a hash (sha256: and 64 hexadecimal digits): make one with spoold hash-token")
	}
	return [32]byte(raw), nil
}
