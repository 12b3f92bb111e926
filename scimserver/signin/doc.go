// Package signin speaks OpenID Connect: it verifies ID tokens, and signs people
// in at a provider in a browser (OpenID Connect Core 1.0, authorization code flow
// with PKCE, RFC 7636). What becomes of whom it signed in is the server's.
package signin
