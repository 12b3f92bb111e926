// Package pam is what a login needs beside NSS, for pwb-pam(8), which the stock
// pam_exec(8) runs: whether an account may log in, its home, and its password
// where pam_unix(8) cannot see shadow. It decides from what the agent rendered,
// and for nobody else: a name that is not the agent's, or that the node's own
// passwd file has too, is let pass by Account and Session and known to nobody by
// Authenticate.
package pam
