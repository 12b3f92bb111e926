package scimserver_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"pwb/scimserver"
)

func TestTheClientIsTheNearestThatIsNoTrustedProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, trusted, by string
		header            []string
		remote, scheme    string
	}{
		{"nobody is trusted", "", "", []string{"X-Forwarded-For", "192.0.2.1"}, "127.0.0.1", "http"},
		{"the proxy says nothing", "127.0.0.1", "", nil, "127.0.0.1", "http"},
		{"one proxy", "127.0.0.1", "", []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https"}, "192.0.2.1", "https"},
		{"what the client claims is passed over", "127.0.0.1", "", []string{"X-Forwarded-For", "10.9.9.9, 192.0.2.1"}, "192.0.2.1", "http"},
		{"also in a header of its own", "127.0.0.1", "", []string{"X-Forwarded-For", "10.9.9.9", "X-Forwarded-For", "192.0.2.1"}, "192.0.2.1", "http"},
		{"two proxies", "127.0.0.1,10.0.0.0/8", "", []string{"X-Forwarded-For", "192.0.2.1, 10.1.1.1", "X-Forwarded-Proto", "https, http"}, "192.0.2.1", "https"},
		{"all are trusted", "0.0.0.0/0", "", []string{"X-Forwarded-For", "10.1.1.1, 10.1.1.2"}, "10.1.1.1", "http"},
		{"with a port", "127.0.0.1", "", []string{"X-Forwarded-For", "192.0.2.1:4711"}, "192.0.2.1", "http"},
		{"IPv6", "127.0.0.1", "", []string{"X-Forwarded-For", "2001:db8::1"}, "2001:db8::1", "http"},
		{"IPv6 with a port", "127.0.0.1", "", []string{"X-Forwarded-For", "[2001:db8::1]:4711"}, "2001:db8::1", "http"},
		{"IPv4 in IPv6", "127.0.0.1,10.0.0.0/8", "", []string{"X-Forwarded-For", "192.0.2.1, ::ffff:10.1.1.1"}, "192.0.2.1", "http"},
		{"what is no address ends the list", "127.0.0.1", "", []string{"X-Forwarded-For", "192.0.2.1, unknown"}, "127.0.0.1", "http"},
		{"Forwarded", "127.0.0.1", "Forwarded", []string{"Forwarded", `for=10.9.9.9;proto=http, for="[2001:db8::1]:4711";proto=https;by=_x`}, "2001:db8::1", "https"},
		{"Forwarded, hidden", "127.0.0.1", "Forwarded", []string{"Forwarded", `for=10.9.9.9, for=_hidden`}, "127.0.0.1", "http"},
		{"the other header does not count", "127.0.0.1", "Forwarded", []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https"}, "127.0.0.1", "http"},
		{"nor the other way round", "127.0.0.1", "", []string{"Forwarded", "for=192.0.2.1;proto=https"}, "127.0.0.1", "http"},
		{"a scheme that is none", "127.0.0.1", "", []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "javascript"}, "192.0.2.1", "http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t, func(cfg *scimserver.Config) {
				cfg.ForwardedHeader = c.by
				if c.trusted == "" {
					return
				}
				var err error
				if cfg.TrustedProxies, err = scimserver.ParseProxies(strings.Split(c.trusted, ",")); err != nil {
					t.Fatal(err)
				}
			})
			a := h.do("GET", "/ResourceTypes/User", "", c.header...).ok(200)
			if !strings.Contains(string(a.body), `"location":"`+c.scheme+`://`) {
				t.Errorf("the scheme is not %s: %s", c.scheme, a.body)
			}
			h.http.Close() // which waits for the request's end
			got := regexp.MustCompile(`msg=served .* remote=(\S+)`).FindStringSubmatch(h.log.String())
			if got == nil || got[1] != c.remote {
				t.Errorf("the client is %q, want %s", got, c.remote)
			}
		})
	}
}

func TestParseProxies(t *testing.T) {
	t.Parallel()
	got, err := scimserver.ParseProxies([]string{" 10.1.2.3/8", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.0/104"})
	want := []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128", "10.0.0.0/8"}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i] != netip.MustParsePrefix(want[i]) {
			t.Errorf("network %d is %v, want %s", i, got[i], want[i])
		}
	}
	for _, bad := range []string{"", "proxy.example", "10.0.0.0/33", "10.0.0.1:80"} {
		if got, err := scimserver.ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q is taken as %v", bad, got)
		}
	}
}

func TestABaseURLWhoseEndIsTheServersOwnIsRefused(t *testing.T) {
	t.Parallel()
	for url, fine := range map[string]bool{
		"https://x.example":               true,
		"https://x.example/":              true,
		"https://x.example/pwb":           true,
		"https://x.example/a/scim":        true,
		"https://x.example/scimmy":        true,
		"https://x.example/scim":          false,
		"https://x.example/SCIM/v2":       false,
		"https://x.example/sync/v1/":      false,
		"https://x.example/pwb?tenant=42": false,
	} {
		if _, err := scimserver.New(scimserver.Config{BaseURL: url}); (err == nil) != fine {
			t.Errorf("%s: %v", url, err)
		}
	}
}
