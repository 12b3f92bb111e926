package syncer

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(fullDiskEnv); dir != "" {
		os.Exit(fullDiskChild(dir))
	}
	// Each check makes some thirty passes that reach the disk; -rapid.checks on
	// the command line makes more of them.
	must(flag.Set("rapid.checks", "40"))
	goleak.VerifyTestMain(m)
}
