package signin

import (
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAnAddressCannotFloodTheProvider(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newSite(t, func(c *Config) { c.Now = func() time.Time { return now } })
	b := s.browser()
	ask := func(from string) int {
		req := must(http.NewRequest("GET", s.http.URL+"/openid/login", nil))
		if from != "" {
			req.Header.Set("X-Forwarded-For", from)
		}
		res, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for range atOnce {
		if status := ask("10.9.9.9, 192.0.2.1"); status != http.StatusFound {
			t.Fatalf("status %d", status)
		}
	}
	// What a client writes into the header by itself does not help it.
	for _, from := range []string{"192.0.2.1", "10.1.1.1,192.0.2.1"} {
		if status := ask(from); status != http.StatusTooManyRequests {
			t.Errorf("one more, from %s: %d", from, status)
		}
	}
	if status := ask("192.0.2.2"); status != http.StatusFound {
		t.Errorf("a neighbour: %d", status)
	}
	now = now.Add(time.Second)
	if status := ask("192.0.2.1"); status != http.StatusFound {
		t.Errorf("a second later: %d", status)
	}
}

func TestManyAddressesLockNobodyOutForLong(t *testing.T) {
	t.Parallel()
	l, now := newLimits(), time.Now()
	for i := range maxAddresses {
		from := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 16), byte(i >> 8), byte(i)}), 64)
		if !l.take(from, now) {
			t.Fatalf("address %d is refused", i)
		}
	}
	late := netip.MustParsePrefix("192.0.2.1/32")
	passed := 0
	for range 2 * atOnce {
		if l.take(late, now) {
			passed++
		}
	}
	if passed != atOnce || len(l.byAddress) > maxAddresses+1 {
		t.Errorf("%d of those that came late passed, and %d addresses are remembered", passed, len(l.byAddress))
	}
	if now = now.Add(time.Second); !l.take(late, now) || len(l.byAddress) > 2 {
		t.Errorf("a second later %d addresses are remembered", len(l.byAddress))
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for word, c := range map[string]Config{
		"auth-openid-issuer":             {Issuer: "http://id.example", ClientID: "pwb"},
		"auth-openid-client-id":          {Issuer: "https://id.example"},
		"auth-openid-scopes":             {Issuer: "https://id.example", ClientID: "pwb", Scopes: []string{"profile"}},
		"auth-openid-ca-cert":            {Issuer: "https://id.example", ClientID: "pwb", CACert: "/absent"},
		"auth-openid-client-secret-file": {Issuer: "https://id.example", ClientID: "pwb", SecretFile: secret},
	} {
		if _, err := NewProvider(c); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%+v: %v, want a word of %s", c, err, word)
		}
	}
}
