package scimserver

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Headers in which proxies say for whom they ask.
const (
	// XForwardedFor comes with X-Forwarded-Proto: what most proxies send.
	XForwardedFor = "X-Forwarded-For"
	// Forwarded is the header of RFC 7239.
	Forwarded = "Forwarded"
)

// hop is where a request came from: the nearest address that is no trusted
// proxy's.
type hop struct {
	addr netip.Addr
	peer string // what the connection says, where it has no address
	// secure: the client speaks TLS to us, or to the proxy that says so.
	secure bool
	// proxied: it came by a trusted proxy.
	proxied bool
}

// remote is the client's address as text.
func (h hop) remote() string {
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return h.peer
}

// hopOf reads from where a request came. What proxies say is taken from trusted
// ones alone, and of one header: who could choose the header could also choose
// the address, since a proxy hands on what it does not know. Proxies append, so
// the list is read from its end, as long as those who wrote it are trusted.
func (s *Server) hopOf(r *http.Request) hop {
	h := hop{peer: r.RemoteAddr, secure: r.TLS != nil}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		h.addr = peer.Addr().Unmap().WithZone("")
	}
	if len(s.cfg.TrustedProxies) == 0 || !s.trusts(h.addr) {
		return h
	}
	h.proxied = true
	told := forwarded(r.Header, s.cfg.ForwardedHeader)
	for i := len(told) - 1; i >= 0; i-- {
		if !told[i].addr.IsValid() {
			return h // obfuscated or broken: what is before it, nobody vouches for
		}
		h.addr = told[i].addr
		if told[i].proto != "" {
			h.secure = told[i].proto == "https"
		}
		if !s.trusts(h.addr) {
			return h
		}
	}
	return h
}

func (s *Server) trusts(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// element is what one proxy said: who asked it, and how.
type element struct {
	addr  netip.Addr
	proto string // http, https or empty
}

// maxHops bounds how much of a list is read, from its end.
const maxHops = 20

func forwarded(header http.Header, name string) (all []element) {
	if name == Forwarded {
		for _, text := range lastOf(header.Values(Forwarded)) {
			all = append(all, parseForwarded(text))
		}
		return all
	}
	protos := lastOf(header.Values("X-Forwarded-Proto"))
	list := lastOf(header.Values(XForwardedFor))
	for i, text := range list {
		e := element{addr: parseHop(text)}
		switch {
		case len(protos) == len(list):
			e.proto = protoOf(protos[i])
		case len(protos) > 0 && i == len(list)-1:
			e.proto = protoOf(protos[len(protos)-1])
		}
		all = append(all, e)
	}
	return all
}

// lastOf are the last elements of a list header (RFC 9110 §5.6.1).
func lastOf(values []string) (all []string) {
	for _, value := range values {
		for _, text := range strings.Split(value, ",") {
			if text = strings.TrimSpace(text); text != "" {
				all = append(all, text)
			}
		}
	}
	return all[max(0, len(all)-maxHops):]
}

// parseForwarded reads an element of Forwarded (RFC 7239 §4), of which for and
// proto count.
func parseForwarded(text string) (e element) {
	for _, pair := range strings.Split(text, ";") {
		name, value, _ := strings.Cut(pair, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "for":
			e.addr = parseHop(value)
		case "proto":
			e.proto = protoOf(value)
		}
	}
	return e
}

func protoOf(text string) string {
	if text = strings.ToLower(text); text != "http" && text != "https" {
		return ""
	}
	return text
}

// parseHop reads an address, which may have a port and then, if it is one of
// IPv6, brackets.
func parseHop(text string) netip.Addr {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// ParseProxies reads addresses and networks such as 10.0.0.0/8.
func ParseProxies(texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if a, errAddr := netip.ParseAddr(text); err != nil && errAddr == nil {
			p, err = a.WithZone("").Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%.60q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		all = append(all, netip.PrefixFrom(p.Addr().Unmap(), prefixBits(p)).Masked())
	}
	return all, nil
}

// prefixBits are those of the prefix once its address is unmapped.
func prefixBits(p netip.Prefix) int {
	if p.Addr().Is4In6() {
		return max(0, p.Bits()-96)
	}
	return p.Bits()
}

// prefixOf is the path of a base URL, which a proxy may take away or keep. One
// with which our own paths begin could not be told from them.
func prefixOf(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	prefix := strings.TrimRight(u.Path, "/")
	for _, root := range []string{scimRoot, "/sync/v1", "/nss/v1", "/healthz", "/readyz", "/metrics"} {
		if prefix != "" && strings.HasPrefix(strings.ToLower(root)+"/", strings.ToLower(prefix)+"/") {
			return "", fmt.Errorf("base-url %q ends with %s, with which the server's own paths begin: choose another prefix, such as /pwb, and leave %s out", base, prefix, scimRoot)
		}
	}
	return prefix, nil
}

// unprefixed is the request without the prefix of the base URL, where a proxy
// has kept it.
func (s *Server) unprefixed(r *http.Request) *http.Request {
	if s.prefix == "" {
		return r
	}
	rest, ok := strings.CutPrefix(r.URL.Path, s.prefix)
	if !ok || rest == "" || rest[0] != '/' {
		return r
	}
	u := *r.URL
	u.Path = rest
	if u.RawPath != "" {
		if u.RawPath, ok = strings.CutPrefix(u.RawPath, s.prefix); !ok {
			return r // the prefix itself is escaped in an odd way
		}
	}
	r.URL = &u // r is a copy already
	return r
}
