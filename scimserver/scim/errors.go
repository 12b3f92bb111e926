package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// badRequest is the HTTP status of nearly every error made here.
const badRequest = 400

// Values of scimType (RFC 7644 §3.12, table 9).
const (
	InvalidFilter = "invalidFilter" // the filter is malformed or compares what cannot be compared
	TooMany       = "tooMany"       // the filter yields more than the server is willing to return
	Uniqueness    = "uniqueness"    // a unique value is already in use
	Mutability    = "mutability"    // the change touches what clients may not change
	InvalidSyntax = "invalidSyntax" // the body is not JSON, or not of the message's shape
	InvalidPath   = "invalidPath"   // a PATCH path is malformed or names no attribute
	NoTarget      = "noTarget"      // a PATCH path selects nothing that could be changed
	InvalidValue  = "invalidValue"  // a value is missing or of the wrong type
	InvalidVers   = "invalidVers"   // the protocol version is not supported
	Sensitive     = "sensitive"     // the request would put private data into a URI
)

// Error is a SCIM protocol error (RFC 7644 §3.12). Detail is shown to the
// client: it names the field and the reason, and never repeats a secret.
type Error struct {
	Status   int    // HTTP status
	ScimType string // one of the scimType constants, or "" where the RFC has none
	Detail   string
}

// Errorf makes an Error whose Detail is formatted like fmt.Sprintf does.
func Errorf(status int, scimType, format string, args ...any) *Error {
	return &Error{Status: status, ScimType: scimType, Detail: fmt.Sprintf(format, args...)}
}

// Error returns the error in one line for logs.
func (e *Error) Error() string {
	s := "scim: " + strconv.Itoa(e.Status)
	if e.ScimType != "" {
		s += " " + e.ScimType
	}
	return s + ": " + e.Detail
}

// Body returns the JSON body to answer with. The status stands in it as a
// string, as the RFC wants, and scimType only when there is one.
func (e *Error) Body() []byte {
	body, err := json.Marshal(struct {
		Schemas  []string `json:"schemas"`
		Status   string   `json:"status"`
		ScimType string   `json:"scimType,omitempty"`
		Detail   string   `json:"detail"`
	}{[]string{ErrorURN}, strconv.Itoa(e.Status), e.ScimType, e.Detail})
	if err != nil {
		panic("scim: strings always marshal: " + err.Error())
	}
	return body
}

// badValue is the error for a value that does not fit its attribute.
func badValue(format string, args ...any) *Error {
	return Errorf(badRequest, InvalidValue, format, args...)
}

// within prefixes the detail of a protocol error with where it happened.
func within(prefix string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return &Error{Status: e.Status, ScimType: e.ScimType, Detail: prefix + e.Detail}
}
