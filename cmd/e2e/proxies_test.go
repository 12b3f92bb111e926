package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// behind is a reverse proxy that speaks TLS, before a server under a prefix, which
// it keeps or takes away.
func behind(t *testing.T, server string, keep bool) *httptest.Server {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := http.Handler(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	if !keep {
		proxy = http.StripPrefix("/pwb", proxy)
	}
	mux := http.NewServeMux()
	mux.Handle("/pwb/", proxy)
	front := httptest.NewTLSServer(mux)
	t.Cleanup(front.Close)
	return front
}

// TestLinksLeadBackThroughAProxyWithAPrefix: with base-url, and where the proxy is
// trusted, by https without.
func TestLinksLeadBackThroughAProxyWithAPrefix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		keep bool
	}{{"that keeps the prefix", true}, {"that takes the prefix away", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "--base-url", "https://idp.example/pwb/", "--trusted-proxies", "127.0.0.1")
			front := behind(t, r.server.URL, c.keep)
			r.scim.URL, r.scim.Client = front.URL+"/pwb", front.Client()
			ada, err := r.scim.Want(t.Context(), 201, "POST", "/Users", user("ada"))
			if err != nil {
				t.Fatal(err)
			}
			id, _ := ada["id"].(string)
			want := "https://idp.example/pwb/scim/v2/Users/" + id
			if meta, _ := ada["meta"].(map[string]any); meta["location"] != want {
				t.Errorf("meta.location is %v, want %s", meta["location"], want)
			}
			group, err := r.scim.Want(t.Context(), 201, "POST", "/Groups", map[string]any{"displayName": "Team", "members": []any{map[string]any{"value": id}}})
			if err != nil {
				t.Fatal(err)
			}
			members, _ := group["members"].([]any)
			if member, _ := members[0].(map[string]any); member["$ref"] != want {
				t.Errorf("$ref is %v, want %s", member["$ref"], want)
			}
			req, err := http.NewRequestWithContext(t.Context(), "GET", front.URL+"/pwb/scim/v2/Users/"+id, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+r.scim.Token)
			res, err := front.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := res.Header.Get("Location"); res.StatusCode != 200 || got != want {
				t.Errorf("%s, Location %q, want %q", res.Status, got, want)
			}
			// Agents find their way, too, by the proxy and without it.
			r.agent.Server = r.server.URL + "/pwb"
			r.sync(t, 0)
			r.agent.Server = r.server.URL
			r.sync(t, 0)
			if lines(t, r.agent.Dir+"/passwd")["ada"] == "" {
				t.Error("the node does not have ada")
			}
		})
	}
}

func TestATrustedProxySaysWhoAsksAndAnybodyElseDoesNot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, trusted, remote, scheme string }{
		{"trusted", "127.0.0.0/8,::1", "192.0.2.7", "https"},
		{"not trusted", "10.0.0.0/8", "127.0.0.1", "http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "--trusted-proxies", c.trusted, "--log-level", "debug")
			r.scim.Header = http.Header{
				// The first is what a client claims, the second what the proxy saw.
				"X-Forwarded-For":   {"203.0.113.66, 192.0.2.7"},
				"X-Forwarded-Proto": {"https"},
				"X-Request-Id":      {"from-the-proxy"},
				"Forwarded":         {"for=203.0.113.77;proto=http"},
			}
			ada, err := r.scim.Want(t.Context(), 201, "POST", "/Users", user("ada"))
			if err != nil {
				t.Fatal(err)
			}
			if meta, _ := ada["meta"].(map[string]any); !strings.HasPrefix(meta["location"].(string), c.scheme+"://") {
				t.Errorf("meta.location is %v", meta["location"])
			}
			r.server.Stop()
			served := 0
			for _, line := range logged(t, r.server.Log()) {
				if line["msg"] != "served" && line["msg"] != "audit" || line["token"] != "provider" {
					continue
				}
				served++
				if line["remote"] != c.remote {
					t.Errorf("the client is %v, want %s", line["remote"], c.remote)
				}
				if (line["request"] == "from-the-proxy") != (c.name == "trusted") {
					t.Errorf("the request is %v", line["request"])
				}
			}
			if served != 2 {
				t.Errorf("%d lines are of the request:\n%s", served, r.server.Log())
			}
		})
	}
}
