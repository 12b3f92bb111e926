package signin

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what browsers may ask for. A company behind one address signs in in
// the morning; nobody signs in five times a second for long.
const (
	perSecond    = 5
	atOnce       = 100
	maxAddresses = 20_000
	// maxSignIns is how many sign-ins ask the provider or the store at once.
	maxSignIns = 32
)

// limits bounds the requests of an address.
type limits struct {
	mu        sync.Mutex
	byAddress map[netip.Prefix]*rate.Limiter
	swept     time.Time
}

func newLimits() limits { return limits{byAddress: map[netip.Prefix]*rate.Limiter{}} }

// take counts a request and reports whether it may be served. Where there are too
// many addresses, those that come later share one rate.
func (l *limits) take(from netip.Prefix, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byAddress) >= maxAddresses && l.byAddress[from] == nil {
		if now.Sub(l.swept) >= time.Second {
			l.swept = now
			maps.DeleteFunc(l.byAddress, func(_ netip.Prefix, r *rate.Limiter) bool {
				return r.TokensAt(now) >= atOnce // as good as one that is new
			})
		}
		if len(l.byAddress) >= maxAddresses {
			from = netip.Prefix{}
		}
	}
	r := l.byAddress[from]
	if r == nil {
		r = rate.NewLimiter(perSecond, atOnce)
		l.byAddress[from] = r
	}
	return r.AllowN(now, 1)
}

// address is where a request comes from: of a proxy on this host, what that one
// saw. Of IPv6 it is the network that one household or server has.
func address(r *http.Request) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	if ip.IsLoopback() {
		seen := r.Header.Values("X-Forwarded-For")
		if len(seen) > 0 {
			// The last is the proxy's own word; those before are the client's.
			last := seen[len(seen)-1]
			last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
			if forwarded, err := netip.ParseAddr(last); err == nil {
				ip = forwarded
			}
		}
	}
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
