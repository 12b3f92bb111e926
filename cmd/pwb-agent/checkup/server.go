package checkup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"pwb/cmd/doctor"
	"pwb/syncer/credential"
)

// contact is what one request without a token found on the way to the server. The
// certificate is looked at afterwards, so that all that is wrong with it can be told.
type contact struct {
	url       *url.URL
	address   error // why there is nobody by that name
	unreached error // why nobody answered
	status    int
	tls       *tls.ConnectionState
	// ahead is by how much the server's clock is ahead of this node's, to a second.
	ahead time.Duration
	timed bool
}

const contactTime = 2500 * time.Millisecond

func (n *Node) contact() *contact {
	return once(n, "contact", func() *contact {
		ctx, cancel := context.WithTimeout(context.Background(), contactTime)
		defer cancel()
		return n.reach(ctx)
	})
}

func (n *Node) reach(ctx context.Context) *contact {
	c := &contact{}
	if c.url, c.address = url.Parse(n.Server); c.address != nil || c.url.Hostname() == "" {
		c.address = fmt.Errorf("server %.200q is no URL such as https://pwb.example.com", n.Server)
		return c
	}
	if _, c.address = net.DefaultResolver.LookupHost(ctx, c.url.Hostname()); c.address != nil {
		return c
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, // nothing secret is sent
		DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.JoinPath("healthz").String(), nil)
	if err != nil {
		c.address = err
		return c
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		c.unreached = err
		return c
	}
	took := time.Since(began)
	_, _ = io.CopyN(io.Discard, resp.Body, 4096) // it only says that it is alive
	resp.Body.Close()
	c.status, c.tls = resp.StatusCode, resp.TLS
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The date is cut to the second.
		c.ahead, c.timed = date.Add(500*time.Millisecond).Sub(began.Add(took/2)), true
	}
	return c
}

// met is the contact, nil when there was none: then the report was told.
func (n *Node) met(r *doctor.Report) *contact {
	switch c := n.contact(); {
	case n.Server == "":
		r.Skip("no server is configured")
	case c.address != nil:
		r.Skip("the server's address is not known: see server-address")
	case c.unreached != nil:
		r.Skip("the server was not reached: see server-reachable")
	default:
		return c
	}
	return nil
}

const whyServer = "no change reaches this node: whom the server locks can still log in here"

func (n *Node) serverAddress(_ context.Context, r *doctor.Report) {
	if n.Server == "" {
		r.Skip("no server is configured")
		return
	}
	c := n.contact()
	if c.address == nil {
		r.OK("%s", c.url.Host)
		return
	}
	r.Fail(doctor.Problem{What: c.address.Error(), Why: whyServer,
		Advice: "correct server in " + n.ConfigFile + ", or the name service: getent ahosts NAME asks it"})
}

func (n *Node) serverReachable(_ context.Context, r *doctor.Report) {
	c := n.contact()
	switch {
	case n.Server == "" || c.address != nil:
		r.Skip("the server's address is not known")
	case c.unreached != nil:
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s: %v", c.url.Redacted(), c.unreached), Why: whyServer,
			Advice: "see on the server whether pwb-server runs and on which address it listens, and on the way whether a firewall is there: curl -kv " + doctor.Word(c.url.JoinPath("healthz").Redacted())})
	case c.status != http.StatusOK:
		r.Fail(doctor.Problem{What: fmt.Sprintf("%s answers %d to /healthz", c.url.Redacted(), c.status), Why: whyServer,
			Advice: "something else answers there, or stands before the server: check the address, its path included, and the proxy's log"})
	default:
		r.OK("%s answers", c.url.Redacted())
	}
}

func (n *Node) serverTLS(_ context.Context, r *doctor.Report) {
	c := n.met(r)
	if c == nil {
		return
	}
	if c.tls == nil {
		r.OK("plain HTTP, on this host alone")
		return
	}
	leaf := c.tls.PeerCertificates[0]
	roots, err := n.roots()
	if err != nil {
		if !blind(r, err) {
			r.Fail(doctor.Problem{What: err.Error(), Why: whyServer, Advice: "put the certificate of the server's authority there, in PEM form, or take ca-cert out of " + n.ConfigFile})
		}
		return
	}
	// How long it is valid is another check's.
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), DNSName: c.url.Hostname(), CurrentTime: leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)}
	for _, cert := range c.tls.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err = leaf.Verify(options)
	var host x509.HostnameError
	switch {
	case err == nil:
		r.OK("%s, issued by %s", tls.VersionName(c.tls.Version), leaf.Issuer)
	case errors.As(err, &host):
		r.Fail(doctor.Problem{What: err.Error(), Why: whyServer, Advice: "use a name that the certificate has as server in " + n.ConfigFile + ", or get the server one for this name"})
	default:
		r.Fail(doctor.Problem{What: fmt.Sprintf("the certificate of %s is not trusted: %v", c.url.Host, err), Why: whyServer,
			Advice: "write ca-cert: FILE into " + n.ConfigFile + ", FILE being the certificate of the authority that the server's is from; if it has always been trusted, somebody may be on the way"})
	}
}

// roots are the authorities that the agent trusts; nil for crypto/x509's own.
func (n *Node) roots() (*x509.CertPool, error) {
	if n.CACert == "" {
		return nil, nil
	}
	pem, err := credential.CA(n.CACert)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no certificate in PEM form", n.CACert)
	}
	return pool, nil
}

// soon is how long before its end something is told of: two weeks, or the last quarter of
// what lives shorter.
func soon(life time.Duration) time.Duration { return min(14*24*time.Hour, life/4) }

func (n *Node) serverCertificate(_ context.Context, r *doctor.Report) {
	c := n.met(r)
	if c == nil {
		return
	}
	if c.tls == nil {
		r.OK("plain HTTP, on this host alone")
		return
	}
	leaf, now := c.tls.PeerCertificates[0], time.Now()
	const advice = "renew it on the server: tls-cert and tls-key of server.yaml name the files"
	until := leaf.NotAfter.UTC().Format("2006-01-02 15:04 UTC")
	switch {
	case now.After(leaf.NotAfter):
		r.Fail(doctor.Problem{What: "the server's certificate expired on " + until, Why: whyServer, Advice: advice})
	case now.Before(leaf.NotBefore):
		r.Fail(doctor.Problem{What: "the server's certificate is not valid before " + leaf.NotBefore.UTC().Format("2006-01-02 15:04 UTC"), Why: whyServer, Advice: "look at the clocks of this node and of the server: date"})
	case leaf.NotAfter.Sub(now) < soon(leaf.NotAfter.Sub(leaf.NotBefore)):
		r.Warn(doctor.Problem{What: "the server's certificate ends on " + until, Why: "then no node takes a change any more", Advice: advice})
	default:
		r.OK("until %s", until)
	}
}

// Differences of clocks that are told of. Tokens, certificates and ends of accounts
// are believed by the clock.
const (
	slightly = 30 * time.Second
	grossly  = 5 * time.Minute
)

func (n *Node) clock(_ context.Context, r *doctor.Report) {
	c := n.met(r)
	if c == nil {
		return
	}
	if !c.timed {
		r.Skip("the server's answer has no date")
		return
	}
	off, direction := c.ahead, "behind"
	if off < 0 {
		off, direction = -off, "ahead of"
	}
	if off < slightly {
		r.OK("within seconds of the server's")
		return
	}
	p := doctor.Problem{
		What: fmt.Sprintf("this node's clock is %v %s the server's", off.Round(time.Second), direction),
		Why:  "accounts that end, certificates and tokens are believed by the clock",
	}
	switch {
	case n.installed("chronyc") != "":
		p.Mend = "chronyc -a makestep"
	case n.systemd() && n.installed("timedatectl") != "":
		p.Mend = "timedatectl set-ntp true"
	default:
		p.Advice = "install chrony, or another program that keeps the clock"
	}
	if p.Advice == "" {
		p.Advice = "first see which of the two clocks is wrong: date -u"
	}
	if off < grossly {
		r.Warn(p)
	} else {
		r.Fail(p)
	}
}
