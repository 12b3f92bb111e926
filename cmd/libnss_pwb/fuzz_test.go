package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// TestNothingInAFileOrAnswerBreaksAReader runs testdata/fuzz.c, the module's parsers
// under the address and undefined-behaviour sanitizers, on damaged input. PWB_FUZZ
// is the number of cases, PWB_FUZZ_SEED where they begin; make fuzz runs millions.
func TestNothingInAFileOrAnswerBreaksAReader(t *testing.T) {
	fuzz := made(t, "fuzz", func(to string) *exec.Cmd {
		return compile(t, to, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "testdata/fuzz.c")
	})
	dir := t.TempDir()
	x := sample()
	x.users[3] = user{"short", "x", "", "/", "/bin/sh", 5003, 5003, []uint32{1, 2, 3}}
	files := map[string][]byte{
		"roster.idx": x.bytes(1),
		"shadow.idx": x.bytes(2),
		"state":      state{flags: reachable | current}.bytes(t),
		"conf":       []byte("# a comment\nstate-dir = /var/lib/pwb\nsocket-path=/run/s\nenumerate = 1\ntimeout=500\nserver-address = https://x\n"),
	}
	for name, answer := range map[string]string{
		"passwd": found("ada:x:5001:5001:Ada:/home/ada:/bin/sh"), "group": found("compilers:x:6000:ada,countess"), "memberless": found("docker:x:998:"),
		"shadow": found("ada:$6$a$b:19000:0:99999:7:::"), "gids": found("6000 998 6001 6002 6003 6004"), "none": found(""),
		"notfound": "notfound\n", "unavail": "unavail\n",
	} {
		files[filepath.Join("answers", name)] = []byte(answer)
	}
	for name, b := range files {
		write(t, filepath.Join(dir, name), b, 0o644)
	}
	cases, seed := os.Getenv("PWB_FUZZ"), os.Getenv("PWB_FUZZ_SEED")
	if cases == "" {
		cases = "200000"
	}
	if seed == "" {
		seed = strconv.Itoa(1)
	}
	cmd := exec.Command(fuzz, dir, cases, seed)
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=abort_on_error=0:detect_leaks=1", "UBSAN_OPTIONS=print_stacktrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("seed %s: %v\n%s", seed, err, out)
	}
	t.Logf("%s", out)
}
