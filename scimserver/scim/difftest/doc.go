// Package difftest holds package scim against implementations of the same
// standard that other people wrote in another language: scim-patch and
// scim2-parse-filter, from npm. Whoever writes both a program and its tests reads
// the standard once; here two readings meet.
//
// The test makes random users, filters and PATCH operations in the forms of RFC
// 7644, lets both sides work on them, and fails on every difference that it
// cannot explain. Those that it can are listed in the test with the reason, and
// each is shown to be there still, so that no explanation outlives its cause.
//
// It needs node, npm and the npm registry; where one is missing it says so and
// is skipped, except under CI, where node and npm without the registry are a
// failure. What it installs, by the lock file, goes to a temporary directory.
package difftest
