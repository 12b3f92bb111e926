package e2e

import (
	"bytes"
	"context"
	"testing"

	"pwb/cmd/harness"
)

// follow starts an agent that stays, ended with the test, and a watch on what
// it renders.
func (r *rig) follow(t testing.TB, flags ...string) *harness.Watch {
	t.Helper()
	watch, err := harness.NewWatch(r.agent.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := r.agent.Command(context.Background(), "run", append([]string{"--max-backoff", "600ms"}, flags...)...)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Cancel()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent did not end well when it was asked to: %v\n%s", err, &log)
		}
		_ = watch.Close()
	})
	return watch
}

func lineBegins(start string) func([]byte) bool {
	return func(content []byte) bool {
		return bytes.HasPrefix(content, []byte(start)) || bytes.Contains(content, []byte("\n"+start))
	}
}
