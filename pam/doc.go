// Package pam is the room for what a login needs beside NSS: the account check,
// the creation of homes and the registration at first login. They join with
// their first use; until then pam_unix(8) with the rendered shadow file decides
// who may log in, and a locked account fails both its password and its account
// phase there.
package pam
