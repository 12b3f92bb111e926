// Libnss_pwb is the NSS module: libnss_pwb.so.2, which glibc loads into every
// process that looks up a user or a group where nsswitch.conf(5) names pwb.
//
// It is built with -buildmode=c-shared, and all of it that runs in a foreign
// process is C: the entries _nss_pwb_* answer from the agent's index files, then
// ask the agent's socket, then a process of its own. The Go runtime is linked
// but never started; DESIGN.md says how and why, and the tests prove it.
package main

// #cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -fvisibility=hidden -D_GNU_SOURCE
import "C"

// main is never called: a shared library has no main function to run.
func main() {}
