package scimserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pwb/scimserver"
	"pwb/scimserver/ledger"
	"pwb/scimserver/sqlite"
)

// BenchmarkCreate creates users without a network between, from one caller and
// from many whose commits are shared.
func BenchmarkCreate(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			dir := b.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			store, err := sqlite.Open(context.Background(), dir)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			server, err := scimserver.New(scimserver.Config{Store: store, Ledger: ledger.Config{AdminGroup: "pwb-admins", Adopt: true, AliasTime: time.Hour}})
			if err != nil {
				b.Fatal(err)
			}
			_, token, err := server.Operator("administrator bench").AddToken(context.Background(), "bench", scimserver.ScopeSCIM, 0)
			if err != nil {
				b.Fatal(err)
			}
			var next atomic.Int64
			b.ResetTimer()
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						body := fmt.Sprintf(`{"userName":"user%d@corp.example","externalId":"x%d","displayName":"User %d","active":true,"emails":[{"value":"user%d@corp.example","type":"work","primary":true}]}`, n, n, n, n)
						r := httptest.NewRequest(http.MethodPost, "/scim/v2/Users", strings.NewReader(body))
						r.Header.Set("Authorization", "Bearer "+token)
						w := httptest.NewRecorder()
						if server.ServeHTTP(w, r); w.Code != http.StatusCreated {
							b.Errorf("status %d: %s", w.Code, w.Body)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
		})
	}
}
