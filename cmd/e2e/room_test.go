package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pwb/cmd/harness"
)

func TestAServerWithoutRoomIsNotReadyAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "--min-free-bytes", "1000000000000000000")
	for range 3 {
		res, err := http.Get(r.server.URL + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("it is %s", res.Status)
		}
	}
	if log := r.server.Log(); strings.Count(log, "min-free-bytes") != 1 || strings.Count(log, "not ready") != 1 {
		t.Errorf("the log says\n%s", log)
	}
	if _, err := r.scim.Create(t.Context(), "/Users", user("ada")); err != nil {
		t.Errorf("what there is room for is refused: %v", err)
	}
}

// TestADamagedStoreIsNotServed: a page in the middle is overwritten.
func TestADamagedStoreIsNotServed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push(t, 4, 300, "user-")
	r.server.Stop()
	path := filepath.Join(r.dir, "store", "pwb.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(data) / 2 &^ 4095; i < len(data)/2+40960; i++ {
		data[i] = 0xa5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := harness.StartServer(context.Background(), bin, filepath.Join(r.dir, "store"), "127.0.0.1:0")
	if err == nil {
		s.Stop()
		t.Fatal("a damaged store is served")
	}
	for _, words := range []string{"damaged", path, "pwb-server restore"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("the message does not say %q: %v", words, err)
		}
	}
}
