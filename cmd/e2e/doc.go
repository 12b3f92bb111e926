// Package e2e drives the real binaries on loopback: it holds the tests of the
// whole way from a provider's request to getent, the rules of the house as
// tests, and the benchmarks that make bench prints.
package e2e
