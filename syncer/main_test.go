package syncer

import (
	"flag"
	"io"
	"log"
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
	log.SetOutput(io.Discard) // net/http's, of answers that are longer than they say
	goleak.VerifyTestMain(m)
}
